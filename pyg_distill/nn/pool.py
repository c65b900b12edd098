"""Readout over the roots of tree sets, as a function."""

import torch
from torch import Tensor
from torch_geometric.utils import scatter

_REDUCE = ('sum', 'add', 'mean', 'max', 'min')


def global_root_pool(
    x: Tensor,
    batch: Tensor | None,
    root_index: Tensor | None = None,
    root_count: Tensor | None = None,
    size: int | None = None,
    reduce: str = 'sum',
) -> Tensor:
    r"""Pools the roots of each graph's computation trees.

    For a graph in tree-set form with roots :math:`\mathcal{R}_i` that stand
    for :math:`c_r` nodes each, its output is

    .. math::
        \mathbf{r}_i = \sum_{r \in \mathcal{R}_i} c_r \mathbf{x}_r

    (:obj:`reduce="sum"`), this divided by :math:`\sum_r c_r`
    (:obj:`"mean"`), or the element-wise extremum (:obj:`"max"`,
    :obj:`"min"`), to which the counts do not matter. If trees are as deep as
    the model that computed :obj:`x`, this is the readout of the graph they
    come from (Mirage, Section 3.1).

    Without :obj:`root_index` all nodes are pooled as by
    :meth:`~torch_geometric.nn.pool.global_add_pool`,
    :meth:`~torch_geometric.nn.pool.global_mean_pool` and
    :meth:`~torch_geometric.nn.pool.global_max_pool`, so that one model trains
    on tree sets and is evaluated on graphs.

    Args:
        x (torch.Tensor): Node embeddings of shape :obj:`[N, F]`.
        batch (torch.Tensor, optional): The graph of each *node* (not only of
            the roots), of shape :obj:`[N]`.
        root_index (torch.Tensor, optional): The nodes that are roots, of
            shape :obj:`[R]`. (default: :obj:`None`)
        root_count (torch.Tensor, optional): How many nodes each root stands
            for, of shape :obj:`[R]`; without, one each.
            (default: :obj:`None`)
        size (int, optional): The number of graphs :math:`B`, calculated if
            not given. (default: :obj:`None`)
        reduce (str, optional): :obj:`"sum"`, :obj:`"mean"`, :obj:`"max"` or
            :obj:`"min"`. (default: :obj:`"sum"`)

    Returns:
        torch.Tensor: Graph embeddings of shape :obj:`[B, F]`.

    Raises:
        ValueError: If :obj:`reduce` is unknown, or :obj:`batch` or
            :obj:`root_count` do not fit.
    """
    if reduce not in _REDUCE:
        raise ValueError(
            f"'reduce' must be one of {', '.join(_REDUCE)} (got {reduce!r}); "
            f"for any other readout use 'RootAggregation'"
        )
    reduce = 'sum' if reduce == 'add' else reduce
    if batch is None:
        batch = torch.zeros(x.size(0), dtype=torch.long, device=x.device)
        size = 1 if size is None else size
    elif batch.size(0) != x.size(0):
        raise ValueError(
            f"'batch' must hold the graph of each of the {x.size(0)} nodes "
            f'(got {batch.size(0)} entries); pass data.batch as it is, roots '
            f'are looked up in it'
        )
    if size is None:
        size = int(batch.max()) + 1 if batch.numel() > 0 else 0
    if root_index is None:
        return scatter(x, batch, dim=0, dim_size=size, reduce=reduce)

    x, batch = x[root_index], batch[root_index]
    if root_count is not None:
        check_root_count(root_index, root_count)
    if root_count is None or reduce in ('max', 'min'):
        return scatter(x, batch, dim=0, dim_size=size, reduce=reduce)
    # Sums of many halves would pass their range before they are divided.
    wide = x.float() if x.dtype in (torch.half, torch.bfloat16) else x
    weight = root_count.to(wide.dtype)
    out = scatter(wide * _column(weight, wide), batch, 0, size, reduce='sum')
    if reduce == 'mean':
        total = scatter(weight, batch, 0, size, reduce='sum')
        out = out / _column(total.clamp(min=1), out)
    return out.to(x.dtype)


def check_root_count(root_index: Tensor, root_count: Tensor) -> None:
    """Refuses counts that do not belong to the roots."""
    if root_count.size() != root_index.size():
        raise ValueError(
            f"'root_count' must have one entry a root (got "
            f'{list(root_count.size())} for {root_index.numel()} roots); pass '
            f'data.root_count with data.root_index'
        )
    if root_count.is_floating_point():
        raise ValueError(
            f"'root_count' must hold whole numbers (got {root_count.dtype}); "
            f'pass root_count.long()'
        )


def _column(value: Tensor, like: Tensor) -> Tensor:
    return value.view(-1, *[1] * (like.dim() - 1))
