"""Where a recorder keeps what its hooks capture."""

from collections.abc import Iterable
from typing import NamedTuple, cast

import torch
from torch import Tensor

from pyg_distill.nn.recorder.outputs import Features, Output


class Capture(NamedTuple):
    """What one call of one hooked module returned.

    Attributes:
        position (int): That of the module among those that are hooked.
        value (torch.Tensor or dict or str): Its features, or the type of its
            output if there are none in it.
        versions (tuple, optional): How often each tensor had been changed
            in-place.
    """

    position: int
    value: Features | str
    versions: tuple[int, ...] | None

    def tensors(self) -> list[Tensor]:
        """Its features as a list."""
        if isinstance(self.value, str):
            return []
        if isinstance(self.value, dict):
            return list(self.value.values())
        return [self.value]

    def features(self) -> Features:
        """Its features, as a loss can use them."""
        # Compiled code may have run in inference mode.
        if isinstance(self.value, dict):
            return {k: outside_inference(v) for k, v in self.value.items()}
        return outside_inference(cast(Tensor, self.value))


class Store:
    """The captures of the latest forward pass of a model.

    Args:
        parameters (iterable): The parameters of the model.
        output (int or str or Callable, optional): Which part of an output.
        clone (bool): Whether to copy.
        detach (bool): Whether to detach.
    """

    __slots__ = (
        'active',
        'captures',
        'clone',
        'complete',
        'detach',
        'output',
        'parameters',
        'paused',
        'started',
        'versions',
    )

    def __init__(
        self,
        parameters: Iterable[Tensor],
        output: Output,
        clone: bool,
        detach: bool,
    ) -> None:
        self.output = output
        self.clone = clone
        self.detach = detach
        self.parameters = list(parameters)
        self.paused = False
        self.clear()

    def clear(self) -> None:
        """Forgets what was captured."""
        self.captures: list[Capture] = []
        self.versions: list[int] | None = None
        self.active = self.started = self.complete = False

    def parameter_versions(self) -> list[int]:
        """How often each parameter was changed in-place."""
        return [parameter._version for parameter in self.parameters]

    def keep(self, tensor: Tensor) -> Tensor:
        """What is stored of a tensor.

        Args:
            tensor (torch.Tensor): The tensor.
        """
        if self.detach:
            tensor = tensor.detach()
        # Compiled code cannot tell whether a tensor is changed later on.
        if torch.compiler.is_compiling():
            return tensor.clone()
        if torch.is_inference_mode_enabled():
            # Nor can tensors made here, which no loss could use either.
            with torch.inference_mode(False):
                return tensor.clone()
        return tensor.clone() if self.clone else tensor


def outside_inference(tensor: Tensor) -> Tensor:
    """Copies a tensor that was made in inference mode.

    Args:
        tensor (torch.Tensor): The tensor.
    """
    # Compiled code cannot ask, but copied what it captured.
    if torch.compiler.is_compiling() or not tensor.is_inference():
        return tensor
    with torch.inference_mode(False):
        return tensor.clone()
