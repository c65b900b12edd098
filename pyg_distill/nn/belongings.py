"""What belongs to a layer of a model, by the names of its modules."""

import torch
from torch import Tensor


def misfit(
    student: torch.nn.Module, trained: torch.nn.Module, name: str, other: str
) -> str | None:
    """How a layer differs from the one to copy, if it does."""
    mine = _shapes(student.get_submodule(name))
    theirs = _shapes(trained.get_submodule(other))
    for key in {**mine, **theirs}:
        if mine.get(key) != theirs.get(key):
            return (
                f'{key} of {mine.get(key, "no shape")} and '
                f'{theirs.get(key, "no shape")}'
            )
    return None


def _shapes(module: torch.nn.Module) -> dict[str, list[int]]:
    return {key: list(x.size()) for key, x in tensors(module).items()}


def tensors(module: torch.nn.Module) -> dict[str, Tensor]:
    """Its parameters and buffers."""
    state = module.state_dict()
    return {key: x for key, x in state.items() if isinstance(x, Tensor)}


def companions(
    student: torch.nn.Module, trained: torch.nn.Module, name: str, other: str
) -> list[tuple[str, str]]:
    """Names of modules beside a layer and beside the one to copy."""
    theirs = {n.rpartition('.')[0]: n for n in siblings(trained, other)}
    return [
        (sibling, theirs[sibling.rpartition('.')[0]])
        for sibling in siblings(student, name)
        if sibling.rpartition('.')[0] in theirs
    ]


def siblings(model: torch.nn.Module, name: str) -> list[str]:
    """Entries of the same position in lists beside that of a layer."""
    own, _, index = name.rpartition('.')
    if not _in_list(model, name):
        return []
    parent = own.rpartition('.')[0]
    return [
        f'{_inside(parent)}{key}.{index}'
        for key, module in model.get_submodule(parent).named_children()
        if isinstance(module, torch.nn.ModuleList)
        and f'{_inside(parent)}{key}' != own
        and int(index) < len(module)
    ]


def _in_list(model: torch.nn.Module, name: str) -> bool:
    own = name.rpartition('.')[0]
    return isinstance(model.get_submodule(own), torch.nn.ModuleList)


def scope(model: torch.nn.Module, name: str) -> str:
    """How the names of a layer, or of the list that holds it, begin."""
    return _inside(name.rpartition('.')[0] if _in_list(model, name) else name)


def pairs(target: dict[str, Tensor], name: str, other: str) -> dict[str, str]:
    """The tensors of a module, each with that of another."""
    return {
        key: _inside(other) + key.removeprefix(_inside(name))
        for key in target
        if key.startswith(_inside(name))
    }


def _inside(name: str) -> str:
    return f'{name}.' if name else ''
