"""Local structure: how alike each node is to its neighbors."""

from typing import Any, Literal, TypeVar

from torch import Tensor

from pyg_distill.nn.losses.base import LayerPairLoss
from pyg_distill.nn.losses.checks import Channels, check_choice
from pyg_distill.nn.losses.functional import (
    Kernel,
    edge_ends,
    edge_similarity,
    scatter_log_softmax,
)

Reduction = Literal['node', 'edge']
Divergence = Literal['teacher', 'student']
Self = TypeVar('Self', bound='LSPLoss')


class LSPLoss(LayerPairLoss):
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
    paper. It has no parameters, and layers may differ in width. The edges
    between the rows that are compared are passed with them:

    .. code-block:: python

        loss = distiller.loss(task_loss, edge_index=data.edge_index)

    Args:
        teacher_channels (list[int]): The width of each of the teacher's
            layers, see :meth:`~pyg_distill.nn.LayerRecorder.channels`. Layers
            by node type are refused, because features of different types are
            not comparable.
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
            does with a weight of 100). (default: :obj:`"node"`)
        divergence (str, optional): Whether the divergence is an expectation
            over the :obj:`"teacher"`, as in the code of both papers, or over
            the :obj:`"student"`, as printed in the first.
            (default: :obj:`"teacher"`)
        teacher_layer (int, optional): The position of the teacher's layer.
            (default: :obj:`-1`)
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

    needs_edges = True
    _options = ('kernel', 'reduction', 'divergence')

    def __init__(
        self,
        teacher_channels: Channels,
        student_channels: Channels,
        kernel: Kernel = 'cosine',
        *,
        reduction: Reduction = 'node',
        divergence: Divergence = 'teacher',
        teacher_layer: int = -1,
        student_layer: int = -1,
    ) -> None:
        super().__init__(
            teacher_channels,
            student_channels,
            teacher_layer=teacher_layer,
            student_layer=student_layer,
        )
        if self._typed:
            raise ValueError(
                f"'teacher_channels' must be widths of one node type for "
                f'LSPLoss (got {", ".join(self.node_types)}); use GSPLoss or '
                f'GCRDLoss, which compare each type'
            )
        check_choice('kernel', kernel, Kernel)
        check_choice('reduction', reduction, Reduction)
        check_choice('divergence', divergence, Divergence)
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

    def _loss(
        self, k: int, teacher: Tensor, student: Tensor, **context: Any
    ) -> Tensor:
        num_nodes = student.size(0)
        source, target = edge_ends(context['edge_index'], num_nodes)
        log_p, log_q = (
            scatter_log_softmax(
                edge_similarity(x, source, target, self.kernel),
                target,
                num_nodes,
            )
            for x in (teacher, student)
        )
        if self.divergence == 'student':
            log_p, log_q = log_q, log_p
        total = (log_p.exp() * (log_p - log_q)).sum()
        count = num_nodes if self.reduction == 'node' else source.numel()
        return total / max(count, 1)
