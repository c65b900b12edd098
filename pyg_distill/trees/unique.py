"""Keys -> classes of equal keys, in an order that only the keys decide."""

from dataclasses import dataclass

import torch
from torch import Tensor


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


def lexsort(*columns: Tensor) -> Tensor:
    """Sorts rows by several columns, the first one counting most.

    Args:
        *columns (torch.Tensor): Integers of shape :obj:`[n]`.

    Returns:
        torch.Tensor: The stable order of the rows, of shape :obj:`[n]`.
    """
    order = torch.argsort(columns[-1], stable=True)
    for column in columns[-2::-1]:
        order = order[torch.argsort(column[order], stable=True)]
    return order


def unique_keys(key: Tensor, group: Tensor | None = None) -> UniqueKeys:
    """Finds equal keys, and equal keys within a group if groups are given.

    Args:
        key (torch.Tensor): Keys of shape :obj:`[n, 2]`.
        group (torch.Tensor, optional): Integers of shape :obj:`[n]`; keys of
            different groups are kept apart. (default: :obj:`None`)

    Returns:
        UniqueKeys: The classes, sorted by group, then by key.
    """
    groups = [] if group is None else [group]
    order = lexsort(*groups, key[:, 0])
    starts, collides = _runs(order, key, groups)
    if collides:
        order = lexsort(*groups, key[:, 0], key[:, 1])
        starts, _ = _runs(order, key, groups)

    inverse = torch.empty_like(order)
    inverse[order] = starts.cumsum(0) - 1
    start = starts.nonzero().view(-1)
    count = start.diff(append=start.new_tensor([order.numel()]))
    return UniqueKeys(inverse, order[start], count)


def _runs(
    order: Tensor, key: Tensor, groups: list[Tensor]
) -> tuple[Tensor, bool]:
    # The second lane decides only where the first one collides, which is so
    # rare that sorting by it is left until it happens.
    starts = torch.zeros_like(order, dtype=torch.bool)
    starts[:1] = True
    for column in [*groups, key[:, 0]]:
        column = column[order]
        starts[1:] |= column[1:] != column[:-1]
    low = key[:, 1][order]
    collision = (low[1:] != low[:-1]) & ~starts[1:]
    starts[1:] |= collision
    return starts, bool(collision.any())
