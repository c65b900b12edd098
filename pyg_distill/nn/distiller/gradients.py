"""Gradients for all parameters, as several processes need them."""

import torch
from torch import Tensor


def nothing_of(module: torch.nn.Module) -> list[Tensor]:
    """Zeros that depend on each parameter, whatever its values are.

    Added to a loss, they see to it that every process has a gradient for
    every parameter. Parameters with sparse gradients are left out, which would
    become dense.

    Args:
        module (torch.nn.Module): The module that is trained.
    """
    sparse = {
        id(parameter)
        for part in module.modules()
        if getattr(part, 'sparse', False)
        for parameter in part.parameters(recurse=False)
    }
    return [
        parameter.reshape(-1)[:0].sum()
        for parameter in module.parameters()
        if parameter.requires_grad and id(parameter) not in sparse
    ]
