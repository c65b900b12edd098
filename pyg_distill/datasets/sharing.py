"""How much smaller mini-batches are if they share their trees."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_distill.data.table import GraphTable
from pyg_distill.trees import expected_size, share_trees

# The batch size of the prediction.
BATCH_SIZE = 128
# Merging costs about as much time as a fifth of the nodes.
_WORTH = 1.2


@dataclass(frozen=True)
class Sharing:
    """The mean size of mini-batches, with and without shared trees.

    Attributes:
        batch_size: The number of graphs of a mini-batch.
        num_nodes: The nodes of an ordinary mini-batch.
        num_edges: The edges of an ordinary mini-batch.
        num_shared_nodes: The nodes of a mini-batch of
            :class:`~pyg_distill.loader.TreeSetLoader`.
        num_shared_edges: The edges of the same.
    """

    batch_size: int
    num_nodes: float
    num_edges: float
    num_shared_nodes: float
    num_shared_edges: float

    @property
    def factor(self) -> float:
        """How many times fewer nodes and edges there are."""
        shared = self.num_shared_nodes + self.num_shared_edges
        return (self.num_nodes + self.num_edges) / max(shared, 1.0)

    @property
    def pays(self) -> bool:
        """Whether training on shared trees is likely to be faster."""
        return self.factor > _WORTH

    def __str__(self) -> str:
        advice = 'pays off' if self.pays else 'does not pay'
        return (
            f'batches of {self.batch_size}: {self.num_nodes:,.0f} nodes and '
            f'{self.num_edges:,.0f} edges, or {self.num_shared_nodes:,.0f} and '
            f'{self.num_shared_edges:,.0f} if trees are shared, '
            f'{self.factor:.1f} times fewer: TreeSetLoader {advice}'
        )


def predict_sharing(
    table: GraphTable, num_layers: int, num_nodes: int, num_edges: int
) -> Sharing:
    """Predicts the size of mini-batches, in closed form.

    Args:
        table (GraphTable): Graphs, ordinary ones or in tree-set form.
        num_layers (int): The depth of their trees.
        num_nodes (int): The nodes of all graphs that an ordinary loader
            would read instead.
        num_edges (int): The edges of the same.
    """
    graphs = table.graphs
    trees, entry = share_trees(graphs, num_layers)
    graph: Tensor = graphs.graph_of_node()
    if 'root_index' in table.keys:
        size = table.sizes('root_index').to(graph.device)
        graph = torch.arange(len(table), device=graph.device)
        graph = graph.repeat_interleave(size)
        entry = entry[table.rows('root_index') + graphs.node_ptr[graph]]
    batch_size = min(BATCH_SIZE, len(table))
    nodes, edges = expected_size(trees, entry, graph, len(table), batch_size)
    share = batch_size / len(table)
    return Sharing(
        batch_size, share * num_nodes, share * num_edges, nodes, edges
    )
