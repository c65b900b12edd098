"""What makes a capture, or a module to capture from, unusable."""

import torch
from torch import Tensor
from torch.nn.parallel import DataParallel
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.models.rev_gnn import InvertibleModule

from pyg_distill.nn.recorder.calls import Call
from pyg_distill.nn.recorder.layers import Layer
from pyg_distill.nn.recorder.store import Store


def check_model(model: torch.nn.Module) -> None:
    """Refuses what cannot be recorded at all.

    Args:
        model (torch.nn.Module): The model.

    Raises:
        TypeError: If it is no module.
        ValueError: If its hooks would never run, or in replicas.
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(
            f"'model' must be a torch.nn.Module (got "
            f"'{type(model).__name__}'); pass the model itself"
        )
    if isinstance(model, DataParallel):
        raise ValueError(
            f"'model' cannot be recorded in '{type(model).__name__}', whose "
            f'replicas would write over each other; use '
            f'DistributedDataParallel'
        )
    _check_hooks("'model'", model)


def check_layers(
    model: torch.nn.Module, layers: list[Layer], clone: bool, detach: bool
) -> None:
    """Refuses layers that hooks would miss or capture wrongly.

    Args:
        model (torch.nn.Module): The model.
        layers (list): What is to be recorded.
        clone (bool): Whether captures are copied.
        detach (bool): Whether captures are detached.

    Raises:
        ValueError: If there is such a layer.
    """
    hooked = {id(m): la for la in layers for m in la.modules.values()}
    for name, module in model.named_modules():
        inside = [hooked[id(m)] for m in module.modules() if id(m) in hooked]
        if not inside:
            continue
        what = f'{name or "model"!r}'
        _check_hooks(what, module)
        if isinstance(module, InvertibleModule) and not module.disable:
            own = id(module) in hooked
            if own and not clone:
                raise ValueError(
                    f'{what} is reversible and frees what it returned; pass '
                    f'clone=True, or build it with disable=True'
                )
            if not detach and (len(inside) > 1 or not own):
                layer = next(la for la in inside if la.name != name)
                raise ValueError(
                    f"'{layer.name}' runs without gradients inside of "
                    f'{what}, which is reversible; record {what} itself, or '
                    f'build it with disable=True'
                )


def check_picked(call: Call, store: Store) -> None:
    """Refuses a call in whose output there were no features.

    Args:
        call (Call): The call.
        store (Store): Where it is from.

    Raises:
        ValueError: If there were none, or no tensor of a part.
    """
    for capture in call.captures.values():
        value = capture.value
        if isinstance(value, dict) and call.layer.formulas is not None:
            value = 'dict'
        if isinstance(value, str):
            raise ValueError(
                f"'{call.name}' returned '{value}', in which output="
                f'{store.output!r} finds no features; say what they are with '
                f'output=..., a position, a key or a function'
            )


def part_of(layer: Layer) -> str:
    """A hint at a part that may have been called instead of a layer.

    Args:
        layer (Layer): The layer.
    """
    for module in layer.modules.values():
        for name, part in module.named_modules():
            if name and isinstance(part, MessagePassing):
                return f"or a part of it such as '{layer.name}.{name}', "
    return ''


def check_capture(call: Call, store: Store) -> None:
    """Refuses what is no longer what the layer returned.

    Args:
        call (Call): The call.
        store (Store): Where it is from.

    Raises:
        RuntimeError: If it was freed or changed, or has lost its gradient.
    """
    for capture in call.captures.values():
        tensors = capture.tensors()
        if any(map(_is_freed, tensors)):
            raise RuntimeError(
                f"the output of '{call.name}' was freed after its capture, "
                f'as reversible layers do; pass clone=True'
            )
        if capture.versions is not None and capture.versions != tuple(
            tensor._version for tensor in tensors
        ):
            raise RuntimeError(
                f"the output of '{call.name}' was changed in-place after its "
                f'capture; pass clone=True for what it was, or record the '
                f'module that changed it'
            )
        if (
            not store.detach
            and any(
                tensor.is_floating_point() and not tensor.requires_grad
                for tensor in tensors
            )
            and any(
                parameter.requires_grad
                for module in call.layer.modules.values()
                for parameter in module.parameters()
            )
        ):
            raise RuntimeError(
                f"the output of '{call.name}' has no gradient, although its "
                f'parameters are trained: something ran it without, as '
                f'reentrant checkpointing does; record the layer around it, '
                f'or pass detach=True'
            )


def _check_hooks(name: str, module: torch.nn.Module) -> None:
    if isinstance(module, torch.jit.ScriptModule):
        raise ValueError(
            f'{name} is scripted and runs no hooks; record the model that it '
            f'was made from'
        )
    if (
        '_orig_mod' in module._modules
        or getattr(module, '_compiled_call_impl', None) is not None
    ):
        raise ValueError(
            f'{name} is compiled and may run no hooks; attach the recorder '
            f'first, then compile'
        )


def _is_freed(tensor: Tensor) -> bool:
    return (
        tensor.layout == torch.strided
        and tensor.numel() > 0
        and tensor.untyped_storage().size() == 0
    )
