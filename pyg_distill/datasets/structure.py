"""Transforms that would ruin the trees of a distilled graph."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data


def check_structure(before: Data, after: Any) -> None:
    """Refuses what a transform made of a tree set if its trees are lost.

    Args:
        before (torch_geometric.data.Data): The tree set as it is stored.
        after (torch_geometric.data.Data): What the transform returned.

    Raises:
        ValueError: If edges, roots or the number of nodes are not the same.
    """
    if (
        isinstance(after, Data)
        and after.num_nodes == before.num_nodes
        and all(
            isinstance(after.get(key), Tensor)
            and torch.equal(after[key].cpu(), before[key].cpu())
            for key in ('edge_index', 'root_index')
        )
    ):
        return
    got = ' '.join(str(after).split())
    raise ValueError(
        f'a transform changed the edges or nodes of a tree set (got {got} from '
        f'{before}), which ruins its trees; apply it to the source before '
        f'distilling'
    )
