"""How alike two nodes are, by their features."""

import torch
from torch import Tensor

from pyg_distill.nn.losses.rows import normalize_rows

KERNELS = ('cosine', 'poly', 'l2', 'rbf')


def of_all_pairs(x: Tensor, kernel: str) -> Tensor:
    """The similarity :obj:`[N, N]` of all pairs of rows.

    Args:
        x (torch.Tensor): The rows, of shape :obj:`[N, F]`.
        kernel (str): ``'cosine'``, its square ``'poly'``, the distance
            ``'l2'``, or ``'rbf'`` of variance 1.
    """
    if kernel in ('cosine', 'poly'):
        x = normalize_rows(x, center=False, normalize=True)
        return _angular(x @ x.t(), kernel)
    # Without expanding squares, which would cancel for rows that are alike.
    exact = 'donot_use_mm_for_euclid_dist'
    return _radial(torch.cdist(x, x, compute_mode=exact), kernel)


def of_edges(x: Tensor, source: Tensor, target: Tensor, kernel: str) -> Tensor:
    """The similarity :obj:`[E]` of the two ends of each edge.

    Args:
        x (torch.Tensor): The rows, of shape :obj:`[N, F]`.
        source (torch.Tensor): The row of one end, of shape :obj:`[E]`.
        target (torch.Tensor): The row of the other, of shape :obj:`[E]`.
        kernel (str): See :meth:`of_all_pairs`.
    """
    if kernel in ('cosine', 'poly'):
        x = normalize_rows(x, center=False, normalize=True)
    a, b = x.index_select(0, source), x.index_select(0, target)
    if kernel in ('cosine', 'poly'):
        return _angular((a * b).sum(dim=-1), kernel)
    # Of which the gradient at equal rows is 0.
    return _radial(torch.linalg.vector_norm(a - b, dim=-1), kernel)


def _angular(cosine: Tensor, kernel: str) -> Tensor:
    return cosine.square() if kernel == 'poly' else cosine


def _radial(distance: Tensor, kernel: str) -> Tensor:
    if kernel == 'l2':
        return distance
    return (-0.5 * distance.square()).exp()
