"""Local structure: how alike each node is to its neighbors."""

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch_geometric.utils import scatter

from pyg_distill.nn.losses.edges import as_edge_index
from pyg_distill.nn.losses.kernels import KERNELS, of_edges
from pyg_distill.nn.losses.node_types import Channels, Layers
from pyg_distill.nn.losses.one_pair import OnePairLoss
from pyg_distill.nn.losses.options import check_choice
from pyg_distill.nn.losses.target import TeacherTarget

Self = TypeVar('Self', bound='LSPLoss')


class LSPLoss(OnePairLoss):
    r"""Matches how alike each node is to its neighbors.

    The local structure preserving loss of the `"Distilling Knowledge from
    Graph Convolutional Networks" <https://arxiv.org/abs/2003.10477>`_ paper,

    .. math::
        \mathcal{L} = \frac{1}{N} \sum_{v = 1}^{N} \sum_{u \in \mathcal{N}(v)}
        p^{\mathbf{T}}_{uv} \log \frac{p^{\mathbf{T}}_{uv}}
        {p^{\mathbf{S}}_{uv}} \quad \textrm{with} \quad
        p^{\mathbf{X}}_{uv} = \frac{\exp(k(\mathbf{x}_u, \mathbf{x}_v))}
        {\sum_{w \in \mathcal{N}(v)} \exp(k(\mathbf{x}_w, \mathbf{x}_v))},
        \quad \mathcal{N}(v) = \{ u : (u, v) \in \mathcal{E} \}

    with the kernels :math:`k` of the `"On Representation Knowledge
    Distillation for Graph Neural Networks" <https://arxiv.org/abs/2111.04964>`_
    paper. Logarithms are taken of the normalised scores, so that small
    probabilities are no matter. It has no parameters, and layers may differ in
    width.

    The edges are those between the rows that are compared, and are passed with
    them:

    .. code-block:: python

        loss = distiller.loss(task_loss, edge_index=data.edge_index)

    Args:
        teacher_channels (list[int]): The width of each of the teacher's
            layers, see :meth:`~pyg_distill.nn.LayerRecorder.channels`. Layers
            by node type are refused: neighbors of other types have features
            of other spaces.
        student_channels (list[int]): The width of each of the student's
            layers.
        kernel (str, optional): How alike two nodes are: by :obj:`"cosine"`, by
            its square (:obj:`"poly"`), by their distance (:obj:`"l2"`, which
            is *larger* for nodes that are less alike, as in both papers) or by
            :math:`\exp(-\frac{1}{2} \| \mathbf{x}_u - \mathbf{x}_v \|_2^2)`
            (:obj:`"rbf"`). The last two depend on the scale of the features.
            (default: :obj:`"cosine"`)
        reduction (str, optional): Divides by the number of nodes
            (:obj:`"node"`, as in the paper) or by that of edges
            (:obj:`"edge"`, as the `code
            <https://github.com/chaitjo/efficient-gnns>`_ of the later paper
            does, whose weight is 100: smaller by the mean degree).
            (default: :obj:`"node"`)
        divergence (str, optional): Whether the divergence is an expectation
            over the :obj:`"teacher"`, as above and in the code of both papers,
            or over the :obj:`"student"`, as the formula is printed in the
            first. (default: :obj:`"teacher"`)
        teacher_layer (int, optional): The position of the teacher's layer, see
            :class:`FitNetLoss`. (default: :obj:`-1`)
        student_layer (int, optional): The position of the student's layer.
            (default: :obj:`-1`)

    Raises:
        ValueError: If an option is unknown, layers are not those that were
            declared, differ in their rows, require gradients on the teacher's
            side or are dictionaries, or edges are missing or do not fit.

    Shapes:
        - **input:** lists of matrices :math:`(N, F_i)` and :math:`(N, F_j)`,
          edges :math:`(2, E)`
        - **output:** a scalar
    """

    needs_edge_index = True
    needs_edges = True

    def __init__(
        self,
        teacher_channels: Channels,
        student_channels: Channels,
        kernel: str = 'cosine',
        reduction: str = 'node',
        divergence: str = 'teacher',
        *,
        teacher_layer: int = -1,
        student_layer: int = -1,
    ) -> None:
        super().__init__(
            teacher_channels, student_channels, teacher_layer, student_layer
        )
        if self._typed:
            raise ValueError(
                f"'teacher_channels' must be widths of one node type for "
                f'LSPLoss, neighbors of other types have features of other '
                f'spaces (got {", ".join(self.node_types)}); use GSPLoss or '
                f'GCRDLoss, which compare each type'
            )
        check_choice('kernel', kernel, KERNELS)
        check_choice('reduction', reduction, ('node', 'edge'))
        check_choice('divergence', divergence, ('teacher', 'student'))
        self.kernel = kernel
        self.reduction = reduction
        self.divergence = divergence

    @classmethod
    def paper(
        cls: type[Self],
        teacher_channels: Channels,
        student_channels: Channels,
        **kwargs: Any,
    ) -> Self:
        r"""The form that is printed in the paper, with the kernel it prefers.

        .. math::
            \mathcal{L} = \frac{1}{N} \sum_{v = 1}^{N}
            \sum_{u \in \mathcal{N}(v)} p^{\mathbf{S}}_{uv} \log
            \frac{p^{\mathbf{S}}_{uv}}{p^{\mathbf{T}}_{uv}},
            \quad k(\mathbf{x}, \mathbf{y}) = \exp \left( -\frac{1}{2}
            \| \mathbf{x} - \mathbf{y} \|_2^2 \right)

        The variance of the kernel is 1 here, as it is not reported.

        Args:
            teacher_channels (list[int]): See :class:`LSPLoss`.
            student_channels (list[int]): See :class:`LSPLoss`.
            **kwargs (optional): Any other option of :class:`LSPLoss`.
        """
        options: dict[str, Any] = {'kernel': 'rbf', 'divergence': 'student'}
        return cls(teacher_channels, student_channels, **(options | kwargs))

    def forward(
        self,
        teacher: Layers | TeacherTarget | dict[str, TeacherTarget],
        student: Layers,
        batch: Tensor | Mapping[str, Tensor] | None = None,
        size: int | None = None,
        edge_index: Any = None,
    ) -> Tensor:
        """Compares the teacher's with the student's layer.

        Args:
            teacher (list[torch.Tensor]): The teacher's layers, without
                gradient, or what :meth:`prepare` made of them.
            student (list[torch.Tensor]): The student's layers.
            batch (torch.Tensor, optional): Not used: edges join nodes of one
                graph. (default: :obj:`None`)
            size (int, optional): Not used. (default: :obj:`None`)
            edge_index (torch.Tensor or SparseTensor): The edges between the
                rows, or a sparse matrix of them, which is read as transposed,
                :obj:`adj_t`, as by PyG's convolutions.
        """
        ((_, _, x, y),) = self._pairs(teacher, student)
        source, target = as_edge_index(edge_index, y.size(0))
        with torch.autocast(y.device.type, enabled=False):
            taught, learned = (
                _log_softmax(
                    of_edges(z, source, target, self.kernel), target, z.size(0)
                )
                for z in (x, y)
            )
            if self.divergence == 'teacher':
                total = (taught.exp() * (taught - learned)).sum()
            else:
                total = (learned.exp() * (learned - taught)).sum()
        count = y.size(0) if self.reduction == 'node' else source.numel()
        return total / max(count, 1)

    def _options(self) -> list[str]:
        return ['kernel', 'reduction', 'divergence']


def _log_softmax(score: Tensor, index: Tensor, size: int) -> Tensor:
    """The logarithm of the softmax over the entries of each index."""
    top = scatter(score.detach(), index, dim_size=size, reduce='max')
    score = score - top[index]
    total = scatter(score.exp(), index, dim_size=size, reduce='sum')
    # Taken where there are entries only: nodes without any have a sum of 0.
    return score - total[index].log()
