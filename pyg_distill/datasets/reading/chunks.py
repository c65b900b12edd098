"""Graphs that need not fit into memory -> chunks that do."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.data import Subset
from torch_geometric.data import (
    Batch,
    Data,
    HeteroData,
    InMemoryDataset,
    OnDiskDataset,
)
from torch_geometric.data.data import BaseData
from torch_geometric.data.dataset import Dataset

from pyg_distill.datasets.reading.collection import as_slice, check_repeatable
from pyg_distill.datasets.reading.source import declared_classes

# Enough to be fast, and few enough to fit into memory.
CHUNK_SIZE = 1000


@dataclass(frozen=True)
class Chunks:
    """A source, cut into chunks that are read one by one.

    Attributes:
        source: The source, a slice if it was a subset.
        kind: How it is cut: not at all (:obj:`"whole"`), by index
            (:obj:`"ranges"`), or as it comes (:obj:`"parts"`).
        owner: The class named in error messages.
        size: The graphs of a chunk, where it is free to be chosen.
    """

    source: Any
    kind: str
    owner: str
    size: int

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
            for start in range(0, len(self.source), self.size):
                stop = min(start + self.size, len(self.source))
                chunk = _read_range(self.source, range(start, stop))
                yield chunk, num_classes
        else:
            yield from self._parts()

    def _parts(self) -> Iterator[tuple[Any, int]]:
        # Graphs are put together, as chunks may be small.
        graphs: list[Any] = []
        for item in self.source:
            if isinstance(item, Dataset | Subset):
                if graphs:
                    yield graphs, 0
                    graphs = []
                if len(item) > 0:
                    yield from open_chunks(item, self.owner, self.size)
            elif isinstance(item, Batch):
                graphs += item.to_data_list()
            elif _is_chunk(item):
                graphs += item
            else:
                graphs.append(item)
            if len(graphs) >= self.size:
                yield graphs, 0
                graphs = []
        if graphs:
            yield graphs, 0


def open_chunks(
    source: Any,
    owner: str,
    size: int = CHUNK_SIZE,
    may_be_empty: bool = False,
) -> Chunks:
    """Finds out how a source can be read without holding all of it.

    Lists of graphs and data sets in memory are one chunk. Other data sets are
    read by index, :obj:`size` graphs at a time. Whatever else can be iterated
    more than once may give graphs, or chunks of them: lists, data sets, or
    mini-batches of a :class:`~torch_geometric.loader.DataLoader`.

    Args:
        source (Dataset or iterable): The graphs.
        owner (str): The class named in error messages.
        size (int, optional): The graphs of a chunk. (default: :obj:`1000`)
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
    source = as_slice(source)
    is_sequence = hasattr(source, '__len__') and hasattr(source, '__getitem__')
    if isinstance(source, Mapping) or not (
        is_sequence or isinstance(source, Iterable)
    ):
        raise TypeError(
            f"'{owner}' expects a data set, a list of graphs or an iterable of "
            f"chunks of them (got '{type(source).__name__}'); use "
            f'list(graphs.values()) on a dictionary'
        )
    if not is_sequence:
        if iter(source) is source:
            raise TypeError(
                f"'{owner}' reads its source twice, which an iterator does not "
                f"allow (got '{type(source).__name__}'); use list(...), or "
                f'pass an object whose __iter__ starts anew'
            )
        return Chunks(source, 'parts', owner, size)
    if len(source) == 0:
        if may_be_empty:
            return Chunks([], 'parts', owner, size)
        raise ValueError(
            f"'{owner}' expects at least one graph (got an empty "
            f"'{type(source).__name__}'); check the split"
        )
    if isinstance(source, list | tuple):
        is_cut = all(_is_chunk(item) for item in source)
        return Chunks(source, 'parts' if is_cut else 'whole', owner, size)
    if isinstance(source, InMemoryDataset):
        return Chunks(source, 'whole', owner, size)
    check_repeatable(source, owner)
    is_small = len(source) <= size
    return Chunks(source, 'whole' if is_small else 'ranges', owner, size)


def _is_chunk(item: Any) -> bool:
    if isinstance(item, list | tuple):
        return all(isinstance(data, BaseData) for data in item)
    return isinstance(item, Batch | Dataset | Subset)


def _read_range(source: Sequence[Any], index: range) -> list[Any]:
    if isinstance(source, OnDiskDataset):
        rows = source.indices()
        return source.multi_get([rows[i] for i in index])
    return [source[i] for i in index]
