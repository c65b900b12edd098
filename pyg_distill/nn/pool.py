"""Readout over the roots of tree sets, as a function."""

from typing import Any, Literal, NamedTuple, TypeAlias, get_args, overload

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import scatter

Reduce: TypeAlias = Literal['sum', 'add', 'mean', 'max', 'min']


@overload
def global_root_pool(
    x: Tensor, data: Data, /, reduce: Reduce = 'sum'
) -> Tensor: ...


@overload
def global_root_pool(
    x: Tensor,
    batch: Tensor | None,
    /,
    reduce: Reduce = 'sum',
    *,
    root_index: Tensor | None = None,
    root_count: Tensor | None = None,
    root_index_batch: Tensor | None = None,
    size: int | None = None,
) -> Tensor: ...


def global_root_pool(
    x: Tensor,
    data: Data | Tensor | None,
    reduce: Reduce = 'sum',
    *,
    root_index: Tensor | None = None,
    root_count: Tensor | None = None,
    root_index_batch: Tensor | None = None,
    size: int | None = None,
) -> Tensor:
    r"""Pools the roots of each graph's computation trees.

    A graph in tree-set form has roots :math:`\mathcal{R}_i`, and each root
    :math:`r` stands for :math:`c_r` nodes. Its output is

    .. math::
        \mathbf{r}_i = \sum_{r \in \mathcal{R}_i} c_r \mathbf{x}_r

    (:obj:`reduce="sum"`), this divided by :math:`\sum_r c_r`
    (:obj:`"mean"`), or the element-wise extremum (:obj:`"max"`,
    :obj:`"min"`), which ignores the counts. If the trees are as deep as the
    model that computed :obj:`x`, this is the readout of the graph that the
    trees come from (Mirage, Section 3.1).

    Ordinary graphs have no roots. Then all nodes are pooled as by
    :meth:`~torch_geometric.nn.pool.global_add_pool`,
    :meth:`~torch_geometric.nn.pool.global_mean_pool` and
    :meth:`~torch_geometric.nn.pool.global_max_pool`, so one model trains on
    tree sets and is evaluated on graphs.

    .. code-block:: python

        out = global_root_pool(x, data)
        # The same, in tensors:
        out = global_root_pool(
            x,
            data.get('batch'),
            root_index=data.get('root_index'),
            root_count=data.get('root_count'),
            root_index_batch=data.get('root_index_batch'),
            size=data.num_graphs,
        )

    Args:
        x (torch.Tensor): Node embeddings of shape :obj:`[N, F]`.
        data (torch_geometric.data.Data or torch.Tensor, optional): The graph
            or mini-batch that :obj:`x` was computed from: a
            :class:`~torch_geometric.data.Data`,
            :class:`~torch_geometric.data.Batch` or
            :class:`~pyg_distill.loader.TreeSetBatch`, with or without roots.
            All further tensors are read from it. Otherwise, the graph of each
            *node* (not of each root), of shape :obj:`[N]`; :obj:`None` means
            a single graph, or is allowed because of :obj:`root_index_batch`.
        reduce (str, optional): :obj:`"sum"` (or :obj:`"add"`),
            :obj:`"mean"`, :obj:`"max"` or :obj:`"min"`.
            (default: :obj:`"sum"`)
        root_index (torch.Tensor, optional): The nodes that are roots, of
            shape :obj:`[R]`. (default: :obj:`None`)
        root_count (torch.Tensor, optional): How many nodes each root stands
            for, of shape :obj:`[R]`. By default, one each.
            (default: :obj:`None`)
        root_index_batch (torch.Tensor, optional): The graph of each root, of
            shape :obj:`[R]`. Mini-batches of
            :class:`~pyg_distill.loader.TreeSetLoader` need it: their nodes
            belong to no single graph, and :obj:`root_index` repeats a root
            for each graph that holds it. (default: :obj:`None`)
        size (int, optional): The number of graphs :math:`B`, calculated if
            not given. (default: :obj:`None`)

    Returns:
        torch.Tensor: Graph embeddings of shape :obj:`[B, F]`.

    Raises:
        ValueError: If :obj:`reduce` is unknown, or :obj:`data`,
            :obj:`root_count` or :obj:`root_index_batch` do not fit.
        TypeError: If :obj:`data` is of another type.
    """
    if reduce not in get_args(Reduce):
        raise ValueError(
            f"'reduce' must be one of {', '.join(get_args(Reduce))} (got "
            f"{reduce!r}); try 'RootAggregation'"
        )
    if data is None or isinstance(data, Tensor):
        roots = Roots(data, root_index, root_count, root_index_batch, size)
    else:
        given = (root_index, root_count, root_index_batch, size)
        if any(value is not None for value in given):
            raise ValueError(
                f"roots and 'size' are read from the mini-batch (got "
                f"'{type(data).__name__}' and some of them); leave them out"
            )
        roots = Roots.read(data, x.size(0))
    roots.check()
    return roots.pool(x, reduce)


