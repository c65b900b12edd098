"""One tensor, or a dictionary of them by node type, treated alike."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor


def items(value: Any) -> list[tuple[str, Any]]:
    """Its tensors by node type, a single one under ``''``."""
    return list(value.items()) if isinstance(value, Mapping) else [('', value)]


def only(value: Mapping[str, Any]) -> Any:
    """The entry of a dictionary that has a single one."""
    (out,) = value.values()
    return out


def apply(fn: Callable[[Tensor], Tensor], value: Any) -> Any:
    """A function of each tensor."""
    if isinstance(value, Mapping):
        return {key: fn(x) for key, x in value.items()}
    return fn(value)


def cast(layers: list[Any], dtype: torch.dtype | None) -> list[Any]:
    """Layers in another type, or as they are."""
    if dtype is None:
        return layers
    return [apply(lambda x: x.to(dtype), layer) for layer in layers]


def select(value: Any, rows: Any) -> Any:
    """The given rows of each tensor; types without any are left out."""
    if isinstance(value, Mapping):
        return {key: x[rows[key]] for key, x in value.items() if key in rows}
    return value[only(rows) if isinstance(rows, Mapping) else rows]


def concat(values: list[Any]) -> Any:
    """The rows of mini-batches, one after the other."""
    if isinstance(values[0], Mapping):
        keys = list(dict.fromkeys(key for value in values for key in value))
        return {
            key: torch.cat([value[key] for value in values if key in value])
            for key in keys
        }
    return torch.cat(values)


def channels(layers: list[Any]) -> list[Any]:
    """The widths of layers, by node type if there are several."""
    return [
        {key: value.size(-1) for key, value in x.items()}
        if isinstance(x, Mapping)
        else x.size(-1)
        for x in layers
    ]
