"""Incoming edges node by node, and ragged ranges over them."""

from dataclasses import dataclass

import torch
from torch import Tensor


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
    def of(cls, edge_index: Tensor, num_nodes: int) -> 'IncomingEdges':
        """Sorts the edges of shape :obj:`[2, E]` by their target."""
        degree = torch.bincount(edge_index[1], minlength=num_nodes)
        order = torch.argsort(edge_index[1], stable=True)
        return cls(order, pointer(degree))

    def expand(self, node: Tensor) -> tuple[Tensor, Tensor]:
        """Lists the incoming edges of some nodes, which may repeat.

        Args:
            node (torch.Tensor): Nodes of shape :obj:`[n]`.

        Returns:
            tuple: The position in :obj:`node` and the edge, both of the shape
            of all their incoming edges together.
        """
        degree = self.ptr[node + 1] - self.ptr[node]
        position, offset = ragged_range(degree)
        return position, self.edge[self.ptr[node][position] + offset]


def ragged_range(size: Tensor) -> tuple[Tensor, Tensor]:
    """Counts from zero within each of many groups.

    Args:
        size (torch.Tensor): The sizes of the groups, of shape :obj:`[G]`.

    Returns:
        tuple: The group and the number within it of every element.
    """
    group = torch.arange(size.numel(), device=size.device)
    group = group.repeat_interleave(size)
    start = size.cumsum(0) - size
    element = torch.arange(group.numel(), device=size.device)
    return group, element - start[group]


def pointer(size: Tensor) -> Tensor:
    """Tells where each of many groups begins.

    Args:
        size (torch.Tensor): The sizes of the groups, of shape :obj:`[G]`.

    Returns:
        torch.Tensor: The positions of shape :obj:`[G + 1]`, the last one the
        end of all.
    """
    return torch.nn.functional.pad(size.cumsum(0), (1, 0))
