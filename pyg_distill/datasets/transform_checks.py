"""Transforms that would ruin the roots of a distilled graph."""

from typing import Any

import torch
import torch_geometric.transforms as T
from torch import Tensor
from torch_geometric.data import Data

# What they add would pass unnoticed, as they leave the edges as they are.
_READ_EDGES = (
    T.AddLaplacianEigenvectorPE,
    T.AddMetaPaths,
    T.AddRandomWalkPE,
    T.GCNNorm,
    T.GDC,
    T.LocalDegreeProfile,
    T.OneHotDegree,
    T.RootedEgoNets,
    T.RootedRWSubgraph,
    T.SIGN,
    T.TargetIndegree,
)


def check_transform(transform: Any) -> None:
    """Refuses transforms that read the edges of trees.

    Args:
        transform (callable, optional): A transform, or
            :class:`~torch_geometric.transforms.Compose` of some.

    Raises:
        ValueError: If one of PyG's transforms is known to read edges.
    """
    if isinstance(transform, T.Compose | T.ComposeFilters):
        for inner in getattr(transform, 'transforms', []):
            check_transform(inner)
    if isinstance(transform, _READ_EDGES):
        raise ValueError(
            f"the transform '{type(transform).__name__}' computes with edges, "
            f'which are those of trees in a distilled data set; pass it as '
            f'pre_transform, which sees the graphs of the source'
        )


def check_item(before: Data, after: Any, has_trees: bool) -> None:
    """Refuses what a transform made of a distilled graph if it loses roots.

    Args:
        before (torch_geometric.data.Data): The graph as it is stored.
        after (torch_geometric.data.Data): What the transform returned.
        has_trees (bool): Whether it holds trees, whose edges must stay.

    Raises:
        ValueError: If the nodes or roots changed, or the edges of trees.
    """
    keys = ['root_index', 'root_count']
    if has_trees:
        keys.append('edge_index')
    if (
        isinstance(after, Data)
        and after.num_nodes == before.num_nodes
        and (
            not has_trees
            or 'edge_weight' in before
            or 'edge_weight' not in after
        )
        and all(
            isinstance(after.get(key), Tensor)
            and torch.equal(after[key].cpu(), before[key].cpu())
            for key in keys
        )
    ):
        return
    got = ', '.join(after.keys()) if isinstance(after, Data) else 'no graph'
    raise ValueError(
        f'a transform changed the nodes or roots of a distilled graph, or the '
        f'edges of a tree set (got {type(after).__name__} with {got}); pass '
        f'it as pre_transform, which sees the graphs of the source'
    )
