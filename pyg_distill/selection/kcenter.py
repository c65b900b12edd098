"""Graphs that leave no other graph of their class far away."""

from collections.abc import Iterator

import torch
from torch import Tensor

from pyg_distill.selection.herding import PointSelector, open_points


class KCenter(PointSelector):
    """Keeps the graphs that leave no graph of their class far from all.

    Graphs are points: rows of the histogram of their computation trees, or
    any embedding. The first pick is nearest to the mean of the class, and
    each step picks the point that is farthest from all picked points
    (Gonzalez, `"Clustering to Minimize the Maximum Intercluster Distance"
    <https://doi.org/10.1016/0304-3975(85)90224-5>`_, 1985; as a coreset in
    Sener and Savarese, `"Active Learning for Convolutional Neural Networks"
    <https://arxiv.org/abs/1708.00489>`_, ICLR 2018, Algorithm 1). The largest
    distance of a point to the first :math:`k` is at most twice the least that
    any :math:`k` points can reach. A step takes one product with all points
    of the class.

    Args:
        histogram (str, optional): What graphs are compared by, see
            :class:`Herding`. (default: :obj:`"shares"`)
        embedding (torch.Tensor, optional): Points of shape :obj:`[G, D]` to
            compare instead, see :class:`Herding`. (default: :obj:`None`)

    Raises:
        TypeError: If :obj:`embedding` is no tensor of real numbers.
        ValueError: If an option is unknown, or :obj:`embedding` is not finite
            or of another shape.
    """

    name = 'kcenter'

    def steps(self, points: Tensor) -> Iterator[int]:
        """Picks points of shape :obj:`[N, D]` one by one."""
        products = open_points(points)
        num_points = products.num_points
        if num_points == 0:
            return
        square = products.square_norm()
        # The squared distance to the mean times N, but for what is the same
        # for all points.
        point = int((num_points * square - 2 * products.dot_sum()).argmin())
        distance = torch.full_like(square, float('inf'))
        for _ in range(num_points):
            yield point
            new = square + square[point] - 2 * products.dot(point)
            # Rounding must not bring a picked point back before all others.
            distance = torch.minimum(distance, new.clamp_(min=0))
            distance[point] = -1
            point = int(distance.argmax())
