"""What is known between a call of the student and the loss of it."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyg_distill.nn.distiller.by_type import items


class Step(NamedTuple):
    """What one call of the student left for the loss.

    Attributes:
        heard: What the teacher said, or was asked.
        outputs: What the student returned.
        layers: What was recorded of it.
        versions: How often each tensor had been changed in-place by then,
            empty in compiled code.
    """

    heard: Any
    outputs: Any
    layers: list[Any]
    versions: Sequence[int]

    @classmethod
    def of(cls, heard: Any, outputs: Any, layers: list[Any]) -> 'Step':
        """Remembers how the tensors are now."""
        versions = (
            [] if torch.compiler.is_compiling() else _read(outputs, layers)
        )
        return cls(heard, outputs, layers, versions)

    def check(self) -> None:
        """Refuses tensors that were changed after the call.

        Raises:
            RuntimeError: If there are any.
        """
        if not self.versions or torch.compiler.is_compiling():
            return
        if _read(self.outputs, self.layers) != self.versions:
            raise RuntimeError(
                "what 'student' returned was changed in-place before loss(), "
                'which would compare something else than it said; change a '
                'copy, such as out.relu() instead of out.relu_()'
            )


def _read(outputs: Any, layers: list[Any]) -> list[int]:
    return [x._version for x in _tensors(outputs, layers)]


def _tensors(outputs: Any, layers: list[Any]) -> Iterator[Tensor]:
    for value in (outputs, *layers):
        for _, x in items(value):
            yield x
