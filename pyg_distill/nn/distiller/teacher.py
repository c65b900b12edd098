"""A teacher that is listened to and never trained."""

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data.data import BaseData

from pyg_distill.nn.distiller.alignment import BatchSize, seed_rows
from pyg_distill.nn.distiller.describing import describe, describe_layers
from pyg_distill.nn.distiller.modes import evaluating
from pyg_distill.nn.distiller.named_losses import compares
from pyg_distill.nn.recorder import LayerRecorder
from pyg_distill.nn.recorder.outputs import pick


class Answer(NamedTuple):
    """What a teacher says to one input.

    Attributes:
        outputs: Its outputs, by node type if there are several.
        layers: What its layers returned, if they were asked for.
    """

    outputs: Any
    layers: Any


class Teacher:
    """Holds a model out of reach of those who would train or register it.

    Args:
        model (torch.nn.Module): The model.
        layers (Any): The layers to record, or `None` if none are needed.
        name (str, optional): What errors call it.
        clone (bool, optional): Whether layers are copied, since the model
            changes them in-place.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        layers: Any,
        name: str = 'teacher',
        clone: bool = False,
    ) -> None:
        self.name = name
        self.recorder: LayerRecorder | None = None
        if layers is not None:
            self.recorder = LayerRecorder(
                model, layers, clone=clone, detach=True
            )
        self.model = model

    @torch.no_grad()
    def __call__(self, *args: Any, **kwargs: Any) -> Answer:
        """Asks the model, in evaluation mode."""
        args, kwargs = apart(args), apart(kwargs)
        with evaluating(self.model):
            out = output_tensors(self.name, self.model(*args, **kwargs))
        if self.recorder is None:
            return Answer(out, None)
        layers = self.recorder.features()
        self.recorder.clear()
        return Answer(out, layers)

    def align(
        self, answer: Answer, batch_size: BatchSize | None, n_id: Any
    ) -> Answer:
        """The part of an answer that is about the nodes to compare."""
        return Answer(
            seed_rows(answer.outputs, batch_size),
            [seed_rows(x, batch_size) for x in answer.layers or []],
        )

    def target(self, name: str, loss: torch.nn.Module, answer: Answer) -> Any:
        """The teacher's side of a loss."""
        return answer.outputs if compares(loss) == 'outputs' else answer.layers

    def move(self, fn: Callable[[Tensor], Tensor]) -> None:
        """Applies what moves the parameters of a module."""
        self.model._apply(fn)

    def remove(self) -> None:
        """Removes the hooks."""
        if self.recorder is not None:
            self.recorder.remove()

    def __deepcopy__(self, memo: dict[int, Any]) -> 'Teacher':
        # One teacher serves every copy of its student.
        return self

    def __repr__(self) -> str:
        return describe(self.model) + describe_layers(self.recorder)


def apart(value: Any) -> Any:
    """Containers of their own for the same tensors.

    Models may put other tensors into a dictionary or a `Data` object, which
    the next model must not see.
    """
    if isinstance(value, Mapping):
        return {key: apart(inner) for key, inner in value.items()}
    if isinstance(value, BaseData):
        return copy.copy(value)
    if type(value) in (list, tuple):
        return type(value)(apart(inner) for inner in value)
    return value


def output_tensors(name: str, out: Any) -> Any:
    """The tensor that a model returns, or its tensors by node type."""
    picked = pick(out, None)
    if picked is None:
        raise ValueError(
            f"'{name}' must return a tensor, a tuple that holds one, or a "
            f'dictionary of them by node type (got {type(out).__name__}); '
            f'wrap it in a module that does'
        )
    return picked
