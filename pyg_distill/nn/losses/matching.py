"""The distances between layers of one node type, weighted and summed."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pyg_distill.nn.losses.attention import LearnedAttention
from pyg_distill.nn.losses.checks import check_batch, check_layers, check_rows
from pyg_distill.nn.losses.folded import fold as fold_layers
from pyg_distill.nn.losses.folded import folded_distance
from pyg_distill.nn.losses.graphs import graphs_with_nodes
from pyg_distill.nn.losses.groups import group_layers
from pyg_distill.nn.losses.projection import LayerProjection
from pyg_distill.nn.losses.rows import normalize_rows, pool_rows
from pyg_distill.nn.losses.sampling import draw_rows
from pyg_distill.nn.losses.target import TeacherTarget


class LayerMatching(torch.nn.Module):
    """Compares every teacher layer with every student layer.

    The teacher's layers have one or more widths. A student layer is mapped to
    each of them by a projection of its own, so that the teacher's side stays
    as it is (`projection='student'`), or both sides are mapped to
    `hidden_channels` (`'both'`), or nothing is (`None`).
    """

    attention: Tensor | None

    def __init__(
        self,
        teacher_channels: Sequence[int],
        student_channels: Sequence[int],
        attention: Tensor | LearnedAttention,
        granularity: str,
        projection: str | None,
        normalize: bool,
        reduction: str,
        center: bool,
        subspace: bool,
        hidden_channels: int,
        num_groups: int,
        max_nodes: int | None,
    ) -> None:
        super().__init__()
        self.teacher_channels = list(teacher_channels)
        self.student_channels = list(student_channels)
        self.granularity = granularity
        self.normalize = normalize
        self.reduction = reduction
        self.center = center
        self.num_groups = num_groups
        self.max_nodes = max_nodes

        self.teacher_projection = None
        if projection == 'both':
            self.teacher_projection = LayerProjection(
                teacher_channels, hidden_channels
            )
        self.groups = group_layers(
            teacher_channels,
            len(student_channels),
            # Only a map that is attended to can be learned.
            attention if isinstance(attention, Tensor) else None,
            projection,
        )
        self.student_projections = torch.nn.ModuleList()
        if projection is not None:
            for member, column in self.groups:
                width = teacher_channels[member[0]]
                if projection == 'both':
                    width = hidden_channels
                channels = [student_channels[j] for j in column]
                self.student_projections.append(
                    LayerProjection(channels, width)
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
        """Whether teacher layers can be merged before they are compared."""
        return self.learned is None and self.teacher_projection is None

    def has_rows(self, student: list[Tensor], batch: Tensor | None) -> bool:
        """Whether there are enough rows to compare any."""
        if self.center and self.granularity == 'graph':
            if batch is None or torch.compiler.is_compiling():
                return True
            return bool((batch != batch[:1]).any())
        least = 2 if self.center else 1
        return all(x.size(0) >= least for x in student)

    def forward(
        self,
        teacher: list[Tensor] | TeacherTarget,
        student: list[Tensor],
        batch: Tensor | None,
        size: int | None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The loss, the attention and, unless folded, the distances."""
        if not isinstance(teacher, TeacherTarget):
            teacher = self.prepare(teacher, batch, size, self.folds)
        else:
            self._check_target(teacher)
        rows = self._student_rows(student, batch, size)
        self._check_rows(teacher, rows)
        if self.training and self.max_nodes is not None:
            teacher, rows = draw_rows(teacher, rows, self.max_nodes)
        if teacher.spread is not None:
            return self._folded_loss(teacher, rows), self.weights(), None
        attention = self.weights(teacher, student)
        distance = self.distances(teacher, rows)
        loss = self._scale(attention) * distance
        if self.learned is None:
            # There is no distance where there is no map.
            loss = torch.where(attention == 0, 0.0, loss)
        return loss.sum(), attention, distance

    def compare(
        self,
        teacher: list[Tensor],
        student: list[Tensor],
        batch: Tensor | None,
        size: int | None,
    ) -> tuple[Tensor, Tensor]:
        """The attention and the distances of all pairs."""
        target = self.prepare(teacher, batch, size, fold=False)
        rows = self._student_rows(student, batch, size)
        self._check_rows(target, rows)
        return self.weights(target, student), self.distances(target, rows)

    @torch.no_grad()
    def prepare(
        self,
        teacher: list[Tensor],
        batch: Tensor | None,
        size: int | None,
        fold: bool,
    ) -> TeacherTarget:
        """Everything on the teacher's side that no parameter changes."""
        check_layers('teacher', teacher, self.teacher_channels)
        means = []
        if self.learned is not None:
            means = [self._wide(x).mean(dim=0, keepdim=True) for x in teacher]
        rows = self._pool(teacher, batch, size)
        if self.teacher_projection is not None:
            # Layers of unequal width are stacked once they are projected.
            return TeacherTarget([x.unsqueeze(0) for x in rows], means)
        layers = [
            self._normalize(torch.stack([rows[i] for i in member]))
            for member, _ in self.groups
        ]
        if fold:
            return fold_layers(layers, self._group_weights(), self.normalize)
        # Once, since they are as many as all layers have rows.
        squares = [x.square().sum(dim=-1) for x in layers]
        return TeacherTarget(layers, means, squares=squares)

    def _group_weights(self) -> list[Tensor]:
        scale = self._scale(self.weights())
        return [scale[member][:, column] for member, column in self.groups]

    def _folded_loss(self, target: TeacherTarget, rows: list[Tensor]) -> Tensor:
        assert target.spread is not None
        loss = target.spread.mean()
        weights = self._group_weights()
        if self.normalize:
            for k, (_, column) in enumerate(self.groups):
                distance = folded_distance(
                    target.layers[k],
                    [rows[j] for j in column],
                    self._projection(k),
                    self.center,
                )
                total = weights[k].sum(dim=0).to(distance.dtype)
                loss = loss + (total * distance).sum()
            # Rounding may leave less than nothing. The gradient stays.
            return loss + (loss.clamp(min=0.0) - loss).detach()
        for k, y in enumerate(self._students(rows)):
            total = weights[k].sum(dim=0).to(y.dtype)
            distance = (y - target.layers[k]).square().sum(dim=-1).mean(dim=-1)
            loss = loss + (total * distance).sum()
        return loss

    def distances(self, target: TeacherTarget, rows: list[Tensor]) -> Tensor:
        """The mean squared distances of all pairs, :obj:`[T, S]`.

        NaN where the attention is fixed at 0, so that no map was made.
        """
        layers, squares = target.layers, target.squares
        if self.teacher_projection is not None:
            teacher = [x.squeeze(0) for x in layers]
            projected = torch.stack(self.teacher_projection(teacher))
            layers = [self._normalize(self._project(projected))]
            squares = [x.square().sum(dim=-1) for x in layers]
        out: dict[int, Tensor] = {}
        students = self._students(rows)
        for (member, column), z, square, y in zip(
            self.groups, layers, squares, students, strict=True
        ):
            num_rows = z.size(1)
            if num_rows == 1:
                # Small, and expanding the square would cancel.
                d = (z.unsqueeze(1) - y).square().sum(dim=(-2, -1))
            elif not self.normalize:
                # So it would where rows are far longer than they are apart.
                d = torch.stack([(x - y).square().sum(dim=(1, 2)) for x in z])
                d = d / num_rows
            else:
                product = z.flatten(1) @ y.flatten(1).t()
                d = square.sum(dim=1).unsqueeze(1) - 2.0 * product
                d = (d + y.square().sum(dim=(1, 2))) / num_rows
            row = d.new_full((len(member), len(rows)), math.nan)
            row[:, column] = d
            out.update(zip(member, row.unbind(), strict=True))
        missing = rows[0].new_full((len(rows),), math.nan)
        num_teacher = len(self.teacher_channels)
        return torch.stack([out.get(i, missing) for i in range(num_teacher)])

    def weights(
        self,
        target: TeacherTarget | None = None,
        student: list[Tensor] | None = None,
    ) -> Tensor:
        """The attention :obj:`[T, S]`."""
        if self.learned is None:
            assert self.attention is not None
            return self.attention
        assert target is not None
        assert student is not None
        means = [self._wide(x).mean(dim=0, keepdim=True) for x in student]
        return self.learned(target.means, means)

    def _scale(self, attention: Tensor) -> Tensor:
        # Rows of the paper's attention sum to 1, so that this is its mean
        # over teacher layers, and every fixed matrix counts as much.
        dtype = torch.promote_types(attention.dtype, torch.float)
        attention = attention.to(dtype)
        if self.reduction == 'mean':
            return attention / attention.sum()
        return attention

    def _students(self, rows: list[Tensor]) -> list[Tensor]:
        """The student's layers in each of the teacher's widths."""
        out = []
        for k, (_, column) in enumerate(self.groups):
            x, projection = [rows[j] for j in column], self._projection(k)
            if projection is not None:
                x = projection(x)
            out.append(self._normalize(self._project(torch.stack(x))))
        return out

    def _projection(self, group: int) -> LayerProjection | None:
        if not self.student_projections:
            return None
        projection = self.student_projections[group]
        assert isinstance(projection, LayerProjection)
        return projection

    def _project(self, x: Tensor) -> Tensor:
        if self.subspace is None:
            return x
        return self.subspace([x.flatten(0, 1)])[0].view_as(x)

    def _normalize(self, x: Tensor) -> Tensor:
        return normalize_rows(x, self.center, self.normalize)

    def _student_rows(
        self, student: list[Tensor], batch: Tensor | None, size: int | None
    ) -> list[Tensor]:
        check_layers('student', student, self.student_channels)
        return self._pool(student, batch, size)

    def _pool(
        self, layers: list[Tensor], batch: Tensor | None, size: int | None
    ) -> list[Tensor]:
        if self.granularity == 'graph':
            for x in layers:
                check_batch(batch, x.size(0))
            batch, size = graphs_with_nodes(batch, size, layers[0].size(0))
        if self.granularity != 'pooled':
            sizes = [x.size(0) for x in layers]
            check_rows(sizes, sizes)
        wide = [self._wide(x) for x in layers]
        return pool_rows(wide, self.granularity, self.num_groups, batch, size)

    def _check_target(self, target: TeacherTarget) -> None:
        untouched = target.spread is None and not target.squares
        if untouched != (self.teacher_projection is not None) or (
            self.learned is not None and not target.means
        ):
            raise ValueError(
                "'teacher' must be a target of this loss (got one for another "
                'attention or projection); call its own prepare()'
            )
        widths = [self.teacher_channels[i[0]] for i, _ in self.groups]
        if untouched:
            widths = self.teacher_channels
        got = [x.size(-1) for x in target.layers]
        if got != widths:
            raise ValueError(
                f"'teacher' must be a target of this loss (got one of layers "
                f'of {got} channels, not {widths}); call its own prepare()'
            )

    def _check_rows(self, target: TeacherTarget, rows: list[Tensor]) -> None:
        check_rows([target.num_rows], [x.size(0) for x in rows])
        if self.center and target.num_rows < 2:
            raise ValueError(
                f"'granularity' {self.granularity!r} must have two rows or "
                f'more to centre (got {target.num_rows}); use larger batches, '
                f'drop_last=True, or center=False'
            )

    def _wide(self, x: Tensor) -> Tensor:
        # Sums over nodes pass the range of half precision.
        dtype = torch.float
        for parameter in self.parameters():
            dtype = torch.promote_types(parameter.dtype, dtype)
            break
        else:
            dtype = torch.promote_types(x.dtype, dtype)
        return x.to(dtype)
