"""Which modules of a model a name, a pattern or a module means."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

import torch


def resolve(model: torch.nn.Module, layers: Any, known: list[str]) -> list[str]:
    """Finds the names of modules.

    Args:
        model (torch.nn.Module): The model.
        layers (str or torch.nn.Module or iterable): Names, patterns, modules.
        known (list): The names to tell of if there is no such module.

    Raises:
        TypeError: If :obj:`layers` is anything else.
        ValueError: If it means no module.
    """
    # Of a list that belongs to the model, its modules are meant.
    if isinstance(layers, str) or (
        isinstance(layers, torch.nn.Module)
        and not isinstance(layers, torch.nn.ModuleList)
    ):
        layers = [layers]
    if not isinstance(layers, Iterable) or isinstance(layers, dict):
        raise TypeError(
            f"'layers' must be 'auto', a name or a list of names or modules "
            f"(got '{type(layers).__name__}'); leave it out to record all that "
            f'pass messages'
        )
    # One module may have several names, of which the first is its own.
    own = {id(module): name for name, module in model.named_modules()}
    names = {
        name: own[id(module)]
        for name, module in model.named_modules(remove_duplicate=False)
    }
    found: list[str] = []
    layers = list(layers)
    for layer in layers:
        if isinstance(layer, torch.nn.Module):
            if id(layer) not in own:
                raise ValueError(
                    f"'layers' must hold modules of "
                    f"'{type(model).__name__}' (got a "
                    f"'{type(layer).__name__}' that is not in it); there are "
                    f'{shorten(known)}'
                )
            found.append(own[id(layer)])
        elif isinstance(layer, str):
            matches = [n for n in names if n == layer or _matches(n, layer)]
            if not matches:
                raise ValueError(
                    f"'layers' must name submodules of "
                    f"'{type(model).__name__}' (got {layer!r}); there are "
                    f'{shorten(known)}'
                )
            found += [names[name] for name in matches]
        else:
            raise TypeError(
                f"'layers' must hold names or modules (got "
                f"'{type(layer).__name__}'); pass for example ['convs.*']"
            )
    if not found:
        raise ValueError(
            "'layers' must hold at least one layer (got none); leave it out "
            'to record all that pass messages'
        )
    return found


def _matches(name: str, pattern: str) -> bool:
    # A star must not match the insides of what it is meant to match.
    parts, patterns = name.split('.'), pattern.split('.')
    return len(parts) == len(patterns) and all(
        map(fnmatchcase, parts, patterns)
    )


def shorten(names: list[str], limit: int = 8) -> str:
    """Lists names, but not all if there are many.

    Args:
        names (list): The names.
        limit (int, optional): How many are many. (default: :obj:`8`)
    """
    if len(names) > limit:
        names = [*names[: limit - 2], '...', names[-1]]
    return ', '.join(names) or 'none'
