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
    """Refuses PyG's transforms that read edges, also inside of others."""
    if isinstance(transform, T.Compose | T.ComposeFilters):
        for inner in getattr(transform, 'transforms', []):
            check_transform(inner)
    if isinstance(transform, _READ_EDGES):
        raise ValueError(
            f'a transform must not read edges of trees (got '
            f"'{type(transform).__name__}' computes with edges); pass it as "
            f'pre_transform'
        )


def check_item(before: Data, after: Any, has_trees: bool) -> None:
    """Refuses a transformed graph with other nodes, roots or edges of trees."""
    keys = ['root_index', 'root_count', *['edge_index'] * has_trees]
    got = type(after).__name__
    if isinstance(after, Data):
        got = f'{got} with {", ".join(after.keys())}'
        adds_weight = 'edge_weight' in after and 'edge_weight' not in before
        if (
            after.num_nodes == before.num_nodes
            and not (has_trees and adds_weight)
            and all(
                isinstance(after.get(key), Tensor)
                and torch.equal(after[key].cpu(), before[key].cpu())
                for key in keys
            )
        ):
            return
    raise ValueError(
        f'a transform changed the nodes or roots of a distilled graph, or the '
        f'edges of a tree set (got {got}); pass it as pre_transform'
    )
