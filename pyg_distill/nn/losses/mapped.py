"""The distance of mapped rows from a target, without mapping them."""

from typing import Any

import torch
from torch import Tensor

from pyg_distill.nn.losses.rows import (
    FLOOR_OF_MEAN,
    FLOOR_OF_ROWS,
    inverse_of_largest,
)


class MappedDistance(torch.autograd.Function):
    r"""The mean of :math:`|y|^2 - 2 \langle m, y \rangle` over rows.

    Here :math:`y` are the rows of :math:`\mathbf{X} \mathbf{W}`, scaled to
    length 1, and :math:`m` those of a target. With :math:`\mathbf{W}^{\top} =
    \mathbf{Q} \mathbf{R}` and orthonormal columns of :math:`\mathbf{Q}`,

    .. math::
        | \mathbf{W}^{\top} x | = | \mathbf{R} x |, \qquad
        \langle \mathbf{W}^{\top} x, m \rangle =
        \langle \mathbf{R} x, \mathbf{Q}^{\top} m \rangle,

    so that no rows are made that are as wide as the target. That is as exact
    as mapping them, whereas :math:`x^{\top} (\mathbf{W} \mathbf{W}^{\top}) x`
    loses twice the digits where a map is close to singular.

    A layer's value is a single number: its gradient is worked out at once, and
    nothing else is kept.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, target: Tensor, center: bool
    ) -> Tensor:
        """The distance :obj:`[J]` of each layer.

        Args:
            ctx (Any): What keeps the gradient.
            x (torch.Tensor): The rows, of shape :obj:`[J, N, F]`.
            weight (torch.Tensor): The maps, of shape :obj:`[J, F, C]`, with
                :math:`F < C`.
            target (torch.Tensor): The target, of shape :obj:`[J, N, C]`.
            center (bool): Whether the mean row is subtracted.
        """
        # The value knows of neither scale. The small matrices take them up.
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

        # By the squared length of each row, which counts in the floor, too,
        # and by its product with the target.
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
            # The gradients that are kept would pass for constants.
            raise RuntimeError(
                "the gradient of 'ABKDLoss' cannot be differentiated again; "
                'leave out create_graph=True, or the loss'
            )
        kept, factor = list(ctx.saved_tensors), grad.view(-1, 1, 1)
        of_x = kept.pop(0) * factor if ctx.needs[0] else None
        of_weight = kept.pop(0) * factor if ctx.needs[1] else None
        return of_x, of_weight, None, None
