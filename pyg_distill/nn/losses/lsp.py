"""Local structure: how alike each node is to its neighbors."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch_geometric.utils import is_sparse, scatter, to_edge_index

from pyg_distill.nn.losses.base import LayerPairLoss
from pyg_distill.nn.losses.checks import Channels, check_choice
from pyg_distill.nn.losses.functional import Kernel, describe, edge_similarity

Reduction = Literal['node', 'edge']
Divergence = Literal['teacher', 'student']


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

    :meth:`LSPLoss.paper` is the form that is printed in the first paper, with
    the kernel it prefers: :obj:`kernel="rbf"`, whose variance is 1 here as it
    is not reported, and :obj:`divergence="student"`.

    Args:
        teacher_channels (list[int]): The width of each of the teacher's
            layers. Layers by node type are refused, because features of
            different types are not comparable.
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
        ValueError: If an option is unknown, or layers are dictionaries.

    Shapes:
        - **input:** lists of matrices :math:`(N, F_i)` and :math:`(N, F_j)`,
          edges :math:`(2, E)`
        - **output:** a scalar
    """

    needs_edges = True
    _paper: ClassVar[dict[str, Any]] = {
        'kernel': 'rbf',
        'divergence': 'student',
    }

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
                f'LSPLoss (got {", ".join(self.node_types)}); use GSPLoss'
            )
        check_choice('kernel', kernel, Kernel)
        check_choice('reduction', reduction, Reduction)
        check_choice('divergence', divergence, Divergence)
        self.kernel = kernel
        self.reduction = reduction
        self.divergence = divergence

    def _loss(
        self, k: int, teacher: Tensor, student: Tensor, **context: Any
    ) -> Tensor:
        size = student.size(0)
        source, target = edge_ends(context['edge_index'], size)
        log_p, log_q = (
            _log_softmax(
                edge_similarity(x, source, target, self.kernel), target, size
            )
            for x in (teacher, student)
        )
        if self.divergence == 'student':
            log_p, log_q = log_q, log_p
        total = (log_p.exp() * (log_p - log_q)).sum()
        count = size if self.reduction == 'node' else source.numel()
        return total / max(count, 1)


def edge_ends(edge_index: Any, num_nodes: int) -> tuple[Tensor, Tensor]:
    """The source and the target of each edge, a sparse matrix transposed."""
    size = [num_nodes, num_nodes]
    if edge_index is not None and is_sparse(edge_index):
        if [edge_index.size(0), edge_index.size(1)] == size:
            (target, source), _ = to_edge_index(edge_index)
            return source, target
    elif (
        isinstance(edge_index, Tensor)
        and edge_index.size()[:-1] == (2,)
        and edge_index.dtype in (torch.long, torch.int)
    ):
        # Compiled code cannot raise from what a tensor holds.
        if not torch.compiler.is_compiling() and edge_index.numel() > 0:
            low, high = (int(x) for x in edge_index.aminmax())
            if low < 0 or high >= num_nodes:
                raise ValueError(
                    f"'edge_index' must hold rows from 0 to {num_nodes - 1} "
                    f'(got {low} to {high}); pass the edges of the same graph'
                )
        source, target = edge_index.long()
        return source, target
    raise ValueError(
        f"'edge_index' must be edges of shape [2, E], or a sparse matrix of "
        f'shape {size} (got {describe(edge_index)}); pass '
        f'distiller.loss(task_loss, edge_index=data.edge_index)'
    )


def _log_softmax(score: Tensor, index: Tensor, size: int) -> Tensor:
    """The logarithm of the softmax over the scores of each index."""
    top = scatter(score.detach(), index, dim_size=size, reduce='max')
    score = score - top[index]
    total = scatter(score.exp(), index, dim_size=size, reduce='sum')
    # Gathered first: the sum is 0 for an index without scores.
    return score - total[index].log()
