"""Which rows of the teacher and of the student are the same nodes."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pyg_distill.nn.distiller.by_type import only

BatchSize = int | Mapping[str, int]


def seed_rows(x: Any, batch_size: BatchSize | None) -> Any:
    """The first rows of a matrix, or of those of some node types."""
    if batch_size is None:
        return x
    if isinstance(x, Mapping):
        if not isinstance(batch_size, Mapping):
            example = {next(iter(x), 'paper'): batch_size}
            raise ValueError(
                f"'batch_size' must name the node type of the seed nodes where "
                f'layers are dictionaries (got {batch_size}); pass for example '
                f'{example}'
            )
        return {
            key: seed_rows(value, batch_size[key])
            for key, value in x.items()
            if key in batch_size
        }
    # A model of several node types may return a tensor for one of them.
    if isinstance(batch_size, Mapping) and len(batch_size) != 1:
        raise ValueError(
            f"'batch_size' must be a number, or name a single node type, where "
            f'outputs are tensors (got {dict(batch_size)}); pass '
            f'data.batch_size'
        )
    size = only(batch_size) if isinstance(batch_size, Mapping) else batch_size
    if not 0 <= size <= x.size(0):
        raise ValueError(
            f"'batch_size' must not exceed the rows of a layer (got "
            f'{size} for {x.size(0)} rows); pass data.batch_size of the '
            f'mini-batch that was just used'
        )
    return x[:size]


class RowIndex:
    """Finds the rows that belong to given nodes.

    Args:
        n_id (torch.Tensor, optional): The node of each row. Without, rows are
            all nodes in order.
        num_rows (int): The number of rows.
    """

    def __init__(self, n_id: Tensor | None, num_rows: int) -> None:
        self.num_rows = num_rows
        self.row: Tensor | None = None
        if n_id is not None:
            num_nodes = int(n_id.max()) + 1 if n_id.numel() > 0 else 0
            self.row = n_id.new_full((num_nodes,), -1)
            self.row[n_id] = torch.arange(num_rows, device=n_id.device)

    def __call__(self, n_id: Tensor) -> Tensor:
        """The row of each node."""
        if not isinstance(n_id, Tensor) or n_id.dtype != torch.long:
            got = getattr(n_id, 'dtype', type(n_id).__name__)
            raise TypeError(
                f"'n_id' must be a tensor of node indices (got {got}); pass "
                f'data.n_id of a mini-batch'
            )
        limit = self.num_rows if self.row is None else self.row.numel()
        missing = (n_id < 0) | (n_id >= limit)
        row = n_id
        if self.row is not None and limit > 0:
            row = self.row[n_id.masked_fill(missing, 0)]
            missing = missing | (row < 0)
        # Compiled code cannot raise from what a tensor holds.
        if not torch.compiler.is_compiling() and bool(missing.any()):
            raise ValueError(
                f"'n_id' must hold nodes that the teacher's cache knows (got "
                f'{int(n_id[missing][0])}, it holds {self.num_rows} nodes); '
                f'build the cache from a loader over all training nodes, or '
                f'from the whole graph'
            )
        return row
