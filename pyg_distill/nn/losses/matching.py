"""The distances between layers of one node type, weighted and summed."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pyg_distill.nn.losses.attention import LearnedAttention
from pyg_distill.nn.losses.checks import check_batch, check_layers, check_rows
from pyg_distill.nn.losses.projection import LayerProjection
from pyg_distill.nn.losses.rows import normalize_rows, pool_rows
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
    ) -> None:
        super().__init__()
        self.teacher_channels = list(teacher_channels)
        self.student_channels = list(student_channels)
        self.granularity = granularity
        self.normalize = normalize
        self.reduction = reduction
        self.center = center
        self.num_groups = num_groups

        self.teacher_projection = None
        widths = sorted(set(teacher_channels))
        if projection == 'both':
            widths = [hidden_channels]
            self.teacher_projection = LayerProjection(
                teacher_channels, hidden_channels
            )
        # The teacher layers of each width that student layers are mapped to.
        self.members = [
            [
                i
                for i, width in enumerate(teacher_channels)
                if projection == 'both' or width == w
            ]
            for w in widths
        ]
        self.student_projections = torch.nn.ModuleList(
            LayerProjection(student_channels, width)
            for width in (widths if projection is not None else [])
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

    def has_rows(self, student: list[Tensor]) -> bool:
        """Whether there are enough rows to compare any."""
        least = 2 if self.center and self.granularity != 'graph' else 1
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
        elif teacher.spread is not None and not self.folds:
            raise ValueError(
                "'teacher' was prepared with fixed attention and an untouched "
                "teacher's side, which this loss has not; call its own "
                'prepare()'
            )
        rows = self._student_rows(student, batch, size)
        self._check_rows(teacher, rows)
        if teacher.spread is not None:
            return self._folded_loss(teacher, rows), self.weights(), None
        attention = self.weights(teacher, student)
        distance = self.distances(teacher, rows)
        return (self._scale(attention) * distance).sum(), attention, distance

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
            for member in self.members
        ]
        if fold:
            return self._fold(layers)
        return TeacherTarget(layers, means)

    def _fold(self, layers: list[Tensor]) -> TeacherTarget:
        # With weights a_i >= 0 of sum a and mean m = sum_i a_i z_i / a,
        #   sum_i a_i |z_i - y|^2 = a |m - y|^2 + sum_i a_i |z_i - m|^2,
        # in which nothing cancels if a single layer is attended to.
        scale = self._scale(self.weights())
        folded, spread = [], layers[0].new_zeros(layers[0].size(1))
        for member, z in zip(self.members, layers, strict=True):
            weight = scale[member].to(z.dtype)
            total = weight.sum(dim=0)
            share = weight / torch.where(total > 0, total, 1.0)
            mean = torch.einsum('ij,inc->jnc', share, z)
            folded.append(mean)
            norm = torch.einsum('ij,inc->n', weight, z.square())
            norm = norm - torch.einsum('j,jnc->n', total, mean.square())
            single = (weight > 0).sum(dim=0).max() <= 1
            spread = spread + torch.where(single, 0.0, norm.clamp(min=0.0))
        return TeacherTarget(folded, [], spread)

    def _folded_loss(self, target: TeacherTarget, rows: list[Tensor]) -> Tensor:
        assert target.spread is not None
        scale = self._scale(self.weights())
        loss = target.spread.mean()
        students = self._students(rows)
        for member, mean, y in zip(
            self.members, target.layers, students, strict=True
        ):
            total = scale[member].sum(dim=0).to(y.dtype)
            distance = (y - mean).square().sum(dim=-1).mean(dim=-1)
            loss = loss + (total * distance).sum()
        return loss

    def distances(self, target: TeacherTarget, rows: list[Tensor]) -> Tensor:
        """The mean squared distances of all pairs, :obj:`[T, S]`."""
        layers = target.layers
        if self.teacher_projection is not None:
            teacher = [x.squeeze(0) for x in layers]
            projected = torch.stack(self.teacher_projection(teacher))
            layers = [self._normalize(self._project(projected))]
        out: dict[int, Tensor] = {}
        students = self._students(rows)
        for member, z, y in zip(self.members, layers, students, strict=True):
            num_rows = z.size(1)
            if num_rows == 1:
                # Small, and expanding the square would cancel.
                d = (z.unsqueeze(1) - y).square().sum(dim=(-2, -1))
            elif not self.normalize:
                # So it would where rows are far longer than they are apart.
                d = torch.stack([(x - y).square().sum(dim=(1, 2)) for x in z])
                d = d / num_rows
            else:
                d = z.square().sum(dim=(1, 2)).unsqueeze(1)
                d = d + y.square().sum(dim=(1, 2))
                d = (d - 2 * z.flatten(1) @ y.flatten(1).t()) / num_rows
            out.update(zip(member, d.unbind(), strict=True))
        return torch.stack([out[i] for i in range(len(out))])

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
        if not self.student_projections:
            return [self._normalize(torch.stack(rows))] * len(self.members)
        return [
            self._normalize(self._project(torch.stack(projection(rows))))
            for projection in self.student_projections
        ]

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
                batch = check_batch(batch, x.size(0))
        if self.granularity != 'pooled':
            sizes = [x.size(0) for x in layers]
            check_rows(sizes, sizes)
        pool = (self.granularity, self.num_groups, batch, size)
        return [pool_rows(self._wide(x), *pool) for x in layers]

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
