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
    root_index_batch: Tensor | None = None,
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
            the roots), of shape :obj:`[N]`; not read if
            :obj:`root_index_batch` is given.
        root_index (torch.Tensor, optional): The nodes that are roots, of
            shape :obj:`[R]`. (default: :obj:`None`)
        root_count (torch.Tensor, optional): How many nodes each root stands
            for, of shape :obj:`[R]`; without, one each.
            (default: :obj:`None`)
        size (int, optional): The number of graphs :math:`B`, calculated if
            not given. (default: :obj:`None`)
        reduce (str, optional): :obj:`"sum"`, :obj:`"mean"`, :obj:`"max"` or
            :obj:`"min"`. (default: :obj:`"sum"`)
        root_index_batch (torch.Tensor, optional): The graph of each root, of
            shape :obj:`[R]`, where nodes have none: roots of mini-batches of
            :class:`~pyg_distill.loader.TreeSetLoader` repeat in
            :obj:`root_index`, once for each graph that holds them.
            (default: :obj:`None`)

    Returns:
        torch.Tensor: Graph embeddings of shape :obj:`[B, F]`.

    Raises:
        ValueError: If :obj:`reduce` is unknown, or :obj:`batch`,
            :obj:`root_count` or :obj:`root_index_batch` do not fit.
    """
    if reduce not in _REDUCE:
        raise ValueError(
            f"'reduce' must be one of {', '.join(_REDUCE)} (got {reduce!r}); "
            f"for any other readout use 'RootAggregation'"
        )
    reduce = 'sum' if reduce == 'add' else reduce
    check_root_batch(root_index, root_index_batch, batch, size)
    if batch is None and root_index_batch is None:
        batch = torch.zeros(x.size(0), dtype=torch.long, device=x.device)
        size = 1 if size is None else size
    if batch is not None and batch.size(0) != x.size(0):
        raise ValueError(
            f"'batch' must hold the graph of each of the {x.size(0)} nodes "
            f'(got {batch.size(0)} entries); pass data.batch as it is, roots '
            f'are looked up in it'
        )
    if size is None:
        size = max(num_groups(batch), num_groups(root_index_batch))
    if root_index is None:
        return scatter(x, batch, dim=0, dim_size=size, reduce=reduce)

    if root_index_batch is not None:
        batch = root_index_batch
    elif batch is not None:
        batch = batch[root_index]
    x = x[root_index]
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


def num_groups(index: Tensor | None) -> int:
    """The number of groups, if the last one is not empty."""
    if index is None or index.numel() == 0:
        return 0
    return int(index.max()) + 1


def check_root_batch(
    root_index: Tensor | None,
    root_index_batch: Tensor | None,
    batch: Tensor | None,
    size: int | None,
) -> None:
    """Refuses roots of which it is not known to which graph they belong."""
    if root_index_batch is not None:
        got = None if root_index is None else list(root_index.size())
        if got != list(root_index_batch.size()):
            raise ValueError(
                f"'root_index_batch' must have one entry a root (got "
                f'{list(root_index_batch.size())} for root_index of {got}); '
                f'pass data.root_index with data.root_index_batch'
            )
    elif root_index is not None and batch is None and size not in (None, 1):
        # All roots would be pooled into the first graph.
        raise ValueError(
            f'roots of {size} graphs need the graph of each (got neither '
            f"'batch' nor 'root_index_batch'); pass "
            f"root_index_batch=data.get('root_index_batch')"
        )


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
