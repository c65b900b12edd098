"""Groups of unequal sizes, stored one after the other, and permutations."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.utils import cumsum

# Sizes [G] -> where each group begins, and the end of all, [G + 1].
pointer = cumsum


def ragged_range(size: Tensor) -> tuple[Tensor, Tensor]:
    """Counts from zero within each of many groups.

    Args:
        size (torch.Tensor): The sizes of the groups, of shape :obj:`[G]`.

    Returns:
        tuple: The group and the number within it of every element.
    """
    group = torch.arange(size.numel(), device=size.device)
    group = group.repeat_interleave(size)
    element = torch.arange(group.numel(), device=size.device)
    return group, element - pointer(size)[group]


def inverse_permutation(order: Tensor) -> Tensor:
    """Tells where each element of a permutation of shape :obj:`[n]` stands."""
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(order.numel(), device=order.device)
    return inverse


@dataclass(frozen=True)
class IncomingEdges:
    r"""The incoming edges of every node in compressed form.

    Shapes:
        - **edge:** edges sorted by their target :math:`(|\mathcal{E}|)`,
        - **ptr:** where those of each node begin
          :math:`(|\mathcal{V}| + 1)`.
    """

    edge: Tensor
    ptr: Tensor

    @classmethod
    def from_edge_index(
        cls, edge_index: Tensor, num_nodes: int
    ) -> 'IncomingEdges':
        """Sorts the edges of shape :obj:`[2, E]` by their target."""
        degree = torch.bincount(edge_index[1], minlength=num_nodes)
        return cls(edge_index[1].argsort(stable=True), pointer(degree))

    def expand(self, node: Tensor) -> tuple[Tensor, Tensor]:
        """Lists the incoming edges of some nodes, which may repeat.

        Args:
            node (torch.Tensor): Nodes of shape :obj:`[n]`.

        Returns:
            tuple: The position in :obj:`node` and the edge, both of the shape
            of all their incoming edges together.
        """
        start = self.ptr[node]
        position, offset = ragged_range(self.ptr[node + 1] - start)
        return position, self.edge[start[position] + offset]
