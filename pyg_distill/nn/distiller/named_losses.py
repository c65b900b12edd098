"""Losses, each with a name and a weight."""

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pyg_distill.nn.distiller.by_type import items
from pyg_distill.nn.losses import ABKDLoss, KDLoss

# The matching counts once, and logits as much as they do where their weight
# was chosen on validation data.
DEFAULT_WEIGHTS = {'abkd': 1.0, 'kd': 4.0}


def default_losses() -> dict[str, Any]:
    """What is trained with if nothing else is asked for.

    With these weights they are about as good as with tuned ones
    (`benchmarks/kd.py`, row `shipped+kd`).
    """
    return {'abkd': ABKDLoss, 'kd': KDLoss()}


def name_losses(losses: Any) -> dict[str, Any]:
    """Gives a name to each loss, or to what makes one."""
    if isinstance(losses, Mapping | torch.nn.ModuleDict):
        out = dict(losses.items())
    else:
        out = {}
        several = isinstance(losses, Sequence | torch.nn.ModuleList)
        for loss in losses if several else [losses]:
            base = name = _name(loss)
            count = 1
            while name in out:
                count += 1
                name = f'{base}{count}'
            out[name] = loss
    for name, loss in out.items():
        if _is_of_torch(loss):
            raise TypeError(
                f"'losses' must compare layers or say that they compare "
                f'outputs (got {loss!r} for {name!r}); set compares = '
                f"'outputs' in a subclass of it"
            )
        if not callable(loss):
            raise TypeError(
                f"'losses' must hold modules such as ABKDLoss or KDLoss (got "
                f'{type(loss).__name__} for {name!r}); pass for example '
                f'{{"kd": KDLoss()}}'
            )
        if not isinstance(name, str) or name in _taken() or '.' in name:
            raise ValueError(
                f"'losses' must have names without dots, other than 'task', "
                f"'total' and those that a ModuleDict has itself (got "
                f'{name!r}); pass for example {{"abkd": ABKDLoss}}'
            )
    if not out:
        raise ValueError(
            "'losses' must hold at least one loss (got none); leave it out "
            'for ABKDLoss and KDLoss'
        )
    return out


def check_weights(
    names: list[str], weights: Mapping[str, float] | Sequence[float] | None
) -> dict[str, float]:
    """A weight for each loss, 1 where none is given."""
    if weights is None:
        return dict.fromkeys(names, 1.0)
    if not isinstance(weights, Mapping):
        if not isinstance(weights, Sequence) or isinstance(weights, str):
            raise TypeError(
                f"'weights' must be a list or a dictionary of numbers (got "
                f'{weights!r}); pass for example {dict.fromkeys(names, 1.0)}'
            )
        if len(weights) != len(names):
            raise ValueError(
                f"'weights' must have one entry a loss (got {len(weights)} "
                f'for {", ".join(names)}); pass as many, or a dictionary'
            )
        weights = dict(zip(names, weights, strict=True))
    unknown = [name for name in weights if name not in names]
    if unknown:
        raise ValueError(
            f"'weights' must name losses (got {unknown[0]!r}); pass some of "
            f'{", ".join(names)}'
        )
    for name, weight in weights.items():
        number = isinstance(weight, int | float | Tensor)
        if not number or not 0 <= weight < float('inf'):
            raise ValueError(
                f"'weights' must be finite and at least 0 (got {weight!r} for "
                f'{name!r}); pass 0 to leave a loss out'
            )
    return {name: float(weights.get(name, 1.0)) for name in names}


def build_losses(
    losses: Mapping[str, Any], teacher: list[Any], student: list[Any]
) -> dict[str, Any]:
    """Calls what is no loss yet, with the widths of layers if it needs them."""
    out = dict(losses)
    for name, loss in losses.items():
        if not isinstance(loss, torch.nn.Module):
            on_layers = compares(loss) == 'layers'
            out[name] = loss(teacher, student) if on_layers else loss()
    return out


def compare_layers(
    loss: torch.nn.Module,
    teacher: list[Any],
    student: list[Any],
    context: Mapping[str, Any],
) -> Tensor:
    """A loss of layers, which gets as much of the context as it takes."""
    if context:
        takes = inspect.signature(loss.forward).parameters
        if not any(p.kind is p.VAR_KEYWORD for p in takes.values()):
            context = {k: v for k, v in context.items() if k in takes}
    return loss(teacher, student, **context)


def compare_outputs(
    loss: torch.nn.Module, teacher: Any, student: Any
) -> Tensor:
    """A loss of outputs, averaged over the node types that both have."""
    taught, learned = dict(items(teacher)), dict(items(student))
    both = [key for key in learned if key in taught]
    # A mini-batch need not hold every type.
    some = [key for key in both if learned[key].numel()] or both
    values = [loss(taught[key], learned[key]) for key in some]
    if not values:
        raise ValueError(
            f"'teacher' and 'student' must return outputs for the same node "
            f'types (got {sorted(taught)} and {sorted(learned)}); wrap one of '
            f'them in a module that does'
        )
    return torch.stack(values).mean()


def compares(loss: Any) -> str:
    """Whether a loss, or its maker, takes ``'layers'`` or ``'outputs'``."""
    return getattr(_unwrap(loss), 'compares', 'layers')


def _name(loss: Any) -> str:
    loss = _unwrap(loss)
    name = getattr(loss, '__name__', type(loss).__name__).lower()
    name = name.removesuffix('loss')
    return name if name.isidentifier() else 'loss'


def _unwrap(loss: Any) -> Any:
    while isinstance(loss, partial):
        loss = loss.func
    return loss


def _is_of_torch(loss: Any) -> bool:
    # They take two tensors, and do not say of what.
    loss = _unwrap(loss)
    kind = (
        loss
        if inspect.isclass(loss) or inspect.isfunction(loss)
        else type(loss)
    )
    return not hasattr(loss, 'compares') and kind.__module__ in (
        'torch.nn.modules.loss',
        'torch.nn.functional',
    )


def _taken() -> set[str]:
    return {'', 'task', 'total', *dir(torch.nn.ModuleDict())}
