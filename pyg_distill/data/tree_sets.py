"""Sets of computation trees, and their form as PyG graphs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_distill.data.attributes import FEATURES
from pyg_distill.data.table import GraphTable, refuse_uncarried
from pyg_distill.trees import Forest, Graphs, pointer, ragged_range


@dataclass(frozen=True)
class TreeSets:
    r"""Sets of computation trees, given by nodes that have them.

    Shapes:
        - **root**, **root_count:** a node of the forest with each tree, and
          how often the tree counts :math:`(R)`, sorted by set,
        - **root_ptr:** where the roots of each set begin :math:`(P + 1)`,
        - **attributes:** graph-level attributes by name, their rows and where
          those of each set begin.

    Attributes:
        forest: The graphs that the trees are taken from.
        compact: Whether equal subtrees of a set are shared.
    """

    forest: Forest
    root: Tensor
    root_count: Tensor
    root_ptr: Tensor
    compact: bool = True
    attributes: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.root_ptr.numel() - 1

    @cached_property
    def set_of_root(self) -> Tensor:
        """The set of each root, of shape :obj:`[R]`."""
        number = torch.arange(len(self), device=self.root.device)
        return number.repeat_interleave(self.root_ptr.diff())

    def to_table(self) -> GraphTable:
        """Builds the trees.

        Returns:
            GraphTable: Graphs with the attributes :obj:`x` (or
            :obj:`num_nodes` without features), :obj:`edge_index` (from child
            to parent), :obj:`edge_attr` and :obj:`edge_weight` (if there are
            any), :obj:`root_index` and :obj:`root_count` of shape
            :obj:`[R_i]`, :obj:`num_layers` of shape :obj:`[1]` and the
            graph-level attributes.
        """
        trees = self.forest.build(
            self.root, self.set_of_root, len(self), self.compact
        )
        graphs = self.forest.graphs
        num_nodes, num_edges = trees.node_ptr.diff(), trees.edge_ptr.diff()
        start = trees.node_ptr[:-1]
        single = torch.arange(len(self) + 1, device=self.root.device)
        columns = {}
        if graphs.x is not None:
            columns['x'] = graphs.x[trees.node], trees.node_ptr
        columns['edge_index'] = (
            trees.edge_index - start.repeat_interleave(num_edges),
            trees.edge_ptr,
        )
        for name in ('edge_attr', 'edge_weight'):
            value = getattr(graphs, name)
            if value is not None:
                columns[name] = value[trees.edge], trees.edge_ptr
        columns['root_index'] = (
            trees.root_index - start[self.set_of_root],
            self.root_ptr,
        )
        columns['root_count'] = self.root_count, self.root_ptr
        depth = torch.full_like(num_nodes, self.forest.num_layers)
        columns['num_layers'] = depth, single
        columns |= self.attributes
        data = Data.from_dict({k: value for k, (value, _) in columns.items()})
        if graphs.x is None:
            data.num_nodes = int(num_nodes.sum())
            data._store._num_nodes = num_nodes.tolist()
        slices = {key: ptr.cpu() for key, (_, ptr) in columns.items()}
        return GraphTable(data, slices, num_nodes.cpu())

    def shrink(self) -> 'TreeSets':
        """Moves the trees into a graph that holds nothing else."""
        used, number = self.root.unique(return_inverse=True)
        graphs, root = cut_out(self.forest, used)
        return TreeSets(
            Forest(graphs, self.forest.num_layers),
            root[number.cpu()],
            self.root_count.cpu(),
            self.root_ptr.cpu(),
            self.compact,
            {
                name: (value.cpu(), ptr.cpu())
                for name, (value, ptr) in self.attributes.items()
            },
        )

    def take(self, index: Tensor) -> 'TreeSets':
        """Selects sets, in this order."""

        def rows(ptr: Tensor) -> tuple[Tensor, Tensor]:
            size = ptr.diff()[index]
            group, offset = ragged_range(size)
            return ptr[index][group] + offset, pointer(size)

        row, root_ptr = rows(self.root_ptr)
        attributes = {}
        for key, (value, ptr) in self.attributes.items():
            mine, new = rows(ptr)
            attributes[key] = value[mine], new
        return TreeSets(
            self.forest,
            self.root[row],
            self.root_count[row],
            root_ptr,
            self.compact,
            attributes,
        )


def lossless(table: GraphTable, forest: Forest, compact: bool) -> TreeSets:
    """All trees of all graphs, with their multiplicities.

    Args:
        table (GraphTable): The graphs.
        forest (Forest): Their trees.
        compact (bool): Whether equal subtrees of a graph are shared.

    Raises:
        ValueError: If there are attributes that trees cannot carry.
    """
    refuse_uncarried(table.uncarried)
    tree = forest.distinct_by_graph()
    graph = forest.graphs.graph_of_node()
    size = torch.bincount(graph[tree.first], minlength=len(table))
    attributes = {}
    for key, level in table.levels.items():
        if level == 'graph' and table.is_tensor(key):
            ptr = pointer(table.sizes(key))
            attributes[key] = table.rows(key), ptr
    return TreeSets(
        forest, tree.first, tree.count, pointer(size), compact, attributes
    )


def concatenate_sets(parts: Sequence[TreeSets]) -> TreeSets:
    """Puts the tree sets of different graphs behind each other.

    Args:
        parts (list): Tree sets of the same depth and attributes.
    """
    if len(parts) == 1:
        return parts[0]
    graphs = concatenate_graphs([part.forest.graphs for part in parts])
    attributes = {}
    for name in parts[0].attributes:
        columns = [part.attributes[name] for part in parts]
        size = torch.cat([ptr.diff() for _, ptr in columns])
        attributes[name] = torch.cat([v for v, _ in columns]), pointer(size)
    return TreeSets(
        Forest(graphs, parts[0].forest.num_layers),
        torch.cat(
            [
                part.root + start
                for part, start in zip(parts, graphs.node_ptr, strict=False)
            ]
        ),
        torch.cat([part.root_count for part in parts]),
        pointer(torch.cat([part.root_ptr.diff() for part in parts])),
        parts[0].compact,
        attributes,
    ).shrink()


def cut_out(forest: Forest, root: Tensor) -> tuple[Graphs, Tensor]:
    """One graph on the CPU that holds some trees, equal subtrees once.

    Args:
        forest (Forest): Where the trees are.
        root (torch.Tensor): Their nodes, of shape :obj:`[n]`.

    Returns:
        tuple: The graph, and the node of each tree in it.
    """
    built = forest.build(root, torch.zeros_like(root), 1, compact=True)
    features = {}
    for name in FEATURES:
        value = getattr(forest.graphs, name)
        row = built.node if name == 'x' else built.edge
        features[name] = None if value is None else value[row].cpu()
    graphs = Graphs(
        built.edge_index.cpu(),
        built.node_ptr.cpu(),
        built.edge_ptr.cpu(),
        **features,
    )
    return graphs, built.root_index.cpu()


def concatenate_graphs(parts: Sequence[Graphs]) -> Graphs:
    """Numbers several graphs through; each may stand for many.

    Args:
        parts (list): Graphs with the same features; each becomes one graph.
    """
    features = {}
    for name in FEATURES:
        values = [getattr(part, name) for part in parts]
        features[name] = None if values[0] is None else torch.cat(values)
    return Graphs.from_local(
        torch.cat([part.edge_index for part in parts], dim=1),
        torch.tensor([part.num_nodes for part in parts]),
        torch.tensor([part.num_edges for part in parts]),
        **features,
    )
