"""Hooks that record what the layers of a model return."""

import contextlib
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from pyg_distill.nn.recorder.calls import Call, find_calls
from pyg_distill.nn.recorder.checks import (
    check_capture,
    check_layers,
    check_model,
    check_picked,
    part_of,
)
from pyg_distill.nn.recorder.describing import describe_state
from pyg_distill.nn.recorder.hooks import BeginHook, EndHook, LayerHook
from pyg_distill.nn.recorder.layers import find_layers, shorten
from pyg_distill.nn.recorder.outputs import Features, channels, check_output
from pyg_distill.nn.recorder.store import Store


class LayerRecorder:
    r"""Records what the layers of a model return as it is called.

    The model is left as it is: hooks write down what its layers return, and
    gradients flow through it. A copy of the model, or one that is saved and
    loaded, is not recorded, and loads without this package.

    .. code-block:: python

        model = GCN(16, 32, num_layers=3)
        recorder = LayerRecorder(model)
        teacher = LayerRecorder(big_model, detach=True)

        out = model(x, edge_index)
        for h in recorder.features():
            ...

    What is recorded is always one whole call of the model. Layers that run
    by themselves, or again in the backward pass because of checkpointing, are
    not. Neither is, unless :obj:`detach` is set, a call without gradients,
    such that a model may be evaluated before the loss is computed. Whatever
    would not be what the layers returned, or would not train them, raises an
    error. Attach a recorder before :meth:`torch.compile`, not after it.

    Layers are in the order in which they are called. One that is called
    several times counts as several, :obj:`conv#0` and :obj:`conv#1`. If
    layers return a tensor for each node type, as in
    :class:`~torch_geometric.nn.conv.HeteroConv` and in models made by
    :meth:`~torch_geometric.nn.to_hetero_transformer.to_hetero`, where
    relations are combined as the model does it, features are dictionaries.
    Mini-batches that shrink from layer to layer
    (:meth:`~torch_geometric.utils.trim_to_layer`) give fewer and fewer rows;
    the seed nodes come first in each.

    Args:
        model (torch.nn.Module): The model. Of a
            :class:`~torch.nn.parallel.DistributedDataParallel` one, the
            module inside.
        layers (str or torch.nn.Module or list, optional): Names as in
            :meth:`~torch.nn.Module.named_modules`, in which :obj:`*` stands
            for anything but a dot, or modules. :obj:`"auto"` means all that
            pass messages; of layers in layers, only the outermost.
            (default: :obj:`"auto"`)
        output (int or str or Callable, optional): What to record if a layer
            returns several tensors: a position, a key, or a function of the
            output that returns a tensor or a dictionary of tensors. By
            default, the first in a tuple, and all in a dictionary.
            (default: :obj:`None`)
        clone (bool, optional): If set to :obj:`True`, outputs are copied,
            which costs memory but lets the model change them in-place.
            (default: :obj:`False`)
        detach (bool, optional): If set to :obj:`True`, no gradients flow, and
            calls without gradients are recorded, too: what a teacher needs.
            (default: :obj:`False`)

    Raises:
        ValueError: If there are no such layers, or if they cannot be
            recorded, as in a model that is compiled already.
        TypeError: If an argument is of another type.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        layers: str
        | torch.nn.Module
        | Iterable[str | torch.nn.Module] = 'auto',
        *,
        output: int | str | Callable[[Any], Features] | None = None,
        clone: bool = False,
        detach: bool = False,
    ) -> None:
        if isinstance(model, DistributedDataParallel):
            model = model.module
        check_model(model)
        check_output(output)
        self.model = model
        self._layers = find_layers(model, layers)
        check_layers(model, self._layers, clone, detach)

        self._store = Store(model.parameters(), output, clone, detach)
        hooked = [m for la in self._layers for m in la.modules.values()]
        handles = [
            model.register_forward_pre_hook(
                BeginHook(self._store), prepend=True
            ),
            *(
                module.register_forward_hook(LayerHook(self._store, index))
                for index, module in enumerate(hooked)
            ),
            model.register_forward_hook(EndHook(self._store)),
        ]
        # Also runs once nobody holds the recorder, since without it hooks
        # would only cost memory.
        self._remove = weakref.finalize(self, _remove, handles)
        self._remove.atexit = False

    @property
    def names(self) -> list[str]:
        """The names of the layers, one for each of the features."""
        if self._store.complete:
            return [call.name for call in self._calls()]
        return [layer.name or 'model' for layer in self._layers]

    @property
    def channels(self) -> list[int] | list[dict[str, int]]:
        """The widths of the features, of each node type if there are any."""
        calls = self._checked_calls()
        return [channels(call.value) for call in calls]  # type: ignore

    def features(self) -> list[Tensor] | list[dict[str, Tensor]]:
        """What the layers returned in the latest call of the model.

        A fused optimizer changes parameters without a trace, so that features
        of before its step are not noticed.

        Returns:
            list: Their outputs, in the order in which they were called.

        Raises:
            RuntimeError: If the model was not called, its call failed or
                missed a layer, its parameters were changed since, or an
                output was changed, freed, or cut off from the gradient.
            ValueError: If the output of a layer holds no features.
        """
        calls = self._checked_calls()
        store = self._store
        if (
            store.versions is not None
            and store.versions != store.parameter_versions()
        ):
            raise RuntimeError(
                f"the parameters of '{type(self.model).__name__}' have "
                f'changed since its layers were recorded; call the model '
                f'again'
            )
        # A step that is compiled as a whole reads what it just copied.
        if not torch.compiler.is_compiling():
            for call in calls:
                check_capture(call, store)
        return [call.value for call in calls]  # type: ignore

    def clear(self) -> None:
        """Forgets what was recorded, and frees its memory."""
        self._store.clear()

    def remove(self) -> None:
        """Removes the hooks, and keeps what was recorded."""
        self._remove()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """A context in which calls are not recorded."""
        before = self._store.paused
        self._store.paused = True
        try:
            yield
        finally:
            self._store.paused = before

    def _calls(self) -> list[Call]:
        return find_calls(self._layers, self._store.captures)

    def _checked_calls(self) -> list[Call]:
        self._check_complete()
        calls = self._calls()
        called = {id(call.layer) for call in calls}
        for layer in self._layers:
            if id(layer) not in called:
                others = shorten([call.name for call in calls])
                raise RuntimeError(
                    f"'{layer.name}' was not called by "
                    f"'{type(self.model).__name__}' (called: {others}); choose "
                    f'others with layers=..., {part_of(layer)}and attach the '
                    f'recorder before torch.compile (torch.compiler.reset() '
                    f'makes up for it)'
                )
        for call in calls:
            check_picked(call, self._store)
        return calls

    def _check_complete(self) -> None:
        name = type(self.model).__name__
        if not self._store.started:
            if not self._remove.alive:
                raise RuntimeError(
                    f"'{name}' was not recorded before the hooks were "
                    f'removed; make a new recorder'
                )
            raise RuntimeError(
                f"'{name}' was not recorded; call the model itself, not "
                f'its forward() or a submodule, not paused() or after '
                f'clear(), with gradients unless detach=True, and attach the '
                f'recorder before torch.compile (torch.compiler.reset() '
                f'makes up for it)'
            )
        if not self._store.complete:
            raise RuntimeError(
                f"the call of '{name}' did not end, so its record is "
                f'incomplete; call the model again'
            )

    def __enter__(self) -> 'LayerRecorder':
        return self

    def __exit__(self, *args: Any) -> None:
        self.remove()

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy records the copy of the model that is made along with it.
        store = self._store
        options = store.output, store.clone, store.detach
        names = [layer.name for layer in self._layers]
        return _rebuild, (self.model, names, *options)

    def __repr__(self) -> str:
        store = self._store
        names = [repr(layer.name or 'model') for layer in self._layers]
        options = ''
        if store.output is not None:
            options += f', output={store.output!r}'
        if store.clone:
            options += ', clone=True'
        if store.detach:
            options += ', detach=True'
        return (
            f'{self.__class__.__name__}({type(self.model).__name__}, '
            f'layers=[{shorten(names)}]{options})'
        )

    def __str__(self) -> str:
        state = describe_state(self._layers, self._store, self._remove.alive)
        return '\n  '.join([repr(self), *state])


def _remove(handles: list[torch.utils.hooks.RemovableHandle]) -> None:
    for handle in handles:
        handle.remove()


def _rebuild(
    model: torch.nn.Module, layers: list[str], *options: Any
) -> LayerRecorder:
    output, clone, detach = options
    return LayerRecorder(
        model, layers, output=output, clone=clone, detach=detach
    )
