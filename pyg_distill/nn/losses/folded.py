"""The distance from all teacher layers at once, with fixed attention."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_distill.nn.losses.mapped import MappedDistance
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
    maps, out = projection.maps(), []
    for first, last in _runs([x.size(-1) for x in rows]):
        x, weight = _stack(rows[first:last], 1), _stack(maps[first:last], 0)
        out.append(_distance(target[first:last], x, weight, center))
    return torch.cat(out)


def _runs(widths: list[int]) -> list[tuple[int, int]]:
    """Neighbors to compare at once, since they are about as wide."""
    out, first = [], 0
    for last in range(1, len(widths) + 1):
        run = widths[first : last + 1]
        # A fifth more columns cost less than the calls for another layer.
        if last == len(widths) or len(run) * max(run) > 1.2 * sum(run):
            out.append((first, last))
            first = last
    return out


def _stack(matrices: list[Tensor], dim: int) -> Tensor:
    """Matrices of unequal size along a dimension, filled up with zeros."""
    size = max(x.size(dim) for x in matrices)
    return torch.stack(
        [
            x
            if x.size(dim) == size
            else F.pad(x, (0, 0) * (1 - dim) + (0, size - x.size(dim)))
            for x in matrices
        ]
    )


def _distance(
    target: Tensor, x: Tensor, weight: Tensor | None, center: bool
) -> Tensor:
    if weight is not None:
        weight = weight.to(x.dtype)
        if weight.size(-2) < weight.size(-1):
            return MappedDistance.apply(x, weight, target, center)
    x, mean = scale_down(x), None
    if center:
        # Ahead of the map, which is linear, where rows are narrower.
        mean = x.mean(dim=-2, keepdim=True)
        x = x - mean
    if weight is not None:
        weight = scale_down(weight)
        x = x @ weight
        mean = None if mean is None else mean @ weight
    length = x.square().sum(dim=-1)
    scale = inverse_lengths(length, mean)
    product = (x * target).sum(dim=-1)
    return (scale.square() * length - 2 * scale * product).mean(dim=-1)
