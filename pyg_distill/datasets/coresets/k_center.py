"""Points that leave no other far from all of them."""

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from pyg_distill.datasets.coresets.points import open_points


def k_center(embedding: Tensor, k: int | None = None) -> Tensor:
    """Orders points so that none is far from the first ones.

    The first is the one nearest to the mean of all, and each step picks the
    point that is farthest from all picked (Gonzalez, `"Clustering to Minimize
    the Maximum Intercluster Distance"
    <https://doi.org/10.1016/0304-3975(85)90224-5>`_, 1985; as a coreset in
    Sener and Savarese, `"Active Learning for Convolutional Neural Networks"
    <https://arxiv.org/abs/1708.00489>`_, ICLR 2018, Algorithm 1): the largest
    distance of a point to the first :math:`k` is at most twice the least that
    any :math:`k` points can reach. It takes one product with all points a
    step.

    Args:
        embedding (torch.Tensor): Points of shape :obj:`[N, D]`, dense or
            sparse.
        k (int, optional): The number of points to pick; without, all are.
            (default: :obj:`None`)

    Returns:
        torch.Tensor: The order of shape :obj:`[k]`. Of points that are
        equally far, the first comes first.
    """
    order = list(islice(k_center_steps(embedding), k))
    return torch.tensor(order, dtype=torch.long)


def k_center_steps(embedding: Tensor) -> Iterator[int]:
    """Picks the points of :meth:`k_center` one by one, as long as asked.

    Args:
        embedding (torch.Tensor): Points of shape :obj:`[N, D]`.
    """
    points = open_points(embedding)
    num_points = points.num_points
    if num_points == 0:
        return
    square = points.square_norm()
    # The squared distance to the mean times N, but for what all have alike.
    point = int((num_points * square - 2 * points.dot_sum()).argmin())
    distance = torch.full_like(square, float('inf'))
    for _ in range(num_points):
        yield point
        new = square + square[point] - 2 * points.dot(point)
        # Rounding must not bring a picked point back before all others.
        distance = torch.minimum(distance, new.clamp_(min=0))
        distance[point] = -1
        point = int(distance.argmax())
