"""Groups of unequal sizes, stored in turn, and classes of equal keys."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.utils import cumsum, lexsort

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


def ragged_rows(ptr: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
    """Lists the rows of some groups, which may repeat.

    Args:
        ptr (torch.Tensor): Where each group begins, of shape :obj:`[G + 1]`.
        group (torch.Tensor): Groups of shape :obj:`[n]`.

    Returns:
        tuple: The position in :obj:`group` and the row, for all rows of these.
    """
    start = ptr[group]
    position, offset = ragged_range(ptr[group + 1] - start)
    return position, start[position] + offset


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
        position, row = ragged_rows(self.ptr, node)
        return position, self.edge[row]


@dataclass(frozen=True)
class UniqueKeys:
    """The classes of equal keys.

    Shapes:
        - **inverse:** the class of each key :math:`(n)`,
        - **first:** the first element of each class :math:`(U)`,
        - **count:** the size of each class :math:`(U)`.
    """

    inverse: Tensor
    first: Tensor
    count: Tensor


def unique_keys(key: Tensor, group: Tensor | None = None) -> UniqueKeys:
    """Finds equal keys, or equal keys within each group.

    Args:
        key (torch.Tensor): Keys of shape :obj:`[n, 2]`.
        group (torch.Tensor, optional): Integers of shape :obj:`[n]`; keys of
            different groups are kept apart. (default: :obj:`None`)

    Returns:
        UniqueKeys: The classes, sorted by group, then by key.
    """
    columns = [key[:, 0]] if group is None else [key[:, 0], group]
    order = lexsort(columns)
    starts = _run_starts(order, columns)
    # Sorting by the second lane is left until the first lane collides, which
    # is very rare.
    second = key[:, 1][order]
    if bool(((second[1:] != second[:-1]) & ~starts[1:]).any()):
        columns = [key[:, 1], *columns]
        order = lexsort(columns)
        starts = _run_starts(order, columns)

    inverse = torch.empty_like(order)
    inverse[order] = starts.cumsum(0) - 1
    start = starts.nonzero().view(-1)
    count = start.diff(append=start.new_tensor([order.numel()]))
    return UniqueKeys(inverse, order[start], count)


def _run_starts(order: Tensor, columns: list[Tensor]) -> Tensor:
    """Marks where sorted rows change, including the first row."""
    starts = torch.zeros_like(order, dtype=torch.bool)
    starts[:1] = True
    for column in columns:
        column = column[order]
        starts[1:] |= column[1:] != column[:-1]
    return starts
