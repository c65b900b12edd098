"""Tensors, and dictionaries of tensors by node type, treated alike."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils._pytree import tree_map

from pyg_distill.nn.losses import TeacherTarget

BatchSize = int | Mapping[str, int]


def items(value: Any) -> list[tuple[str, Any]]:
    """The entries by node type, a single value under ``''``."""
    return list(value.items()) if isinstance(value, Mapping) else [('', value)]


def only(value: Any) -> Any:
    """The entry of a dictionary with a single one, anything else as it is."""
    if isinstance(value, Mapping):
        (value,) = value.values()
    return value


def select_rows(value: Any, rows: Any) -> Any:
    """The given rows of all tensors, without the types that have none."""
    if isinstance(value, list | tuple):
        return [select_rows(x, rows) for x in value]
    typed = isinstance(rows, Mapping)
    if isinstance(value, Mapping):
        if not typed:
            raise ValueError(
                f"'batch_size' must name the node type of the seeds (got "
                f'{rows.stop}); try { {next(iter(value), "x"): rows.stop} }'
            )
        return {
            k: select_rows(x, rows[k]) for k, x in value.items() if k in rows
        }
    if typed and len(rows) != 1:
        raise ValueError(
            f"'batch_size' must name a single node type where outputs are "
            f'tensors (got {list(rows)}); try data.batch_size'
        )
    rows = only(rows)
    if isinstance(value, TeacherTarget):
        return value.select(rows)
    if isinstance(rows, slice) and not 0 <= rows.stop <= value.size(0):
        raise ValueError(
            f"'batch_size' must not exceed the rows of a layer (got "
            f'{rows.stop} for {value.size(0)} rows); try data.batch_size'
        )
    return value[rows]


def seed_rows(value: Any, batch_size: BatchSize | None) -> Any:
    """The first rows of all tensors, without the types that have no seeds."""
    if batch_size is None:
        return value
    return select_rows(value, tree_map(slice, batch_size))


def concat(values: Sequence[Any]) -> Any:
    """The rows of all mini-batches, one after the other."""
    if not isinstance(values[0], Mapping):
        return torch.cat(list(values))
    keys = dict.fromkeys(key for value in values for key in value)
    return {k: torch.cat([v[k] for v in values if k in v]) for k in keys}
