"""Contrast: each node of the student against the teacher's nodes."""

from typing import Any, Literal

from torch import Tensor

from pyg_distill.nn.losses.base import LayerPairLoss
from pyg_distill.nn.losses.checks import Channels, check_positive
from pyg_distill.nn.losses.functional import contrastive_loss, normalize_rows


class GCRDLoss(LayerPairLoss):
    r"""Lets each node of the student tell its own teacher from the others.

    The graph contrastive representation distillation (G-CRD) of the `"On
    Representation Knowledge Distillation for Graph Neural Networks"
    <https://arxiv.org/abs/2111.04964>`_ paper, in the form of its `code
    <https://github.com/chaitjo/efficient-gnns>`_,

    .. math::
        \mathcal{L} = -\frac{1}{N} \sum_{v = 1}^{N} \log
        \frac{\exp(\nu(\mathbf{g}_v)^{\top} \nu(\mathbf{f}_v) / \tau)}
        {\sum_{u = 1}^{N} \exp(\nu(\mathbf{g}_u)^{\top} \nu(\mathbf{f}_v) /
        \tau)}

    where :math:`\mathbf{g}_v` and :math:`\mathbf{f}_v` are rows of the
    teacher's and of the student's layer, each mapped by a learned linear
    layer, batch norm and ReLU, and :math:`\nu` scales rows to length 1. After
    they are mapped, up to :obj:`max_nodes` nodes are drawn anew in each call.

    It is above 0 even if student and teacher agree, because nodes are similar
    to each other. Its weight in the code is 0.01 to 0.1.

    Args:
        teacher_channels (list): The width of each of the teacher's layers.
        student_channels (list): The width of each of the student's layers.
        temperature (float, optional): The temperature :math:`\tau`.
            (default: :obj:`0.075`)
        max_nodes (int, optional): The number of nodes that are compared, drawn
            by the global generator. The cost grows with its square. If set to
            :obj:`None`, all nodes are compared. (default: :obj:`8192`)
        projection (str, optional): Whether both sides are mapped to
            :obj:`hidden_channels` (:obj:`"both"`), or nothing is (:obj:`None`,
            for equal widths). (default: :obj:`"both"`)
        **kwargs (optional): :obj:`hidden_channels`, :obj:`teacher_layer` and
            :obj:`student_layer`, see :class:`LayerPairLoss`.

    Raises:
        ValueError: If an option is unknown or does not go with another.

    Shapes:
        - **input:** lists of matrices :math:`(N, F_i)` and :math:`(N, F_j)`
        - **output:** a scalar
    """

    # A single row has no others.
    _min_rows = 2
    _equal_widths = True

    def __init__(
        self,
        teacher_channels: Channels,
        student_channels: Channels,
        temperature: float = 0.075,
        *,
        max_nodes: int | None = 8192,
        projection: Literal['both', None] = 'both',
        **kwargs: Any,
    ) -> None:
        check_positive('temperature', temperature)
        kwargs |= {'projection': projection, 'max_nodes': max_nodes}
        super().__init__(teacher_channels, student_channels, **kwargs)
        self.temperature = temperature

    def _loss(
        self, k: int, teacher: Tensor, student: Tensor, **context: Any
    ) -> Tensor:
        teacher, student = normalize_rows(teacher), normalize_rows(student)
        return contrastive_loss(teacher, student / self.temperature)
