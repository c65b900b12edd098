"""Attention over all pairs of a teacher's and a student's layers."""

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from pyg_distill.nn.losses.attention import LearnedAttention, fixed_attention
from pyg_distill.nn.losses.matching import LayerMatching
from pyg_distill.nn.losses.node_types import Channels, split_channels
from pyg_distill.nn.losses.options import (
    check_choice,
    check_count,
    check_equal_widths,
    check_positive,
)
from pyg_distill.nn.losses.pairwise import PairwiseLoss
from pyg_distill.nn.losses.rows import GRANULARITIES

Self = TypeVar('Self', bound='ABKDLoss')


class ABKDLoss(PairwiseLoss):
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
    Only the maps :math:`\mathbf{B}_j` to the teacher's width are learned, one
    for each student layer and width of the teacher that it is weighed with, so
    that the loss cannot be brought to zero by its own parameters, as long as
    there are clearly more rows than the student's layers have channels. The
    paper's form, in which it always can, is :meth:`ABKDLoss.paper`.

    .. code-block:: python

        loss_fn = ABKDLoss([64, 64, 64, 64], [16, 16])
        loss = loss_fn(teacher_layers, student_layers)

    Layers are matrices of one row a node, such as those of
    :meth:`~pyg_distill.nn.LayerRecorder.features`, or dictionaries of them by
    node type. Then each type that occurs on both sides has maps of its own,
    and the loss is the mean over the types that are present.

    Args:
        teacher_channels (list[int] or list[dict[str, int]]): The width of each
            of the teacher's layers, see
            :meth:`~pyg_distill.nn.LayerRecorder.channels`.
        student_channels (list[int] or list[dict[str, int]]): The width of each
            of the student's layers.
        attention (str or torch.Tensor, optional): The weights :math:`A_{ij}`:
            :obj:`"uniform"` (all pairs alike), :obj:`"diagonal"` (layers of
            the same relative depth), :obj:`"last"` (the last two layers
            only), a matrix of shape :obj:`[T, S]`, or :obj:`"learned"` (a
            softmax over student layers of scaled dot products of projected
            layer means). Learning moves the attention to the pairs that are
            easiest to match, not to those that help most. It costs a pass
            over all pairs in every step, whereas any other choice is folded
            into one target for each student layer.
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
        temperature (float, optional): Divides the scores of a learned
            attention before the softmax. (default: :obj:`1.0`)
        reduction (str, optional): Divides the weighted distances by the sum of
            all weights (:obj:`"mean"`) or not (:obj:`"sum"`).
            (default: :obj:`"mean"`)
        center (bool, optional): Whether the mean row is subtracted. For
            ablations: all nodes share much of what they are, and the student
            then learns little else. (default: :obj:`True`)
        softmax_over (str, optional): Whether teacher layers attend to
            :obj:`"student"` layers or each student layer to :obj:`"teacher"`
            layers. For ablations. (default: :obj:`"student"`)
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
            call, once for all layers. In expectation, the mean over them is
            that over all nodes, apart from the mean row that is subtracted:
            of projected layers, it is that of the drawn nodes. By default,
            all nodes are compared. (default: :obj:`None`)

    Raises:
        ValueError: If an option is unknown or does not go with another, or
            layers are not those that were declared, differ in their rows, are
            too few to centre, or require gradients on the teacher's side.

    Shapes:
        - **input:** lists of :math:`T` matrices :math:`(N, F_i)` and :math:`S`
          matrices :math:`(N, F_j)`, graph of each node :math:`(N)`
        - **output:** a scalar
    """

    def __init__(
        self,
        teacher_channels: Channels,
        student_channels: Channels,
        attention: str | Tensor | Sequence[Sequence[float]] = 'uniform',
        granularity: str = 'node',
        projection: str | None = 'student',
        normalize: bool = True,
        temperature: float = 1.0,
        reduction: str = 'mean',
        *,
        center: bool = True,
        softmax_over: str = 'student',
        subspace: bool = False,
        hidden_channels: int = 64,
        num_groups: int = 512,
        max_nodes: int | None = None,
    ) -> None:
        super().__init__()
        check_choice('granularity', granularity, GRANULARITIES)
        check_choice('projection', projection, ('student', 'both', None))
        check_choice('reduction', reduction, ('mean', 'sum'))
        check_choice('softmax_over', softmax_over, ('student', 'teacher'))
        check_positive('temperature', temperature)
        check_count('hidden_channels', hidden_channels)
        check_count('num_groups', num_groups)
        if center and granularity == 'pooled':
            raise ValueError(
                "'granularity' 'pooled' has a single row, which centring "
                "makes zero; pass center=False or granularity='group'"
            )
        if center and granularity == 'group' and num_groups == 1:
            raise ValueError(
                "'num_groups' must be 2 or more to centre (got 1); pass more "
                'groups, or center=False'
            )
        if max_nodes is not None:
            check_count('max_nodes', max_nodes)
            if granularity != 'node':
                raise ValueError(
                    f"'max_nodes' draws from nodes (got granularity="
                    f'{granularity!r}); leave one of the two out'
                )
            if center and max_nodes == 1:
                raise ValueError(
                    "'max_nodes' must be 2 or more to centre (got 1); pass "
                    'more nodes, or center=False'
                )
        if subspace and projection != 'both':
            raise ValueError(
                f"'subspace' maps two projected sides (got projection="
                f"{projection!r}); pass projection='both'"
            )
        self.attention = attention if isinstance(attention, str) else 'fixed'
        self.granularity = granularity
        self.needs_batch = granularity == 'graph'
        self.can_prepare = granularity != 'graph'
        self.target_level = 'node' if granularity == 'node' else 'all'
        self.projection = projection
        self.normalize = normalize
        self.temperature = temperature
        self.reduction = reduction
        self.center = center
        self.softmax_over = softmax_over
        self.subspace = subspace
        self.hidden_channels = hidden_channels
        self.num_groups = num_groups
        self.max_nodes = max_nodes

        teacher = split_channels('teacher_channels', teacher_channels)
        student = split_channels('student_channels', student_channels)
        self.num_layers = len(teacher_channels), len(student_channels)
        self.node_types = []
        self.matchings = torch.nn.ModuleList()
        for node_type in teacher:
            if node_type not in student:
                continue
            (rows, widths) = teacher[node_type]
            (columns, student_widths) = student[node_type]
            if projection is None:
                check_equal_widths(widths, student_widths)
            weights: Tensor | LearnedAttention
            if self.attention == 'learned':
                weights = LearnedAttention(
                    widths,
                    student_widths,
                    hidden_channels,
                    temperature,
                    softmax_over,
                )
            elif isinstance(attention, str):
                size = len(widths), len(student_widths)
                weights = fixed_attention(attention, *size)
            else:
                weights = fixed_attention(attention, *self.num_layers)
                weights = weights[rows][:, columns]
                if weights.sum() == 0:
                    continue
            self.node_types.append(node_type)
            self.matchings.append(
                self._matching(widths, student_widths, weights)
            )
        if not self.node_types:
            raise ValueError(
                f"'student_channels' must share a node type with "
                f"'teacher_channels' that attention weighs (got "
                f'{list(student)} and {list(teacher)}); record layers of both '
                f'as tensors or both by node type'
            )

    @classmethod
    def paper(
        cls: type[Self],
        teacher_channels: Channels,
        student_channels: Channels,
        **kwargs: Any,
    ) -> Self:
        r"""The form of the paper, as far as it could be reconstructed.

        .. math::
            D_{ij} = \left\| \nu \left( \bar{\mathbf{t}}_i \mathbf{V}_i
            \mathbf{P} \right) - \nu \left( \bar{\mathbf{s}}_j \mathbf{V}'_j
            \mathbf{P} \right) \right\|_2^2

        of layer means :math:`\bar{\mathbf{t}}_i`, :math:`\bar{\mathbf{s}}_j`,
        with learned projections on both sides, a common subspace projection
        :math:`\mathbf{P}`, rows of length 1 and learned attention over student
        layers. That layers are averaged over nodes, that projections belong to
        layers and that attention is normalised by row is reported; the shape
        of :math:`\mathbf{P}` and what is normalised are our reading.

        .. warning::
            Its own parameters bring this loss to zero whatever the student
            does, see :meth:`~pyg_distill.evaluation.collapse_report`. It is
            here to be compared with.

        Args:
            teacher_channels (list[int]): See :class:`ABKDLoss`.
            student_channels (list[int]): See :class:`ABKDLoss`.
            **kwargs (optional): Any other option of :class:`ABKDLoss`.
        """
        options: dict[str, Any] = {
            'attention': 'learned',
            'granularity': 'pooled',
            'projection': 'both',
            'center': False,
            'subspace': True,
        }
        return cls(teacher_channels, student_channels, **(options | kwargs))

    def extra_repr(self) -> str:
        """The options that change the result."""
        names = ['attention', 'granularity', 'projection', 'normalize']
        if self.attention == 'learned':
            names += ['temperature', 'softmax_over']
        names += ['reduction', 'center']
        if self.subspace:
            names += ['subspace']
        if self.projection == 'both' or self.attention == 'learned':
            names += ['hidden_channels']
        if self.granularity == 'group':
            names += ['num_groups']
        if self.max_nodes is not None:
            names += ['max_nodes']
        options = [f'{name}={getattr(self, name)!r}' for name in names]
        num_teacher, num_student = self.num_layers
        return ', '.join([f'{num_teacher} -> {num_student} layers', *options])

    def _matching(
        self,
        teacher_channels: list[int],
        student_channels: list[int],
        attention: Tensor | LearnedAttention,
    ) -> LayerMatching:
        return LayerMatching(
            teacher_channels,
            student_channels,
            attention,
            **self._matching_options(),
        )

    def _matching_options(self) -> dict[str, Any]:
        names = (
            'granularity',
            'projection',
            'normalize',
            'reduction',
            'center',
            'subspace',
            'hidden_channels',
            'num_groups',
            'max_nodes',
        )
        return {name: getattr(self, name) for name in names}
