"""Graphs that need not fit into memory -> chunks that do."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset, IterableDataset
from torch_geometric.data import (
    Batch,
    Data,
    HeteroData,
    InMemoryDataset,
    OnDiskDataset,
)
from torch_geometric.data.data import BaseData

from pyg_distill.datasets.reading.collection import as_slice, check_repeatable
from pyg_distill.datasets.reading.source import declared_classes

# Enough to be fast, and few enough to fit into memory, whichever comes first.
MAX_GRAPHS = 1000
MAX_NUMBERS = 20_000_000
_AT_ONCE = 100


@dataclass(frozen=True)
class Chunks:
    """A source, cut into chunks that are read one by one.

    Attributes:
        source: The source, a slice if it was a subset.
        kind: How it is cut: not at all (:obj:`"whole"`), by index
            (:obj:`"ranges"`), or as it comes (:obj:`"parts"`).
        owner: The class named in error messages.
        max_graphs: The most graphs of a chunk.
    """

    source: Any
    kind: str
    owner: str
    max_graphs: int

    @property
    def is_whole(self) -> bool:
        """Whether there is one chunk, which is known before it is read."""
        return self.kind == 'whole'

    def __iter__(self) -> Iterator[tuple[Any, int]]:
        """Gives what :meth:`read_source` takes, chunk by chunk.

        Beside it stands the number of classes if the chunk does not know it,
        else zero.
        """
        if self.kind == 'whole':
            yield self.source, 0
        elif self.kind == 'ranges':
            num_classes = declared_classes(self.source)
            packer = _Packer(self.max_graphs)
            for graphs in _by_index(self.source):
                for chunk in packer.add(graphs):
                    yield chunk, num_classes
            if packer.graphs:
                yield packer.empty(), num_classes
        else:
            yield from self._parts()

    def _parts(self) -> Iterator[tuple[Any, int]]:
        packer = _Packer(self.max_graphs)
        for item in self.source:
            if isinstance(item, Batch):
                graphs = item.to_data_list()
            elif isinstance(item, list | tuple) and _is_chunk(item):
                graphs = item
            elif _is_chunk(item):
                if packer.graphs:
                    yield packer.empty(), 0
                yield from open_chunks(
                    item, self.owner, self.max_graphs, may_be_empty=True
                )
                continue
            else:
                graphs = [item]
            for chunk in packer.add(graphs):
                yield chunk, 0
        if packer.graphs:
            yield packer.empty(), 0


class _Packer:
    """Puts graphs together until they are enough for a chunk."""

    def __init__(self, max_graphs: int) -> None:
        self.max_graphs = max_graphs
        self.graphs: list[Any] = []
        self.numbers = 0

    def add(self, graphs: Iterable[Any]) -> Iterator[list[Any]]:
        for data in graphs:
            self.graphs.append(data)
            if isinstance(data, Data):
                self.numbers += sum(
                    value.numel()
                    for value in data.to_dict().values()
                    if isinstance(value, Tensor)
                )
            is_full = len(self.graphs) >= self.max_graphs
            if is_full or self.numbers >= MAX_NUMBERS:
                yield self.empty()

    def empty(self) -> list[Any]:
        graphs, self.graphs, self.numbers = self.graphs, [], 0
        return graphs


def open_chunks(
    source: Any,
    owner: str,
    max_graphs: int = MAX_GRAPHS,
    may_be_empty: bool = False,
) -> Chunks:
    """Finds out how a source can be read without holding all of it.

    Lists of graphs and data sets in memory are one chunk, and so are PyTorch's
    subsets and concatenations of them. Other data sets are read by index.
    Whatever else can be iterated more than once may give graphs, or chunks of
    them: lists, data sets, or mini-batches of a
    :class:`~torch_geometric.loader.DataLoader`.

    Args:
        source (Dataset or iterable): The graphs.
        owner (str): The class named in error messages.
        max_graphs (int, optional): The most graphs of a chunk; fewer if they
            are large. (default: :obj:`1000`)
        may_be_empty (bool, optional): Whether there may be no graph at all.
            (default: :obj:`False`)

    Raises:
        TypeError: If it is no collection of graphs, or an iterator, which can
            be read only once.
        ValueError: If it is empty, or its graphs are random.
    """
    if isinstance(source, Data | HeteroData):
        remedy = "for one graph use 'ToComputationTrees'"
        if isinstance(source, Batch):
            remedy = 'use data.to_data_list()'
        raise TypeError(
            f"'{owner}' expects a data set or a list of graphs (got one "
            f"'{type(source).__name__}'); {remedy}"
        )
    given, source = source, as_slice(source)
    is_sequence = hasattr(source, '__len__') and hasattr(source, '__getitem__')
    is_sequence &= not isinstance(source, IterableDataset)
    if isinstance(source, Mapping) or not (
        is_sequence or isinstance(source, Iterable)
    ):
        remedy = 'pass a list of torch_geometric.data.Data'
        if isinstance(source, Mapping):
            remedy = 'use list(graphs.values())'
        raise TypeError(
            f"'{owner}' expects a data set, a list of graphs or an iterable of "
            f"chunks of them (got '{type(source).__name__}'); {remedy}"
        )
    if not is_sequence:
        first = iter(source)
        if first is source or first is iter(source):
            raise TypeError(
                f"'{owner}' reads its source twice, which an iterator does not "
                f"allow (got '{type(source).__name__}'); use list(...), or "
                f'pass an object whose __iter__ starts anew'
            )
        return Chunks(source, 'parts', owner, max_graphs)
    if len(source) == 0:
        if may_be_empty:
            return Chunks([], 'parts', owner, max_graphs)
        raise ValueError(
            f"'{owner}' expects at least one graph (got an empty "
            f"'{type(given).__name__}'); check the split"
        )
    if isinstance(source, list | tuple):
        if source is not given:
            check_repeatable(given, owner)
        is_cut = any(_is_chunk(item) for item in source)
        kind = 'parts' if is_cut else 'whole'
        return Chunks(source, kind, owner, max_graphs)
    if isinstance(source, InMemoryDataset):
        return Chunks(source, 'whole', owner, max_graphs)
    check_repeatable(source, owner)
    return Chunks(source, 'ranges', owner, max_graphs)


def _is_chunk(item: Any) -> bool:
    if isinstance(item, list | tuple):
        return all(isinstance(data, BaseData) for data in item)
    return isinstance(item, Batch | Dataset)


def _by_index(source: Any) -> Iterator[Iterable[Any]]:
    if not (
        isinstance(source, OnDiskDataset)
        and type(source).get is OnDiskDataset.get
        and type(source).__getitem__ is OnDiskDataset.__getitem__
    ):
        yield (source[i] for i in range(len(source)))
        return
    rows = list(source.indices())
    for start in range(0, len(rows), _AT_ONCE):
        yield source.multi_get(rows[start : start + _AT_ONCE])
