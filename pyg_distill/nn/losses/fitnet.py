"""Hints: the student's layer is to predict that of the teacher."""

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_distill.nn.losses.base import LayerPairLoss
from pyg_distill.nn.losses.checks import Channels, check_choice
from pyg_distill.nn.losses.functional import normalize_rows

Projection = Literal['both', 'student', None]
Reduction = Literal['sum', 'mean']


class FitNetLoss(LayerPairLoss):
    r"""Matches a student's layer with that of a teacher, node by node.

    The hints of the `"FitNets: Hints for Thin Deep Nets"
    <https://arxiv.org/abs/1412.6550>`_ paper (Eq. 3),

    .. math::
        \mathcal{L} = \frac{1}{2N} \sum_{v = 1}^{N} \left\| \nu(\mathbf{g}_v) -
        \nu(\mathbf{f}_v) \right\|_2^2

    in the form in which graph networks are compared by the `"On Representation
    Knowledge Distillation for Graph Neural Networks"
    <https://arxiv.org/abs/2111.04964>`_ paper and its `code
    <https://github.com/chaitjo/efficient-gnns>`_: :math:`\mathbf{g}_v` and
    :math:`\mathbf{f}_v` are rows of the teacher's and of the student's layer,
    *each* mapped by a learned linear layer, batch norm and ReLU, and
    :math:`\nu` scales rows to length 1.

    :meth:`FitNetLoss.paper` is the form of the first paper: raw features
    (:obj:`normalize=False`), which a linear layer of the student predicts
    (:obj:`projection="student"`). In the paper, this layer ends in the
    nonlinearity of the teacher's, and is trained before the task. Here, it is
    linear, as recorded convolutions are, and is trained together with the task.

    .. warning::
        With learned maps on both sides, the maps alone can lower much of this
        loss: see :meth:`~pyg_distill.evaluation.collapse_report`. With
        :obj:`projection="student"` they cannot.

    Layers are those that :class:`LayerRecorder` lists: convolutions, before
    ReLU and dropout. In PyG's models, the last one returns the logits (pass
    :obj:`teacher_layer=-2` and :obj:`student_layer=-2` for the one before).
    The code compares the last hidden layer after ReLU and dropout, on training
    nodes only. Here, all rows are compared.

    Args:
        teacher_channels (list): The width of each of the teacher's layers.
        student_channels (list): The width of each of the student's layers.
        projection (str, optional): Whether both sides are mapped to
            :obj:`hidden_channels` by a linear layer, batch norm and ReLU
            (:obj:`"both"`), the student's is mapped to the teacher's width by
            a linear layer (:obj:`"student"`), or nothing is (:obj:`None`, for
            equal widths). (default: :obj:`"both"`)
        normalize (bool, optional): Whether rows are scaled to length 1.
            (default: :obj:`True`)
        reduction (str, optional): :obj:`"sum"` is the formula above.
            :obj:`"mean"` averages the squares over nodes *and* channels, as
            the code does with weights of 100 and more. It is smaller by half
            the number of channels. (default: :obj:`"sum"`)
        **kwargs (optional): :obj:`hidden_channels`, :obj:`teacher_layer` and
            :obj:`student_layer`, see :class:`LayerPairLoss`.

    Raises:
        ValueError: If an option is unknown or does not go with another.

    Shapes:
        - **input:** lists of matrices :math:`(N, F_i)` and :math:`(N, F_j)`
        - **output:** a scalar
    """

    _projections = Projection
    _equal_widths = True
    _paper: ClassVar[dict[str, Any]] = {
        'projection': 'student',
        'normalize': False,
    }

    def __init__(
        self,
        teacher_channels: Channels,
        student_channels: Channels,
        projection: Projection = 'both',
        *,
        normalize: bool = True,
        reduction: Reduction = 'sum',
        **kwargs: Any,
    ) -> None:
        check_choice('reduction', reduction, Reduction)
        kwargs |= {'projection': projection}
        super().__init__(teacher_channels, student_channels, **kwargs)
        self.normalize = normalize
        self.reduction = reduction
        self.regressors: torch.nn.ModuleList | None = None
        if projection == 'student':
            self.regressors = torch.nn.ModuleList(
                torch.nn.Linear(student, teacher)
                for teacher, student in self._pairs
            )

    def _loss(
        self, k: int, teacher: Tensor, student: Tensor, **context: Any
    ) -> Tensor:
        if self.regressors is not None:
            weight = self.regressors[k].weight
            assert isinstance(weight, Tensor)
            student = self.regressors[k](student.to(weight.dtype))
        if self.normalize:
            teacher, student = normalize_rows(teacher), normalize_rows(student)
        if self.reduction == 'mean':
            return F.mse_loss(student, teacher)
        return 0.5 * (student - teacher).square().sum(dim=-1).mean()
