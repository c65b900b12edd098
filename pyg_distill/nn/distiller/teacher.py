"""A model that teaches: it runs in evaluation mode and is never trained."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from weakref import WeakSet

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_map
from torch_geometric.data.data import BaseData

from pyg_distill.nn.losses import DistillationLoss, TeacherTarget
from pyg_distill.nn.recorder import LayerRecorder
from pyg_distill.nn.recorder.hooks import pick
from pyg_distill.nn.recorder.layers import shorten

BatchSize = int | Mapping[str, int]

# All modules that `set_eval` took out of training mode.
_PAUSED: WeakSet[torch.nn.Module] = WeakSet()
# The models that are trained, since students may teach each other.
STUDENTS: WeakSet[torch.nn.Module] = WeakSet()


class ModelOutput(NamedTuple):
    """What a model and its layers return, by node type if there are several."""

    outputs: Any
    layers: list[Any]


class Teacher:
    """Holds a model without registering it as a submodule."""

    def __init__(
        self,
        model: torch.nn.Module,
        layers: Any,
        *,
        name: str = 'teacher',
        clone: bool = False,
    ) -> None:
        self.name = name
        self.model = model
        self.recorder: LayerRecorder | None = None
        self.names: list[str] = []
        if layers is not None:
            options: Any = {'clone': clone, 'detach': True}
            self.recorder = LayerRecorder(model, layers, **options)
            self.names = self.recorder.names

    @torch.no_grad()
    def __call__(self, *args: Any, **kwargs: Any) -> ModelOutput:
        """Runs the model in evaluation mode, without gradients."""
        # Models may write to dictionaries and `Data` objects.
        args, kwargs = tree_map(
            lambda x: copy.copy(x) if isinstance(x, BaseData) else x,
            (args, kwargs),
        )
        with _evaluating(self.model):
            out = output_tensors(self.name, self.model(*args, **kwargs))
        if self.recorder is None:
            return ModelOutput(out, [])
        layers = self.recorder.features()
        if len(layers) != len(self.names):
            self.names = self.recorder.names
        self.recorder.clear()
        return ModelOutput(out, layers)

    def align(
        self, teacher_out: ModelOutput, batch_size: BatchSize | None, n_id: Any
    ) -> ModelOutput:
        """The rows of the nodes to compare."""
        return ModelOutput(*seed_rows(teacher_out, batch_size))

    def target(
        self, name: str, loss: DistillationLoss, teacher_out: ModelOutput
    ) -> Any:
        """The teacher's side of a loss."""
        logits, layers = teacher_out
        return logits if loss.needs == 'logits' else layers

    def move(self, fn: Callable[[Tensor], Tensor]) -> None:
        """Applies a function that moves the parameters of a module."""
        self.model._apply(fn)

    def remove(self) -> None:
        """Removes the hooks, which a caught exception would hold."""
        if self.recorder is not None:
            self.recorder.remove()

    def __deepcopy__(self, memo: dict[int, Any]) -> 'Teacher':
        # One teacher serves every copy of its student.
        return self

    def __repr__(self) -> str:
        return describe(self.model, self.names)


def dry_run(
    name: str, model: torch.nn.Module, layers: Any, example: Any
) -> ModelOutput:
    """Runs a model once, materialises lazy parameters, changes nothing else."""
    # Layers with `cached=True` must not keep the graph of the example.
    caches = [
        (module, key, value)
        for module in model.modules()
        for key, value in vars(module).items()
        if key.startswith('_cached')
    ]
    args, kwargs = as_arguments(example)
    runner = Teacher(model, layers, name=name, clone=True)
    try:
        return runner(*args, **kwargs)
    finally:
        runner.remove()
        for module, key, value in caches:
            setattr(module, key, value)


def as_arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments from a tuple, a dict or one value."""
    if type(inputs) in (list, tuple):
        return tuple(inputs), {}
    return ((), inputs) if isinstance(inputs, dict) else ((inputs,), {})


def output_tensors(name: str, out: Any) -> Any:
    """The tensor that a model returns, or its tensors by node type."""
    picked = pick(out)
    if picked is None:
        raise ValueError(
            f"'{name}' must return a tensor, or tensors by node type (got "
            f'{type(out).__name__}); wrap it in a module that does'
        )
    return picked


def describe(model: torch.nn.Module, names: list[str]) -> str:
    """A model, its size, and the layers that are recorded."""
    layers = f', layers {shorten(names)}' if names else ''
    number = num_parameters(model)
    return f'{type(model).__name__} with {number:,} parameters{layers}'


def num_parameters(model: torch.nn.Module) -> int:
    """The number of values of all parameters that have a shape."""
    return sum(p.numel() for p in model.parameters() if not is_lazy(p))


def set_eval(teacher: torch.nn.Module) -> None:
    """Sets evaluation mode for good, unless the teacher is a student, too.

    Compiled code is far slower if the mode changes in every call.
    """
    if teacher not in STUDENTS:
        _PAUSED.update(m for m in teacher.modules() if m.training)
        teacher.eval()


def restore_modes(student: torch.nn.Module) -> None:
    """Undoes :meth:`set_eval` for a model that becomes a student."""
    STUDENTS.add(student)
    for module in student.modules():
        module.training |= module in _PAUSED
        _PAUSED.discard(module)


@contextlib.contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    training = [module for module in model.modules() if module.training]
    if training:
        model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def items(value: Any) -> list[tuple[str, Any]]:
    """The entries by node type, a single value under ``''``."""
    return list(value.items()) if isinstance(value, Mapping) else [('', value)]


def only(value: Any) -> Any:
    """The entry of a dictionary with a single one, anything else as it is."""
    if isinstance(value, Mapping):
        (value,) = value.values()
    return value


def select_rows(value: Any, rows: Any) -> Any:
    """The given rows of all tensors, without the types that have none."""
    if isinstance(value, list | tuple):
        return [select_rows(x, rows) for x in value]
    typed = isinstance(rows, Mapping)
    if isinstance(value, Mapping):
        if not typed:
            raise ValueError(
                f"'batch_size' must name the node type of the seeds (got "
                f'{rows.stop}); try { {next(iter(value), "x"): rows.stop} }'
            )
        return {
            k: select_rows(x, rows[k]) for k, x in value.items() if k in rows
        }
    if typed and len(rows) != 1:
        raise ValueError(
            f"'batch_size' must name a single node type where outputs are "
            f'tensors (got {list(rows)}); try data.batch_size'
        )
    rows = only(rows)
    if isinstance(value, TeacherTarget):
        return value.select(rows)
    if isinstance(rows, slice) and not 0 <= rows.stop <= value.size(0):
        raise ValueError(
            f"'batch_size' must not exceed the rows of a layer (got "
            f'{rows.stop} for {value.size(0)} rows); try data.batch_size'
        )
    return value[rows]


def seed_rows(value: Any, batch_size: BatchSize | None) -> Any:
    """The first rows of all tensors, without the types that have no seeds."""
    if batch_size is None:
        return value
    return select_rows(value, tree_map(slice, batch_size))


def concat(values: Sequence[Any]) -> Any:
    """The rows of all mini-batches, one after the other."""
    if not isinstance(values[0], Mapping):
        return torch.cat(list(values))
    keys = dict.fromkeys(key for value in values for key in value)
    return {k: torch.cat([v[k] for v in values if k in v]) for k in keys}
