"""Transforms that would ruin the trees of a distilled graph."""

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


def check_structure(before: Data, after: Any) -> None:
    """Refuses what a transform made of a tree set if its trees are lost.

    Args:
        before (torch_geometric.data.Data): The tree set as it is stored.
        after (torch_geometric.data.Data): What the transform returned.

    Raises:
        ValueError: If edges, roots or the number of nodes are not the same,
            or edges have got weights.
    """
    if (
        isinstance(after, Data)
        and after.num_nodes == before.num_nodes
        and ('edge_weight' in before or 'edge_weight' not in after)
        and all(
            isinstance(after.get(key), Tensor)
            and torch.equal(after[key].cpu(), before[key].cpu())
            for key in ('edge_index', 'root_index', 'root_count')
        )
    ):
        return
    keys = ', '.join(after.keys()) if isinstance(after, Data) else 'no graph'
    raise ValueError(
        f'a transform changed the edges, roots or nodes of a tree set or '
        f'weighted its edges (got {type(after).__name__} with {keys}), which '
        f'ruins its trees; apply it to the source before distilling'
    )


def check_transform(transform: Any) -> None:
    """Refuses transforms that read the edges, which are those of trees here.

    Args:
        transform (callable, optional): A transform, or
            :class:`~torch_geometric.transforms.Compose` of some.

    Raises:
        ValueError: If one of PyG's is known to.
    """
    if isinstance(transform, T.Compose | T.ComposeFilters):
        for inner in getattr(transform, 'transforms', []):
            check_transform(inner)
    if isinstance(transform, _READ_EDGES):
        raise ValueError(
            f"the transform '{type(transform).__name__}' computes with edges, "
            f'which are those of trees in a distilled data set; apply it to '
            f'the source before distilling'
        )
