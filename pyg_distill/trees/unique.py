"""Classes of equal keys, in an order that only the keys decide."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.utils import lexsort


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
