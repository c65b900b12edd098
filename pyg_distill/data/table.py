"""Graphs as one table of concatenated tensors with pointers."""

import copy
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any

import torch
from numpy import ndarray
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.data.collate import collate
from torch_geometric.data.separate import separate

from pyg_distill.data.attributes import (
    FEATURES,
    STRUCTURE,
    Level,
    class_labels,
    level_of,
)
from pyg_distill.trees import Graphs, ragged_range


class GraphTable:
    r"""Graphs as one table, in the storage format of PyG.

    The rows of each attribute of all graphs are concatenated, and
    :obj:`slices` says where those of each graph begin, as in
    :class:`~torch_geometric.data.InMemoryDataset`. A table may select some of
    the graphs that it stores; nothing is read of the others.

    Args:
        data (torch_geometric.data.Data): The concatenated attributes.
        slices (dict): Where each graph begins, by attribute.
        num_nodes (torch.Tensor): The nodes of each stored graph, :obj:`[S]`.
        index (torch.Tensor, optional): The selected graphs, of shape
            :obj:`[G]`; all of them by default. (default: :obj:`None`)
        left_out (list, optional): Attributes that are not in the table.
            (default: :obj:`()`)
    """

    def __init__(
        self,
        data: Data,
        slices: dict[str, Any],
        num_nodes: Tensor,
        index: Tensor | None = None,
        left_out: Collection[str] = (),
    ) -> None:
        self.data = data
        self.slices = slices
        self.stored_num_nodes = num_nodes
        self.index = index
        self.left_out = sorted(left_out)

    @classmethod
    def from_list(
        cls,
        graphs: Sequence[Data],
        exclude_keys: Collection[str] = (),
        caller: str = 'GraphTable',
    ) -> 'GraphTable':
        """Concatenates graphs of the same attributes, types and shapes.

        Args:
            graphs (list): Graphs with a plain :obj:`edge_index`.
            exclude_keys (list, optional): Attributes to leave out.
                (default: :obj:`()`)
            caller (str, optional): The class named in error messages.
                (default: :obj:`"GraphTable"`)

        Raises:
            ValueError: If the graphs do not have the same attributes.
        """
        left_out = {*exclude_keys}
        present = {key for data in graphs for key in data.keys()}
        num_nodes = [data.num_nodes or 0 for data in graphs]
        # Given in all graphs or in none, and wherever `x` does not tell it.
        is_given = 'num_nodes' in present or 'x' in left_out
        kept = [copy.copy(data) for data in graphs]
        for data, size in zip(kept, num_nodes, strict=True):
            for key in left_out & {*data.keys()}:
                del data[key]
            if is_given:
                data.num_nodes = size
        first = layout_of(kept[0])
        for i, data in enumerate(kept):
            check_alike(
                first,
                layout_of(data),
                f"'{caller}' expects attributes of the same type and shape in "
                f'every graph (graph {i} differs from graph 0',
            )
        data, slices, _ = collate(
            type(kept[0]), kept, increment=False, add_batch=False
        )
        return cls(
            data, slices, torch.tensor(num_nodes), None, present & left_out
        )

    def __len__(self) -> int:
        if self.index is not None:
            return self.index.numel()
        return self.stored_num_nodes.numel()

    def __repr__(self) -> str:
        return f'{type(self).__name__}({len(self):,} graphs, {self.keys})'

    @property
    def keys(self) -> list[str]:
        """The names of all attributes."""
        return list(self.slices)

    @property
    def num_nodes(self) -> Tensor:
        """The nodes of each graph, of shape :obj:`[G]`."""
        if self.index is None:
            return self.stored_num_nodes
        return self.stored_num_nodes[self.index]

    @cached_property
    def num_edges(self) -> Tensor:
        """The edges of each graph, of shape :obj:`[G]`."""
        return self.sizes('edge_index')

    def is_tensor(self, key: str) -> bool:
        """Whether an attribute is a dense tensor in all graphs."""
        value = self.data[key]
        return (
            isinstance(value, Tensor)
            and value.layout == torch.strided
            and not value.is_nested
            and isinstance(self.slices[key], Tensor)
        )

    def _is_list(self, key: str) -> bool:
        """Whether an attribute is a list with one entry a graph."""
        # PyG has a list of slices for lists of tensors.
        value, ptr = self.data[key], self.slices[key]
        return isinstance(value, list) and isinstance(ptr, Tensor)

    def objects(self, key: str) -> list[Any]:
        """The values of an attribute that is no tensor, one a graph."""
        if self._is_list(key):
            return [self.data[key][i] for i in self._positions()]
        return [data[key] for data in self.to_list()]

    def dim(self, key: str) -> int:
        """The dimension along which an attribute is concatenated."""
        value = self.data[key]
        dim = self.data.__cat_dim__(key, value)
        return 0 if not isinstance(dim, int) else dim % max(1, value.dim())

    def sizes(self, key: str) -> Tensor:
        """The rows of an attribute in each graph, of shape :obj:`[G]`."""
        size = self.slices[key].cpu().diff()
        return size if self.index is None else size[self.index]

    def rows(self, key: str) -> Tensor:
        """The rows of an attribute of all graphs in turn."""
        value = self.data[key].detach()
        if self.index is None:
            return value
        graph, offset = ragged_range(self.sizes(key))
        row = self.slices[key].cpu()[self.index][graph] + offset
        return value.index_select(self.dim(key), row.to(value.device))

    def take(self, index: Tensor) -> 'GraphTable':
        """Selects graphs, in this order; nothing is copied.

        Args:
            index (torch.Tensor): Positions of shape :obj:`[n]`.
        """
        index = index.cpu()
        if self.index is not None:
            index = self.index[index]
        return GraphTable(
            self.data, self.slices, self.stored_num_nodes, index, self.left_out
        )

    def to_list(self) -> list[Data]:
        """Cuts the graphs apart."""
        return [
            separate(type(self.data), self.data, i, self.slices, None, False)
            for i in self._positions()
        ]

    def collate(self) -> tuple[Data, dict[str, Tensor] | None]:
        """Copies the graphs in the storage format of PyG.

        Returns:
            tuple: The concatenated attributes, and where each graph begins,
            :obj:`None` if there is one graph.
        """
        if len(self) == 1 or not all(
            self.is_tensor(key) or self._is_list(key) for key in self.keys
        ):
            return InMemoryDataset.collate(self.to_list())
        data, slices = copy.copy(self.data), {}
        for key in self.keys:
            if self.is_tensor(key):
                data[key] = self.rows(key)
                size = self.sizes(key)
            else:
                data[key] = self.objects(key)
                size = torch.ones(len(self), dtype=torch.long)
            slices[key] = torch.nn.functional.pad(size.cumsum(0), (1, 0))
        if hasattr(self.data._store, '_num_nodes'):
            data.num_nodes = int(self.num_nodes.sum())
            data._store._num_nodes = self.num_nodes.tolist()
        return data, slices

    def _positions(self) -> Sequence[int]:
        return range(len(self)) if self.index is None else self.index.tolist()

    @property
    def num_bytes(self) -> int:
        """The size of all tensors in bytes, without those of slices."""
        total = 0
        for key in filter(self.is_tensor, self.keys):
            value = self.data[key]
            width = value.numel() // max(1, value.size(self.dim(key)))
            total += int(self.sizes(key).sum()) * width * value.element_size()
        return total

    @cached_property
    def graphs(self) -> Graphs:
        """What decides the identity of trees, numbered through.

        Raises:
            TypeError: If features are no dense tensors.
            ValueError: If features are not one row a node or edge.
        """
        features = {}
        for key in FEATURES:
            if key not in self.slices:
                continue
            if not self.is_tensor(key):
                value = self.objects(key)[0]
                raise TypeError(
                    f"'{key}' must be a dense tensor to be compared (got "
                    f'{getattr(value, "layout", type(value))}); convert it, '
                    f"or leave it out with exclude_keys=['{key}']"
                )
            # In sum the rows may fit, although they belong to other graphs.
            size = self.sizes(key)
            kind = 'node' if key == 'x' else 'edge'
            expected = self.num_nodes if key == 'x' else self.num_edges
            if bool((size != expected).any()):
                graph = int((size != expected).nonzero()[0])
                raise ValueError(
                    f"'{key}' must have one row per {kind} (got "
                    f'{int(size[graph])} for {int(expected[graph])} {kind}s '
                    f'of graph {graph}); fill it in, or leave it out with '
                    f"exclude_keys=['{key}']"
                )
            features[key] = self.rows(key)
        edge_index = self.rows('edge_index')
        device = edge_index.device
        return Graphs.from_local(
            edge_index,
            self.num_nodes.to(device),
            self.num_edges.to(device),
            **features,
        )

    @cached_property
    def label(self) -> Tensor | None:
        """The class of each graph, of shape :obj:`[G]`, if there is a `y`."""
        if 'y' not in self.slices or not self.is_tensor('y'):
            return None
        return class_labels(self.rows('y'), self.sizes('y'))

    @cached_property
    def levels(self) -> dict[str, Level]:
        """The level of each attribute but features and edges, by its name."""
        out: dict[str, Level] = {}
        # Subclasses may have rules of their own to batch attributes.
        graphs = [] if type(self.data) is Data else self.to_list()
        for key in self.keys:
            if key in (*FEATURES, *STRUCTURE):
                continue
            out[key] = 'graph'
            size = None
            if any(_is_batched_specially(data, key) for data in graphs):
                out[key] = 'node'
            elif self.is_tensor(key):
                size = self.sizes(key)
            elif self._is_list(key):
                # A list per graph may have an entry a node or edge.
                values = self.objects(key)
                if all(isinstance(v, list | tuple | ndarray) for v in values):
                    size = torch.tensor([len(v) for v in values])
            if size is not None:
                out[key] = level_of(key, size, self.num_nodes, self.num_edges)
        return out

    @property
    def uncarried(self) -> list[str]:
        """Attributes that computation trees cannot carry.

        These are node and edge attributes besides features, and attributes
        with batching rules of their own.
        """
        return [key for key, v in self.levels.items() if v != 'graph']


