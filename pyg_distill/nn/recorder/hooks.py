"""The hooks of a recorder, and the store that they write to.

A module owns its hooks, and a hook owns the store. The store knows neither the
recorder nor any module, so nothing refers back to the model.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias, cast

import torch
from torch import Tensor

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
        if isinstance(self.value, str):
            return []
        if isinstance(self.value, dict):
            return list(self.value.values())
        return [self.value]

    def features(self) -> Features:
        """Its features, as a loss can use them."""
        if isinstance(self.value, dict):
            return {k: _usable(v) for k, v in self.value.items()}
        return _usable(cast(Tensor, self.value))


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

    def add(self, position: int, out: Any) -> None:
        """Captures the output of a module."""
        value = pick(out)
        if value is None:
            # Not the model's fault, so the recorder reports it later.
            self.captures.append(Capture(position, type(out).__name__, None))
            return
        if isinstance(value, Tensor):
            value = self._keep(value)
        else:
            value = {key: self._keep(v) for key, v in value.items()}
        capture = Capture(position, value, None)
        if not torch.compiler.is_compiling():
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
    """A hook that does nothing once the model is copied or saved.

    The copy of a model must not write to the store of the original, and a
    saved model must load without this package. There, a function of the
    standard library takes the place of the hook.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (contextlib.nullcontext(), '__exit__')


class BeginHook(Hook):
    """Starts a new record, before the forward pass of the model."""

    def __call__(self, module: torch.nn.Module, args: Any) -> None:
        """Runs before the model does."""
        store = self.store
        store.active = False
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
        if store.detach or torch.is_grad_enabled():
            store.clear()
            store.started = store.active = True


class LayerHook(Hook):
    """Stores the output of a layer."""

    def __init__(self, store: Store, position: int) -> None:
        super().__init__(store)
        self.position = position

    def __call__(self, module: torch.nn.Module, args: Any, out: Any) -> None:
        """Runs after the layer did."""
        if self.store.active and (
            torch.compiler.is_compiling() or not _in_backward()
        ):
            self.store.add(self.position, out)


class EndHook(Hook):
    """Completes the record, after the forward pass of the model."""

    def __call__(self, module: torch.nn.Module, args: Any, out: Any) -> None:
        """Runs after the model did."""
        store = self.store
        if store.active:
            store.active = False
            store.complete = True
            if not store.detach and not torch.compiler.is_compiling():
                store.versions = store.parameter_versions()


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
