"""Contrast: each student node is to find its own teacher node."""

from torch import Tensor

from pyg_distill.nn.losses.contrast import contrast
from pyg_distill.nn.losses.head import HeadPairs
from pyg_distill.nn.losses.node_types import Channels
from pyg_distill.nn.losses.one_pair import OnePairLoss
from pyg_distill.nn.losses.options import (
    check_choice,
    check_count,
    check_positive,
)
from pyg_distill.nn.losses.rows import normalize_rows
from pyg_distill.nn.losses.sampling import draw_pair


class GCRDLoss(OnePairLoss):
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

    It is not 0 where student and teacher agree, as the other nodes are alike,
    too, and its weight in the code is 0.01 to 0.1.

    Args:
        teacher_channels (list[int] or list[dict[str, int]]): The width of each
            of the teacher's layers, see
            :meth:`~pyg_distill.nn.LayerRecorder.channels`.
        student_channels (list[int] or list[dict[str, int]]): The width of each
            of the student's layers.
        temperature (float, optional): The temperature :math:`\tau`.
            (default: :obj:`0.075`)
        max_nodes (int, optional): The number of nodes that are compared, whose
            square the cost grows with. They are drawn by the global generator.
            If set to :obj:`None`, all nodes are compared.
            (default: :obj:`8192`)
        projection (str, optional): Whether both sides are mapped to
            :obj:`hidden_channels` (:obj:`"both"`), or nothing is (:obj:`None`,
            for equal widths). (default: :obj:`"both"`)
        hidden_channels (int, optional): The width of the space in which both
            sides are compared. (default: :obj:`256`)
        teacher_layer (int, optional): The position of the teacher's layer, see
            :class:`FitNetLoss`. (default: :obj:`-1`)
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
        temperature: float = 0.075,
        max_nodes: int | None = 8192,
        projection: str | None = 'both',
        hidden_channels: int = 256,
        *,
        teacher_layer: int = -1,
        student_layer: int = -1,
    ) -> None:
        super().__init__(
            teacher_channels, student_channels, teacher_layer, student_layer
        )
        check_positive('temperature', temperature)
        check_choice('projection', projection, ('both', None))
        check_count('hidden_channels', hidden_channels)
        if max_nodes is not None:
            check_count('max_nodes', max_nodes)
            if max_nodes == 1:
                raise ValueError(
                    "'max_nodes' must be 2 or more, as each node is compared "
                    'with the others (got 1); leave it out for the default'
                )
        self.temperature = temperature
        self.max_nodes = max_nodes
        self.projection = projection
        self.hidden_channels = hidden_channels
        self.heads: HeadPairs | None = None
        if projection == 'both':
            self.heads = HeadPairs(self._widths(), hidden_channels)
        else:
            self._check_equal_widths()

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
        teacher, student = draw_pair(teacher, student, self.max_nodes)
        teacher = normalize_rows(teacher, center=False, normalize=True)
        student = normalize_rows(student, center=False, normalize=True)
        return contrast(teacher, student / self.temperature)

    def _least_rows(self) -> int:
        # A single row has no others.
        return 2

    def _options(self) -> list[str]:
        names = ['temperature', 'max_nodes', 'projection']
        if self.projection is not None:
            names += ['hidden_channels']
        return names