class NotCarriedError(ValueError):
    """Graphs have attributes that computation trees cannot carry."""


def refuse_uncarried(names: Sequence[str]) -> None:
    """Raises an error if there are attributes that trees cannot carry.

    Args:
        names (list): Their names.
    """
    if 'y' in names:
        raise NotCarriedError(
            "'y' must have one label a graph (got one row a node or edge); "
            "leave it out with exclude_keys=['y']"
        )
    if names:
        raise NotCarriedError(
            f"computation trees are compared by 'x', 'edge_attr' and "
            f"'edge_weight' only (got also {[*names]}); leave out the rest "
            f"with exclude_keys={[*names]}; selection='herding' of a "
            f'MirageDataset keeps whole graphs with all attributes'
        )


def concatenate(
    tables: Sequence[GraphTable], copied: bool = False
) -> GraphTable:
    """Puts the graphs of several tables into one, in their order."""
    if len(tables) == 1 and not copied:
        return tables[0]
    return GraphTable.from_list(
        [d for table in tables for d in table.to_list()]
    )


def _is_batched_specially(data: Data, key: str) -> bool:
    """Whether the class of a graph has its own rule to batch an attribute."""
    inc, dim = data.__inc__(key, data[key]), data.__cat_dim__(key, data[key])
    has_inc = bool(torch.as_tensor(inc).any())
    return has_inc or dim != Data().__cat_dim__(key, data[key])


def layout_of(data: Data) -> dict[str, Any]:
    """What must be the same in all graphs, by attribute."""
    out: dict[str, Any] = {}
    for key, value in data.to_dict().items():
        if not isinstance(value, Tensor):
            if key != 'num_nodes':
                out[key] = type(value).__name__
            continue
        size: list[Any] = list(value.size())
        dim = data.__cat_dim__(key, value)
        if size and isinstance(dim, int):
            size[dim] = '*'
        out[key] = f'{value.dtype} of shape {size}'.replace("'", '')
    return out


def check_alike(
    first: dict[str, Any], other: dict[str, Any], text: str
) -> None:
    """Refuses other layouts than the first; `text` begins the message."""
    if first == other:
        return
    odd = sorted(k for k in {*first, *other} if first.get(k) != other.get(k))
    got = ', '.join(
        f"'{key}': {first.get(key, 'none')} and {other.get(key, 'none')}"
        for key in odd
    )
    remedy = 'fill in what only some graphs have, or convert it'
    if not {'y', *STRUCTURE}.intersection(odd):
        remedy += f', or leave it out with exclude_keys={odd}'
    raise ValueError(f'{text} in {got}); {remedy}')
