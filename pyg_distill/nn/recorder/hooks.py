"""The hooks of a recorder, and the store that they write to.

A module owns its hooks, and a hook owns the store. The store knows neither the
recorder nor any module, so nothing refers back to the model.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

Features: TypeAlias = Tensor | dict[str, Tensor]

# New in PyTorch 2.7.
_is_exporting: Callable[[], bool] = getattr(
    torch.compiler, 'is_exporting', lambda: False
)


class Capture(NamedTuple):
    """The output of one call of a hooked module, at a position among them.

    Its value is the type of the output if there are no features in it. The
    versions say how often each tensor had been changed in-place.
    """

    position: int
    value: Features | str
    versions: tuple[int, ...] | None

    def tensors(self) -> list[Tensor]:
        """Its features as a list."""
        return [x for x in tree_leaves(self.value) if isinstance(x, Tensor)]

    def features(self) -> Features:
        """Its features, as a loss can use them."""
        return tree_map(_usable, self.value)


class Store:
    """The captures of the latest forward pass of a model."""

    def __init__(
        self, parameters: Iterable[Tensor], clone: bool, detach: bool
    ) -> None:
        self.clone = clone
        self.detach = detach
        self.parameters = list(parameters)
        self.clear()

    def clear(self) -> None:
        """Forgets the captures."""
        self.captures: list[Capture] = []
        self.versions: list[int] | None = None
        self.active = self.started = self.complete = False

    def parameter_versions(self) -> list[int]:
        """How often each parameter was changed in-place."""
        return [parameter._version for parameter in self.parameters]

    def begin(self, module: torch.nn.Module, args: Any) -> None:
        """Starts a new record, before the forward pass of the model."""
        self.active = False
        if _is_exporting():
            return
        if not torch.compiler.is_compiling():
            if torch.jit.is_tracing() or _in_backward():
                return
            if getattr(module, '_is_replica', False):
                raise RuntimeError(
                    f"'{type(module).__name__}' is recorded and cannot run in "
                    f'DataParallel; use DistributedDataParallel'
                )
        # Not asked in each layer: reentrant checkpointing runs layers without
        # gradients that get some later on.
        if self.detach or torch.is_grad_enabled():
            self.clear()
            self.started = self.active = True

    def end(self, module: torch.nn.Module, args: Any, out: Any) -> None:
        """Completes the record, after the forward pass of the model."""
        if self.active:
            self.active = False
            self.complete = True
            if not self.detach and not torch.compiler.is_compiling():
                self.versions = self.parameter_versions()

    def add(self, position: int, module: Any, args: Any, out: Any) -> None:
        """Captures the output of a layer."""
        compiling = torch.compiler.is_compiling()
        if not self.active or (not compiling and _in_backward()):
            return
        value = pick(out)
        if value is None:
            # Not the model's fault, so the recorder reports it later.
            self.captures.append(Capture(position, type(out).__name__, None))
            return
        capture = Capture(position, tree_map(self._keep, value), None)
        if not compiling:
            versions = tuple(tensor._version for tensor in capture.tensors())
            capture = capture._replace(versions=versions)
        self.captures.append(capture)

    def _keep(self, tensor: Tensor) -> Tensor:
        if self.detach:
            tensor = tensor.detach()
        # Compiled code cannot tell whether a tensor is changed later on.
        if torch.compiler.is_compiling():
            return tensor.clone()
        if torch.is_inference_mode_enabled():
            # Nor can a tensor of this mode, which no loss could use either.
            with torch.inference_mode(False):
                return tensor.clone()
        return tensor.clone() if self.clone else tensor


class Hook:
    """A method of a store, which does nothing once the model is copied.

    The copy of a model must not write to the store of the original, and a
    saved model must load without this package. There, a function of the
    standard library takes the place of the hook.
    """

    def __init__(self, method: Callable[..., None], *args: Any) -> None:
        self.method = method
        self.args = args

    def __call__(self, *args: Any) -> None:
        """Runs before or after a module does."""
        self.method(*self.args, *args)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (contextlib.nullcontext(), '__exit__')


def pick(value: Any) -> Features | None:
    """A tensor, tensors by key, or the first of either in a tuple or list."""
    if isinstance(value, tuple | list):
        parts = (part for part in value if isinstance(part, Tensor | Mapping))
        value = next(parts, None)
    if isinstance(value, Mapping):
        tensors = {k: v for k, v in value.items() if v is not None}
        right = all(isinstance(v, Tensor) for v in tensors.values())
        return tensors if tensors and right else None
    return value if isinstance(value, Tensor) else None


def _usable(tensor: Tensor) -> Tensor:
    """Copies a tensor that was made in inference mode."""
    # Compiled code may have run in it. It cannot ask, but has copied.
    if torch.compiler.is_compiling() or not tensor.is_inference():
        return tensor
    with torch.inference_mode(False):
        return tensor.clone()


def _in_backward() -> bool:
    """Whether layers run only to be differentiated, as checkpointing does."""
    return torch._C._current_graph_task_id() != -1
