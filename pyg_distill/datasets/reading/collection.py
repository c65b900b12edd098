"""Any collection of graphs -> collated tensors and the rows to read."""

from collections.abc import Callable, Sequence
from collections.abc import Collection as Names
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Subset
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.data.collate import collate
from torch_geometric.data.dataset import Dataset
from tqdm import tqdm

from pyg_distill.datasets.reading.in_memory import is_in_memory
from pyg_distill.transforms.levels import IDENTITY, STRUCTURE
from pyg_distill.transforms.opening import open_graph
from pyg_distill.trees.csr import ragged_range


@dataclass(frozen=True)
class Collection:
    """Collated graphs, of which some are selected.

    Nothing of the others may be read: a slice of a data set carries all of
    it, the test set included.
    """

    data: Data
    slices: dict[str, Tensor]
    selected: Tensor | None  # All of them if `None`.
    names: list[str]  # Of all attributes, with those left out.

    @property
    def num_graphs(self) -> int:
        """The number of selected graphs."""
        if self.selected is not None:
            return self.selected.numel()
        return next(iter(self.slices.values())).numel() - 1

    def num_rows(self, key: str) -> Tensor:
        """The rows of an attribute in each selected graph."""
        start, end = self._bounds(key)
        return end - start

    def rows(self, key: str) -> Tensor:
        """The rows of an attribute of all selected graphs in turn."""
        value = self.data[key].detach()
        if self.selected is None:
            return value
        start, end = self._bounds(key)
        graph, offset = ragged_range(end - start)
        row = start[graph] + offset
        dim = self.data.__cat_dim__(key, value)
        return value.index_select(dim, row.to(value.device))

    def num_nodes(self) -> Tensor:
        """The nodes of each selected graph, of shape :obj:`[G]`."""
        if 'x' in self.slices:
            return self.num_rows('x')
        num_nodes = torch.as_tensor(self.data._num_nodes)
        return num_nodes if self.selected is None else num_nodes[self.selected]

    def _bounds(self, key: str) -> tuple[Tensor, Tensor]:
        ptr = self.slices[key].cpu()
        if self.selected is None:
            return ptr[:-1], ptr[1:]
        return ptr[self.selected], ptr[self.selected + 1]


def as_slice(source: Any) -> Any:
    """Opens PyTorch's wrappers, as :meth:`~torch.utils.data.random_split`.

    Args:
        source (Dataset or list): The graphs.

    Returns:
        A slice if it is a subset of a data set of PyG, a list if it wraps
        graphs that are in memory otherwise, else what was given.
    """
    found = _slice(source)
    if found is not None:
        return found
    if isinstance(source, Subset | ConcatDataset) and is_in_memory(source):
        return [source[i] for i in range(len(source))]
    return source


def _slice(source: Any) -> Dataset | None:
    if isinstance(source, Dataset):
        return source
    # Those that read graphs in a way of their own may change them.
    if getattr(type(source), '__getitem__', None) is not Subset.__getitem__:
        return None
    whole = _slice(source.dataset)
    if whole is None:
        return None
    return whole.index_select(list(source.indices))


def own_tensors(
    source: Any,
    getters: tuple[Callable, ...] = (InMemoryDataset.__getitem__,),
) -> Collection | None:
    """Opens a data set without reading a graph, where that is the same.

    Args:
        source (Any): What may be a data set, or a slice of one.
        getters (tuple, optional): Ways to read a graph that do nothing but
            cut it out. (default: that of
            :class:`~torch_geometric.data.InMemoryDataset`)

    Returns:
        Collection: Its tensors, or :obj:`None` if it is no
        :class:`~torch_geometric.data.InMemoryDataset`, has a
        :obj:`transform`, reads graphs in a way of its own or holds others than
        plain tensors.
    """
    if not (
        isinstance(source, InMemoryDataset)
        and source.transform is None
        and type(source).get is InMemoryDataset.get
        and type(source).__getitem__ in getters
        and type(source._data) is Data
        and source.slices is not None
        and 'edge_index' in source.slices
        and all(
            isinstance(source._data[key], Tensor)
            for key in ('edge_index', *IDENTITY)
            if key in source.slices
        )
        and ('x' in source.slices or hasattr(source._data, '_num_nodes'))
    ):
        return None
    indices = source._indices
    selected = None if indices is None else torch.tensor(list(indices))
    return Collection(
        source._data, source.slices, selected, list(source.slices)
    )


