"""Graphs as tensors, of which mini-batches are slices."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from pyg_distill.datasets.reading.collection import Collection
from pyg_distill.datasets.reading.labels import class_labels
from pyg_distill.datasets.reading.stored import read_stored
from pyg_distill.evaluation.cross.graph_batch import GraphBatch
from pyg_distill.trees.csr import pointer, ragged_range

Encoder = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Rows:
    r"""One attribute of all graphs: its rows, and where each graph begins."""

    value: Tensor
    ptr: Tensor
    dim: int = 0

    def take(self, graph: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Picks some graphs.

        Args:
            graph (torch.Tensor): Graphs of shape :obj:`[B]`.

        Returns:
            tuple: Their rows, the position in :obj:`graph` of each of these,
            and how many each graph has.
        """
        start = self.ptr[graph]
        size = self.ptr[graph + 1] - start
        position, offset = ragged_range(size)
        row = start[position] + offset
        return self.value.index_select(self.dim, row), position, size


@dataclass(frozen=True)
class GraphTable:
    """All that training reads of a data set.

    Args:
        label (torch.Tensor): The classes, of shape :obj:`[G]`.
        num_nodes (torch.Tensor): The nodes of each graph, :obj:`[G]`.
        columns (dict): The other attributes, which need not all be there.
        encode (callable, optional): Node features as stored -> as floats.
    """

    label: Tensor
    num_nodes: Tensor
    columns: dict[str, Rows]
    encode: Encoder | None

    @classmethod
    def read(
        cls,
        source: Any,
        owner: str,
        encode: Encoder | None = None,
        exclude_keys: Sequence[str] = (),
        device: torch.device | str = 'cpu',
    ) -> 'GraphTable':
        """Reads a data set.

        Args:
            source (Dataset or list): Graphs, or tree sets.
            owner (str): The argument named in error messages.
            encode (callable, optional): What makes floats of node features.
                (default: :obj:`None`)
            exclude_keys (list, optional): Attributes that are not read.
                (default: :obj:`()`)
            device (torch.device, optional): Where to put the tensors.
                (default: :obj:`"cpu"`)

        Raises:
            TypeError: If it is no collection of homogeneous graphs.
            ValueError: If it is empty, or its graphs or labels do not fit.
        """
        graphs = read_stored(source, owner)
        columns: dict[str, Rows] = {
            key: _rows(graphs, key, device)
            for key in (
                'x',
                'edge_index',
                'edge_attr',
                'edge_weight',
                'root_index',
                'root_count',
                'num_layers',
                'weight',
            )
            if key in graphs.slices and key not in exclude_keys
        }
        if 'y' not in graphs.slices:
            raise ValueError(
                f"'{owner}' must hold graphs with class labels 'y' (got "
                f'{", ".join(graphs.slices)}); set data.y'
            )
        try:
            label = class_labels(graphs.rows('y'), graphs.num_rows('y'))
        except ValueError as error:
            raise ValueError(f"'{owner}': {error}") from None
        num_nodes = graphs.num_nodes()
        table = cls(label.to(device), num_nodes.to(device), columns, encode)
        table._check(owner)
        return table

    @property
    def num_graphs(self) -> int:
        """The number of graphs."""
        return self.label.numel()

    @property
    def num_classes(self) -> int:
        """The number of classes up to the last one that a graph here has."""
        return int(self.label.max()) + 1

    @property
    def width(self) -> int:
        """The number of node features that a model is given."""
        x = self.columns.get('x')
        if x is None:
            return 1
        return self.features(x.value[:1], x.value[:1].size(0)).size(1)

    def chunks(self, max_nodes: int) -> list[Tensor]:
        """Cuts all graphs into few parts of about as many nodes or less.

        Args:
            max_nodes (int): The number of nodes.
        """
        part = self.num_nodes.cumsum(0).sub(1).clamp(min=0) // max_nodes
        size = part.unique_consecutive(return_counts=True)[1].tolist()
        graph = torch.arange(self.num_graphs, device=self.label.device)
        return list(graph.split(size))

    def features(self, x: Tensor | None, num_nodes: int) -> Tensor:
        """What a model is given as :obj:`x`, of shape :obj:`[N, F]`.

        Args:
            x (torch.Tensor, optional): As it is stored; ones if there is none.
            num_nodes (int): The number of nodes.
        """
        dtype = torch.get_default_dtype()
        if x is None:
            device = self.label.device
            return torch.ones(num_nodes, 1, dtype=dtype, device=device)
        if self.encode is not None:
            x = self.encode(x)
        return x.reshape(num_nodes, prod(x.size()[1:])).to(dtype)

    def take(self, graph: Tensor) -> GraphBatch:
        """One batch of some graphs, of shape :obj:`[B]`."""
        num_nodes = self.num_nodes[graph]
        start = pointer(num_nodes)[:-1]
        edge_index, position, _ = self.columns['edge_index'].take(graph)
        edge_index = edge_index + start[position]
        root_index = None
        if 'root_index' in self.columns:
            root_index, position, _ = self.columns['root_index'].take(graph)
            root_index = root_index + start[position]
        batch = torch.arange(graph.numel(), device=graph.device)
        batch = batch.repeat_interleave(num_nodes)
        x = self.rows_of('x', graph)
        return GraphBatch(
            x=self.features(x, batch.numel()),
            edge_index=edge_index,
            batch=batch,
            label=self.label[graph],
            edge_attr=self.rows_of('edge_attr', graph),
            edge_weight=self.rows_of('edge_weight', graph),
            weight=self.rows_of('weight', graph),
            root_index=root_index,
            root_count=self.rows_of('root_count', graph),
        )

    def rows_of(self, key: str, graph: Tensor) -> Tensor | None:
        """The rows of an attribute of some graphs, if there is any."""
        column = self.columns.get(key)
        return None if column is None else column.take(graph)[0]

    def _check(self, owner: str) -> None:
        x = self.columns.get('x')
        coded = x is not None and not x.value.is_floating_point()
        if x is not None and coded and self.encode is None:
            raise ValueError(
                f"'{owner}' must hold float features 'x' (got {x.value.dtype}, "
                f'which may be category codes); pass encode=OneHot(dataset), '
                f'or a function such as encode=torch.Tensor.float'
            )
        if x is not None and not bool(x.value.isfinite().all()):
            raise ValueError(
                f"'{owner}' must hold finite features 'x' (got infinite ones "
                f"or NaN); fill them in, or leave 'x' out with "
                f"exclude_keys=['x']"
            )
        size = {key: column.ptr.diff() for key, column in self.columns.items()}
        for keys, expected, what in [
            (('x',), self.num_nodes, 'node'),
            (('edge_attr', 'edge_weight'), size['edge_index'], 'edge'),
            (('weight',), torch.ones_like(self.label), 'graph'),
            (('root_count',), size.get('root_index'), 'root'),
        ]:
            for key in keys:
                if key in size and not _same(size[key], expected):
                    raise ValueError(
                        f"'{owner}' must hold '{key}' with one row a {what} "
                        f'(got {int(size[key].sum())} rows in all); fill it '
                        f"in, or leave it out with exclude_keys=['{key}']"
                    )
        if 'root_index' in size and 'root_count' not in size:
            raise ValueError(
                f"'{owner}' must hold 'root_count' with 'root_index' (got the "
                f"latter alone); make tree sets with 'ToComputationTrees'"
            )


def _rows(graphs: Collection, key: str, device: torch.device | str) -> Rows:
    value = graphs.rows(key).to(device)
    dim = graphs.data.__cat_dim__(key, value) or 0
    return Rows(value, pointer(graphs.num_rows(key)).to(device), dim)


def _same(size: Tensor, expected: Tensor | None) -> bool:
    return expected is not None and torch.equal(size, expected)
