"""The distance from all teacher layers at once, with fixed attention."""

import torch
from torch import Tensor

from pyg_distill.nn.losses.projection import LayerProjection
from pyg_distill.nn.losses.rows import inverse_lengths, scale_down
from pyg_distill.nn.losses.target import TeacherTarget


def fold(
    layers: list[Tensor], weights: list[Tensor], normalize: bool
) -> TeacherTarget:
    r"""Merges teacher layers into one target for each student layer.

    With weights :math:`a_i` of sum :math:`a` and the mean :math:`m = \sum_i
    a_i z_i / a`,

    .. math::
        \sum_i a_i |z_i - y|^2 = a |m - y|^2 + \sum_i a_i |z_i - m|^2
        = a (|y|^2 - 2 \langle m, y \rangle) + \sum_i a_i |z_i|^2,

    of which the last term is the spread: of the second form where rows have
    length 1, as it is cheap, and of the first where the second would cancel.

    Args:
        layers (list[torch.Tensor]): The teacher layers of each width, of shape
            :obj:`[I, N, C]`.
        weights (list[torch.Tensor]): Their weights, of shape :obj:`[I, J]`.
        normalize (bool): Whether rows have length 1.
    """
    folded, spread = [], layers[0].new_zeros(layers[0].size(1))
    for z, weight in zip(layers, weights, strict=True):
        weight = weight.to(z.dtype)
        total = weight.sum(dim=0)
        share = weight / torch.where(total > 0, total, 1.0)
        mean = torch.einsum('ij,inc->jnc', share, z)
        folded.append(mean)
        norm = torch.einsum('i,in->n', weight.sum(dim=1), z.square().sum(-1))
        if not normalize:
            norm = norm - torch.einsum('j,jnc->n', total, mean.square())
            single = (weight > 0).sum(dim=0).max() <= 1
            norm = torch.where(single, 0.0, norm.clamp(min=0.0))
        spread = spread + norm
    return TeacherTarget(folded, [], spread)


def folded_distance(
    target: Tensor,
    rows: list[Tensor],
    projection: LayerProjection | None,
    center: bool,
) -> Tensor:
    r"""The mean of :math:`|y|^2 - 2 \langle m, y \rangle` of each layer.

    Args:
        target (torch.Tensor): The folded teacher, of shape :obj:`[J, N, C]`.
        rows (list[torch.Tensor]): The student's layers.
        projection (LayerProjection, optional): What maps them to the target.
        center (bool): Whether the mean row is subtracted.
    """
    if projection is None:
        return _distance(target, torch.stack(rows), None, center)
    out: dict[int, Tensor] = {}
    for member, weight in zip(
        projection.members, projection.weights, strict=True
    ):
        x = torch.stack([rows[j] for j in member])
        first, last = member[0], member[-1] + 1
        # A slice where it can be, since the rows are too many to be copied.
        part = target[first:last] if len(x) == last - first else target[member]
        distance = _distance(part, x, weight.to(x.dtype), center)
        out.update(zip(member, distance.unbind(), strict=True))
    return torch.stack([out[j] for j in range(len(rows))])


def _distance(
    target: Tensor, x: Tensor, weight: Tensor | None, center: bool
) -> Tensor:
    x, mean = scale_down(x), None
    if center:
        # Ahead of the map, which is linear, where rows are narrower.
        mean = x.mean(dim=-2, keepdim=True)
        x = x - mean
    if weight is not None:
        weight = scale_down(weight)
        if mean is not None:
            mean = mean @ weight
        if weight.size(-2) >= weight.size(-1):
            x, weight = x @ weight, None
    if weight is None:
        square, product = x.square(), x * target
    else:
        # Never as wide as the teacher: |x W|^2 = x (W W^T) x^T, and
        # <x W, m> = <x, m W^T>.
        square = x @ (weight @ weight.mT) * x
        product = target @ weight.mT * x
    # What rounding leaves of a row of zeros may be below zero.
    length = square.sum(dim=-1).clamp(min=0.0)
    scale = inverse_lengths(length, mean)
    distance = scale.square() * length - 2 * scale * product.sum(dim=-1)
    return distance.mean(dim=-1)
