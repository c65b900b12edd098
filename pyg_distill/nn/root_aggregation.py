"""Readout over the roots of tree sets, around any PyG aggregation."""

from typing import Any, overload

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.nn import (
    Aggregation,
    MaxAggregation,
    MeanAggregation,
    MinAggregation,
    SumAggregation,
)
from torch_geometric.nn.resolver import aggregation_resolver

from pyg_distill.nn.pool import Reduce, Roots

_REDUCE: dict[type, Reduce] = {
    SumAggregation: 'sum',
    MeanAggregation: 'mean',
    MaxAggregation: 'max',
    MinAggregation: 'min',
}


class RootAggregation(Aggregation):
    r"""Applies an aggregation to the roots of computation trees.

    Sum and mean are weighted by :obj:`root_count`, and maximum and minimum
    ignore it. Every other aggregation gets each root as often as it counts,
    which is exact if it does not depend on the order of its input. Without
    roots, it is the wrapped aggregation itself.

    .. code-block:: python

        readout = RootAggregation('median')
        out = readout(x, data)

    Compiled code passes tensors instead of the mini-batch, see
    :meth:`forward`.

    Args:
        aggr (Aggregation or str or list): The aggregation, as an object or as
            PyG's resolver names it.
        aggr_kwargs (dict, optional): Arguments of the aggregation if it is
            given by name. (default: :obj:`None`)

    Shapes:
        - **input:** node embeddings :math:`(|\mathcal{V}|, F_{in})`,
          graph of each node :math:`(|\mathcal{V}|)`,
          roots and their counts :math:`(|\mathcal{R}|)`,
        - **output:** graph embeddings :math:`(|\mathcal{G}|, F_{out})`
    """

    def __init__(
        self,
        aggr: Aggregation | str | list[str],
        aggr_kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.aggr = aggregation_resolver(aggr, **(aggr_kwargs or {}))

    def reset_parameters(self) -> None:  # noqa: D102
        self.aggr.reset_parameters()

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Runs the forward pass; the wrapped aggregation checks its input."""
        return torch.nn.Module.__call__(self, x, *args, **kwargs)

    @overload
    def forward(self, x: Tensor, index: Data, **kwargs: Any) -> Tensor: ...

    @overload
    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = -2,
        **kwargs: Any,
    ) -> Tensor: ...

    def forward(
        self,
        x: Tensor,
        index: Data | Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = -2,
        *,
        root_index: Tensor | None = None,
        root_count: Tensor | None = None,
        root_index_batch: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Forward pass.

        Args:
            x (torch.Tensor): Node embeddings of shape :obj:`[N, F]`.
            index (torch_geometric.data.Data or torch.Tensor, optional): The
                graph or mini-batch that :obj:`x` was computed from, which
                holds all that follows; or the graph of each node, of shape
                :obj:`[N]`. (default: :obj:`None`)
            ptr (torch.Tensor, optional): Where the nodes of each graph begin,
                instead of :obj:`index`. (default: :obj:`None`)
            dim_size (int, optional): The number of graphs.
                (default: :obj:`None`)
            dim (int, optional): The dimension of the nodes.
                (default: :obj:`-2`)
            root_index (torch.Tensor, optional): The nodes that are roots, of
                shape :obj:`[R]`. (default: :obj:`None`)
            root_count (torch.Tensor, optional): How many nodes each root
                stands for, of shape :obj:`[R]`. (default: :obj:`None`)
            root_index_batch (torch.Tensor, optional): The graph of each root,
                of shape :obj:`[R]`, instead of :obj:`index`.
                (default: :obj:`None`)
            **kwargs (optional): Arguments of the wrapped aggregation.

        Returns:
            torch.Tensor: Graph embeddings of shape :obj:`[B, F_out]`.

        Raises:
            ValueError: If roots, their counts and their graphs do not fit, or
                :obj:`x` is no matrix.
            TypeError: If :obj:`index` is of another type.
        """
        if index is None or isinstance(index, Tensor):
            batch = index
            if root_index is not None and index is None and ptr is not None:
                batch = torch.repeat_interleave(ptr.diff())
                dim_size = ptr.numel() - 1
            given = root_index, root_count, root_index_batch, dim_size
            roots = Roots(batch, *given)
        else:
            roots = Roots.read(index, x.size(0))
            index, dim_size = roots.batch, roots.size
        roots.check()
        if roots.root_index is None:
            return self.aggr(x, index, ptr, dim_size, dim, **kwargs)
        if x.dim() != 2 or dim not in (-2, 0):
            raise ValueError(
                f"'RootAggregation' pools the rows of a matrix (got "
                f'{x.dim()} dimensions and dim={dim}); flatten x'
            )
        reduce = _REDUCE.get(type(self.aggr))
        if reduce is not None:
            return roots.pool(x, reduce)
        root_index, batch = roots.repeat()
        if batch is None:
            batch = torch.zeros_like(root_index)
        # Some aggregations need their input sorted by graph.
        order = torch.argsort(batch, stable=True)
        return self.aggr(
            x.index_select(0, root_index[order]),
            batch[order],
            dim_size=roots.num_graphs(),
            dim=dim,
            **kwargs,
        )

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}({self.aggr})'
