"""ABKD per node, with a contrastive term for structure."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from pyg_distill.nn.losses.abkd import ABKDLoss, draw_rows
from pyg_distill.nn.losses.base import TeacherTarget
from pyg_distill.nn.losses.checks import Channels, check_count, check_positive
from pyg_distill.nn.losses.functional import contrastive_loss, normalize_rows
from pyg_distill.nn.losses.matching import LayerProjection


class StrideLoss(ABKDLoss):
    r"""Matches layers node by node, with a contrastive term for structure.

    This is the loss of the `"STRIDE: Structure and Embedding Distillation with
    Attention for Graph Neural Networks" <https://arxiv.org/abs/2310.15938v2>`_
    paper, as far as it could be reconstructed:

    .. math::
        D_{ij} = \frac{1}{N} \sum_v \left\| \nu(\mathbf{T}_i \mathbf{V}_i
        \mathbf{P})_v - \nu(\mathbf{S}_j \mathbf{V}'_j \mathbf{P})_v
        \right\|_2^2 - \frac{\lambda}{N} \sum_v \log
        \frac{\exp(\mathbf{g}_v^{\top} \mathbf{f}_v / \tau)}
        {\sum_u \exp(\mathbf{g}_u^{\top} \mathbf{f}_v / \tau)}

    with learned attention over student layers. The first term is that of
    :meth:`ABKDLoss.paper` for each node instead of their mean. The second is
    the contrastive loss of `"On Representation Knowledge Distillation for
    Graph Neural Networks" <https://arxiv.org/abs/2111.04964>`_ between
    projected rows :math:`\mathbf{f}_v` of the student and
    :math:`\mathbf{g}_v` of the teacher, on up to :obj:`num_samples` nodes that
    are drawn anew in each call. The paper reports that both terms use
    projections of their own, but not the weight :math:`\lambda`.

    .. warning::
        Projections on the teacher's side are learned, too, and the projections
        alone can lower much of this loss: see
        :meth:`~pyg_distill.evaluation.collapse_report`.

    Args:
        teacher_channels (list): The width of each of the teacher's layers.
        student_channels (list): The width of each of the student's layers.
        structure_weight (float, optional): The weight :math:`\lambda` of the
            second term. (default: :obj:`1.0`)
        structure_temperature (float, optional): The temperature :math:`\tau`
            of the second term. (default: :obj:`0.075`)
        num_samples (int, optional): The number of nodes of the second term.
            The cost grows with its square and the number of pairs.
            (default: :obj:`128`)
        **kwargs (optional): Other options of :class:`ABKDLoss`. The defaults
            here are those of the paper.

    Raises:
        ValueError: If an option is unknown or does not go with another.
    """

    _paper: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        teacher_channels: Channels,
        student_channels: Channels,
        *,
        structure_weight: float = 1.0,
        structure_temperature: float = 0.075,
        num_samples: int = 128,
        **kwargs: Any,
    ) -> None:
        check_positive('structure_temperature', structure_temperature)
        check_count('num_samples', num_samples)
        if structure_weight < 0:
            raise ValueError(
                f"'structure_weight' must be at least 0 (got "
                f'{structure_weight}); pass 0 to leave the term out'
            )
        options = ABKDLoss._paper | {'granularity': 'node'} | kwargs
        if options['projection'] != 'both':
            raise ValueError(
                f"'StrideLoss' projects both sides (got projection="
                f'{options["projection"]!r}); use ABKDLoss instead'
            )
        super().__init__(teacher_channels, student_channels, **options)
        self.structure_weight = structure_weight
        self.structure_temperature = structure_temperature
        self.num_samples = num_samples
        for matching, widths in zip(
            self.matchings, self._widths.values(), strict=True
        ):
            matching.teacher_structure, matching.student_structure = (
                LayerProjection(w, self.hidden_channels) for w in widths
            )

    def _distances(
        self, k: int, target: TeacherTarget, rows: list[Tensor]
    ) -> Tensor:
        distance = super()._distances(k, target, rows)
        if self.structure_weight == 0:
            return distance
        m: Any = self.matchings[k]
        target, rows = draw_rows(target, rows, self.num_samples)
        teacher, student = (
            normalize_rows(torch.stack(x)) / self.structure_temperature**0.5
            for x in (
                m.teacher_structure(target.layers),
                m.student_structure(rows),
            )
        )
        # One teacher layer at a time: each pair takes a matrix [N, N].
        structure = torch.stack([contrastive_loss(t, student) for t in teacher])
        return distance + self.structure_weight * structure
