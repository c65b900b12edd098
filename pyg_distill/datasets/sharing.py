"""What would be saved by training on shared trees?"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_distill.transforms.levels import IDENTITY
from pyg_distill.trees import Graphs, expected_size, share_trees

# The batch size for which a report predicts.
BATCH_SIZE = 128
# Merging costs time as well, about as much as a fifth of the nodes.
_WORTH = 1.2


@dataclass(frozen=True)
class Sharing:
    """The mean size of mini-batches, with and without shared trees.

    Attributes:
        batch_size: The number of graphs of a mini-batch.
        num_nodes: The nodes of an ordinary one.
        num_edges: The edges of an ordinary one.
        num_shared_nodes: The nodes of one of
            :class:`~pyg_distill.loader.TreeSetLoader`.
        num_shared_edges: The edges of one of the same.
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
        """Whether training on shared trees can be expected to be faster."""
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
    data: Data,
    slices: dict[str, Tensor] | None,
    num_layers: int,
    num_nodes: int,
    num_edges: int,
) -> Sharing:
    """Predicts the size of mini-batches, in closed form.

    Args:
        data (torch_geometric.data.Data): Graphs, ordinary ones or in tree-set
            form, collated.
        slices (dict, optional): Where each of them begins.
        num_layers (int): The depth of their trees.
        num_nodes (int): The nodes of all graphs that an ordinary loader
            would read instead.
        num_edges (int): The edges of the same.
    """
    node_count, edge_count, root_count = graph_sizes(data, slices)
    num_graphs = node_count.numel()
    local = Graphs.from_local(
        data.edge_index,
        node_count,
        edge_count,
        **{name: data[name] for name in IDENTITY if name in data},
    )
    trees, entry = share_trees(local, num_layers)
    roots = data.get('root_index')
    start = local.node_ptr[:-1].repeat_interleave(root_count)
    graph = torch.arange(num_graphs, device=start.device)
    batch_size = min(BATCH_SIZE, num_graphs)
    nodes, edges = expected_size(
        trees,
        entry if roots is None else entry[roots + start],
        graph.repeat_interleave(root_count),
        num_graphs,
        batch_size,
    )
    share = batch_size / num_graphs
    return Sharing(
        batch_size, share * num_nodes, share * num_edges, nodes, edges
    )


def graph_sizes(
    data: Data, slices: dict[str, Tensor] | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Counts the nodes, edges and roots of each of some collated graphs.

    Args:
        data (torch_geometric.data.Data): Graphs, collated. All nodes of
            ordinary ones are roots.
        slices (dict, optional): Where each of them begins.
    """
    index = data.edge_index
    if slices is None:
        nodes = index.new_tensor([data.num_nodes or 0])
        edges = index.new_tensor([data.num_edges])
        roots = data.get('root_index')
        return (
            nodes,
            edges,
            nodes if roots is None else nodes.new_tensor([roots.numel()]),
        )
    edges = slices['edge_index'].diff().to(index.device)
    if 'x' in slices:
        nodes = slices['x'].diff().to(index.device)
    else:
        nodes = index.new_tensor(data._num_nodes)
    if 'root_index' not in slices:
        return nodes, edges, nodes
    return nodes, edges, slices['root_index'].diff().to(index.device)
