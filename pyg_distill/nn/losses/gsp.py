"""Global structure: how alike all pairs of nodes are."""

from typing import Any, Literal

from torch import Tensor

from pyg_distill.nn.losses.base import LayerPairLoss
from pyg_distill.nn.losses.checks import Channels, check_choice
from pyg_distill.nn.losses.functional import (
    Kernel,
    normalize_rows,
    pairwise_similarity,
)


class GSPLoss(LayerPairLoss):
    r"""Matches how alike all pairs of nodes are.

    The global structure preserving loss of the `"On Representation Knowledge
    Distillation for Graph Neural Networks" <https://arxiv.org/abs/2111.04964>`_
    paper, in the form of its `code
    <https://github.com/chaitjo/efficient-gnns>`_,

    .. math::
        \mathcal{L} = \frac{1}{N^2} \sum_{u = 1}^{N} \sum_{v = 1}^{N} \left(
        k(\mathbf{t}_u, \mathbf{t}_v) - k(\mathbf{s}_u, \mathbf{s}_v) \right)^2

    on up to :obj:`max_nodes` nodes that are drawn anew in each call. Pairs of
    a node with itself count, too. Layers may differ in width.

    Args:
        teacher_channels (list): The width of each of the teacher's layers.
        student_channels (list): The width of each of the student's layers.
        kernel (str, optional): How alike two nodes are, see :class:`LSPLoss`.
            (default: :obj:`"cosine"`)
        max_nodes (int, optional): The number of nodes that are compared, drawn
            by the global generator. The cost grows with its square, or
            linearly with :obj:`kernel="cosine"`. If set to :obj:`None`, all
            nodes are compared. (default: :obj:`8192`)
        projection (str, optional): Whether both sides are mapped to
            :obj:`hidden_channels` by a learned linear layer, batch norm and
            ReLU (:obj:`"both"`), as the code does for some data sets, or
            nothing is (:obj:`None`). Learned maps alone can lower much of the
            loss: see :meth:`~pyg_distill.evaluation.collapse_report`.
            (default: :obj:`None`)
        **kwargs (optional): :obj:`hidden_channels`, :obj:`teacher_layer` and
            :obj:`student_layer`, see :class:`LayerPairLoss`.

    Raises:
        ValueError: If an option is unknown.

    Shapes:
        - **input:** lists of matrices :math:`(N, F_i)` and :math:`(N, F_j)`
        - **output:** a scalar
    """

    def __init__(
        self,
        teacher_channels: Channels,
        student_channels: Channels,
        kernel: Kernel = 'cosine',
        *,
        max_nodes: int | None = 8192,
        projection: Literal['both', None] = None,
        **kwargs: Any,
    ) -> None:
        check_choice('kernel', kernel, Kernel)
        kwargs |= {'projection': projection, 'max_nodes': max_nodes}
        super().__init__(teacher_channels, student_channels, **kwargs)
        self.kernel = kernel

    def _loss(
        self, k: int, teacher: Tensor, student: Tensor, **context: Any
    ) -> Tensor:
        widths = teacher.size(1) + student.size(1)
        if self.kernel == 'cosine' and student.size(0) > widths:
            return _cosine_difference(teacher, student)
        gap = pairwise_similarity(teacher, self.kernel)
        gap = gap - pairwise_similarity(student, self.kernel)
        return gap.square().mean()


def _cosine_difference(teacher: Tensor, student: Tensor) -> Tensor:
    r"""The mean square without a matrix of all pairs.

    .. math::
        \| \mathbf{T} \mathbf{T}^{\top} - \mathbf{S} \mathbf{S}^{\top} \|^2 =
        \| \mathbf{T}^{\top} \mathbf{T} \|^2
        - 2 \| \mathbf{T}^{\top} \mathbf{S} \|^2
        + \| \mathbf{S}^{\top} \mathbf{S} \|^2

    In double precision where the device has it, because the terms cancel.
    """
    t, s = normalize_rows(teacher), normalize_rows(student)
    dtype = s.dtype
    if s.device.type != 'mps':
        t, s = t.double(), s.double()
    square = (t.t() @ t).square().sum() - 2.0 * (t.t() @ s).square().sum()
    square = square + (s.t() @ s).square().sum()
    return (square.clamp(min=0.0) / s.size(0) ** 2).to(dtype)
