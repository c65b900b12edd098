"""Models, bytes and what a student learns from, in a few words."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from pyg_distill.nn.recorder.names import shorten


def num_parameters(model: torch.nn.Module) -> int:
    """The number of values of all parameters that have a shape."""
    return sum(p.numel() for p in model.parameters() if not is_lazy(p))


def describe(model: torch.nn.Module) -> str:
    """A model in a few words."""
    return f'{type(model).__name__} with {num_parameters(model):,} parameters'


def format_bytes(number: int) -> str:
    """A number of bytes in the unit that suits it."""
    if number < 1024:
        return f'{number} bytes'
    size, units = number / 1024, ['KiB', 'MiB', 'GiB']
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f'{size:,.1f} {units[0]}'


def format_widths(widths: list[Any]) -> str:
    """The widths of layers, not of all of them if there are many."""
    return f'[{shorten(list(map(str, widths)))}]' if widths else '[]'


def describe_student(student: torch.nn.Module, teacher: Any) -> str:
    """The student, beside the model that it learns from.

    Args:
        student (torch.nn.Module): The student.
        teacher (torch.nn.Module, optional): The teacher, if it is there.
    """
    text = describe(student)
    if teacher is not None and num_parameters(student) > 0:
        ratio = num_parameters(teacher) / num_parameters(student)
        if ratio >= 1:
            text += f', {ratio:,.1f} times fewer'
    return text


def describe_layers(recorder: Any) -> str:
    """The layers that are matched, if any are.

    Args:
        recorder (LayerRecorder, optional): What records them.
    """
    if recorder is None:
        return ''
    return f', layers {shorten(recorder.names)}'


def describe_losses(
    losses: Mapping[str, torch.nn.Module], weights: Mapping[str, float]
) -> list[str]:
    """What is minimised, and then each loss by name.

    Args:
        losses (dict[str, torch.nn.Module]): The losses.
        weights (dict[str, float]): Their weights.
    """
    terms = [f'{weight:g} * {name}' for name, weight in weights.items()]
    lines = [f'loss={" + ".join(["task", *terms])}']
    for name, loss in losses.items():
        number = num_parameters(loss)
        own = f', {number:,} parameters of its own' if number else ''
        first = str(loss).partition('\n')[0]
        # Of a loss that prints as a tree of modules, the root will do.
        first = first if not first.endswith('(') else type(loss).__name__
        lines.append(f'{name}={first}{own}')
    return lines
