"""Layers that are dictionaries by node type, taken apart."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from torch import Tensor

from pyg_distill.nn.losses.checks import check_channels

Channels: TypeAlias = Sequence[int] | Sequence[Mapping[str, int]]
Layers: TypeAlias = Sequence[Tensor] | Sequence[Mapping[str, Tensor]]


def are_typed(layers: Sequence[Any]) -> bool:
    """Whether layers are dictionaries by node type."""
    return len(layers) > 0 and all(isinstance(x, Mapping) for x in layers)


def split_channels(
    name: str, channels: Channels
) -> dict[str, tuple[list[int], list[int]]]:
    """For each node type the layers that hold it, and their widths.

    Layers that are no dictionaries belong to the one type ``''``.
    """
    if not isinstance(channels, list | tuple) or not are_typed(channels):
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


def split_layers(side: str, layers: Layers, typed: bool) -> dict[str, Any]:
    """The layers of each node type that has nodes, alone under ``''``."""
    if not typed:
        return {'': layers}
    if not isinstance(layers, list | tuple) or not are_typed(layers):
        raise TypeError(
            f"'{side}' must be a list of dictionaries by node type, as its "
            f'channels were declared (got {type(layers).__name__}); '
            f'LayerRecorder.features() gives it'
        )
    out: dict[str, list[Tensor]] = {}
    for layer in layers:
        assert isinstance(layer, Mapping)
        for node_type, x in layer.items():
            out.setdefault(node_type, []).append(x)
    # Loaders leave types without nodes in a mini-batch, as empty matrices.
    return {t: xs for t, xs in out.items() if not all(map(_is_empty, xs))}


def _is_empty(x: Any) -> bool:
    return isinstance(x, Tensor) and x.dim() > 0 and x.size(0) == 0
