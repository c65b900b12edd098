"""Which trees stand for all others, and which one stands for a given tree."""

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

# Distances have multiples of this, so that sums of them are exact and equally
# good points are equal, whatever is summed up first.
_GRID = 2.0**-10
# Squares of distances between points no longer than this are exact in single
# precision, if they have multiples of 1 / 64 as coordinates.
_SINGLE = 1024.0
_BLOCK = 1 << 23
# Gains that are brought up to date together, which costs little more than one.
_TOGETHER = 16


def facility_location(
    points: Tensor, weight: Tensor, k: int | None = None
) -> Tensor:
    r"""Orders points so that some of the first ones is near to any other.

    Each step adds the point :math:`c` that brings most to

    .. math::
        \sum_i w_i \Big( d_{\max} - \min_{c \in S} \| x_i - x_c \| \Big),

    which is submodular, so that no set of the same size is better than
    :math:`1 / (1 - 1 / e) \approx 1.6` times the one that is found (Nemhauser
    et al., `"An Analysis of Approximations for Maximizing Submodular Set
    Functions" <https://doi.org/10.1007/BF01588971>`_, 1978). It holds all
    :math:`n^2` distances.

    Args:
        points (torch.Tensor): Points of shape :obj:`[n, D]`.
        weight (torch.Tensor): How much each of them counts, :obj:`[n]`.
        k (int, optional): The number of points to pick; without, all are.
            (default: :obj:`None`)

    Returns:
        torch.Tensor: The order of shape :obj:`[k]`. Of points that are
        equally good, the first comes first.
    """
    order = list(islice(facility_steps(points, weight), k))
    return torch.tensor(order, dtype=torch.long, device=points.device)


def facility_steps(points: Tensor, weight: Tensor) -> Iterator[int]:
    """Picks the points of :meth:`facility_location` one by one, when asked.

    Args:
        points (torch.Tensor): Points of shape :obj:`[n, D]`.
        weight (torch.Tensor): How much each of them counts, :obj:`[n]`.
    """
    num_points = points.size(0)
    if num_points == 0:
        return
    rows = [
        square.sqrt_().div_(_GRID).round_().mul_(_GRID).float()
        for square in _squares(points, points)
    ]
    distance, weight = torch.cat(rows), weight.double()

    def gains(some: Tensor) -> Tensor:
        gain = (nearest_one - distance[some]).clamp_(min=0)
        return gain.double() @ weight

    nearest_one = distance.max().repeat(num_points)
    every = torch.arange(num_points, device=points.device)
    bound = torch.cat([gains(some) for some in every.split(256)])
    # As points are added, gains only fall: what was one is a bound for ever,
    # and few of them have to be computed again.
    known = torch.ones_like(bound, dtype=torch.bool)
    for _ in range(num_points):
        while not known[best := int(bound.argmax())]:
            # Of equal bounds, these may be any.
            some = bound.masked_fill(known, -1.0)
            some = some.topk(min(_TOGETHER, num_points)).indices
            some = some[~known[some] & (bound[some] >= 0)]
            some = torch.cat([some.new_tensor([best]), some])
            bound[some] = gains(some)
            known[some] = True
        yield best
        nearest_one = torch.minimum(nearest_one, distance[best])
        bound[best] = -1.0
        known.zero_()


def nearest(points: Tensor, centers: Tensor) -> Tensor:
    """Finds the nearest of some centers for each point.

    Args:
        points (torch.Tensor): Points of shape :obj:`[n, D]`.
        centers (torch.Tensor): Centers of shape :obj:`[k, D]`.

    Returns:
        torch.Tensor: The number of a center for each point, of shape
        :obj:`[n]`; of several that are equally near, the first.
    """
    out = [block.argmin(dim=1) for block in _squares(points, centers)]
    return torch.cat([points.new_empty(0, dtype=torch.long), *out])


def _squares(points: Tensor, others: Tensor) -> Iterator[Tensor]:
    """Squares of all distances, some rows at a time."""
    if max(_largest(points), _largest(others)) > _SINGLE:
        points, others = points.double(), others.double()
    else:
        points, others = points.float(), others.float()
    norm = (others * others).sum(dim=1)
    for rows in points.split(max(1, _BLOCK // max(1, others.size(0)))):
        square = (rows * rows).sum(dim=1, keepdim=True) + norm
        square -= 2 * rows @ others.t()
        yield square.clamp_(min=0)


def _largest(points: Tensor) -> float:
    square = (points.double() ** 2).sum(dim=1)
    return float(square.max()) if square.numel() else 0.0
