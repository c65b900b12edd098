"""What a teacher says about the nodes of mini-batches."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_distill.nn.distiller.alignment import seed_rows
from pyg_distill.nn.distiller.by_type import apply, cast, concat
from pyg_distill.nn.distiller.depth import check_depth, counted
from pyg_distill.nn.distiller.inputs import node_features, row_sums
from pyg_distill.nn.distiller.teacher import Teacher


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
    depth: int | None,
) -> Iterator[Part]:
    """Asks a teacher about each mini-batch, of so many hops if it is known."""
    for number, batch in enumerate(loader):
        args, kwargs = as_arguments(inputs(batch))
        if number == 0 and depth is not None:
            with counted(teacher.model) as hops:
                answer = teacher(*args, **kwargs)
            check_depth(depth, hops())
        else:
            answer = teacher(*args, **kwargs)
        size, n_id = seeds(batch)
        # Copied, or else all other rows would be kept, too.
        layers = [
            apply(torch.clone, seed_rows(x, size)) for x in answer.layers or []
        ]
        outputs = apply(torch.clone, seed_rows(answer.outputs, size))
        sums = _sums(node_features(args, kwargs), size, batch.num_nodes)
        yield Part(outputs, cast(layers, dtype), n_id, sums)


def _sums(x: Any, size: Any, num_nodes: int | None) -> Any:
    if isinstance(x, Mapping) != isinstance(size, Mapping):
        return None
    if isinstance(x, Mapping):
        return row_sums(seed_rows(x, size), 0)
    # Whatever has other rows, such as edge features, is not of nodes.
    return row_sums([v[:size] for v in x if v.size(0) == num_nodes], size)


def all_sums(parts: list[Part]) -> Any:
    """What is known of the features in all mini-batches, if it is of each."""
    sums = [part.sums for part in parts]
    if any(x is None for x in sums):
        return None
    plain = [x for x in sums if isinstance(x, Tensor)]
    # By chance, one may have had as many edges as nodes.
    return concat(sums) if len({x.size(1) for x in plain}) < 2 else None
