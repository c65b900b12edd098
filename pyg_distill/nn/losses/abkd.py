"""Attention over all pairs of a teacher's and a student's layers."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor
from torch_geometric.utils import scatter

from pyg_distill.nn.losses.base import (
    Batch,
    LayerLoss,
    TeacherTarget,
    working_dtype,
)
from pyg_distill.nn.losses.checks import (
    Channels,
    Layers,
    check_choice,
    check_count,
    check_equal_widths,
    check_layers,
    check_rows,
)
from pyg_distill.nn.losses.folding import fold_layers, folded_distance
from pyg_distill.nn.losses.functional import (
    layer_distances,
    node_groups,
    normalize_rows,
    present_graphs,
    sample_rows,
)
from pyg_distill.nn.losses.matching import (
    LayerMatching,
    LearnedAttention,
    fixed_attention,
)

Granularity = Literal['node', 'group', 'graph', 'pooled']
Projection = Literal['student', 'both', None]


class LayerComparison(NamedTuple):
    """The weight and the distance of each pair of layers.

    Args:
        attention (torch.Tensor): The weight of each pair, of shape
            :obj:`[T, S]`.
        distance (torch.Tensor): The distance of each pair, of shape
            :obj:`[T, S]`. It is NaN for pairs without a map, because fixed
            attention gives no weight to the student's layer there.
    """

    attention: Tensor
    distance: Tensor


class ABKDLoss(LayerLoss):
    r"""Matches a student's intermediate layers with those of a teacher.

    It follows the `"ABKD: Graph Neural Network Compression with
    Attention-Based Knowledge Distillation"
    <https://arxiv.org/abs/2310.15938v1>`_ paper. (Not the later method of that
    name, which is about :math:`\alpha`-:math:`\beta`-divergences.) With
    teacher layers :math:`\mathbf{T}_i`, student layers :math:`\mathbf{S}_j` and
    the weight :math:`A_{ij}` of each pair,

    .. math::
        \mathcal{L} = \frac{1}{\sum_{ij} A_{ij}} \sum_{i = 1}^{T}
        \sum_{j = 1}^{S} A_{ij} \, \frac{1}{N} \sum_{v = 1}^{N}
        \left\| \nu(\mathbf{T}_i)_v - \nu(\mathbf{S}_j \mathbf{B}_j)_v
        \right\|_2^2

    where :math:`\nu` subtracts the mean row and scales each row to length 1.
    Only the maps :math:`\mathbf{B}_j` to the teacher's width are learned: one
    for each student layer and width of the teacher. They alone cannot bring
    the loss to zero if there are clearly more rows than the student's layers
    have channels.

    .. code-block:: python

        loss_fn = ABKDLoss([64, 64, 64, 64], [16, 16])
        loss = loss_fn(teacher_layers, student_layers)

    Layers are those of :meth:`~pyg_distill.nn.LayerRecorder.features`. With
    :obj:`granularity="graph"`, :attr:`needs_batch` is :obj:`True`.

    :meth:`ABKDLoss.paper` is the form of the paper, as far as it could be
    reconstructed, with learned attention over student layers and

    .. math::
        D_{ij} = \left\| \nu \left( \bar{\mathbf{t}}_i \mathbf{V}_i
        \mathbf{P} \right) - \nu \left( \bar{\mathbf{s}}_j \mathbf{V}'_j
        \mathbf{P} \right) \right\|_2^2

    of layer means :math:`\bar{\mathbf{t}}_i`, :math:`\bar{\mathbf{s}}_j`.
    The paper reports the mean over nodes, the projections of each layer and
    the softmax by row. The shape of the common map :math:`\mathbf{P}` and the
    rows of length 1 are our reading.

    .. warning::
        The parameters of the paper's form alone can minimise it, with any
        student: see :meth:`~pyg_distill.evaluation.collapse_report`. It
        serves as a baseline.

    Args:
        teacher_channels (list): The width of each of the teacher's layers.
        student_channels (list): The width of each of the student's layers.
        attention (str or torch.Tensor, optional): The weights :math:`A_{ij}`:
            :obj:`"uniform"` (all pairs alike), :obj:`"diagonal"` (layers of
            the same relative depth), :obj:`"last"` (the last two layers
            only), a matrix of shape :obj:`[T, S]` (of the layers that hold a
            node type), or :obj:`"learned"` (a
            softmax over student layers of scaled dot products of projected
            layer means). Learned attention moves to the pairs that are
            easiest to match, not to those that help most, and compares all
            pairs in every step. Any fixed attention is folded into one target
            for each student layer, whose cost does not depend on :math:`T`,
            unless both sides are mapped, or rows not scaled.
            (default: :obj:`"uniform"`)
        granularity (str, optional): What is compared: every node
            (:obj:`"node"`), means of :obj:`num_groups` groups of nodes
            (:obj:`"group"`), means of each graph in :obj:`batch`
            (:obj:`"graph"`), or the mean of all nodes (:obj:`"pooled"`, which
            needs :obj:`center=False`). (default: :obj:`"node"`)
        projection (str, optional): Whether the student's layers are mapped to
            the teacher's widths (:obj:`"student"`), both sides are mapped to
            :obj:`hidden_channels` (:obj:`"both"`, the paper's), or nothing is
            (:obj:`None`, for equal widths). (default: :obj:`"student"`)
        normalize (bool, optional): Whether rows are scaled to length 1.
            (default: :obj:`True`)
        center (bool, optional): Whether the mean row is subtracted. Without
            it, the student mainly learns what all nodes share.
            (default: :obj:`True`)
        subspace (bool, optional): Whether a common square map follows both
            projections, as in the paper. Needs :obj:`projection="both"`.
            (default: :obj:`False`)
        hidden_channels (int, optional): The width of the spaces in which
            attention scores are computed and, with :obj:`projection="both"`,
            layers compared. (default: :obj:`64`)
        num_groups (int, optional): The number of groups with
            :obj:`granularity="group"`, which are random but fixed by the
            position of a node. (default: :obj:`512`)
        max_nodes (int, optional): The number of nodes that are compared in
            training mode with :obj:`granularity="node"`, drawn anew in each
            call, once for all layers. The expected value is that over all
            nodes, except that projected layers are centered by the mean of
            the drawn nodes. By default, all nodes are compared.
            (default: :obj:`None`)

    Raises:
        ValueError: If an option is unknown or does not go with another.

    Shapes:
        - **input:** lists of :math:`T` matrices :math:`(N, F_i)` and :math:`S`
          matrices :math:`(N, F_j)`, graph of each node :math:`(N)`
        - **output:** a scalar
    """

    _paper: ClassVar[dict[str, Any]] = {
        'attention': 'learned',
        'granularity': 'pooled',
        'projection': 'both',
        'center': False,
        'subspace': True,
    }

    def __init__(
        self,
        teacher_channels: Channels,
        student_channels: Channels,
        attention: Literal['uniform', 'diagonal', 'last', 'learned']
        | Tensor
        | Sequence[Sequence[float]] = 'uniform',
        *,
        granularity: Granularity = 'node',
        projection: Projection = 'student',
        normalize: bool = True,
        center: bool = True,
        subspace: bool = False,
        hidden_channels: int = 64,
        num_groups: int = 512,
        max_nodes: int | None = None,
    ) -> None:
        super().__init__(teacher_channels, student_channels)
        check_choice('granularity', granularity, Granularity)
        check_choice('projection', projection, Projection)
        check_count('hidden_channels', hidden_channels)
        # Centering leaves nothing of a single row.
        self._min_rows = 2 if center else 1
        least = self._min_rows if granularity == 'group' else 1
        check_count('num_groups', num_groups, least)
        if center and granularity == 'pooled':
            raise ValueError(
                "'granularity' 'pooled' has a single row, which centering "
                "makes zero; pass center=False or granularity='group'"
            )
        if max_nodes is not None:
            check_count('max_nodes', max_nodes, self._min_rows)
            if granularity != 'node':
                raise ValueError(
                    f"'max_nodes' draws from nodes (got granularity="
                    f'{granularity!r}); leave one of the two out'
                )
        if subspace and projection != 'both':
            raise ValueError(
                f"'subspace' maps two projected sides (got projection="
                f"{projection!r}); pass projection='both'"
            )
        self.attention = attention if isinstance(attention, str) else 'fixed'
        self.granularity = granularity
        self.projection = projection
        self.normalize = normalize
        self.center = center
        self.subspace = subspace
        self.hidden_channels = hidden_channels
        self.num_groups = num_groups
        self.max_nodes = max_nodes
        self.needs_batch = granularity == 'graph'
        # The graphs are only known in each step.
        self.can_prepare = granularity != 'graph'
        self.target_level = 'node' if granularity == 'node' else 'all'
        self.num_layers = len(teacher_channels), len(student_channels)

        self.matchings = torch.nn.ModuleList()
        for widths in self._widths.values():
            if projection is None:
                check_equal_widths(*widths[0], *widths[1])
            weights: Tensor | LearnedAttention
            if self.attention == 'learned':
                weights = LearnedAttention(*widths, hidden_channels)
            else:
                weights = fixed_attention(attention, *map(len, widths))
            self.matchings.append(
                LayerMatching(
                    *widths,
                    weights,
                    projection,
                    hidden_channels,
                    subspace,
                    normalize,
                )
            )

    @torch.no_grad()
    def compare(
        self,
        teacher: Layers,
        student: Layers,
        batch: Batch = None,
        size: int | None = None,
    ) -> LayerComparison | dict[str, LayerComparison]:
        """The attention and the distance of all pairs, for plots.

        All arguments are those of :meth:`forward`.

        Returns:
            LayerComparison: Two matrices of shape :obj:`[T, S]`, or a
            dictionary of them by node type.
        """
        out = {}
        for k, layers, y, context in self._by_type(teacher, student, batch):
            t = self.node_types[k]
            check_layers('teacher', layers, self._widths[t][0])
            with torch.autocast(y[0].device.type, enabled=False):
                target = self._prepare(k, layers, False, size=size, **context)
                rows = self._student_rows(k, target, y, size=size, **context)
                attention = self._weights(k, target, y)
                distance = self._distances(k, target, rows)
            out[t] = LayerComparison(attention, distance)
        return out if self._typed else out['']

    @property
    def last_attention(self) -> Tensor | dict[str, Tensor]:
        """The attention :obj:`[T, S]` of the last call, without gradient."""
        return self._of_last_call(0)

    @property
    def last_distance(self) -> Tensor | dict[str, Tensor]:
        """The distances :obj:`[T, S]` of the last call, without gradient.

        Fixed attention folds the teacher's layers and never computes them:
        use :meth:`compare`.
        """
        return self._of_last_call(1)

    def _of_last_call(self, place: int) -> Any:
        out = {t: values[place] for t, values in self._last.items()}
        if not out or any(value is None for value in out.values()):
            reason = 'has not been called yet'
            if out:
                reason = 'folds layers and computes no distances of pairs'
            raise RuntimeError(
                f"'{type(self).__name__}' {reason}; call compare(teacher, "
                f'student)'
            )
        return out if self._typed else out['']

    def _has_rows(self, student: list[Tensor], batch: Tensor | None) -> bool:
        if self.center and self.granularity == 'graph':
            # Rows are graphs, and two of them are needed.
            if batch is None or torch.compiler.is_compiling():
                return True
            return bool((batch != batch[:1]).any())
        return super()._has_rows(student, batch)

    @torch.no_grad()
    def _prepare(
        self, k: int, teacher: list[Tensor], fold: bool = True, **context: Any
    ) -> TeacherTarget:
        m: Any = self.matchings[k]
        means = [] if m.learned is None else self._means(k, teacher)
        rows = self._pool(k, teacher, **context)
        if m.teacher_projection is not None:
            # Layers of unequal width are stacked once they are projected.
            return TeacherTarget(rows, means)
        layers = [
            self._normalize(torch.stack([rows[i] for i in member]))
            for member, _ in m.groups
        ]
        if fold and m.folds:
            return fold_layers(layers, self._group_weights(k))
        return TeacherTarget(layers, means)

    def _compare(
        self, k: int, target: Any, student: list[Tensor], **context: Any
    ) -> Tensor:
        m: Any = self.matchings[k]
        num_dims = 3 if m.teacher_projection is None else 2
        form = num_dims, m.learned is not None, m.folds
        self._check_target(target, m.target_widths, form)
        rows = self._student_rows(k, target, student, **context)
        if self.training:
            target, rows = draw_rows(target, rows, self.max_nodes)
        attention = self._weights(k, target, student)
        distance = None
        if m.folds:
            loss = self._folded_loss(k, target, rows)
        else:
            distance = self._distances(k, target, rows)
            loss = self._scale(attention) * distance
            if m.learned is None:
                # Without weight there is no map and no distance.
                loss = torch.where(attention == 0, 0.0, loss)
            loss, distance = loss.sum(), distance.detach()
        self._last[self.node_types[k]] = attention.detach(), distance
        return loss

    def _folded_loss(self, k: int, target: Any, rows: list[Tensor]) -> Tensor:
        m: Any = self.matchings[k]
        loss = target.spread.mean()
        for g, weight in enumerate(self._group_weights(k)):
            maps = m.student_projections[g].weights if self.projection else None
            columns = [rows[j] for j in m.groups[g][1]]
            distance = folded_distance(
                target.layers[g], columns, maps, self.center
            )
            loss = loss + (weight.sum(dim=0).to(distance) * distance).sum()
        # Rounding may leave a negative value. The gradient stays.
        return loss + (loss.clamp(min=0.0) - loss).detach()

    def _distances(
        self, k: int, target: TeacherTarget, rows: list[Tensor]
    ) -> Tensor:
        """The mean squared distances of all pairs, :obj:`[T, S]`.

        They are NaN where a fixed attention of 0 needs no map.
        """
        m: Any = self.matchings[k]
        layers = target.layers
        if m.teacher_projection is not None:
            # Copies, because inference tensors cannot be saved for a gradient.
            x = m.project(m.teacher_projection([x.clone() for x in layers]))
            layers = [self._normalize(x)]
        out = rows[0].new_full((m.num_teacher, len(rows)), math.nan)
        students = m.students(rows)
        for (member, column), z, y in zip(
            m.groups, layers, students, strict=True
        ):
            distance = layer_distances(
                z, self._normalize(y), normalized=self.normalize
            )
            i = torch.tensor(member, device=out.device).unsqueeze(1)
            j = torch.tensor(column, device=out.device)
            out = out.to(distance.dtype).index_put((i, j), distance)
        return out

    def _weights(
        self, k: int, target: TeacherTarget, student: list[Tensor]
    ) -> Tensor:
        m: Any = self.matchings[k]
        if m.learned is None:
            return m.attention
        return m.learned(target.means, self._means(k, student))

    def _group_weights(self, k: int) -> list[Tensor]:
        m: Any = self.matchings[k]
        scale = self._scale(m.attention)
        return [scale[member][:, column] for member, column in m.groups]

    def _scale(self, attention: Tensor) -> Tensor:
        dtype = torch.promote_types(attention.dtype, torch.float)
        attention = attention.to(dtype)
        # The paper's mean over teacher layers, as its rows sum to 1.
        return attention / attention.sum()

    def _wide(self, k: int, layers: list[Tensor]) -> list[Tensor]:
        return [x.to(working_dtype(self.matchings[k], x)) for x in layers]

    def _means(self, k: int, layers: list[Tensor]) -> list[Tensor]:
        return [x.mean(dim=0, keepdim=True) for x in self._wide(k, layers)]

    def _normalize(self, x: Tensor) -> Tensor:
        return normalize_rows(x, center=self.center, normalize=self.normalize)

    def _pool(
        self, k: int, layers: list[Tensor], batch: Any, size: Any, **_: Any
    ) -> list[Tensor]:
        """Turns node features into the rows that are compared."""
        if self.granularity == 'pooled':
            return self._means(k, layers)
        check_rows(*(x.size(0) for x in layers))
        layers = self._wide(k, layers)
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

    def _student_rows(
        self, k: int, target: Any, student: list[Tensor], **context: Any
    ) -> list[Tensor]:
        rows = self._pool(k, student, **context)
        check_rows(target.num_rows, *(x.size(0) for x in rows))
        if target.num_rows < self._min_rows:
            raise ValueError(
                f"'granularity' {self.granularity!r} must have two rows or "
                f'more to center (got {target.num_rows}); use larger batches, '
                f'drop_last=True, or center=False'
            )
        return rows


def draw_rows(
    target: TeacherTarget, rows: list[Tensor], max_rows: int | None
) -> tuple[TeacherTarget, list[Tensor]]:
    """The same random rows of both sides, drawn anew in each call."""
    index = sample_rows(target.num_rows, max_rows, rows[0].device)
    if index is None:
        return target, rows
    return target.select(index), [x.index_select(0, index) for x in rows]
