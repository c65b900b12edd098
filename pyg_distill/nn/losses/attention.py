"""How much each pair of a teacher's and a student's layer counts."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pyg_distill.nn.losses.projection import LayerProjection

FIXED = ('uniform', 'diagonal', 'last')


def fixed_attention(
    attention: str | Tensor | Sequence[Sequence[float]],
    num_teacher: int,
    num_student: int,
) -> Tensor:
    r"""The weights :math:`[T, S]` of a fixed attention, checked.

    ``'uniform'`` lets every teacher layer attend to all student layers alike,
    ``'diagonal'`` to those at its own relative depth, by the overlap of
    :math:`[\frac{i}{T}, \frac{i + 1}{T}]` and
    :math:`[\frac{j}{S}, \frac{j + 1}{S}]`, and ``'last'`` compares only the
    last two.
    """
    size = (num_teacher, num_student)
    if isinstance(attention, str):
        if attention == 'uniform':
            return torch.full(size, 1.0 / num_student)
        if attention == 'last':
            out = torch.zeros(size)
            out[-1, -1] = 1.0
            return out
        if attention == 'diagonal':
            # In units of 1 / (T S), to count in whole numbers.
            i = torch.arange(num_teacher).view(-1, 1) * num_student
            j = torch.arange(num_student).view(1, -1) * num_teacher
            end = torch.minimum(i + num_student, j + num_teacher)
            overlap = (end - torch.maximum(i, j)).clamp(min=0)
            return overlap / num_student
        raise ValueError(
            f"'attention' must be 'learned', {', '.join(map(repr, FIXED))} or "
            f'a matrix (got {attention!r})'
        )
    try:
        out = torch.as_tensor(attention, dtype=torch.float).detach().clone()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"'attention' must be 'learned', {', '.join(map(repr, FIXED))} or "
            f'a matrix of numbers (got {attention!r}); try rows of equal '
            f'length, one a teacher layer'
        ) from error
    if out.size() != size:
        raise ValueError(
            f"'attention' must have a row for each of {num_teacher} teacher "
            f'layers and a column for each of {num_student} student layers '
            f'(got {list(out.size())}); pass one of that shape'
        )
    if not bool(out.isfinite().all()) or bool((out < 0).any()):
        raise ValueError(
            f"'attention' must hold finite weights of at least 0 (got values "
            f"from {float(out.min()):g} to {float(out.max()):g}); try 'uniform'"
        )
    if not bool(out.sum() > 0):
        raise ValueError(
            "'attention' must give some pair of layers a weight above 0 (got "
            "only zeros); try 'uniform'"
        )
    return out


class LearnedAttention(torch.nn.Module):
    r"""Scaled dot products of projected layer means, normalised by softmax.

    .. math::
        \mathbf{A} = \mathrm{softmax} \left(
        \frac{(\bar{\mathbf{t}}_i \mathbf{W}_i)^{\top}
        \bar{\mathbf{s}}_j \mathbf{W}'_j}{\tau \sqrt{d}} \right)
    """

    def __init__(
        self,
        teacher_channels: Sequence[int],
        student_channels: Sequence[int],
        hidden_channels: int,
        temperature: float,
        softmax_over: str,
    ) -> None:
        super().__init__()
        over = {'student': student_channels, 'teacher': teacher_channels}
        if len(over[softmax_over]) == 1:
            raise ValueError(
                f"'attention' cannot be learned over a single {softmax_over} "
                f"layer, its weight is always 1; pass attention='uniform' or "
                f'record more layers'
            )
        self.dim = 1 if softmax_over == 'student' else 0
        self.scale = 1.0 / (temperature * math.sqrt(hidden_channels))
        self.query = LayerProjection(teacher_channels, hidden_channels)
        self.key = LayerProjection(student_channels, hidden_channels)

    def forward(self, teacher: list[Tensor], student: list[Tensor]) -> Tensor:
        """From layer means, each of shape :obj:`[1, C]`, to :obj:`[T, S]`."""
        query = torch.cat(self.query(teacher))
        key = torch.cat(self.key(student))
        return (query @ key.t() * self.scale).softmax(dim=self.dim)
