"""Checks of options and of the layers that a loss gets."""

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, TypeAlias, get_args

import torch
from torch import Tensor

Channels: TypeAlias = Sequence[int] | Sequence[Mapping[str, int]]
Layers: TypeAlias = Sequence[Tensor] | Sequence[Mapping[str, Tensor]]


def check_choice(name: str, value: Any, literal: Any) -> None:
    """Refuses anything but the values of a `Literal` type."""
    choices = get_args(literal)
    if value not in choices:
        *most, last = map(repr, choices)
        raise ValueError(
            f"'{name}' must be {', '.join(most)} or {last} (got {value!r})"
        )


def check_positive(name: str, value: float) -> None:
    """Refuses anything but finite numbers above zero."""
    if not isinstance(value, Real) or not 0 < value < math.inf:
        raise ValueError(
            f"'{name}' must be a finite number above 0 (got {value!r}); try 1.0"
        )


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Refuses anything but whole numbers."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(
            f"'{name}' must be a whole number, {least} or more (got "
            f'{value!r}); leave it out for the default'
        )


def check_equal_widths(*sides: Sequence[int]) -> None:
    """Refuses layers that need a projection to be compared."""
    widths = sorted({width for side in sides for width in side})
    if len(widths) > 1:
        raise ValueError(
            f"'projection' must map layers of unequal width (got None and "
            f'widths {widths}); leave projection out'
        )


def check_channels(name: str, channels: Any) -> list[int]:
    """The widths of one side's layers."""
    widths = list(channels) if isinstance(channels, Iterable) else []
    if not widths or not all(
        isinstance(c, Integral) and int(c) > 0 for c in widths
    ):
        raise ValueError(
            f"'{name}' must list the width of each layer (got {channels!r}); "
            f'LayerRecorder.channels gives it'
        )
    return widths


def _are_typed(layers: Any) -> bool:
    return (
        isinstance(layers, list | tuple)
        and len(layers) > 0
        and all(isinstance(x, Mapping) for x in layers)
    )


def split_channels(
    name: str, channels: Channels
) -> dict[str, tuple[list[int], list[int]]]:
    """The positions and the widths of the layers of each node type.

    Layers that are not dictionaries belong to the single type `''`.
    """
    if not _are_typed(channels):
        widths = check_channels(name, channels)
        return {'': (list(range(len(widths))), widths)}
    out: dict[str, tuple[list[int], list[int]]] = {}
    for i, layer in enumerate(channels):
        assert isinstance(layer, Mapping)
        for node_type, width in layer.items():
            index, widths = out.setdefault(node_type, ([], []))
            index.append(i)
            widths.extend(check_channels(name, [width]))
    return out


def split_layers(side: str, layers: Any, typed: bool) -> dict[str, Any]:
    """The layers of each node type that has nodes."""
    if not typed:
        return {'': layers}
    if not _are_typed(layers):
        raise TypeError(
            f"'{side}' must be a list of dictionaries by node type, as its "
            f'channels were declared (got {type(layers).__name__}); '
            f'LayerRecorder.features() gives it'
        )
    out: dict[str, list[Tensor]] = {}
    for layer in layers:
        for node_type, x in layer.items():
            out.setdefault(node_type, []).append(x)
    # Loaders give types without nodes as empty matrices.
    return {
        t: xs
        for t, xs in out.items()
        if not all(isinstance(x, Tensor) and x.size()[:1] == (0,) for x in xs)
    }


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
        name = f"'{side}' layer {i}"
        if not isinstance(x, Tensor):
            raise TypeError(
                f'{name} must be a tensor (got {type(x).__name__}); declare '
                f'channels by node type where layers are dictionaries'
            )
        if x.dim() != 2 or not x.is_floating_point():
            raise ValueError(
                f'{name} must be a floating-point matrix [N, C] (got {x.dtype} '
                f'of shape {list(x.size())}); flatten it first'
            )
        if x.size(1) != width:
            raise ValueError(
                f'{name} must have the {width} channels that were declared '
                f"(got {x.size(1)}); pass '{side}_channels' as "
                f'LayerRecorder.channels gives them'
            )
        if x.size(0) == 0:
            raise ValueError(
                f'{name} must have at least one row (got none); skip empty '
                f'batches'
            )
        if side == 'teacher' and x.requires_grad:
            raise ValueError(
                f'{name} must not require gradients; run the teacher under '
                f'torch.no_grad() and record it with detach=True'
            )


def check_rows(teacher: Sequence[int], student: Sequence[int]) -> None:
    """Refuses layers that have not the same number of rows."""
    if len({*teacher, *student}) == 1:
        return
    got = ' and '.join(
        str(min(rows)) if len(set(rows)) == 1 else f'{min(rows)} to {max(rows)}'
        for rows in (teacher, student)
    )
    pooled = len(set(teacher)) > 1 or len(set(student)) > 1
    more = '; record layers of one row a node (before any pooling)'
    raise ValueError(
        f'teacher and student layers must have the same rows (got {got}); '
        f'compare the seed nodes alone, which come first: '
        f'batch_size=data.batch_size in Distiller.loss, or x[:batch_size] of '
        f'every layer{more if pooled else ""}'
    )


def check_batch(batch: Any, num_rows: int) -> Tensor:
    """Refuses a batch vector that does not fit the nodes."""
    if (
        not isinstance(batch, Tensor)
        or batch.size() != (num_rows,)
        or batch.dtype != torch.long
    ):
        got = type(batch).__name__
        if isinstance(batch, Tensor):
            got = f'{batch.dtype} of shape {list(batch.size())}'
        raise ValueError(
            f"'batch' must hold the graph of each of {num_rows} nodes (got "
            f'{got}); pass data.batch'
        )
    return batch


def check_edge_index(edge_index: Any, num_nodes: int) -> None:
    """Refuses edges that do not fit the nodes."""
    if edge_index is None:
        raise ValueError(
            "'edge_index' must be given (got None); pass the edges between "
            'the rows that are compared, distiller.loss(task_loss, '
            'edge_index=data.edge_index)'
        )
    if (
        not isinstance(edge_index, Tensor)
        or edge_index.dim() != 2
        or edge_index.size(0) != 2
        or edge_index.dtype not in (torch.long, torch.int)
    ):
        got = type(edge_index).__name__
        if isinstance(edge_index, Tensor):
            got = f'{edge_index.dtype} of shape {list(edge_index.size())}'
        raise ValueError(
            f"'edge_index' must hold the edges, of shape [2, E], or be a "
            f'sparse matrix of them (got {got}); pass data.edge_index or '
            f'data.adj_t'
        )
    # Compiled code cannot raise from what a tensor holds.
    if not torch.compiler.is_compiling() and edge_index.numel() > 0:
        low, high = (int(x) for x in edge_index.aminmax())
        if low < 0 or high >= num_nodes:
            raise ValueError(
                f"'edge_index' must hold rows from 0 to {num_nodes - 1}, as "
                f'{num_nodes} nodes are compared (got {low} to {high}); pass '
                f'the edges of the same graph or mini-batch'
            )
