"""Edges in the forms in which PyG's layers take them."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.utils import is_sparse, to_edge_index


def as_edge_index(edge_index: Any, num_nodes: int) -> tuple[Tensor, Tensor]:
    """The source and the target of each edge, checked.

    Args:
        edge_index (torch.Tensor or SparseTensor): Edges of shape :obj:`[2,
            E]`, or a transposed sparse matrix of them.
        num_nodes (int): The number of nodes.
    """
    if edge_index is None:
        raise ValueError(
            "'edge_index' must be given (got None); pass the edges between "
            'the rows that are compared, distiller.loss(task_loss, '
            'edge_index=data.edge_index)'
        )
    if is_sparse(edge_index):
        size = [edge_index.size(0), edge_index.size(1)]
        if size != [num_nodes, num_nodes]:
            raise ValueError(
                f"'edge_index' must be a matrix of {num_nodes} x {num_nodes} "
                f'nodes, one for each row that is compared (got {size[0]} x '
                f'{size[1]}); pass the one of the same graph'
            )
        (target, source), _ = to_edge_index(edge_index)
        return source, target
    if (
        not isinstance(edge_index, Tensor)
        or edge_index.dim() != 2
        or edge_index.size(0) != 2
        or edge_index.dtype not in (torch.long, torch.int)
    ):
        got: Any = type(edge_index).__name__
        if isinstance(edge_index, Tensor):
            got = f'{edge_index.dtype} of shape {list(edge_index.size())}'
        raise ValueError(
            f"'edge_index' must hold the edges, of shape [2, E], or be a "
            f'sparse matrix of them (got {got}); pass data.edge_index or '
            f'data.adj_t'
        )
    source, target = edge_index.long()
    # Compiled code cannot raise from what a tensor holds.
    if not torch.compiler.is_compiling() and edge_index.numel() > 0:
        low, high = (int(x) for x in edge_index.aminmax())
        if low < 0 or high >= num_nodes:
            raise ValueError(
                f"'edge_index' must hold rows from 0 to {num_nodes - 1}, as "
                f'{num_nodes} nodes are compared (got {low} to {high}); pass '
                f'the edges of the same graph or mini-batch'
            )
    return source, target
