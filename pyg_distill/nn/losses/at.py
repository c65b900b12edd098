"""Attention transfer: which nodes are active, in any channel."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch_geometric.utils import scatter

from pyg_distill.nn.losses.base import LayerPairLoss
from pyg_distill.nn.losses.checks import Channels, check_choice
from pyg_distill.nn.losses.functional import (
    inverse_lengths,
    inverse_of_largest,
    present_graphs,
)

Reduction = Literal['sum', 'mean', 'norm']


class ATLoss(LayerPairLoss):
    r"""Matches how active the nodes are, as a map over all of them.

    The attention transfer of the `"Paying More Attention to Attention:
    Improving the Performance of Convolutional Neural Networks via Attention
    Transfer" <https://arxiv.org/abs/1612.03928>`_ paper, with nodes in the
    place of pixels:

    .. math::
        \mathcal{L} = \left\| \frac{\mathbf{q}(\mathbf{T})}
        {\| \mathbf{q}(\mathbf{T}) \|_2} - \frac{\mathbf{q}(\mathbf{S})}
        {\| \mathbf{q}(\mathbf{S}) \|_2} \right\|_2^2
        \quad \textrm{with} \quad
        q(\mathbf{X})_v = \sum_{c} X_{vc}^2

    It has no parameters, and layers may differ in width. The entries of a map
    shrink with the number of nodes. :meth:`ATLoss.paper` is the form of the
    paper, Eq. 2: the length of the difference, :obj:`reduction="norm"`.

    Args:
        teacher_channels (list): The width of each of the teacher's layers.
        student_channels (list): The width of each of the student's layers.
        reduction (str, optional): :obj:`"sum"` is the formula above.
            :obj:`"mean"` divides it by the number of nodes, as the `code
            <https://github.com/szagoruyko/attention-transfer>`_ of the paper
            and that of the `"On Representation Knowledge Distillation for
            Graph Neural Networks" <https://arxiv.org/abs/2111.04964>`_ paper
            do. With a map over all nodes it is very small: the latter has
            weights of 10,000 and more. :obj:`"norm"` is the square root of the
            sum. (default: :obj:`"sum"`)
        per_graph (bool, optional): If set to :obj:`True`, every graph in
            :obj:`batch` has a map of its own, as every image in the paper, and
            the loss is their mean. Otherwise, all rows make one map.
            (default: :obj:`False`)
        teacher_layer (int, optional): The position of the teacher's layer.
            (default: :obj:`-1`)
        student_layer (int, optional): The position of the student's layer.
            (default: :obj:`-1`)

    Raises:
        ValueError: If an option is unknown.

    Shapes:
        - **input:** lists of matrices :math:`(N, F_i)` and :math:`(N, F_j)`,
          graph of each node :math:`(N)`
        - **output:** a scalar
    """

    _paper: ClassVar[dict[str, Any]] = {'reduction': 'norm'}

    def __init__(
        self,
        teacher_channels: Channels,
        student_channels: Channels,
        reduction: Reduction = 'sum',
        *,
        per_graph: bool = False,
        teacher_layer: int = -1,
        student_layer: int = -1,
    ) -> None:
        super().__init__(
            teacher_channels,
            student_channels,
            teacher_layer=teacher_layer,
            student_layer=student_layer,
        )
        check_choice('reduction', reduction, Reduction)
        self.reduction = reduction
        self.per_graph = self.needs_batch = per_graph

    def _loss(
        self, k: int, teacher: Tensor, student: Tensor, **context: Any
    ) -> Tensor:
        batch, size = None, None
        if self.per_graph:
            batch, size = present_graphs(
                context['batch'], context['size'], student.size(0)
            )
        gap = _map(student, batch, size) - _map(teacher, batch, size)
        if self.reduction == 'mean':
            return gap.square().mean()
        square = _sums(gap.square(), batch, size)
        if self.reduction == 'norm':
            # The gradient of the root is infinite where maps are equal.
            equal = square == 0
            square = torch.where(equal, 1.0, square)
            square = torch.where(equal, 0.0, square.sqrt())
        return square.mean()


def _map(x: Tensor, batch: Tensor | None, size: int | None) -> Tensor:
    """The attention map :obj:`[N]`, of length 1 in each graph."""
    energy = (x * inverse_of_largest(x)).square().sum(dim=-1)
    length = _sums(energy.square(), batch, size)
    scale = inverse_lengths(length.unsqueeze(-1)).squeeze(-1)
    return energy * (scale if batch is None else scale[batch])


def _sums(x: Tensor, batch: Tensor | None, size: int | None) -> Tensor:
    """The sum of each graph, or of all nodes."""
    if batch is None:
        return x.sum(dim=0, keepdim=True)
    return scatter(x, batch, dim=0, dim_size=size, reduce='sum')
