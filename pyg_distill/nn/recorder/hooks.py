"""The hooks of a recorder.

A module owns its hooks, and a hook owns the store, which knows neither the
recorder nor any module: nothing refers back to the model.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pyg_distill.nn.recorder.outputs import Features, pick
from pyg_distill.nn.recorder.store import Capture, Store

# New in PyTorch 2.7.
_is_exporting: Callable[[], bool] = getattr(
    torch.compiler, 'is_exporting', lambda: False
)


class Hook:
    """A hook that becomes inert when the model is copied or saved.

    The copy of a model must not write to the store of the original, and a
    saved model must load where this package is not installed. What takes the
    place of the hook there comes from the standard library and does nothing.

    Args:
        store (Store): Where to write.
    """

    __slots__ = ('store',)

    def __init__(self, store: Store) -> None:
        self.store = store

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (contextlib.nullcontext(), '__exit__')


class BeginHook(Hook):
    """Starts a new capture, before the forward pass of the model."""

    __slots__ = ()

    def __call__(self, module: torch.nn.Module, args: Any) -> None:
        """Runs before the model does."""
        store = self.store
        store.active = False
        if store.paused or _is_exporting():
            return
        if not torch.compiler.is_compiling():
            if torch.jit.is_tracing() or in_backward():
                return
            if getattr(module, '_is_replica', False):
                raise RuntimeError(
                    f"'{type(module).__name__}' is recorded and cannot run "
                    f'in DataParallel, whose replicas would write over each '
                    f'other; use DistributedDataParallel'
                )
        # Asked here and not in each layer, since reentrant checkpointing
        # runs layers without gradients that do get some later on.
        if store.detach or torch.is_grad_enabled():
            store.captures = []
            store.versions = None
            store.complete = False
            store.started = store.active = True


class LayerHook(Hook):
    """Stores what a layer returned.

    Args:
        store (Store): Where to write.
        position (int): That of the layer among those that are hooked.
    """

    __slots__ = ('position',)

    def __init__(self, store: Store, position: int) -> None:
        super().__init__(store)
        self.position = position

    def __call__(self, module: torch.nn.Module, args: Any, out: Any) -> None:
        """Runs after the layer did."""
        store = self.store
        if not store.active:
            return
        compiling = torch.compiler.is_compiling()
        if not compiling and in_backward():
            return
        value = pick(out, store.output)
        versions: tuple[int, ...] | None = None
        kept: Features | str
        if value is None:
            # Not the model's fault, so it is left for the recorder to tell.
            kept = type(out).__name__
        elif isinstance(value, Tensor):
            kept = store.keep(value)
            if not compiling:
                versions = (kept._version,)
        else:
            kept = {key: store.keep(v) for key, v in value.items()}
            if not compiling:
                versions = tuple(v._version for v in kept.values())
        store.captures.append(Capture(self.position, kept, versions))


class EndHook(Hook):
    """Marks the capture as complete, after the forward pass of the model."""

    __slots__ = ()

    def __call__(self, module: torch.nn.Module, args: Any, out: Any) -> None:
        """Runs after the model did."""
        store = self.store
        if store.active:
            store.active = False
            store.complete = True
            if not store.detach and not torch.compiler.is_compiling():
                store.versions = store.parameter_versions()


def in_backward() -> bool:
    """Whether layers run only to be differentiated, as checkpointing does."""
    return torch._C._current_graph_task_id() != -1
