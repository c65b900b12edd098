"""Many graphs as one set of tensors, numbered through."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_distill.trees.grouping import IncomingEdges, pointer


@dataclass(frozen=True)
class Graphs:
    r"""The parts of graphs that decide the identity of computation trees.

    Shapes:
        - **edge_index:** source and target :math:`(2, |\mathcal{E}|)`,
          numbered through over all graphs and grouped by graph,
        - **node_ptr**, **edge_ptr:** where the nodes and edges of each graph
          begin :math:`(G + 1)`,
        - **x:** node features :math:`(|\mathcal{V}|, *)`, if there are any,
        - **edge_attr:** edge features :math:`(|\mathcal{E}|, *)`, if any,
        - **edge_weight:** edge weights :math:`(|\mathcal{E}|, *)`, if any.
    """

    edge_index: Tensor
    node_ptr: Tensor
    edge_ptr: Tensor
    x: Tensor | None = None
    edge_attr: Tensor | None = None
    edge_weight: Tensor | None = None

    @classmethod
    def from_local(
        cls,
        edge_index: Tensor,
        num_nodes: Tensor,
        num_edges: Tensor,
        x: Tensor | None = None,
        edge_attr: Tensor | None = None,
        edge_weight: Tensor | None = None,
    ) -> 'Graphs':
        r"""Numbers the nodes of graphs through that each count from zero.

        Args:
            edge_index (torch.Tensor): The edges of all graphs in turn, of
                shape :obj:`[2, E]`.
            num_nodes (torch.Tensor): The nodes of each graph, :obj:`[G]`.
            num_edges (torch.Tensor): The edges of each graph, :obj:`[G]`.
            x (torch.Tensor, optional): Node features. (default: :obj:`None`)
            edge_attr (torch.Tensor, optional): Edge features.
                (default: :obj:`None`)
            edge_weight (torch.Tensor, optional): Edge weights.
                (default: :obj:`None`)

        Raises:
            ValueError: If an edge leads to a node that its graph has not, or
                the features are not one row a node or edge.
        """
        if edge_index.dim() != 2 or edge_index.size(0) != 2:
            raise ValueError(
                f"'edge_index' must have shape [2, num_edges] (got "
                f'{list(edge_index.size())}); try .t() on pairs'
            )
        if edge_index.numel() > 0 and (
            edge_index.is_floating_point() or edge_index.dtype == torch.bool
        ):
            raise TypeError(
                f"'edge_index' must hold integers (got {edge_index.dtype}); "
                f'try edge_index.long()'
            )
        edge_index = edge_index.long()
        node_ptr, edge_ptr = pointer(num_nodes), pointer(num_edges)
        size = num_nodes.repeat_interleave(num_edges)
        bad = ((edge_index < 0) | (edge_index >= size)).any(dim=0)
        if bad.any():
            edge = int(bad.nonzero()[0])
            raise ValueError(
                f"'edge_index' must hold nodes of its own graph (got the edge "
                f'{edge_index[:, edge].tolist()} in one of {int(size[edge])} '
                f'nodes); set num_nodes'
            )
        for name, value, what, total in [
            ('x', x, 'node', node_ptr[-1]),
            ('edge_attr', edge_attr, 'edge', edge_ptr[-1]),
            ('edge_weight', edge_weight, 'edge', edge_ptr[-1]),
        ]:
            if isinstance(value, Tensor) and (
                value.dim() == 0 or value.size(0) != total
            ):
                raise ValueError(
                    f"'{name}' must have one row per {what} (got shape "
                    f'{list(value.size())} for {int(total)} {what}s); fill it '
                    f"in, or pass exclude_keys=['{name}']"
                )
        edge_index = edge_index + node_ptr[:-1].repeat_interleave(num_edges)
        return cls(edge_index, node_ptr, edge_ptr, x, edge_attr, edge_weight)

    @property
    def num_graphs(self) -> int:
        """The number of graphs."""
        return self.node_ptr.numel() - 1

    @property
    def num_nodes(self) -> int:
        """The number of nodes of all graphs."""
        return int(self.node_ptr[-1])

    @property
    def num_edges(self) -> int:
        """The number of edges of all graphs."""
        return self.edge_index.size(1)

    def graph_of_node(self) -> Tensor:
        """The graph of each node, of shape :obj:`[num_nodes]`."""
        graph = torch.arange(self.num_graphs, device=self.node_ptr.device)
        return graph.repeat_interleave(self.node_ptr.diff())

    def incoming(self) -> IncomingEdges:
        """The incoming edges of every node."""
        return IncomingEdges.from_edge_index(self.edge_index, self.num_nodes)
