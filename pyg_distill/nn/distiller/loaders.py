"""Mini-batches, and whether their loader tells the whole truth."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch.fx import GraphModule
from torch_geometric.data import HeteroData
from torch_geometric.loader import NodeLoader
from torch_geometric.nn import HeteroConv, MessagePassing

from pyg_distill.nn.distiller.alignment import seed_rows
from pyg_distill.nn.distiller.by_type import apply, cast
from pyg_distill.nn.distiller.inputs import node_features, row_sums
from pyg_distill.nn.distiller.teacher import Teacher
from pyg_distill.nn.hops import num_hops


def as_arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments from a tuple, a dict or one value."""
    if type(inputs) in (list, tuple):
        return tuple(inputs), {}
    if isinstance(inputs, dict):
        return (), inputs
    return (inputs,), {}


def batch_inputs(batch: Any) -> tuple[Any, ...]:
    """What a model usually takes from a mini-batch."""
    if isinstance(batch, HeteroData):
        return batch.x_dict, batch.edge_index_dict
    adj_t = getattr(batch, 'adj_t', None)
    return batch.x, batch.edge_index if adj_t is None else adj_t


def seeds(batch: Any) -> tuple[Any, Any]:
    """The number of seed nodes of a mini-batch, and which they are."""
    if not isinstance(batch, HeteroData):
        n_id, size = getattr(batch, 'n_id', None), batch.get('batch_size')
        if n_id is None or size is None:
            raise ValueError(
                f"'loader' must give mini-batches with 'n_id' and "
                f"'batch_size' (got {batch}); use NeighborLoader, or "
                f'TeacherCache.from_inputs with the whole graph'
            )
        return size, n_id[:size]
    sizes = {
        key: batch[key].batch_size
        for key in batch.node_types
        if 'batch_size' in batch[key]
    }
    return sizes, {key: batch[key].n_id[:size] for key, size in sizes.items()}


class Part(NamedTuple):
    """What a teacher says about the seed nodes of a mini-batch."""

    outputs: Any
    layers: list[Any]
    n_id: Any
    sums: Any


def answers(
    teacher: Teacher,
    loader: Iterable[Any],
    inputs: Callable[[Any], Any],
    dtype: torch.dtype | None,
) -> Iterator[Part]:
    """Asks a teacher about each mini-batch."""
    for batch in loader:
        args, kwargs = as_arguments(inputs(batch))
        answer = teacher(*args, **kwargs)
        size, n_id = seeds(batch)
        # Copied, or else all other rows would be kept, too.
        layers = [
            apply(torch.clone, seed_rows(x, size)) for x in answer.layers or []
        ]
        outputs = apply(torch.clone, seed_rows(answer.outputs, size))
        x = node_features(args, kwargs)
        alike = isinstance(x, Mapping) == isinstance(size, Mapping)
        known = x is not None and alike
        sums = row_sums(seed_rows(x, size)) if known else None
        yield Part(outputs, cast(layers, dtype), n_id, sums)


def check_loader(loader: Any, teacher: torch.nn.Module) -> None:
    """Refuses mini-batches in which a teacher would not see all there is."""
    if getattr(loader, 'transform', None) is not None:
        raise ValueError(
            f"'loader' must not transform mini-batches, a cache holds a "
            f'single answer for each node (got {loader.transform}); transform '
            f'the data before, or leave the teacher uncached'
        )
    if not isinstance(loader, NodeLoader):
        return
    sampled = getattr(loader.node_sampler, 'num_neighbors', None)
    if sampled is None:
        return
    values = sampled.values
    values = list(values.values()) if isinstance(values, dict) else [values]
    values += [sampled.default] if sampled.default is not None else []
    depth, hops = min(map(len, values), default=0), _depth(teacher)
    few = [value for value in values if any(n != -1 for n in value)]
    if few:
        raise ValueError(
            f"'loader' must sample all neighbors, or the teacher's answer "
            f'would be one of many (got num_neighbors={few[0]}); pass '
            f'num_neighbors={[-1] * max(depth, hops)}, or use '
            f'TeacherCache.from_inputs with the whole graph'
        )
    if depth < hops:
        raise ValueError(
            f"'loader' must sample the {hops} hops that the teacher reads "
            f'(got {depth}); pass num_neighbors={[-1] * hops}, or use '
            f'TeacherCache.from_inputs with the whole graph'
        )


def _depth(teacher: torch.nn.Module) -> int:
    """The hops that a teacher reads, relations of one layer counted once."""
    depth = num_hops(teacher)
    groups: dict[int, torch.nn.Module] = {}
    for module in teacher.modules():
        if isinstance(module, HeteroConv):
            groups[id(module.convs)] = module.convs
        elif isinstance(module, GraphModule):
            for group in module.modules():
                if isinstance(group, torch.nn.ModuleDict) and all(
                    isinstance(m, MessagePassing) for m in group.children()
                ):
                    groups[id(group)] = group
    for group in groups.values():
        each = [num_hops(relation) for relation in group.children()]
        depth -= num_hops(group) - max(each, default=0)
    return depth
