"""Points that represent all others, chosen greedily."""

from collections.abc import Iterator

import torch
from torch import Tensor

# Distances are multiples of this, so that sums of them are exact and ties do
# not depend on the order of summation.
_GRID = 2.0**-10
# Squared distances between points no longer than this are exact in single
# precision, if coordinates are multiples of 1 / 64.
_SINGLE = 1024.0
_BLOCK = 1 << 23
# Gains that are updated together, which costs little more than one.
_TOGETHER = 16


def facility_steps(points: Tensor, weight: Tensor) -> Iterator[int]:
    r"""Picks points one by one such that the first ones represent all others.

    Each step adds the point :math:`c` that increases

    .. math::
        \sum_i w_i \Big( d_{\max} - \min_{c \in S} \| x_i - x_c \| \Big)

    the most. As this is submodular, no set of the same size is better than
    :math:`1 / (1 - 1 / e) \approx 1.6` times the one that is found (Nemhauser
    et al., `"An Analysis of Approximations for Maximizing Submodular Set
    Functions" <https://doi.org/10.1007/BF01588971>`_, 1978). All :math:`n^2`
    distances are held in memory.

    Args:
        points (torch.Tensor): Points of shape :obj:`[n, D]`.
        weight (torch.Tensor): The weight of each point, :obj:`[n]`.

    Yields:
        int: The next point. Of equally good points, the first one comes first.
    """
    num_points = points.size(0)
    if num_points == 0:
        return
    rows = [
        square.sqrt_().div_(_GRID).round_().mul_(_GRID).float()
        for square in _squared_distances(points, points)
    ]
    distance, weight = torch.cat(rows), weight.double()

    def gains(candidates: Tensor) -> Tensor:
        gain = (to_nearest - distance[candidates]).clamp_(min=0)
        return gain.double() @ weight

    to_nearest = distance.max().repeat(num_points)
    everything = torch.arange(num_points, device=points.device)
    bound = torch.cat([gains(block) for block in everything.split(256)])
    # Gains only fall as points are added: an old gain bounds the new one, and
    # few of them have to be computed again.
    is_exact = torch.ones_like(bound, dtype=torch.bool)
    for _ in range(num_points):
        while not is_exact[best := int(bound.argmax())]:
            stale = bound.masked_fill(is_exact, -1.0)
            stale = stale.topk(min(_TOGETHER, num_points)).indices
            stale = stale[~is_exact[stale] & (bound[stale] >= 0)]
            # Ties may leave out the best one.
            stale = torch.cat([stale.new_tensor([best]), stale])
            bound[stale] = gains(stale)
            is_exact[stale] = True
        yield best
        to_nearest = torch.minimum(to_nearest, distance[best])
        bound[best] = -1.0
        is_exact.zero_()


def nearest(points: Tensor, centers: Tensor) -> Tensor:
    """Finds the nearest center of each point.

    Args:
        points (torch.Tensor): Points of shape :obj:`[n, D]`.
        centers (torch.Tensor): Centers of shape :obj:`[k, D]`.

    Returns:
        torch.Tensor: The number of a center for each point, of shape
        :obj:`[n]`; of equally near centers, the first one.
    """
    blocks = _squared_distances(points, centers)
    out = [block.argmin(dim=1) for block in blocks]
    return torch.cat([points.new_empty(0, dtype=torch.long), *out])


def _squared_distances(points: Tensor, others: Tensor) -> Iterator[Tensor]:
    """Computes all squared distances, some rows at a time."""
    if max(_longest(points), _longest(others)) > _SINGLE:
        points, others = points.double(), others.double()
    else:
        points, others = points.float(), others.float()
    norm = (others * others).sum(dim=1)
    for rows in points.split(max(1, _BLOCK // max(1, others.size(0)))):
        square = (rows * rows).sum(dim=1, keepdim=True) + norm
        square -= 2 * rows @ others.t()
        yield square.clamp_(min=0)


def _longest(points: Tensor) -> float:
    """The largest squared length."""
    square = (points.double() ** 2).sum(dim=1)
    return float(square.max()) if square.numel() else 0.0
