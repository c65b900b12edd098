"""The same mini-batches with equal trees merged, for what reads trees."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_distill.evaluation.cross.graph_batch import GraphBatch
from pyg_distill.evaluation.cross.graph_table import GraphTable, Rows
from pyg_distill.trees import Graphs, SharedTrees, share_trees
from pyg_distill.trees.csr import pointer


@dataclass(frozen=True)
class SharedTable:
    """Graphs as roots in one dictionary of their trees.

    Args:
        table (GraphTable): The graphs.
        trees (SharedTrees): All their distinct trees.
        root (Rows): The entries of each graph.
        root_count (Rows): How many nodes each of them stands for.
    """

    table: GraphTable
    trees: SharedTrees
    root: Rows
    root_count: Rows

    @classmethod
    def of(
        cls, table: GraphTable, depth: int, names: Sequence[str]
    ) -> 'SharedTable':
        """Finds the equal trees of a table.

        Args:
            table (GraphTable): The graphs.
            depth (int): How deep the trees are.
            names (list): Which features of edges decide whether two are equal.
        """
        edges = table.columns['edge_index']
        local = Graphs.from_local(
            edges.value,
            table.num_nodes,
            edges.ptr.diff(),
            **{
                name: table.columns[name].value
                for name in ('x', *names)
                if name in table.columns
            },
        )
        trees, entry = share_trees(local, depth)
        if 'root_index' in table.columns:
            given = table.columns['root_index']
            start = local.node_ptr[:-1].repeat_interleave(given.ptr.diff())
            root = Rows(entry[given.value + start], given.ptr)
            count = table.columns['root_count'].value
        else:
            pair = local.graph_of_node() * trees.num_trees + entry
            pair, count = pair.unique(return_counts=True)
            graph = pair // trees.num_trees
            size = torch.bincount(graph, minlength=table.num_graphs)
            root = Rows(pair % trees.num_trees, pointer(size))
        return cls(table, trees, root, Rows(count, root.ptr))

    def take(self, graph: Tensor) -> GraphBatch:
        """One batch of some graphs, of shape :obj:`[B]`.

        Args:
            graph (torch.Tensor): Their numbers.
        """
        root, position, _ = self.root.take(graph)
        merged = self.trees.merge(root)
        edge = {
            name: value[merged.edge]
            for name in ('edge_attr', 'edge_weight')
            if (value := getattr(self.trees, name)) is not None
        }
        x = None if self.trees.x is None else self.trees.x[merged.node]
        return GraphBatch(
            x=self.table.features(x, merged.node.numel()),
            edge_index=merged.edge_index,
            batch=None,
            label=self.table.label[graph],
            weight=self.table.rows_of('weight', graph),
            root_index=merged.root_index,
            root_count=self.root_count.take(graph)[0],
            root_index_batch=position,
            **edge,
        )
