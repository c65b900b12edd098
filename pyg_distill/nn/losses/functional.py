r"""Plain functions that the losses are made of."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.utils import scatter

Kernel = Literal['cosine', 'poly', 'l2', 'rbf']

# A row counts as short beside others, or beside the mean that centring took
# away, if its squared length is below these shares of theirs.
FLOOR_OF_ROWS = 1e-6
FLOOR_OF_MEAN = 1e-8


def normalize_rows(
    x: Tensor, *, center: bool = False, normalize: bool = True
) -> Tensor:
    """Centers the rows of layers :obj:`[..., N, F]`, and makes them units."""
    mean = None
    if normalize:
        x = x * inverse_of_largest(x)
    if center:
        mean = x.mean(dim=-2, keepdim=True)
        x = x - mean
    if not normalize:
        return x
    return x * inverse_lengths(x.square().sum(dim=-1), mean).unsqueeze(-1)


def inverse_of_largest(x: Tensor) -> Tensor:
    """One over the largest entry of each layer, of shape :obj:`[..., 1, 1]`.

    It brings squares into range where the scale has no effect, and is 0 for a
    layer of zeros or of numbers whose inverse is infinite.
    """
    largest = x.detach().abs().amax(dim=(-2, -1), keepdim=True)
    vanished = largest < torch.finfo(x.dtype).tiny
    return torch.where(vanished, 0.0, largest.reciprocal())


def inverse_lengths(square: Tensor, mean: Tensor | None = None) -> Tensor:
    r"""The factors that scale rows to length 1.

    Short rows are not scaled up all the way, because gradients grow with the
    factor: rows that are short beside the others, and the rounding noise that
    centering leaves of a constant layer. Rows of zeros get the factor 0.
    Squared lengths have shape :obj:`[..., N]`, and the mean row that was
    subtracted :obj:`[..., 1, F]`.
    """
    square = square + FLOOR_OF_ROWS * square.mean(dim=-1, keepdim=True)
    if mean is not None:
        square = square + FLOOR_OF_MEAN * mean.square().sum(dim=-1)
    zero = square == 0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, square).rsqrt())


def layer_distances(
    teacher: Tensor, student: Tensor, *, normalized: bool = True
) -> Tensor:
    r"""The mean squared distance of rows, for all pairs of layers.

    .. math::
        D_{ij} = \frac{1}{N} \sum_{v = 1}^{N}
        \| \mathbf{t}_{iv} - \mathbf{s}_{jv} \|_2^2

    The square is expanded if rows have length 1, because it does not cancel.
    """
    num_rows = teacher.size(1)
    if num_rows == 1:
        gap = teacher.unsqueeze(1) - student
        return gap.square().sum(dim=(-2, -1))
    if not normalized:
        # One teacher layer at a time, to limit memory.
        rows = [(student - x).square().sum(dim=(1, 2)) for x in teacher]
        return torch.stack(rows) / num_rows
    product = teacher.flatten(1) @ student.flatten(1).t()
    out = teacher.square().sum(dim=(1, 2)).unsqueeze(1) - 2.0 * product
    return (out + student.square().sum(dim=(1, 2))) / num_rows


def node_groups(
    num_nodes: int, num_groups: int, device: torch.device | None = None
) -> Tensor:
    """The group of each node: groups of equal size, the same in every call.

    Nodes are scrambled first, because their order may carry meaning.
    """
    node = torch.arange(num_nodes, device=device)
    key = (node * 0x9E3779B1) & 0xFFFFFFFF
    key = ((key ^ (key >> 15)) * 0x85EBCA6B) & 0xFFFFFFFF
    key = key ^ (key >> 13)
    # Stable, so that the order of equal keys is defined.
    order = torch.argsort(key, stable=True)
    return torch.empty_like(node).scatter_(0, order, node % num_groups)


def present_graphs(
    batch: Any, size: int | None, num_rows: int
) -> tuple[Tensor, int | None]:
    """Numbers the graphs that have nodes, and counts them.

    A graph without nodes of a type is not compared as a row of zeros. Compiled
    code cannot leave it out, and raises.
    """
    fits = isinstance(batch, Tensor) and batch.size() == (num_rows,)
    if not fits or batch.dtype != torch.long:
        raise ValueError(
            f"'batch' must hold the graph of each of {num_rows} nodes (got "
            f'{describe(batch)}); pass data.batch'
        )
    if torch.compiler.is_compiling():
        if size is not None:
            count = scatter(torch.ones_like(batch), batch, dim_size=size)
            torch._assert_async(
                (count > 0).all(),
                "every graph in 'batch' must have nodes in compiled code",
            )
        return batch, size
    present = torch.bincount(batch, minlength=size or 0) > 0
    if bool(present.all()):
        return batch, size
    number = present.cumsum(0) - 1
    return number[batch], int(number[-1]) + 1


def sample_rows(
    num_rows: int, max_rows: int | None, device: torch.device
) -> Tensor | None:
    """Draws rows without replacement, or :obj:`None` to keep all of them."""
    if max_rows is None or num_rows <= max_rows:
        return None
    return torch.randperm(num_rows, device=device)[:max_rows]


def describe(value: Any) -> str:
    """What an error message says of a value."""
    if isinstance(value, Tensor):
        return f'{value.dtype} of shape {list(value.size())}'
    return f'{value!r}' if value is None else type(value).__name__


def contrastive_loss(teacher: Tensor, student: Tensor) -> Tensor:
    """Cross-entropy of finding one's own teacher row among all of them.

    Products of rows :obj:`[N, C]` and :obj:`[..., N, C]` are the logits.
    """
    score = student @ teacher.t()
    own = score.diagonal(dim1=-2, dim2=-1)
    return (score.logsumexp(dim=-1) - own).mean(dim=-1)


def softmax_kl(teacher: Tensor, student: Tensor) -> Tensor:
    r"""The mean over rows of :math:`\mathrm{KL}(p^T \| p^S)` of logits.

    A class that the teacher masks by minus infinity does not count.
    """
    log_p = teacher.log_softmax(dim=-1)
    p = log_p.exp()
    gap = torch.where(p == 0, 0.0, log_p - student.log_softmax(dim=-1))
    return (p * gap).sum(dim=-1).mean()


def bernoulli_kl(teacher: Tensor, student: Tensor) -> Tensor:
    """The mean divergence of binary tasks, one for each logit."""
    out = teacher.sigmoid() * (F.logsigmoid(teacher) - F.logsigmoid(student))
    out = out + (-teacher).sigmoid() * (
        F.logsigmoid(-teacher) - F.logsigmoid(-student)
    )
    return out.mean()


def pairwise_similarity(x: Tensor, kernel: Kernel) -> Tensor:
    """The similarity :obj:`[N, N]` of all pairs of rows :obj:`[N, F]`."""
    if kernel in ('cosine', 'poly'):
        x = normalize_rows(x)
        return _apply_kernel(x @ x.t(), kernel)
    # Expanded squares would cancel for rows that are alike.
    mode = 'donot_use_mm_for_euclid_dist'
    return _apply_kernel(torch.cdist(x, x, compute_mode=mode), kernel)


def edge_similarity(
    x: Tensor, source: Tensor, target: Tensor, kernel: Kernel
) -> Tensor:
    """The similarity :obj:`[E]` of the two ends of each edge."""
    is_cosine = kernel in ('cosine', 'poly')
    x = normalize_rows(x) if is_cosine else x
    a, b = x.index_select(0, source), x.index_select(0, target)
    if is_cosine:
        return _apply_kernel((a * b).sum(dim=-1), kernel)
    return _apply_kernel(torch.linalg.vector_norm(a - b, dim=-1), kernel)


def _apply_kernel(score: Tensor, kernel: Kernel) -> Tensor:
    """Turns a cosine or a distance into the similarity."""
    if kernel == 'poly':
        return score.square()
    return (-0.5 * score.square()).exp() if kernel == 'rbf' else score
