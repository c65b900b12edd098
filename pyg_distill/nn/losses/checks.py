"""Are these the layers that a loss was declared for?"""

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor


def check_channels(name: str, channels: Any) -> list[int]:
    """The widths of one side's layers, as a list."""
    out: list[Any] = []
    if isinstance(channels, Iterable):
        out = list(channels)
    if not out or not all(isinstance(c, Integral) and int(c) > 0 for c in out):
        raise ValueError(
            f"'{name}' must list the width of each layer (got {channels!r}); "
            f'LayerRecorder.channels gives it'
        )
    return out


def check_layers(
    side: str, layers: Sequence[Tensor], channels: Sequence[int]
) -> None:
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
                f"'{side}' layer {i} must be a tensor (got "
                f'{type(x).__name__}); declare channels by node type where '
                f'layers are dictionaries'
            )
        if x.dim() != 2 or not x.is_floating_point():
            raise ValueError(
                f"'{side}' layer {i} must be a floating-point matrix [N, C] "
                f'(got {x.dtype} of shape {list(x.size())}); flatten it first'
            )
        if x.size(1) != width:
            raise ValueError(
                f"'{side}' layer {i} must have the {width} channels that were "
                f"declared (got {x.size(1)}); pass '{side}_channels' as "
                f'LayerRecorder.channels gives them'
            )
        if x.size(0) == 0:
            raise ValueError(
                f"'{side}' layer {i} must have at least one row (got none); "
                f'skip empty batches'
            )
        if side == 'teacher' and x.requires_grad:
            raise ValueError(
                f"'teacher' layer {i} must not require gradients; run the "
                f'teacher under torch.no_grad() and record it with detach=True'
            )


def check_rows(num_teacher: Sequence[int], num_student: Sequence[int]) -> None:
    """Refuses layers whose rows are not the same nodes."""
    rows = {*num_teacher, *num_student}
    if len(rows) > 1:
        raise ValueError(
            f'teacher and student layers must have the same rows (got '
            f'{_range(num_teacher)} and {_range(num_student)}); compare the '
            f'seed nodes alone, which come first: batch_size=data.batch_size '
            f'in Distiller.loss, or x[:batch_size] of every layer'
            f'{_pooling(num_teacher, num_student)}'
        )


def check_batch(batch: Tensor | None, num_rows: int) -> Tensor:
    """Refuses a batch vector that does not fit the nodes."""
    if batch is None:
        raise ValueError(
            "'batch' must be given with granularity='graph' (got None); pass "
            'data.batch'
        )
    if batch.size() != (num_rows,) or batch.dtype != torch.long:
        raise ValueError(
            f"'batch' must hold the graph of each of {num_rows} nodes (got "
            f'{batch.dtype} of shape {list(batch.size())}); pass data.batch'
        )
    return batch


def _pooling(*sides: Sequence[int]) -> str:
    if all(len(set(rows)) == 1 for rows in sides):
        return ''
    return '; record layers of one row a node (before any pooling)'


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f'{low} to {high}'
