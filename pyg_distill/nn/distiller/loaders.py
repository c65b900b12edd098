"""Runs a teacher on mini-batches that hold all that it reads."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch.fx import GraphModule
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils._pytree import tree_map
from torch_geometric.data import HeteroData
from torch_geometric.loader import CachedLoader, NodeLoader, PrefetchLoader
from torch_geometric.nn import (
    GPSConv,
    GraphNorm,
    GraphSizeNorm,
    HeteroConv,
    InstanceNorm,
    LayerNorm,
    MeanSubtractionNorm,
    MessagePassing,
    PairNorm,
)

from pyg_distill.nn.distiller.inputs import feature_matrices, row_sums
from pyg_distill.nn.distiller.teacher import (
    Teacher,
    as_arguments,
    items,
    seed_rows,
)
from pyg_distill.nn.hops import layer_hops, num_hops

_GRAPH_NORMS = (GraphNorm, GraphSizeNorm, MeanSubtractionNorm, PairNorm)


def run_teacher(
    teacher: Teacher,
    loader: Iterable[Any],
    inputs: Callable[[Any], Any] | None,
    dtype: torch.dtype | None,
    sampled: int | None,
) -> Iterator[tuple[Any, list[Any], Any, Any]]:
    """Yields outputs, layers, nodes and feature sums of all seed nodes."""
    for batch in loader:
        args, kwargs = as_arguments((inputs or batch_inputs)(batch))
        calls: Counter[torch.nn.Module] = Counter()
        with register_module_forward_pre_hook(
            lambda module, args, calls=calls: calls.update([module])
        ):
            teacher_out = teacher(*args, **kwargs)
        read = 0 if sampled is None else hops_read(teacher.model, calls)
        if sampled is not None and sampled < read:
            raise ValueError(
                f"'loader' must sample the {read} hops that the teacher reads "
                f'(got {sampled}); try num_neighbors={[-1] * read}'
            )
        size, n_id = seed_nodes(batch)
        x, sums = feature_matrices(args, kwargs), None
        if isinstance(x, Mapping) == isinstance(size, Mapping):
            if not isinstance(x, Mapping):
                x = [v for v in x if v.size(0) == batch.num_nodes]
            sums = row_sums(seed_rows(x, size), size)
        # Copied, because slices would keep all other rows in memory.
        outputs, layers = tree_map(torch.clone, seed_rows(teacher_out, size))
        yield outputs, cast(layers, dtype), n_id, sums
        sampled = None


def cast(layers: list[Any], dtype: torch.dtype | None) -> list[Any]:
    """Layers in another type, or as they are."""
    return tree_map(lambda x: x.to(dtype or x.dtype), layers)


def batch_inputs(batch: Any) -> tuple[Any, ...]:
    """The features and edges of a mini-batch."""
    if isinstance(batch, HeteroData):
        return batch.x_dict, batch.edge_index_dict
    adj_t = batch.get('adj_t')
    return batch.x, batch.edge_index if adj_t is None else adj_t


def seed_nodes(batch: Any) -> tuple[Any, Any]:
    """The number of seed nodes of a mini-batch, and their indices."""
    if isinstance(batch, HeteroData):
        stores = {k: batch[k] for k in batch.node_types}
        stores = {k: x for k, x in stores.items() if 'batch_size' in x}
        sizes = {key: x.batch_size for key, x in stores.items()}
        return sizes, {k: x.n_id[: sizes[k]] for k, x in stores.items()}
    n_id, size = batch.get('n_id'), batch.get('batch_size')
    if n_id is None or size is None:
        raise ValueError(
            f"'loader' must give mini-batches with 'n_id' and 'batch_size' "
            f'(got {batch}); use NeighborLoader'
        )
    return size, n_id[:size]


def check_loader(loader: Any, teacher: torch.nn.Module) -> int | None:
    """Refuses loaders whose mini-batches lack something that is read.

    Returns:
        int: The number of hops that the loader samples, if it is known.
    """
    for name, module in teacher.named_modules():
        if (
            isinstance(module, _GRAPH_NORMS)
            or (isinstance(module, LayerNorm) and module.mode == 'graph')
            or (isinstance(module, GPSConv) and module.attn is not None)
            or (
                isinstance(module, InstanceNorm)
                and not module.track_running_stats
            )
        ):
            raise ValueError(
                f"'teacher' must not read all nodes of a mini-batch (got "
                f"'{name}', a {type(module).__name__}); use "
                f'TeacherCache.from_inputs with the whole graph'
            )
    while True:
        if getattr(loader, 'transform', None) is not None:
            raise ValueError(
                f"'loader' must not transform mini-batches (got "
                f'{loader.transform}); transform the data before'
            )
        if not isinstance(loader, CachedLoader | PrefetchLoader):
            break
        loader = loader.loader
    sampler = getattr(loader, 'node_sampler', None)
    if not isinstance(loader, NodeLoader) or sampler is None:
        return None
    got, sampled = None, None
    if hasattr(sampler, 'num_samples'):
        got = type(sampler).__name__
    elif hasattr(sampler, 'num_neighbors'):
        numbers, default = sampler.num_neighbors.values, sampler.num_neighbors
        numbers = list(dict(items(numbers)).values())
        numbers += [default.default] if default.default is not None else []
        sampled = min(map(len, numbers), default=0)
        few = [number for number in numbers if any(n != -1 for n in number)]
        got = f'num_neighbors={few[0]}' if few else None
    if got is not None:
        hops = max(sampled or 0, hops_read(teacher))
        raise ValueError(
            f"'loader' must sample all neighbors, or outputs are random (got "
            f'{got}); try NeighborLoader and num_neighbors={[-1] * hops}'
        )
    return sampled


def hops_read(
    teacher: torch.nn.Module, calls: Mapping[torch.nn.Module, int] | None = None
) -> int:
    """The hops that a teacher reads, with repeated calls if they are known."""
    hops = layer_hops(teacher)
    out = num_hops(teacher)
    if calls is not None:
        out += sum((calls[x] - 1) * n for x, n in hops.items() if x in calls)
    # The relations of one layer read the same hop.
    relations = {
        group
        for module in teacher.modules()
        if isinstance(module, HeteroConv | GraphModule)
        for group in module.modules()
        if isinstance(group, torch.nn.ModuleDict)
        and all(isinstance(m, MessagePassing) for m in group.children())
    }
    for group in relations:
        each = [num_hops(relation) for relation in group.children()]
        out -= num_hops(group) - max(each, default=0)
    return out
