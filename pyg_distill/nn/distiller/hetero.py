"""Tensors, and dictionaries of tensors by node type, treated alike."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

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
    if isinstance(value, Mapping):
        keys = [key for key in value if key in rows]
        return {key: select_rows(value[key], rows[key]) for key in keys}
    if isinstance(value, TeacherTarget):
        return value.select(only(rows))
    return value[only(rows)]


def seed_rows(value: Any, batch_size: BatchSize | None) -> Any:
    """The first rows of all tensors, without the types that have no seeds."""
    if batch_size is None:
        return value
    if isinstance(value, list | tuple):
        return [seed_rows(x, batch_size) for x in value]
    if isinstance(value, Mapping):
        if not isinstance(batch_size, Mapping):
            raise ValueError(
                f"'batch_size' must name the node type of the seeds (got "
                f'{batch_size}); try { {next(iter(value), "x"): batch_size} }'
            )
        keys = [key for key in value if key in batch_size]
        return {key: seed_rows(value[key], batch_size[key]) for key in keys}
    if isinstance(batch_size, Mapping) and len(batch_size) != 1:
        raise ValueError(
            f"'batch_size' must name a single node type where outputs are "
            f'tensors (got {dict(batch_size)}); try data.batch_size'
        )
    size = only(batch_size)
    if not 0 <= size <= value.size(0):
        raise ValueError(
            f"'batch_size' must not exceed the rows of a layer (got {size} "
            f'for {value.size(0)} rows); try data.batch_size'
        )
    return value[:size]


def concat(values: Sequence[Any]) -> Any:
    """The rows of all mini-batches, one after the other."""
    if not isinstance(values[0], Mapping):
        return torch.cat(list(values))
    keys = dict.fromkeys(key for value in values for key in value)
    return {k: torch.cat([v[k] for v in values if k in v]) for k in keys}
