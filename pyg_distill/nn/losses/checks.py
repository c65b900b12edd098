"""Checks of options and of the layers that a loss gets."""

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, TypeAlias, get_args

from torch import Tensor

Channels: TypeAlias = Sequence[int] | Sequence[Mapping[str, int]]
Layers: TypeAlias = Sequence[Tensor] | Sequence[Mapping[str, Tensor]]


def check_choice(name: str, value: Any, literal: Any) -> None:
    """Refuses anything but the values of a `Literal` type."""
    choices = get_args(literal)
    if value not in choices:
        raise ValueError(f"'{name}' must be one of {choices} (got {value!r})")


def check_positive(name: str, value: float) -> None:
    """Refuses anything but finite numbers above zero."""
    if not isinstance(value, Real) or not 0 < value < math.inf:
        raise ValueError(
            f"'{name}' must be a finite number above 0 (got {value!r})"
        )


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Refuses anything but whole numbers."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(
            f"'{name}' must be a whole number, {least} or more (got {value!r})"
        )


def check_equal_widths(*widths: int) -> None:
    """Refuses layers that need a projection to be compared."""
    if len(set(widths)) > 1:
        raise ValueError(
            f"'projection' must map layers of unequal width (got None and "
            f'widths {sorted(set(widths))}); leave projection out'
        )


def check_position(name: str, value: Any, num_layers: int) -> None:
    """Refuses anything but the position of a layer."""
    positions = range(-num_layers, num_layers)
    if isinstance(value, bool) or value not in positions:
        raise ValueError(
            f"'{name}' must be a whole number from {-num_layers} to "
            f'{num_layers - 1} (got {value!r}); pass -1 for the last'
        )


def _are_typed(layers: Any) -> bool:
    return (
        isinstance(layers, list | tuple)
        and len(layers) > 0
        and all(isinstance(x, Mapping) for x in layers)
    )


def split_channels(name: str, channels: Any) -> dict[str, list[int]]:
    """The widths of the layers of each node type, `''` without types."""
    layers = channels
    if not _are_typed(channels):
        layers = channels if isinstance(channels, Iterable) else []
        layers = [{'': width} for width in layers] or [{'': None}]
    out: dict[str, list[int]] = {}
    for layer in layers:
        for node_type, width in layer.items():
            if not isinstance(width, Integral) or int(width) < 1:
                raise ValueError(
                    f"'{name}' must list the width of each layer (got "
                    f'{channels!r}); LayerRecorder.channels gives it'
                )
            out.setdefault(node_type, []).append(int(width))
    return out


def split_layers(side: str, layers: Any, typed: bool) -> dict[str, Any]:
    """The layers of each node type that has nodes."""
    if not typed:
        return {'': layers}
    if not _are_typed(layers):
        raise TypeError(
            f"'{side}' must be a list of dictionaries by node type (got "
            f'{type(layers).__name__}); LayerRecorder.features() gives it'
        )
    out: dict[str, list[Tensor]] = {}
    for layer in layers:
        for node_type, x in layer.items():
            # Loaders give types without nodes as empty matrices.
            if not isinstance(x, Tensor) or x.size()[:1] != (0,):
                out.setdefault(node_type, []).append(x)
    return out


def check_layers(side: str, layers: Any, channels: Sequence[int]) -> None:
    """Refuses layers other than the declared ones."""
    if not isinstance(layers, list | tuple):
        raise TypeError(
            f"'{side}' must be a list of one tensor a layer (got "
            f'{type(layers).__name__}); LayerRecorder.features() gives it'
        )
    if len(layers) != len(channels):
        raise ValueError(
            f"'{side}' must hold the {len(channels)} layers that were declared "
            f'(got {len(layers)}); record the same layers in every step'
        )
    for i, (x, width) in enumerate(zip(layers, channels, strict=True)):
        if not isinstance(x, Tensor):
            raise TypeError(
                f"'{side}' layer {i} must be a tensor (got {type(x).__name__});"
                f' declare channels by node type for layers of dictionaries'
            )
        if not x.is_floating_point() or x.dim() != 2 or x.size(1) != width:
            raise ValueError(
                f"'{side}' layer {i} must be a floating-point matrix of {width}"
                f' channels (got {x.dtype} of shape {list(x.size())})'
            )
        if x.size(0) == 0:
            raise ValueError(
                f"'{side}' layer {i} must have at least one row (got none)"
            )
        if side == 'teacher' and x.requires_grad:
            raise ValueError(
                f"'teacher' layer {i} must not require gradients; record it "
                f'with detach=True'
            )


def check_rows(*num_rows: int) -> None:
    """Refuses layers whose numbers of rows differ."""
    if len(set(num_rows)) > 1:
        raise ValueError(
            f'teacher and student layers must have the same rows (got '
            f'{" and ".join(map(str, sorted(set(num_rows))))}); record layers '
            f'before any pooling, or pass batch_size=data.batch_size to '
            f'Distiller.loss'
        )
