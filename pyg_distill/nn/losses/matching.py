"""The parameters of the losses: learned maps, and weights of layer pairs."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

# A channel varies by rounding only if its deviation is below this share of
# its mean.
MIN_VARIATION = 1e-5


class LayerProjection(torch.nn.Module):
    r"""Maps each layer to :obj:`out_channels` by a matrix of its own.

    There is no bias, because centering removes it.

    Args:
        in_channels (list[int]): The width of each layer.
        out_channels (int): The common width that they are mapped to.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int) -> None:
        super().__init__()
        self.weights = torch.nn.ParameterList(
            torch.empty(width, out_channels) for width in in_channels
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all weights as :class:`torch.nn.Linear` does."""
        for weight in self.weights:
            bound = 1.0 / math.sqrt(weight.size(0))
            torch.nn.init.uniform_(weight, -bound, bound)

    def forward(self, layers: Sequence[Tensor]) -> list[Tensor]:
        """Projects layers :obj:`[..., N, F_j]` to :obj:`[..., N, C]`."""
        pairs = zip(layers, self.weights, strict=True)
        return [x @ weight.to(x.dtype) for x, weight in pairs]


class ProjectionHead(torch.nn.Module):
    """A linear layer, batch norm and ReLU.

    There is no bias, because batch norm removes it. A channel that is constant
    over all rows, as in a dead layer, counts as zeros: batch norm would turn
    its rounding into noise with large gradients.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.lin = torch.nn.Linear(in_channels, out_channels, bias=False)
        self.norm = torch.nn.BatchNorm1d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """From :obj:`[N, F]` to :obj:`[N, C]`, of the same type."""
        dtype = x.dtype
        x = self.lin(x.to(self.lin.weight.dtype))
        if self.training:
            with torch.no_grad():
                variance, mean = torch.var_mean(x, dim=0, correction=0)
                varies = variance > (MIN_VARIATION * mean).square()
            x = torch.where(varies, x, 0.0)
        return self.norm(x).relu().to(dtype)


def fixed_attention(
    attention: Any, num_teacher: int, num_student: int
) -> Tensor:
    r"""The weights :obj:`[T, S]` of a fixed attention, checked.

    With :obj:`"diagonal"`, a teacher layer attends to student layers by the
    overlap of :math:`[\frac{i}{T}, \frac{i + 1}{T}]` and
    :math:`[\frac{j}{S}, \frac{j + 1}{S}]`.
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
            # In units of 1 / (T S), which are whole numbers.
            i = torch.arange(num_teacher).view(-1, 1) * num_student
            j = torch.arange(num_student).view(1, -1) * num_teacher
            end = torch.minimum(i + num_student, j + num_teacher)
            return (end - torch.maximum(i, j)).clamp(min=0) / num_student
    try:
        out = torch.as_tensor(attention, dtype=torch.float).detach().clone()
    except (TypeError, ValueError, RuntimeError):
        out = torch.empty(0)
    is_finite = 0 < float(out.sum()) < math.inf
    if out.size() != size or not is_finite or bool((out < 0).any()):
        raise ValueError(
            f"'attention' must be 'learned', 'uniform', 'diagonal', 'last' or "
            f'a matrix of shape {list(size)} of finite weights of at least 0, '
            f'and one above it (got {attention!r})'
        )
    return out


class LearnedAttention(torch.nn.Module):
    r"""A softmax over student layers of scaled dot products of layer means.

    .. math::
        \mathbf{A} = \mathrm{softmax} \left(
        \frac{(\bar{\mathbf{t}}_i \mathbf{W}_i)^{\top}
        \bar{\mathbf{s}}_j \mathbf{W}'_j}{\sqrt{d}} \right)
    """

    def __init__(
        self,
        teacher_channels: Sequence[int],
        student_channels: Sequence[int],
        hidden_channels: int,
    ) -> None:
        super().__init__()
        if len(student_channels) == 1:
            raise ValueError(
                "'attention' cannot be learned over a single student layer, "
                "its weight is always 1; pass attention='uniform'"
            )
        self.scale = hidden_channels**-0.5
        self.query = LayerProjection(teacher_channels, hidden_channels)
        self.key = LayerProjection(student_channels, hidden_channels)

    def forward(self, teacher: list[Tensor], student: list[Tensor]) -> Tensor:
        """From layer means, each of shape :obj:`[1, C]`, to :obj:`[T, S]`."""
        query = torch.cat(self.query(teacher))
        key = torch.cat(self.key(student))
        return (query @ key.t() * self.scale).softmax(dim=1)


class LayerMatching(torch.nn.Module):
    """The weights of all pairs of layers of one node type, and their maps.

    Layers are compared in one space for each width of the teacher, to which
    each student layer has a map of its own (:obj:`projection="student"`), or
    in a common space of :obj:`hidden_channels` (:obj:`"both"`).

    Attributes:
        groups (list[tuple[list[int], list[int]]]): The teacher and the student
            layers of each space.
        target_widths (list[int]): The widths of the layers of a target.
        folds (bool): Whether teacher layers are merged ahead.
    """

    attention: Tensor | None

    def __init__(
        self,
        teacher_channels: Sequence[int],
        student_channels: Sequence[int],
        attention: Tensor | LearnedAttention,
        projection: Literal['student', 'both'] | None,
        hidden_channels: int,
        subspace: bool,
        normalize: bool,
    ) -> None:
        super().__init__()
        self.num_teacher = len(teacher_channels)
        everything = list(range(self.num_teacher))
        columns = list(range(len(student_channels)))
        self.teacher_projection = None
        self.groups, widths = [(everything, columns)], [hidden_channels]
        self.target_widths = list(teacher_channels)
        if projection == 'both':
            self.teacher_projection = LayerProjection(
                teacher_channels, hidden_channels
            )
        else:
            self.groups, widths = [], []
            for width in sorted(set(teacher_channels)):
                rows = [i for i in everything if teacher_channels[i] == width]
                used = columns
                if isinstance(attention, Tensor) and projection == 'student':
                    # A map without weight would never learn.
                    weight = attention[rows].sum(dim=0).tolist()
                    used = [j for j in columns if weight[j] > 0]
                if used:
                    self.groups.append((rows, used))
                    widths.append(width)
            self.target_widths = widths
        self.student_projections = torch.nn.ModuleList()
        if projection is not None:
            for (_, used), width in zip(self.groups, widths, strict=True):
                self.student_projections.append(
                    LayerProjection([student_channels[j] for j in used], width)
                )
        self.subspace = None
        if subspace:
            self.subspace = LayerProjection([hidden_channels], hidden_channels)
        fixed = attention if isinstance(attention, Tensor) else None
        self.learned = attention if fixed is None else None
        self.register_buffer('attention', fixed, persistent=False)
        self.folds = not self.learned and projection != 'both' and normalize

    def students(self, rows: list[Tensor]) -> list[Tensor]:
        """The stacked student layers of each space."""
        out = []
        for k, (_, column) in enumerate(self.groups):
            x = [rows[j] for j in column]
            if self.student_projections:
                x = self.student_projections[k](x)
            out.append(self.project(x))
        return out

    def project(self, layers: list[Tensor]) -> Tensor:
        """Stacks layers, and maps them to the common subspace."""
        x = torch.stack(layers)
        return x if self.subspace is None else self.subspace([x])[0]
