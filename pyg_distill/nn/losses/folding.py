"""The distance from all teacher layers at once, with fixed attention."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from pyg_distill.nn.losses.base import TeacherTarget
from pyg_distill.nn.losses.functional import (
    FLOOR_OF_MEAN,
    FLOOR_OF_ROWS,
    inverse_lengths,
    inverse_of_largest,
)


def fold_layers(
    layers: Sequence[Tensor], weights: Sequence[Tensor]
) -> TeacherTarget:
    r"""Merges teacher layers into one target for each student layer.

    With weights :math:`a_i` of sum :math:`a`, the mean :math:`m = \sum_i
    a_i z_i / a`, and :math:`|z_i| = |y| = 1`,

    .. math::
        \sum_i a_i |z_i - y|^2 =
        a (|y|^2 - 2 \langle m, y \rangle) + \sum_i a_i |z_i|^2.

    The last term is the spread. Layers of each width have shape
    :obj:`[I, N, C]`, and their weights :obj:`[I, J]`.
    """
    folded, spread = [], layers[0].new_zeros(layers[0].size(1))
    for z, weight in zip(layers, weights, strict=True):
        weight = weight.to(z.dtype)
        total = weight.sum(dim=0)
        share = weight / torch.where(total > 0, total, 1.0)
        folded.append(torch.einsum('ij,inc->jnc', share, z))
        square = z.square().sum(dim=-1)
        spread = spread + torch.einsum('i,in->n', weight.sum(dim=1), square)
    return TeacherTarget(folded, spread=spread)


def folded_distance(
    target: Tensor,
    rows: Sequence[Tensor],
    maps: Iterable[Tensor] | None,
    center: bool,
) -> Tensor:
    r"""The mean of :math:`|y|^2 - 2 \langle m, y \rangle` of each layer.

    The target has shape :obj:`[J, N, C]`, and maps lead to its width.
    """
    if maps is None:
        return _distance(target, torch.stack(list(rows)), None, center)
    out, first, maps = [], 0, list(maps)
    # Neighbors of one width are compared together.
    for _, run in groupby(rows, key=lambda x: x.size(-1)):
        x = torch.stack(list(run))
        last = first + x.size(0)
        weight = torch.stack(maps[first:last])
        out.append(_distance(target[first:last], x, weight, center))
        first = last
    return torch.cat(out)


def _distance(
    target: Tensor, x: Tensor, weight: Tensor | None, center: bool
) -> Tensor:
    if weight is not None:
        weight = weight.to(x.dtype)
        if weight.size(-2) < weight.size(-1):
            return MappedDistance.apply(x, weight, target, center)
    x, mean = x * inverse_of_largest(x), None
    if center:
        # Before the map, which is linear, because rows are narrower there.
        mean = x.mean(dim=-2, keepdim=True)
        x = x - mean
    if weight is not None:
        weight = weight * inverse_of_largest(weight)
        x = x @ weight
        mean = None if mean is None else mean @ weight
    square = x.square().sum(dim=-1)
    scale = inverse_lengths(square, mean)
    product = (x * target).sum(dim=-1)
    return (scale.square() * square - 2 * scale * product).mean(dim=-1)


class MappedDistance(torch.autograd.Function):
    r"""The mean of :math:`|y|^2 - 2 \langle m, y \rangle` over rows.

    Here :math:`y` are the rows of :math:`\mathbf{X} \mathbf{W}`, scaled to
    length 1, and :math:`m` those of a target. With :math:`\mathbf{W}^{\top} =
    \mathbf{Q} \mathbf{R}` and orthonormal columns of :math:`\mathbf{Q}`,

    .. math::
        | \mathbf{W}^{\top} x | = | \mathbf{R} x |, \qquad
        \langle \mathbf{W}^{\top} x, m \rangle =
        \langle \mathbf{R} x, \mathbf{Q}^{\top} m \rangle,

    so that no rows are as wide as the target. In contrast,
    :math:`x^{\top} (\mathbf{W} \mathbf{W}^{\top}) x` would lose twice the
    digits. The value of a layer is a number: its gradient is computed in the
    forward pass, and nothing else is kept.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, target: Tensor, center: bool
    ) -> Tensor:
        """The distance :obj:`[J]` of each layer.

        Rows have shape :obj:`[J, N, F]`, maps :obj:`[J, F, C]` with
        :math:`F < C`, and the target :obj:`[J, N, C]`.
        """
        # The value does not depend on either scale. Small matrices take both.
        by_weight, by_x = inverse_of_largest(weight), inverse_of_largest(x)
        weight = weight * by_weight * by_x
        basis, inner = torch.linalg.qr(weight.mT)
        mean = mapped_mean = None
        if center:
            mean = x.mean(dim=-2, keepdim=True)
            mapped_mean = mean @ inner.mT
            x = x - mean
        y = x @ inner.mT
        along = target @ basis
        square = y.square().sum(dim=-1)
        product = (y * along).sum(dim=-1)
        floor = FLOOR_OF_ROWS * square.mean(dim=-1, keepdim=True)
        if mapped_mean is not None:
            floor = floor + FLOOR_OF_MEAN * mapped_mean.square().sum(dim=-1)
        length = square + floor
        scale = torch.where(length == 0, 0.0, length.rsqrt())
        short = scale.square()
        direct = short * square
        cosine = scale * product
        out = (direct - 2.0 * cosine).mean(dim=-1)
        ctx.needs = ctx.needs_input_grad[:2]
        if not any(ctx.needs):
            return out

        # The gradient by the squared length of each row, which is part of the
        # floor, too, and by its product with the target.
        step = 2.0 / x.size(-2)
        of_floor = (short * (cosine - direct)).mean(dim=-1, keepdim=True)
        of_square = short * (short * floor + cosine) + FLOOR_OF_ROWS * of_floor
        of_square = (of_square * step).unsqueeze(-1)
        of_product = (scale * -step).unsqueeze(-1)
        y *= of_square
        if mapped_mean is not None:
            of_floor = of_floor.unsqueeze(-1)
            mapped_mean = mapped_mean * (2.0 * FLOOR_OF_MEAN * of_floor)
        kept = []
        if ctx.needs[0]:
            grad = torch.addcmul(y, along, of_product) @ inner
            if mapped_mean is not None:
                shift = grad.sum(dim=-2, keepdim=True) - mapped_mean @ inner
                grad -= shift / x.size(-2)
            kept.append(grad)
        if ctx.needs[1]:
            grad = x.mT @ y
            if mapped_mean is not None and mean is not None:
                grad = grad + mean.mT @ mapped_mean
            x = x * of_product
            grad = torch.baddbmm(grad @ basis.mT, x.mT, target)
            kept.append(grad * by_x * by_weight)
        ctx.save_for_backward(*kept)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient with respect to the rows and the maps."""
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            # The saved gradients would pass for constants.
            raise RuntimeError(
                "the gradient of 'ABKDLoss' cannot be differentiated again; "
                'leave out create_graph=True'
            )
        kept, factor = list(ctx.saved_tensors), grad.view(-1, 1, 1)
        of_x = kept.pop(0) * factor if ctx.needs[0] else None
        of_weight = kept.pop(0) * factor if ctx.needs[1] else None
        return of_x, of_weight, None, None
