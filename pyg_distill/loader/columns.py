"""Rows of many graphs in one tensor, taken graph by graph."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_distill.trees.csr import pointer, ragged_range


@dataclass(frozen=True)
class Column:
    r"""One attribute of all graphs.

    Shapes:
        - **value:** the rows of all graphs in turn,
        - **ptr:** where those of each graph begin :math:`(G + 1)`.
    """

    value: Tensor
    ptr: Tensor
    dim: int = 0
    single: bool = False  # One row a graph.

    @classmethod
    def of(cls, value: Tensor, size: Tensor, dim: int = 0) -> 'Column':
        """Notes how many rows each graph has, of shape :obj:`[G]`."""
        ptr = pointer(size).to(value.device)
        return cls(value, ptr, dim, bool((size == 1).all()))

    def rows(self, graph: Tensor) -> tuple[Tensor, Tensor]:
        """Finds the rows of some graphs.

        Args:
            graph (torch.Tensor): Graphs of shape :obj:`[B]`; may repeat.

        Returns:
            tuple: The rows, and the position of their graphs in
            :obj:`graph`, both of shape :obj:`[n]`.
        """
        if self.single:
            return graph, torch.arange(graph.numel(), device=graph.device)
        start = self.ptr[graph]
        position, offset = ragged_range(self.ptr[graph + 1] - start)
        return start[position] + offset, position

    def take(self, row: Tensor) -> Tensor:
        """The values of some rows."""
        return self.value.index_select(self.dim, row)
