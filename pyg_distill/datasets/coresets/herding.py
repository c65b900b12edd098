"""Points whose mean is near the mean of all."""

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from pyg_distill.datasets.coresets.points import open_points

# Of sums in double precision, with something to spare.
ROUNDING = 1e-13


def herding(embedding: Tensor, k: int | None = None) -> Tensor:
    r"""Orders points so that the mean of the first ones is that of all.

    Each step picks the point :math:`x` that brings the mean of what is picked
    nearest to the mean :math:`\mu` of all,

    .. math::
        \min_x \Big\| \mu - \frac{1}{k} \Big( x + \sum_{j < k} x_j \Big)
        \Big\|,

    which never picks one twice (Welling, `"Herding Dynamical Weights to
    Learn" <https://doi.org/10.1145/1553374.1553517>`_, ICML 2009; in this
    form in Rebuffi et al., `"iCaRL" <https://arxiv.org/abs/1611.07725>`_,
    CVPR 2017, Algorithm 4). The first :math:`k` of the order are the coreset
    of that size. It takes one product with all points a step.

    Args:
        embedding (torch.Tensor): Points of shape :obj:`[N, D]`, dense or
            sparse.
        k (int, optional): The number of points to pick; without, all are.
            (default: :obj:`None`)

    Returns:
        torch.Tensor: The order of shape :obj:`[k]`. Of points that are
        equally good, the first comes first.
    """
    order = list(islice(herding_steps(embedding), k))
    return torch.tensor(order, dtype=torch.long)


def herding_steps(embedding: Tensor) -> Iterator[int]:
    """Picks the points of :meth:`herding` one by one, as long as asked.

    Args:
        embedding (torch.Tensor): Points of shape :obj:`[N, D]`.
    """
    points = open_points(embedding)
    num_points = points.num_points
    # The square above, times N k^2, without what is the same for all points:
    # N |x|^2 + 2 N <x, picked> - 2 k <x, all>. For integers it is exact, so
    # that equal points are equally good.
    square = points.square_norm()
    picked = num_points * square
    pull = 2 * points.dot_sum()
    largest = float(square.max()) if num_points else 0.0
    for k in range(1, num_points + 1):
        far = picked - k * pull
        # Rounding must not decide which of equally good points is first.
        near = far.min() + ROUNDING * num_points * k * largest
        point = int((far <= near).int().argmax())
        yield point
        picked += 2 * num_points * points.dot(point)
        picked[point] = float('inf')
