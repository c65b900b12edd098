"""From captures, each of a hooked module, to the calls of layers."""

from dataclasses import dataclass
from typing import Any

from pyg_distill.nn.recorder.layers import Layer
from pyg_distill.nn.recorder.outputs import Features
from pyg_distill.nn.recorder.store import Capture
from pyg_distill.nn.recorder.to_hetero import evaluate


@dataclass
class Call:
    """One call of one layer.

    Attributes:
        name (str): The name of the layer, numbered if it has several calls.
        layer (Layer): The layer.
        captures (dict): What its parts returned.
    """

    name: str
    layer: Layer
    captures: dict[str, Capture]

    @property
    def value(self) -> Features:
        """What the layer returned."""
        parts: dict[str, Any] = {
            part: capture.features() for part, capture in self.captures.items()
        }
        if self.layer.formulas is None:
            return parts['']
        return {
            key: evaluate(formula, parts)
            for key, formula in self.layer.formulas.items()
        }


def find_calls(layers: list[Layer], captures: list[Capture]) -> list[Call]:
    """Finds the calls in the order in which they began.

    Args:
        layers (list): What was recorded.
        captures (list): The captures of a call of the model.
    """
    times: list[list[int]] = [[] for la in layers for _ in la.modules]
    for time, capture in enumerate(captures):
        times[capture.position].append(time)

    calls: list[tuple[int, Call]] = []
    start = 0
    for layer in layers:
        own = times[start : start + len(layer.modules)]
        start += len(layer.modules)
        count = min(map(len, own))
        for i in range(count):
            name = layer.name or 'model'
            parts = {
                part: captures[time[i]]
                for part, time in zip(layer.modules, own, strict=True)
            }
            call = Call(name if count == 1 else f'{name}#{i}', layer, parts)
            calls.append((min(time[i] for time in own), call))
    return [call for _, call in sorted(calls, key=lambda pair: pair[0])]
