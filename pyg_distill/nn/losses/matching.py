"""The weights and the distances of all pairs of layers of one node type."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch_geometric.utils import scatter

from pyg_distill.nn.losses.base import TeacherTarget, working_dtype
from pyg_distill.nn.losses.checks import check_rows
from pyg_distill.nn.losses.folding import fold_layers, folded_distance
from pyg_distill.nn.losses.functional import (
    layer_distances,
    node_groups,
    normalize_rows,
    present_graphs,
    sample_rows,
)
from pyg_distill.nn.losses.projection import LayerProjection

Granularity = Literal['node', 'group', 'graph', 'pooled']
Projection = Literal['student', 'both', None]
Reduction = Literal['mean', 'sum']
SoftmaxOver = Literal['student', 'teacher']


def fixed_attention(
    attention: str | Tensor | Sequence[Sequence[float]],
    num_teacher: int,
    num_student: int,
) -> Tensor:
    r"""The weights :obj:`[T, S]` of a fixed attention.

    With :obj:`"uniform"`, each teacher layer attends to all student layers
    alike. With :obj:`"diagonal"`, it attends to those at its own relative
    depth, by the overlap of :math:`[\frac{i}{T}, \frac{i + 1}{T}]` and
    :math:`[\frac{j}{S}, \frac{j + 1}{S}]`. With :obj:`"last"`, only the last
    two layers count.
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
        if isinstance(attention, str):
            raise ValueError('an unknown name')
        out = torch.as_tensor(attention, dtype=torch.float).detach().clone()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"'attention' must be 'learned', 'uniform', 'diagonal', 'last' or "
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
        softmax_over: SoftmaxOver,
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


