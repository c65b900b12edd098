"""Graphs of a batch that have nodes to compare."""

import torch
from torch import Tensor
from torch_geometric.utils import scatter

from pyg_distill.nn.losses.checks import check_batch


def graphs_with_nodes(
    batch: Tensor | None, size: int | None, num_rows: int
) -> tuple[Tensor, int | None]:
    """Numbers the graphs that have nodes, and counts them.

    Others would be compared as rows of zeros. Of one node type, a graph need
    not have any.

    Args:
        batch (torch.Tensor, optional): The graph of each node.
        size (int, optional): The number of graphs.
        num_rows (int): The number of nodes.

    Raises:
        RuntimeError: In compiled code, in which no rows can be left out, if
            there are such graphs.
    """
    batch = check_batch(batch, num_rows)
    if torch.compiler.is_compiling():
        if size is not None:
            nodes = scatter(torch.ones_like(batch), batch, dim_size=size)
            torch._assert_async(
                (nodes > 0).all(),
                "every graph in 'batch' must have nodes in compiled code",
            )
        return batch, size
    count = torch.bincount(batch, minlength=size or 0)
    present = count > 0
    if bool(present.all()):
        return batch, size
    number = present.cumsum(0) - 1
    return number[batch], int(number[-1]) + 1
