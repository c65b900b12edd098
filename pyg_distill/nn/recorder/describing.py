"""What a recorder holds at the moment, in a few words."""

from typing import Any

from pyg_distill.nn.recorder.calls import Call, find_calls
from pyg_distill.nn.recorder.layers import Layer
from pyg_distill.nn.recorder.store import Store


def describe_state(layers: list[Layer], store: Store, alive: bool) -> list[str]:
    """A line for each call of a layer, or one that says why there is none.

    Args:
        layers (list): The layers.
        store (Store): What was recorded of them.
        alive (bool): Whether the hooks are still there.
    """
    lines = []
    if store.complete:
        calls = find_calls(layers, store.captures)
        lines = [f'{call.name}: {_shape(call)}' for call in calls]
        called = {id(call.layer) for call in calls}
        lines += [
            f'{layer.name or "model"}: not called'
            for layer in layers
            if id(layer) not in called
        ]
    elif store.started:
        lines = ['the latest call of the model did not end']
    elif alive:
        lines = ['nothing recorded; call the model']
    if not alive:
        lines.append('hooks removed; nothing more will be recorded')
    return lines


def _shape(call: Call) -> Any:
    if call.layer.formulas is not None:
        # Their values would have to be computed first.
        return ', '.join(call.layer.formulas)
    value = call.captures[''].value
    if isinstance(value, str):
        return f"no features (got '{value}')"
    if isinstance(value, dict):
        return {key: list(x.size()) for key, x in value.items()}
    return list(value.size())