class LayerMatching(torch.nn.Module):
    """Compares every teacher layer with every student layer.

    Layers are compared in one space for each width of the teacher, to which
    each student layer has a map of its own (:obj:`projection="student"`), or
    in a common space of :obj:`hidden_channels` (:obj:`"both"`). See
    :class:`ABKDLoss` for the options.
    """

    attention: Tensor | None

    def __init__(
        self,
        teacher_channels: Sequence[int],
        student_channels: Sequence[int],
        attention: Tensor | LearnedAttention,
        *,
        granularity: Granularity,
        projection: Projection,
        normalize: bool,
        reduction: Reduction,
        center: bool,
        subspace: bool,
        hidden_channels: int,
        num_groups: int,
        max_nodes: int | None,
    ) -> None:
        super().__init__()
        self.num_teacher = len(teacher_channels)
        self.granularity = granularity
        self.normalize = normalize
        self.reduction = reduction
        self.center = center
        self.num_groups = num_groups
        self.max_nodes = max_nodes

        self.teacher_projection = None
        columns = list(range(len(student_channels)))
        # The teacher and the student layers of each space.
        self.groups: list[tuple[list[int], list[int]]] = []
        widths = []
        if projection == 'both':
            self.teacher_projection = LayerProjection(
                teacher_channels, hidden_channels
            )
            self.groups.append((list(range(self.num_teacher)), columns))
            widths.append(hidden_channels)
        else:
            for width in sorted(set(teacher_channels)):
                rows = [i for i, w in enumerate(teacher_channels) if w == width]
                used = columns
                if isinstance(attention, Tensor) and projection == 'student':
                    # A map without weight would never learn.
                    weight = attention[rows].sum(dim=0).tolist()
                    used = [j for j in columns if weight[j] > 0]
                if used:
                    self.groups.append((rows, used))
                    widths.append(width)
        # The widths of the layers of a target.
        self.target_widths = widths
        if projection == 'both':
            self.target_widths = list(teacher_channels)

        self.student_projections = torch.nn.ModuleList()
        if projection is not None:
            for (_, used), width in zip(self.groups, widths, strict=True):
                self.student_projections.append(
                    LayerProjection([student_channels[j] for j in used], width)
                )
        self.subspace = None
        if subspace:
            self.subspace = LayerProjection([hidden_channels], hidden_channels)

        self.learned = None
        self.register_buffer('attention', None, persistent=False)
        if isinstance(attention, Tensor):
            self.attention = attention
        else:
            self.learned = attention

    @property
    def folds(self) -> bool:
        """Whether teacher layers are merged before they are compared."""
        return self.learned is None and self.teacher_projection is None

    @property
    def target_parts(self) -> tuple[bool, bool, bool]:
        """Whether a target has means, a spread and squares."""
        has_squares = not self.folds and self.teacher_projection is None
        return self.learned is not None, self.folds, has_squares

    def forward(
        self,
        target: TeacherTarget,
        student: list[Tensor],
        batch: Tensor | None = None,
        size: int | None = None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The loss, the attention and, unless folded, the distances."""
        rows = self.pool(student, batch, size)
        self._check_rows(target, rows)
        if self.training:
            target, rows = draw_rows(target, rows, self.max_nodes)
        if target.spread is not None:
            return self._folded_loss(target, rows), self.weights(), None
        attention = self.weights(target, student)
        distance = self.distances(target, rows)
        loss = self._scale(attention) * distance
        if self.learned is None:
            # Without weight there is no map and no distance.
            loss = torch.where(attention == 0, 0.0, loss)
        return loss.sum(), attention, distance

    def compare(
        self,
        teacher: list[Tensor],
        student: list[Tensor],
        batch: Tensor | None = None,
        size: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The attention and the distances of all pairs."""
        target = self.prepare(teacher, batch, size, fold=False)
        rows = self.pool(student, batch, size)
        self._check_rows(target, rows)
        return self.weights(target, student), self.distances(target, rows)

    @torch.no_grad()
    def prepare(
        self,
        teacher: list[Tensor],
        batch: Tensor | None = None,
        size: int | None = None,
        fold: bool = True,
    ) -> TeacherTarget:
        """Everything on the teacher's side that no parameter changes."""
        means = [] if self.learned is None else self._means(teacher)
        rows = self.pool(teacher, batch, size)
        if self.teacher_projection is not None:
            # Layers of unequal width are stacked once they are projected.
            return TeacherTarget([x.unsqueeze(0) for x in rows], means)
        layers = [
            self._normalize(torch.stack([rows[i] for i in member]))
            for member, _ in self.groups
        ]
        if fold and self.folds:
            return fold_layers(layers, self._group_weights(), self.normalize)
        squares = [x.square().sum(dim=-1) for x in layers]
        return TeacherTarget(layers, means, squares=squares)

    def pool(
        self, layers: list[Tensor], batch: Tensor | None, size: int | None
    ) -> list[Tensor]:
        """Turns node features into the rows that are compared."""
        layers = [x.to(working_dtype(self, x)) for x in layers]
        if self.granularity == 'pooled':
            return [x.mean(dim=0, keepdim=True) for x in layers]
        sizes = [x.size(0) for x in layers]
        check_rows(sizes, sizes)
        if self.granularity == 'node':
            return layers
        # In one call, because many narrow layers would cost as many.
        x = torch.cat(layers, dim=1)
        if self.granularity == 'group':
            size = min(self.num_groups, x.size(0))
            batch = node_groups(x.size(0), size, x.device)
        else:
            batch, size = present_graphs(batch, size, x.size(0))
        out = scatter(x, batch, dim=0, dim_size=size, reduce='mean')
        return list(out.split([x.size(1) for x in layers], dim=1))

    def weights(
        self,
        target: TeacherTarget | None = None,
        student: list[Tensor] | None = None,
    ) -> Tensor:
        """The attention :obj:`[T, S]`."""
        if self.attention is not None:
            return self.attention
        assert self.learned is not None
        assert target is not None
        assert student is not None
        return self.learned(target.means, self._means(student))

    def distances(self, target: TeacherTarget, rows: list[Tensor]) -> Tensor:
        """The mean squared distances of all pairs, :obj:`[T, S]`.

        They are NaN where a fixed attention of 0 needs no map.
        """
        layers: Sequence[Tensor] = target.layers
        squares: Sequence[Tensor | None] = target.squares
        if self.teacher_projection is not None:
            x = self.teacher_projection([x.squeeze(0) for x in layers])
            layers = [self._normalize(self._project(torch.stack(x)))]
            squares = [None]
        nan = rows[0].new_full((len(rows),), math.nan)
        out = [nan] * self.num_teacher
        for (member, column), z, square, y in zip(
            self.groups, layers, squares, self._students(rows), strict=True
        ):
            distance = layer_distances(
                z, y, squares=square, normalized=self.normalize
            )
            part = distance.new_full((len(member), len(rows)), math.nan)
            part[:, column] = distance
            for i, row in zip(member, part.unbind(), strict=True):
                out[i] = row
        return torch.stack(out)

    def _folded_loss(self, target: TeacherTarget, rows: list[Tensor]) -> Tensor:
        assert target.spread is not None
        loss = target.spread.mean()
        weights = self._group_weights()
        students = [] if self.normalize else self._students(rows)
        for k, (_, column) in enumerate(self.groups):
            if self.normalize:
                maps = None
                if self.student_projections:
                    maps = self._projection(k).maps()
                distance = folded_distance(
                    target.layers[k],
                    [rows[j] for j in column],
                    maps,
                    self.center,
                )
            else:
                gap = students[k] - target.layers[k]
                distance = gap.square().sum(dim=-1).mean(dim=-1)
            total = weights[k].sum(dim=0).to(distance.dtype)
            loss = loss + (total * distance).sum()
        if self.normalize:
            # Rounding may leave a negative value. The gradient stays.
            loss = loss + (loss.clamp(min=0.0) - loss).detach()
        return loss

    def _group_weights(self) -> list[Tensor]:
        scale = self._scale(self.weights())
        return [scale[member][:, column] for member, column in self.groups]

    def _scale(self, attention: Tensor) -> Tensor:
        dtype = torch.promote_types(attention.dtype, torch.float)
        attention = attention.to(dtype)
        if self.reduction == 'mean':
            # The paper's mean over teacher layers, as its rows sum to 1.
            return attention / attention.sum()
        return attention

    def _students(self, rows: list[Tensor]) -> list[Tensor]:
        """The student's layers in each space."""
        out = []
        for k, (_, column) in enumerate(self.groups):
            x = [rows[j] for j in column]
            if self.student_projections:
                x = self._projection(k)(x)
            out.append(self._normalize(self._project(torch.stack(x))))
        return out

    def _means(self, layers: list[Tensor]) -> list[Tensor]:
        return [
            x.to(working_dtype(self, x)).mean(dim=0, keepdim=True)
            for x in layers
        ]

    def _projection(self, group: int) -> LayerProjection:
        projection = self.student_projections[group]
        assert isinstance(projection, LayerProjection)
        return projection

    def _project(self, x: Tensor) -> Tensor:
        if self.subspace is None:
            return x
        return self.subspace([x.flatten(0, 1)])[0].view_as(x)

    def _normalize(self, x: Tensor) -> Tensor:
        return normalize_rows(x, center=self.center, normalize=self.normalize)

    def _check_rows(self, target: TeacherTarget, rows: list[Tensor]) -> None:
        check_rows([target.num_rows], [x.size(0) for x in rows])
        if self.center and target.num_rows < 2:
            raise ValueError(
                f"'granularity' {self.granularity!r} must have two rows or "
                f'more to centre (got {target.num_rows}); use larger batches, '
                f'drop_last=True, or center=False'
            )


def draw_rows(
    target: TeacherTarget, rows: list[Tensor], max_rows: int | None
) -> tuple[TeacherTarget, list[Tensor]]:
    """The same random rows of both sides, drawn anew in each call."""
    index = sample_rows(target.num_rows, max_rows, rows[0].device)
    if index is None:
        return target, rows
    return target.select(index), [x.index_select(0, index) for x in rows]
