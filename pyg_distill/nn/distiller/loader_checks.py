"""Does a loader of mini-batches let a teacher see all there is?"""

from typing import Any

import torch
from torch_geometric.loader import CachedLoader, NodeLoader, PrefetchLoader
from torch_geometric.nn import (
    GPSConv,
    GraphNorm,
    GraphSizeNorm,
    InstanceNorm,
    LayerNorm,
    MeanSubtractionNorm,
    PairNorm,
)

from pyg_distill.nn.distiller.depth import check_depth, depth


def check_loader(loader: Any, teacher: torch.nn.Module) -> int | None:
    """Refuses mini-batches in which a teacher would not see all there is.

    Returns:
        int: The hops that the loader samples, if it is known.
    """
    _check_layers(teacher)
    while True:
        if getattr(loader, 'transform', None) is not None:
            raise ValueError(
                f"'loader' must not transform mini-batches, a cache holds a "
                f'single answer for each node (got {loader.transform}); '
                f'transform the data before, or leave the teacher uncached'
            )
        if not isinstance(loader, CachedLoader | PrefetchLoader):
            break
        loader = loader.loader
    sampler = getattr(loader, 'node_sampler', None)
    if not isinstance(loader, NodeLoader) or sampler is None:
        return None
    read = depth(teacher)
    remedy = 'TeacherCache.from_inputs with the whole graph'
    if hasattr(sampler, 'num_samples'):
        raise ValueError(
            f"'loader' must sample all neighbors, or the teacher's answer "
            f'would be one of many (got {type(sampler).__name__}); pass a '
            f'NeighborLoader with num_neighbors={[-1] * read}, or use {remedy}'
        )
    sampled = getattr(sampler, 'num_neighbors', None)
    if sampled is None:
        return None
    values = sampled.values
    values = list(values.values()) if isinstance(values, dict) else [values]
    values += [sampled.default] if sampled.default is not None else []
    hops = min(map(len, values), default=0)
    few = [value for value in values if any(n != -1 for n in value)]
    if few:
        raise ValueError(
            f"'loader' must sample all neighbors, or the teacher's answer "
            f'would be one of many (got num_neighbors={few[0]}); pass '
            f'num_neighbors={[-1] * max(hops, read)}, or use {remedy}'
        )
    check_depth(hops, read)
    return hops


def _check_layers(teacher: torch.nn.Module) -> None:
    for name, module in teacher.named_modules():
        if _reads_the_batch(module):
            raise ValueError(
                f"'teacher' must say the same of a node in every mini-batch "
                f"(got '{name}', a {type(module).__name__}, which reads all "
                f'nodes that are there); use TeacherCache.from_inputs with '
                f'the whole graph, or leave the teacher uncached'
            )


def _reads_the_batch(module: torch.nn.Module) -> bool:
    if isinstance(module, LayerNorm):
        return module.mode == 'graph'
    if isinstance(module, GPSConv):
        return module.attn is not None
    if isinstance(module, InstanceNorm):
        return not module.track_running_stats
    return isinstance(
        module, GraphNorm | GraphSizeNorm | MeanSubtractionNorm | PairNorm
    )