def collect(
    source: Any, exclude_keys: Names[str], owner: str, log: bool
) -> Collection:
    """Opens a chunk: a data set, a slice of one or a sequence of graphs.

    Args:
        source (Dataset or list): The graphs.
        exclude_keys (list): Names of attributes that need not fit.
        owner (str): The class named in error messages.
        log (bool): Whether to show progress if it takes long.

    Returns:
        Collection: For an :class:`~torch_geometric.data.InMemoryDataset`
        without :obj:`transform`, its own tensors; otherwise, the graphs are
        read one by one.

    Raises:
        TypeError: If it holds anything but homogeneous graphs.
        ValueError: If its graphs have different attributes, or its
            :obj:`transform` is random.
    """
    own = own_tensors(source)
    if own is not None and 'root_index' not in own.slices:
        return own
    return _collate(_read(source, owner, log), exclude_keys, owner)


def _read(source: Sequence[Any], owner: str, log: bool) -> list[Data]:
    if isinstance(source, InMemoryDataset):
        check_repeatable(source, owner)
    bar = tqdm(
        range(len(source)), desc='Reading graphs', disable=not log, delay=1
    )
    return [open_graph(source[i], owner) for i in bar]


def check_repeatable(source: Sequence[Any], owner: str) -> None:
    """Refuses a sequence whose graphs are others whenever they are read.

    Three graphs are tried, so what is random only now and then may pass.

    Args:
        source (Dataset): The graphs.
        owner (str): The class named in error messages.

    Raises:
        ValueError: If a graph changed between two reads.
    """
    for i in sorted({0, len(source) // 2, len(source) - 1}):
        first, second = (
            open_graph(source[i], owner).to_dict() for _ in range(2)
        )
        if not all(_same(first[key], second.get(key)) for key in first):
            raise ValueError(
                f"'{owner}' read graph {i} twice and got different values: "
                f'the source or its transform is random; distil without it '
                f'(source.transform = None) and give it to the training loop'
            )


def _same(value: Any, other: Any) -> bool:
    tensors = isinstance(value, Tensor) and isinstance(other, Tensor)
    if tensors and value.layout == other.layout == torch.strided:
        return value.size() == other.size() and bool(
            ((value == other) | ((value != value) & (other != other))).all()
        )
    return type(value) is type(other)


def _collate(
    graphs: list[Data], exclude_keys: Names[str], owner: str
) -> Collection:
    names = sorted({key for data in graphs for key in data.keys()})
    left_out = {*exclude_keys} - {*STRUCTURE}
    for data in graphs:
        for key in left_out & {*data.keys()}:
            del data[key]
    first = {key: _row(graphs[0], key) for key in graphs[0].keys()}
    for i, data in enumerate(graphs):
        here = {key: _row(data, key) for key in data.keys()}
        odd = sorted(
            key
            for key in {*first, *here}
            if key not in first or key not in here or first[key] != here[key]
        )
        if odd:
            remedy = 'fill in what only some graphs have'
            if not {'y', *STRUCTURE}.intersection(odd):
                remedy += f', or leave it out with exclude_keys={odd}'
            raise ValueError(
                f"'{owner}' expects the same attributes of the same shape in "
                f'every graph (graph {i} differs from graph 0 in '
                f'{", ".join(odd)}); {remedy}'
            )
    data, slices, _ = collate(Data, graphs, increment=False, add_batch=False)
    names = [key for key in names if key != 'num_nodes']
    return Collection(data, slices, None, names)


def _row(data: Data, key: str) -> Any:
    """What must be the same in all graphs to collate an attribute."""
    value = data[key]
    if not isinstance(value, Tensor):
        return type(value)
    size = list(value.size())
    dim = data.__cat_dim__(key, value)
    if size and dim is not None:
        del size[dim]
    return value.dim(), size