class Roots(NamedTuple):
    """The graph of each node and the roots of a mini-batch."""

    batch: Tensor | None
    root_index: Tensor | None
    root_count: Tensor | None
    root_index_batch: Tensor | None
    size: int | None

    @classmethod
    def read(cls, data: Any, num_rows: int | None = None) -> 'Roots':
        """Reads a mini-batch, with as many nodes as there are rows."""
        if not isinstance(data, Data):
            raise TypeError(
                f"'data' must be a 'Data', 'Batch', 'TreeSetBatch', tensor or "
                f"None (got '{type(data).__name__}'); pass the mini-batch"
            )
        batch, index, count, index_batch = map(data.get, cls._fields[:4])
        # PyG's `num_nodes` may count edges, and does not compile.
        nodes = data.get('x') if batch is None else batch
        num_nodes = data.get('num_nodes') if nodes is None else nodes.size(0)
        if None not in (num_rows, num_nodes) and num_rows != num_nodes:
            raise ValueError(
                f"'x' must have a row for each of the {num_nodes} nodes (got "
                f'{num_rows}); pass the mini-batch that x was computed from'
            )
        alone = batch is None and index_batch is None
        size = getattr(data, 'num_graphs', 1 if alone else None)
        return cls(batch, index, count, index_batch, size)

    def check(self) -> None:
        """Refuses roots without a graph, and counts that do not fit."""
        batch, index, count, index_batch, size = self
        shape = None if index is None else list(index.size())
        if index_batch is not None and shape != list(index_batch.size()):
            raise ValueError(
                f"'root_index_batch' must have one entry a root (got "
                f'{list(index_batch.size())} for root_index of {shape}); pass '
                f'both of data'
            )
        if index is None:
            return
        if batch is None and index_batch is None and size not in (None, 1):
            # All roots would be pooled into the first graph.
            raise ValueError(
                f'roots of {size} graphs need the graph of each (got neither '
                f"'batch' nor 'root_index_batch'); pass one of them"
            )
        if count is not None and count.size() != index.size():
            raise ValueError(
                f"'root_count' must have one entry a root (got "
                f'{list(count.size())} for {index.numel()} roots); pass '
                f'data.root_count with data.root_index'
            )
        if count is not None and count.is_floating_point():
            raise ValueError(
                f"'root_count' must hold whole numbers (got {count.dtype}); "
                f'pass root_count.long()'
            )

    def pool(self, x: Tensor, reduce: Reduce) -> Tensor:
        """Pools the roots of each graph, or its nodes if there are none."""
        size = self.num_graphs()
        batch, root_index, root_count, root_batch, _ = self
        if batch is not None and batch.size(0) != x.size(0):
            raise ValueError(
                f"'batch' must have an entry for each of the {x.size(0)} nodes "
                f'(got {batch.size(0)}); pass data.batch'
            )
        if batch is None and root_batch is None:
            batch = x.new_zeros(x.size(0), dtype=torch.long)
        reduce = 'sum' if reduce == 'add' else reduce
        if root_index is None:
            return scatter(x, batch, dim=0, dim_size=size, reduce=reduce)

        # Sums of many halves would pass their range before they are divided.
        half = x.dtype in (torch.half, torch.bfloat16)
        dtype = torch.float if half else x.dtype
        weight = x.new_ones(root_index.numel(), dtype=dtype)
        weight = weight if root_count is None else root_count.to(dtype)
        weighted = reduce in ('sum', 'mean')
        many = 2 * root_index.numel() > x.size(0)
        if weighted and many and root_batch is None and batch is not None:
            # To weigh all nodes is cheaper than to select most of them.
            weight = weight.new_zeros(x.size(0)).index_add_(
                0, root_index, weight
            )
        else:
            if root_batch is None and batch is not None:
                root_batch = batch.index_select(0, root_index)
            # Several times faster than `x[root_index]`, forward and backward.
            batch, x = root_batch, x.index_select(0, root_index)
        if not weighted:
            return scatter(x, batch, dim=0, dim_size=size, reduce=reduce)
        assert batch is not None
        column = [-1] + [1] * (x.dim() - 1)
        out = weight.new_zeros(size, *x.size()[1:])
        out = out.index_add_(0, batch, x * weight.view(column))
        if reduce == 'mean':
            total = weight.new_zeros(size).index_add_(0, batch, weight)
            out = out / total.clamp(min=1).view(column)
        return out.to(x.dtype)

    def num_graphs(self) -> int:
        """The number of graphs, calculated if it is not known."""
        if self.size is not None:
            return self.size
        known = [
            g for g in (self.batch, self.root_index_batch) if g is not None
        ]
        size = 0 if known else 1
        for group in known:
            if group.numel() > 0:
                size = max(size, int(group.max()) + 1)
        return size

    def repeat(self) -> tuple[Tensor, Tensor | None]:
        """Each root, and its graph, as often as it counts."""
        index, batch = self.root_index, self.root_index_batch
        assert index is not None
        if batch is None and self.batch is not None:
            batch = self.batch.index_select(0, index)
        if self.root_count is not None:
            index = index.repeat_interleave(self.root_count)
            if batch is not None:
                batch = batch.repeat_interleave(self.root_count)
        return index, batch
