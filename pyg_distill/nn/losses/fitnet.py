"""Hints: the student's layer is to predict that of the teacher."""

from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_distill.nn.losses.head import HeadPairs
from pyg_distill.nn.losses.node_types import Channels
from pyg_distill.nn.losses.one_pair import OnePairLoss
from pyg_distill.nn.losses.options import check_choice, check_count
from pyg_distill.nn.losses.rows import normalize_rows

Self = TypeVar('Self', bound='FitNetLoss')


class FitNetLoss(OnePairLoss):
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
    :math:`\nu` scales rows to length 1. The form of the paper itself is
    :meth:`FitNetLoss.paper`.

    .. warning::
        With learned maps on both sides, much of this loss can be met without
        teaching the student: see
        :meth:`~pyg_distill.evaluation.collapse_report`. With
        :obj:`projection="student"` it cannot.

    Layers are those that :class:`LayerRecorder` lists. What the code compares
    is the last *hidden* layer, after ReLU and dropout, and training nodes
    only, whereas convolutions are recorded ahead of ReLU and dropout, the one
    that returns the logits comes last in PyG's models (pass
    :obj:`teacher_layer=-2` and :obj:`student_layer=-2` for the one before),
    and all nodes are compared that are passed.

    Args:
        teacher_channels (list[int] or list[dict[str, int]]): The width of each
            of the teacher's layers, see
            :meth:`~pyg_distill.nn.LayerRecorder.channels`.
        student_channels (list[int] or list[dict[str, int]]): The width of each
            of the student's layers.
        projection (str, optional): Whether both sides are mapped to
            :obj:`hidden_channels` by a linear layer, batch norm and ReLU
            (:obj:`"both"`), the student's is mapped to the teacher's width by
            a linear layer (:obj:`"student"`), or nothing is (:obj:`None`, for
            equal widths). (default: :obj:`"both"`)
        hidden_channels (int, optional): The width of the space in which both
            sides are compared with :obj:`projection="both"`.
            (default: :obj:`256`)
        normalize (bool, optional): Whether rows are scaled to length 1.
            (default: :obj:`True`)
        reduction (str, optional): :obj:`"sum"` is the formula above.
            :obj:`"mean"` averages the squares over nodes *and* channels, as
            the code does: smaller by half the number of channels, which is why
            it has weights of 100 and more. (default: :obj:`"sum"`)
        teacher_layer (int, optional): The position of the teacher's layer.
            (default: :obj:`-1`)
        student_layer (int, optional): The position of the student's layer.
            (default: :obj:`-1`)

    Raises:
        ValueError: If an option is unknown or does not go with another, or
            layers are not those that were declared, differ in their rows, or
            require gradients on the teacher's side.

    Shapes:
        - **input:** lists of matrices :math:`(N, F_i)` and :math:`(N, F_j)`
        - **output:** a scalar
    """

    def __init__(
        self,
        teacher_channels: Channels,
        student_channels: Channels,
        projection: str | None = 'both',
        hidden_channels: int = 256,
        normalize: bool = True,
        reduction: str = 'sum',
        *,
        teacher_layer: int = -1,
        student_layer: int = -1,
    ) -> None:
        super().__init__(
            teacher_channels, student_channels, teacher_layer, student_layer
        )
        check_choice('projection', projection, ('both', 'student', None))
        check_choice('reduction', reduction, ('sum', 'mean'))
        check_count('hidden_channels', hidden_channels)
        self.projection = projection
        self.hidden_channels = hidden_channels
        self.normalize = normalize
        self.reduction = reduction
        self.heads: HeadPairs | None = None
        self.regressors: torch.nn.ModuleList | None = None
        if projection == 'both':
            self.heads = HeadPairs(self._widths(), hidden_channels)
        elif projection == 'student':
            self.regressors = torch.nn.ModuleList(
                torch.nn.Linear(student, teacher)
                for teacher, student in self._widths()
            )
        else:
            self._check_equal_widths()

    @classmethod
    def paper(
        cls: type[Self],
        teacher_channels: Channels,
        student_channels: Channels,
        **kwargs: Any,
    ) -> Self:
        r"""The form of the FitNets paper, Eq. 3.

        .. math::
            \mathcal{L} = \frac{1}{2N} \sum_{v = 1}^{N} \left\| \mathbf{t}_v -
            (\mathbf{W} \mathbf{s}_v + \mathbf{b}) \right\|_2^2

        Its size is that of the teacher's features, and so must be its weight.
        The paper's regressor ends in the nonlinearity of the teacher's layer,
        which a recorded convolution does not have yet, and is trained before
        the task rather than beside it.

        Args:
            teacher_channels (list[int]): See :class:`FitNetLoss`.
            student_channels (list[int]): See :class:`FitNetLoss`.
            **kwargs (optional): Any other option of :class:`FitNetLoss`.
        """
        options: dict[str, Any] = {'projection': 'student', 'normalize': False}
        return cls(teacher_channels, student_channels, **(options | kwargs))

    def _compare(
        self,
        k: int,
        teacher: Tensor,
        student: Tensor,
        batch: Tensor | None,
        size: int | None,
    ) -> Tensor:
        if self.heads is not None:
            teacher, student = self.heads(k, teacher, student)
        elif self.regressors is not None:
            weight = self.regressors[k].weight
            assert isinstance(weight, Tensor)
            student = self.regressors[k](student.to(weight.dtype))
        if self.normalize:
            teacher = normalize_rows(teacher, center=False, normalize=True)
            student = normalize_rows(student, center=False, normalize=True)
        if self.reduction == 'mean':
            return F.mse_loss(student, teacher)
        return 0.5 * (student - teacher).square().sum(dim=-1).mean()

    def _least_rows(self) -> int:
        # What batch norm needs.
        return 2 if self.heads is not None and self.training else 1

    def _options(self) -> list[str]:
        names = ['projection', 'hidden_channels', 'normalize', 'reduction']
        if self.projection != 'both':
            names.remove('hidden_channels')
        return names
