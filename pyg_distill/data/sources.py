"""Any collection of graphs, read whole or chunk by chunk."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from time import perf_counter
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, IterableDataset, Subset
from torch.utils.data import Dataset as TorchDataset
from torch_geometric.data import (
    Batch,
    Data,
    HeteroData,
    InMemoryDataset,
    OnDiskDataset,
)
from torch_geometric.data.data import BaseData
from torch_geometric.data.dataset import Dataset
from tqdm import tqdm

from pyg_distill.data.attributes import (
    OF_DISTILLED,
    check_exclude_keys,
    refuse_reserved,
    to_plain,
)
from pyg_distill.data.digest import ContentDigest
from pyg_distill.data.distributed import Ranks
from pyg_distill.data.table import GraphTable, concatenate
from pyg_distill.trees import Forest, UniqueKeys

T = TypeVar('T')

# A chunk is full at this many graphs or numbers, whichever comes first.
MAX_GRAPHS = 1000
MAX_NUMBERS = 20_000_000
# Graphs read at a time from a database.
_READ_AT_ONCE = 100


@dataclass(frozen=True)
class Chunk:
    """Some graphs of a source that are in memory.

    Args:
        table (GraphTable): The graphs.
        start (int): The position of the first graph in the shard.
        num_layers (int): The depth of the trees.
        num_classes (int): The number of classes of the data set.
    """

    table: GraphTable
    start: int
    num_layers: int
    num_classes: int

    @cached_property
    def forest(self) -> Forest:
        """The computation trees of all nodes."""
        return Forest(self.table.graphs, self.num_layers)

    @cached_property
    def distinct(self) -> UniqueKeys:
        """The classes of equal trees."""
        return self.forest.distinct()


@dataclass(eq=False, repr=False)
class Source:
    """The graphs to distil: any collection, read once or as often as needed.

    A source that fits into memory is read once and kept. Any other source is
    read chunk by chunk and never held as a whole. With several ranks, each
    one reads its shard, and positions count through all shards in order.

    Args:
        source (Dataset or iterable): The graphs.
        num_layers (int): The depth of the trees.
        exclude_keys (list, optional): Attributes to leave out.
            (default: :obj:`()`)
        pre_filter (callable, optional): Keeps a graph if it returns
            :obj:`True`. (default: :obj:`None`)
        pre_transform (callable, optional): A transform of every graph.
            (default: :obj:`None`)
        ranks (optional): The processes that take part.
            (default: this process alone)
        caller (str, optional): The class named in error messages.
            (default: :obj:`"Source"`)
        log (bool, optional): Whether to show progress. (default: :obj:`False`)
    """

    source: Any
    num_layers: int
    exclude_keys: Sequence[str] = ()
    pre_filter: Callable[[Any], bool] | None = None
    pre_transform: Callable[[Any], Any] | None = None
    ranks: Ranks = field(default_factory=Ranks)
    caller: str = 'Source'
    log: bool = False

    def __post_init__(self) -> None:
        #: The time that reading has taken, in seconds.
        self.seconds = 0.0
        self._whole: Chunk | None = None
        self._num_local: int | None = None
        self._content: str | None = None
        self._num_classes = 0
        self._fetched = torch.empty(0, dtype=torch.long)
        self._fetched_graphs: list[Data] = []

    @cached_property
    def _chunks(self) -> '_Chunks':
        # Opened late, since a source with a cache is not read.
        may_be_empty = self.ranks.size > 1 or self.pre_filter is not None
        return _Chunks(self.source, self.caller, may_be_empty)

    @property
    def is_whole(self) -> bool:
        """Whether all graphs of all ranks are in memory here."""
        return self.ranks.size == 1 and self._chunks.kind == 'whole'

    def chunks(self, stage: str) -> Iterator[Chunk]:
        """Reads the graphs of this rank.

        Args:
            stage (str): What is done with them, shown as progress.

        Raises:
            ValueError: If they are not the graphs that were read before.
        """
        if self._whole is not None:
            yield self._whole
            return
        is_whole = self._chunks.kind == 'whole'
        content = None if is_whole else ContentDigest()
        last, start = None, 0
        tables = self._tables()
        silent = is_whole or not self.log
        with tqdm(desc=stage, unit=' graphs', disable=silent, delay=1) as bar:
            while (chunk := self._next(tables, start)) is not None:
                if content is not None:
                    content.add(chunk.table)
                last = chunk if start == 0 else None
                start += len(chunk.table)
                yield chunk
                bar.update(len(chunk.table))
        if content is not None:
            digest = content.hexdigest()
            self._content = self._content or digest
            if digest != self._content:
                raise ValueError(
                    f"'{self.caller}' read other graphs, or another order, "
                    f'the second time; switch off shuffling and random '
                    f'transforms, or pass an object whose __iter__ starts anew'
                )
        self._num_local = start
        # One chunk is small enough to keep.
        self._whole = last

    def _next(
        self, tables: Iterator[tuple[GraphTable, int]], start: int
    ) -> Chunk | None:
        begin = perf_counter()
        try:
            if (item := next(tables, None)) is None:
                return None
            table, num_classes = item
            refuse_reserved(table.keys, OF_DISTILLED, self.caller)
            if 'y' not in table.keys or table.label is None:
                raise ValueError(
                    f"'{self.caller}' needs class labels 'y' (got graphs with "
                    f'{table.keys}); set data.y = torch.tensor([0])'
                )
            num_classes = max(num_classes, int(table.label.max()) + 1)
            self._num_classes = max(self._num_classes, num_classes)
            chunk = Chunk(table, start, self.num_layers, num_classes)
            self.seconds += perf_counter() - begin
            if self._chunks.kind != 'whole':
                _ = chunk.forest  # Its errors name the graph, too.
        except (TypeError, ValueError) as error:
            if start == 0:
                raise
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(
                f'in a chunk whose graph 0 is graph {start} of the source: '
                f'{error}'
            ) from error
        return chunk

    def _tables(self) -> Iterator[tuple[GraphTable, int]]:
        for graphs, num_classes in self._chunks:
            table = _read(
                graphs,
                self.exclude_keys,
                self.caller,
                self.log and self._chunks.kind == 'whole',
                pre_filter=self.pre_filter,
                pre_transform=self.pre_transform,
            )
            if table is not None:
                yield table, max(num_classes, declared_classes(graphs))

    def data_class(self) -> type[Data]:
        """The class of the graphs, of the first one that is read."""
        for chunk in self.chunks('Reading the source'):
            return type(chunk.table.data)
        return Data

    def digest(self) -> str:
        """A hash of the content of all graphs, and the number of classes."""

        def local() -> str:
            if self._content is None:
                for _ in self.chunks('Reading the source'):
                    pass
            if self._content is None and self._whole is not None:
                content = ContentDigest()
                content.add(self._whole.table)
                self._content = content.hexdigest()
            return f'{self._content} {self._num_classes}'

        return ' '.join(self.ranks.all_gather(local, 'reading its shard'))

    def map(
        self,
        function: Callable[[Chunk], T],
        stage: str,
        merge: Callable[[list[T]], T] | None = None,
    ) -> list[T]:
        """Applies a function to every chunk of every rank.

        All ranks must call it alike, and all get all results.

        Args:
            function (callable): Computes a result of a chunk.
            stage (str): What it does, shown as progress.
            merge (callable, optional): Merges several results into one, to
                hold less at a time. (default: :obj:`None`)

        Returns:
            list: The results in the order of the graphs.
        """

        def local() -> list[T]:
            # Each entry stands for 2^k chunks, so that merging n results of
            # equal size costs n log n.
            stack: list[tuple[int, T]] = []
            for chunk in self.chunks(stage):
                stack.append((0, function(chunk)))
                while merge and len(stack) > 1 and stack[-1][0] == stack[-2][0]:
                    (k, first), (_, second) = stack[-2:]
                    stack[-2:] = [(k + 1, merge([first, second]))]
            return [result for _, result in stack]

        by_rank = self.ranks.all_gather(local, stage.lower())
        return [result for results in by_rank for result in results]

    @cached_property
    def starts(self) -> list[int]:
        """The position of the first graph of each rank, and their number."""

        def local() -> int:
            if self._num_local is None:
                for _ in self.chunks('Counting graphs'):
                    pass
            return self._num_local or 0

        out = [0]
        for count in self.ranks.all_gather(local, 'counting graphs'):
            out.append(out[-1] + count)
        return out

    def fetch(self, index: Tensor) -> GraphTable:
        """Returns graphs by position, wherever they are.

        All ranks must call it alike. Graphs that were fetched are kept.

        Args:
            index (torch.Tensor): Positions of shape :obj:`[n]`.
        """
        if self.is_whole:
            (chunk,) = self.chunks('Reading graphs')
            return chunk.table.take(index)
        wanted = index[~torch.isin(index, self._fetched)].unique()
        first = self.starts[self.ranks.rank]

        def local() -> tuple[Tensor, list[Data]]:
            graphs: list[Data] = []
            numbers = [wanted[:0]]
            for chunk in self.chunks('Reading graphs'):
                row = wanted - first - chunk.start
                here = (row >= 0) & (row < len(chunk.table))
                if here.any():
                    # Views of a chunk would keep all of it in memory.
                    some = chunk.table.take(row[here]).to_list()
                    graphs += [data.clone().cpu() for data in some]
                    numbers.append(wanted[here])
            return torch.cat(numbers), graphs

        if wanted.numel():
            by_rank = self.ranks.all_gather(local, 'reading graphs')
            for numbers, graphs in by_rank:
                self._fetched = torch.cat([self._fetched, numbers])
                self._fetched_graphs += graphs
        place = torch.full((self.starts[-1],), -1)
        place[self._fetched] = torch.arange(self._fetched.numel())
        graphs = [self._fetched_graphs[i] for i in place[index].tolist()]
        return GraphTable.from_list(graphs, caller=self.caller)

    def is_fetched(self, index: Tensor) -> bool:
        """Whether :meth:`fetch` needs not read for these positions."""
        return self.is_whole or bool(torch.isin(index, self._fetched).all())

    def fold_blocks(
        self, size: int, function: Callable[[GraphTable], int], stage: str
    ) -> int:
        """Sums a function over blocks of graphs, cut by position.

        Blocks do not depend on chunks and ranks. A block of several ranks is
        put together from the graphs that each of them has.

        Args:
            size (int): The graphs of a block.
            function (callable): Computes a number of a block.
            stage (str): What it does, shown as progress.
        """
        first = self.starts[self.ranks.rank]

        def local() -> tuple[int, dict[int, list[GraphTable]]]:
            total = 0
            parts: dict[int, list[GraphTable]] = {}
            for chunk in self.chunks(stage):
                row = torch.arange(len(chunk.table))
                block = (row + first + chunk.start) // size
                for i in block.unique().tolist():
                    tables = parts.setdefault(i, [])
                    tables.append(chunk.table.take(row[block == i]))
                    if sum(map(len, tables)) == size:
                        total += function(concatenate(parts.pop(i)))
            if self.ranks.size > 1:  # Views of a chunk would send all of it.
                parts = {i: [concatenate(parts[i], True)] for i in parts}
            return total, parts

        total = 0
        parts: dict[int, list[GraphTable]] = {}
        for number, others in self.ranks.all_gather(local, stage.lower()):
            total += number
            for i, tables in others.items():
                parts.setdefault(i, []).extend(tables)
        return total + sum(map(function, map(concatenate, parts.values())))


def read_table(
    source: Any,
    *,
    exclude_keys: Sequence[str] = (),
    caller: str = 'read_table',
    log: bool = False,
    allow_tree_sets: bool = False,
) -> GraphTable:
    """Reads a collection of graphs that fits into memory.

    What is read is exactly what indexing and a loader return. The tensors of
    an :class:`~torch_geometric.data.InMemoryDataset` are used as they are,
    unless it has a transform or keeps items that may have been changed.

    Args:
        source (Dataset or list): The graphs.
        exclude_keys (list, optional): Attributes to leave out.
            (default: :obj:`()`)
        caller (str, optional): The class or function named in error messages.
            (default: :obj:`"read_table"`)
        log (bool, optional): Whether to show progress. (default: :obj:`False`)
        allow_tree_sets (bool, optional): Whether graphs may be in tree-set
            form. (default: :obj:`False`)

    Raises:
        TypeError: If it holds anything but homogeneous graphs.
        ValueError: If it is empty or its graphs have different attributes.
    """
    exclude_keys = check_exclude_keys(exclude_keys)
    chunks = _Chunks(source, caller)
    if chunks.kind == 'parts' and not isinstance(chunks.source, list | tuple):
        raise TypeError(
            f"'{caller}' expects a data set or a list of graphs (got "
            f"'{type(source).__name__}'); use list(...)"
        )
    table = _read(chunks.source, exclude_keys, caller, log, allow_tree_sets)
    assert table is not None
    return table


def _read(
    source: Any,
    exclude_keys: Sequence[str],
    caller: str,
    log: bool,
    allow_tree_sets: bool = False,
    pre_filter: Callable[[Any], bool] | None = None,
    pre_transform: Callable[[Any], Any] | None = None,
) -> GraphTable | None:
    changes = pre_filter is not None or pre_transform is not None
    table = None if changes else _stored(source, exclude_keys)
    if table is not None and (
        allow_tree_sets or 'root_index' not in table.keys
    ):
        return table
    if isinstance(source, InMemoryDataset):
        _check_repeatable(source, caller)
    graphs, number = [], range(len(source))
    for i in tqdm(number, desc='Reading graphs', disable=not log, delay=1):
        data = source[i]
        if pre_filter is not None and not pre_filter(data):
            continue
        if pre_transform is not None:
            data = pre_transform(data)
        graphs.append(to_plain(data, caller, allow_tree_sets))
    if not graphs:
        return None
    return GraphTable.from_list(graphs, exclude_keys, caller)


def _stored(source: Any, exclude_keys: Sequence[str]) -> GraphTable | None:
    """The tensors of a data set, if they are what indexing returns."""
    if not (
        isinstance(source, InMemoryDataset)
        and source.transform is None
        and type(source).get is InMemoryDataset.get
        and (
            type(source).__getitem__ is InMemoryDataset.__getitem__
            or getattr(source, 'returns_stored_items', False)
        )
        and isinstance(source._data, Data)
        and source.slices is not None
        and isinstance(source._data.get('edge_index'), Tensor)
        and 'edge_index' in source.slices
    ):
        return None
    data = source._data
    # PyG ignores slices of deleted attributes, and attributes without slices.
    slices = {key: v for key, v in source.slices.items() if key in data}
    index = source._indices
    selected = None if index is None else torch.tensor(list(index))
    # Items that PyG keeps win over the tensors, and may have been changed.
    kept = source._data_list
    if kept is not None:
        indices = range(len(kept)) if index is None else index
        if any(kept[i] is not None for i in indices):
            return None
    if 'adj_t' in slices or type(data.edge_index) is not Tensor:
        return None
    num_nodes = getattr(data._store, '_num_nodes', None)
    if num_nodes is not None:
        num_nodes = torch.as_tensor(num_nodes)
    elif 'x' in slices and isinstance(data.x, Tensor):
        num_nodes = slices['x'].diff().cpu()
    else:
        return None
    left_out = {*exclude_keys} & {*slices}
    slices = {key: v for key, v in slices.items() if key not in left_out}
    dropped = {*data.keys()} - {*slices, 'num_nodes'}
    if dropped:
        data = data.__copy__()
        for key in dropped:
            del data[key]
        if 'x' in dropped:
            data._store._num_nodes = num_nodes.tolist()
            data.num_nodes = int(num_nodes.sum())
    return GraphTable(data, slices, num_nodes, selected, left_out)


def declared_classes(source: Any) -> int:
    """The classes that a data set says it has, zero if it does not say."""
    if not isinstance(source, Dataset):
        return 0
    getter = type(source).num_classes
    if getter is InMemoryDataset.num_classes and source.transform is None:
        # PyG counts the distinct values of labels that are floats.
        y = source._data.get('y')
        if not isinstance(y, Tensor):
            return 0
        y = y[y.isfinite()]
        return int(y.max()) + 1 if y.numel() else 0
    if getter in (InMemoryDataset.num_classes, Dataset.num_classes):
        return 0  # They look at the same labels again.
    return int(source.num_classes)


def _open_subset(source: Any) -> Any:
    """Slices of data sets instead of subsets, as `random_split` makes them."""
    # A subclass with its own way to read graphs may change them.
    if getattr(type(source), '__getitem__', None) is Subset.__getitem__:
        whole = _open_subset(source.dataset)
        if isinstance(whole, Dataset):
            return whole.index_select(list(source.indices))
    return source


def _is_in_memory(source: Any) -> bool:
    if isinstance(source, Subset):
        return _is_in_memory(source.dataset)
    if isinstance(source, ConcatDataset):
        return all(map(_is_in_memory, source.datasets))
    return isinstance(source, list | tuple | InMemoryDataset)


def _check_repeatable(source: Sequence[Any], caller: str) -> None:
    """Refuses a sequence whose graphs change from read to read.

    It reads three graphs twice, so rare random changes may pass.
    """
    for i in sorted({0, len(source) // 2, len(source) - 1}):
        first, second = (
            to_plain(source[i], caller, True).to_dict() for _ in range(2)
        )
        if not all(_same(first[key], second.get(key)) for key in first):
            raise ValueError(
                f"'{caller}' read graph {i} twice and got different values: "
                f'the source or its transform is random; distil with '
                f'source.transform = None'
            )


def _same(value: Any, other: Any) -> bool:
    tensors = isinstance(value, Tensor) and isinstance(other, Tensor)
    if tensors and value.layout == other.layout == torch.strided:
        return value.size() == other.size() and bool(
            ((value == other) | ((value != value) & (other != other))).all()
        )
    return type(value) is type(other)


class _Chunks:
    """A source, cut into chunks, with the number of classes if it is known.

    Lists of graphs and data sets in memory are one chunk (`'whole'`), and so
    are PyTorch's subsets and concatenations of them. Other data sets are read
    by index (`'ranges'`). Anything else that can be iterated more than once
    may give graphs, lists of them, data sets or mini-batches (`'parts'`).
    """

    def __init__(
        self, source: Any, caller: str, may_be_empty: bool = False
    ) -> None:
        self.caller = caller
        self.source = _open_subset(source)
        if isinstance(self.source, Subset | ConcatDataset) and _is_in_memory(
            self.source
        ):
            self.source = [self.source[i] for i in range(len(self.source))]
        self.kind = self._kind_of(source, may_be_empty)

    def _kind_of(self, given: Any, may_be_empty: bool) -> str:
        source, caller = self.source, self.caller
        got = f"(got '{type(given).__name__}')"
        is_sequence = hasattr(source, '__len__')
        is_sequence &= hasattr(source, '__getitem__')
        is_sequence &= not isinstance(source, IterableDataset)
        if isinstance(
            source, Data | HeteroData | Mapping | str | bytes
        ) or not (is_sequence or isinstance(source, Iterable)):
            remedy = 'pass a list of torch_geometric.data.Data'
            if isinstance(source, Mapping):
                remedy = 'use list(graphs.values())'
            if isinstance(source, Batch):
                remedy = 'use data.to_data_list()'
            raise TypeError(
                f"'{caller}' expects a data set, a list of graphs or an "
                f'iterable of chunks of them {got}; {remedy}'
            )
        if not is_sequence:
            first = iter(source)
            if first is source or first is iter(source):
                raise TypeError(
                    f"'{caller}' reads its source twice, which an iterator "
                    f'does not allow {got}; use list(...), or pass an object '
                    f'whose __iter__ starts anew'
                )
            return 'parts'
        if len(source) == 0:
            self.source = []
            if not may_be_empty:
                raise ValueError(
                    f"'{caller}' expects at least one graph {got}; check the "
                    f'split'
                )
            return 'parts'
        if isinstance(source, InMemoryDataset):
            return 'whole'
        if not isinstance(given, list | tuple):
            _check_repeatable(given, caller)
        if isinstance(source, list | tuple):
            return 'parts' if any(map(_is_chunk, source)) else 'whole'
        return 'ranges'

    def __iter__(self) -> Iterator[tuple[Any, int]]:
        if self.kind == 'whole':
            yield self.source, 0
            return
        num_classes = declared_classes(self.source)
        graphs: list[Any] = []
        numbers = 0
        for item in self._items():
            if isinstance(item, TorchDataset):
                if graphs:
                    yield graphs, num_classes
                graphs, numbers = [], 0
                yield from _Chunks(item, self.caller, may_be_empty=True)
                continue
            for data in item:
                graphs.append(data)
                values = (
                    data.to_dict().values() if isinstance(data, Data) else ()
                )
                numbers += sum(v.numel() for v in values if torch.is_tensor(v))
                if len(graphs) >= MAX_GRAPHS or numbers >= MAX_NUMBERS:
                    yield graphs, num_classes
                    graphs, numbers = [], 0
        if graphs:
            yield graphs, num_classes

    def _items(self) -> Iterator[Any]:
        """Iterables of graphs, and data sets."""
        source = self.source
        if self.kind == 'parts':
            for item in source:
                if isinstance(item, Batch):
                    item = item.to_data_list()
                yield item if _is_chunk(item) else [item]
        elif (
            isinstance(source, OnDiskDataset)
            and type(source).get is OnDiskDataset.get
            and type(source).__getitem__ is OnDiskDataset.__getitem__
        ):
            rows = list(source.indices())
            for start in range(0, len(rows), _READ_AT_ONCE):
                yield source.multi_get(rows[start : start + _READ_AT_ONCE])
        else:
            yield (source[i] for i in range(len(source)))


def _is_chunk(item: Any) -> bool:
    if isinstance(item, list | tuple):
        return all(isinstance(data, BaseData) for data in item)
    return isinstance(item, Batch | TorchDataset)
