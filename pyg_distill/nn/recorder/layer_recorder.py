"""Recording the outputs of the layers of a model."""

import weakref
from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_map
from torch_geometric.nn import MessagePassing

from pyg_distill.nn.recorder.hooks import Capture, Features, Hook, Store
from pyg_distill.nn.recorder.layers import (
    Layer,
    check_hooks,
    check_layers,
    evaluate,
    find_layers,
    shorten,
)

_LATE = (
    'attach the recorder before torch.compile (torch.compiler.reset() makes '
    'up for it)'
)


class LayerRecorder:
    r"""Records the outputs of the layers of a model whenever it is called.

    Hooks record the outputs. The model stays as it is, and gradients flow
    through the record. A copy of the model, or one that is saved and loaded,
    is not recorded, and loads without this package.

    .. code-block:: python

        model = GCN(16, 32, num_layers=3)
        recorder = LayerRecorder(model)
        teacher = LayerRecorder(big_model, detach=True)

        out = model(x, edge_index)
        for h in recorder.features():
            ...

    The record is always that of one whole call of the model. It ignores
    layers that run by themselves, or again in the backward pass because of
    checkpointing. Unless :obj:`detach` is set, it also ignores calls without
    gradients, so a model may be evaluated before the loss is computed. An
    error is raised if a feature is no longer the output of its layer, or
    would not train it. Attach a recorder before :meth:`torch.compile`, not
    after it.

    Of a tuple or list, the first tensor or dictionary is recorded. Layers are
    in the order in which they are called. One that is called
    several times counts as several, :obj:`conv#0` and :obj:`conv#1`. Features
    are dictionaries if layers return a tensor for each node type, as in
    :class:`~torch_geometric.nn.conv.HeteroConv`. In models made by
    :meth:`~torch_geometric.nn.to_hetero_transformer.to_hetero`, relations are
    combined as the model does it. Mini-batches that shrink from layer to layer
    (:meth:`~torch_geometric.utils.trim_to_layer`) give fewer and fewer rows,
    and the seed nodes come first in each.

    Args:
        model (torch.nn.Module): The model. Of a
            :class:`~torch.nn.parallel.DistributedDataParallel` one, the
            module inside is recorded.
        layers (str or torch.nn.Module or list, optional): Names as in
            :meth:`~torch.nn.Module.named_modules`, in which :obj:`*` stands
            for anything but a dot, or modules. :obj:`"auto"` means all that
            pass messages; of layers in layers, only the outermost.
            (default: :obj:`"auto"`)
        clone (bool, optional): If set to :obj:`True`, outputs are copied,
            which costs memory but lets the model change them in-place.
            (default: :obj:`False`)
        detach (bool, optional): If set to :obj:`True`, no gradients flow, and
            calls without gradients are recorded, too. A teacher needs this.
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
        clone: bool = False,
        detach: bool = False,
    ) -> None:
        if isinstance(model, DistributedDataParallel):
            model = model.module
        check_hooks("'model'", model)
        self.model = model
        self._layers = find_layers(model, layers)
        check_layers(model, self._layers, clone, detach)

        self._options: dict[str, Any] = {'clone': clone, 'detach': detach}
        self._store = store = Store(model.parameters(), clone, detach)
        hooked = [m for la in self._layers for m in la.modules.values()]
        begin = Hook(store.begin)
        handles = [model.register_forward_pre_hook(begin, prepend=True)]
        for position, module in enumerate(hooked):
            hook = module.register_forward_hook
            handles.append(hook(Hook(store.add, position)))
        handles.append(model.register_forward_hook(Hook(store.end)))
        # Hooks without a recorder would only cost memory.
        remove = [handle.remove for handle in handles]
        self._remove = weakref.finalize(self, lambda: [f() for f in remove])
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
        return [tree_map(_width, call.features()) for call in calls]

    def features(self) -> list[Tensor] | list[dict[str, Tensor]]:
        """The outputs of the layers in the latest call of the model.

        A fused optimizer changes parameters without a trace, so outdated
        features are not detected after its step.

        Returns:
            list: The outputs, in the order in which layers were called.

        Raises:
            RuntimeError: If the model was not called, its call failed or
                missed a layer, its parameters were changed since, or an
                output was changed, freed, or cut off from the gradient.
            ValueError: If the output of a layer holds no features.
        """
        calls = self._checked_calls()
        store = self._store
        before = store.versions
        if before is not None and before != store.parameter_versions():
            raise RuntimeError(
                f"the parameters of '{type(self.model).__name__}' have changed "
                f'since the record; call the model again'
            )
        # A step that is compiled as a whole reads what it just copied.
        if not torch.compiler.is_compiling():
            for call in calls:
                call.check(store.detach)
        return [call.features() for call in calls]  # type: ignore[return-value]

    def clear(self) -> None:
        """Deletes the record, and frees its memory."""
        self._store.clear()

    def remove(self) -> None:
        """Removes the hooks, and keeps the record."""
        self._remove()

    def _calls(self) -> list['_Call']:
        """The calls of layers, in the order in which they began."""
        captures = self._store.captures
        times: list[list[int]] = [[] for la in self._layers for _ in la.modules]
        for time, capture in enumerate(captures):
            times[capture.position].append(time)
        each = iter(times)
        calls: list[tuple[int, _Call]] = []
        for layer in self._layers:
            parts = {part: next(each) for part in layer.modules}
            count = min(map(len, parts.values()))
            for i in range(count):
                name = layer.name or 'model'
                name = name if count == 1 else f'{name}#{i}'
                own = {part: captures[time[i]] for part, time in parts.items()}
                start = min(time[i] for time in parts.values())
                calls.append((start, _Call(name, layer, own)))
        return [call for _, call in sorted(calls, key=lambda pair: pair[0])]

    def _checked_calls(self) -> list['_Call']:
        name = type(self.model).__name__
        if not self._store.started:
            if not self._remove.alive:
                raise RuntimeError(
                    f"'{name}' was not recorded before the hooks were "
                    f'removed; make a new recorder'
                )
            raise RuntimeError(
                f"'{name}' was not recorded; call the model itself, not its "
                f'forward() or a submodule, with gradients unless detach=True, '
                f'and {_LATE}'
            )
        if not self._store.complete:
            raise RuntimeError(
                f"the call of '{name}' did not end; call the model again"
            )
        calls = self._calls()
        for layer in self._not_called(calls):
            parts = (
                f"or a part of it such as '{layer.name}.{key}', "
                for module in layer.modules.values()
                for key, part in module.named_modules()
                if key and isinstance(part, MessagePassing)
            )
            raise RuntimeError(
                f"'{layer.name}' was not called by '{name}' (called: "
                f'{shorten([call.name for call in calls])}); choose others '
                f'with layers=..., {next(parts, "")}and {_LATE}'
            )
        for call in calls:
            call.check_picked()
        return calls

    def _not_called(self, calls: list['_Call']) -> list[Layer]:
        called = {id(call.layer) for call in calls}
        return [layer for layer in self._layers if id(layer) not in called]

    def __enter__(self) -> 'LayerRecorder':
        return self

    def __exit__(self, *args: Any) -> None:
        self.remove()

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy records the copy of the model that is made along with it.
        names = [layer.name for layer in self._layers]
        return partial(type(self), **self._options), (self.model, names)

    def __repr__(self) -> str:
        names = [repr(layer.name or 'model') for layer in self._layers]
        options = [f', {k}={v}' for k, v in self._options.items() if v]
        return (
            f'{self.__class__.__name__}({type(self.model).__name__}, '
            f'layers=[{shorten(names)}]{"".join(options)})'
        )

    def __str__(self) -> str:
        lines = [repr(self)]
        if self._store.complete:
            calls = self._calls()
            lines += map(str, calls)
            for layer in self._not_called(calls):
                lines.append(f'{layer.name or "model"}: not called')
        elif self._store.started:
            lines.append('the latest call of the model did not end')
        elif self._remove.alive:
            lines.append('nothing recorded; call the model')
        if not self._remove.alive:
            lines.append('hooks removed; nothing more will be recorded')
        return '\n  '.join(lines)


class _Call(NamedTuple):
    """One call of a layer, with the captures of its parts."""

    name: str
    layer: Layer
    captures: dict[str, Capture]

    def features(self) -> Features:
        parts: dict[str, Any] = {
            part: capture.features() for part, capture in self.captures.items()
        }
        formulas = self.layer.formulas
        if formulas is None:
            return parts['']
        return {key: evaluate(x, parts) for key, x in formulas.items()}

    def check_picked(self) -> None:
        """Refuses an output without features."""
        for capture in self.captures.values():
            split = self.layer.formulas is not None
            if isinstance(capture.value, str) or (
                split and isinstance(capture.value, dict)
            ):
                got = capture.value
                got = got if isinstance(got, str) else 'dict'
                raise ValueError(
                    f"'{self.name}' returned '{got}', in which there are no "
                    f'features; record another module'
                )

    def check(self, detach: bool) -> None:
        """Refuses captures that are no longer the output, or train nothing."""
        trained = not detach and any(
            parameter.requires_grad
            for module in self.layer.modules.values()
            for parameter in module.parameters()
        )
        for capture in self.captures.values():
            tensors = capture.tensors()
            if any(map(_is_freed, tensors)):
                raise RuntimeError(
                    f"the output of '{self.name}' was freed after its "
                    f'capture, as reversible layers do; pass clone=True'
                )
            before = capture.versions
            if before and before != tuple(x._version for x in tensors):
                raise RuntimeError(
                    f"the output of '{self.name}' was changed in-place after "
                    f'its capture; pass clone=True for what it was, or record '
                    f'the module that changed it'
                )
            if trained and any(
                tensor.is_floating_point() and not tensor.requires_grad
                for tensor in tensors
            ):
                raise RuntimeError(
                    f"the output of '{self.name}' has no gradient although it "
                    f'is trained, as in reentrant checkpointing; record the '
                    f'layer around it, or pass detach=True'
                )

    def __str__(self) -> str:
        if self.layer.formulas is not None:
            # Their values would have to be computed first.
            return f'{self.name}: {", ".join(self.layer.formulas)}'
        value = self.captures[''].value
        if isinstance(value, str):
            return f"{self.name}: no features (got '{value}')"
        return f'{self.name}: {tree_map(lambda x: list(x.size()), value)}'


def _is_freed(x: Tensor) -> bool:
    empty = x.layout != torch.strided or x.numel() == 0
    return not empty and x.untyped_storage().size() == 0


def _width(x: Tensor) -> int:
    return x.size(-1) if x.dim() > 1 else 1
