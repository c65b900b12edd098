"""Sorted numbers of each group <-> gaps between them."""

import torch
from torch import Tensor

from pyg_distill.trees.csr import pointer


def to_gaps(value: Tensor, group: Tensor) -> tuple[Tensor, bool]:
    """Replaces sorted numbers by their differences, but the first of a group.

    Args:
        value (torch.Tensor): Integers of shape :obj:`[n]`, none negative,
            sorted within each group.
        group (torch.Tensor): The group of each, sorted, :obj:`[n]`.

    Returns:
        tuple: The gaps of shape :obj:`[n]`, and whether no number of a group
        occurs twice, in which case one is taken off.
    """
    same = group[1:] == group[:-1]
    step = value.diff()
    distinct = not bool((step[same] == 0).any())
    gap = value.clone()
    gap[1:] = torch.where(same, step - int(distinct), value[1:])
    return gap, distinct


def from_gaps(
    gap: Tensor, size: Tensor, group: Tensor, distinct: bool
) -> Tensor:
    """Undoes :meth:`to_gaps`.

    Args:
        gap (torch.Tensor): The gaps of shape :obj:`[n]`.
        size (torch.Tensor): The size of each group, of shape :obj:`[G]`.
        group (torch.Tensor): The group of each number, :obj:`[n]`.
        distinct (bool): Whether one was taken off.
    """
    total = gap.cumsum(0)
    start = pointer(size)[:-1][group]
    offset = torch.arange(gap.numel()) - start
    return total - (total - gap)[start] + offset * int(distinct)
