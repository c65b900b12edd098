"""Can a loss be met without teaching the student? Try it."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from pyg_distill.evaluation.collapse_result import CollapseReport, LossState


def collapse_report(
    loss: torch.nn.Module,
    teacher: Any,
    student: Any,
    batch: Any = None,
    steps: int = 300,
    lr: float = 0.01,
    log: bool = True,
) -> CollapseReport:
    r"""Trains a loss's own parameters while the student stands still.

    A distillation loss with learned projections may be met by these alone.
    Its curve then falls as one hopes for, but the student is not taught. This
    trains a copy of the loss, on the layers of an untrained student, and tells
    how much of it remains. The loss that is passed, its gradients and the state
    of the random number generator stay as they are.

    .. code-block:: python

        loss_fn = ABKDLoss.paper([64, 64], [16, 16])
        print(collapse_report(loss_fn, teacher_layers, student_layers))
        # ...
        # COLLAPSED: 0.0% of the loss and 0.0% of its gradient remain, ...

    Args:
        loss (torch.nn.Module): Any loss of :obj:`(teacher, student)` or
            :obj:`(teacher, student, batch)`, such as
            :class:`~pyg_distill.nn.ABKDLoss`.
        teacher (Any): What the loss takes of the teacher, passed on as it is.
        student (list[torch.Tensor] or list[dict[str, torch.Tensor]]): The
            student's layers, or a single tensor such as logits.
        batch (torch.Tensor or dict[str, torch.Tensor], optional): The graph of
            each node, passed on if given. (default: :obj:`None`)
        steps (int, optional): The number of steps. (default: :obj:`300`)
        lr (float, optional): The learning rate of
            :class:`~torch.optim.Adam`. (default: :obj:`0.01`)
        log (bool, optional): Whether to show progress if it takes long.
            (default: :obj:`True`)

    Returns:
        CollapseReport: The state before and after, to be printed.

    Raises:
        TypeError: If the loss is no module.
        ValueError: If the student holds no features, or the loss is no finite
            scalar or does not depend on the student.
    """
    if not isinstance(loss, torch.nn.Module):
        raise TypeError(
            f"'loss' must be a torch.nn.Module (got {_kind(loss)}); wrap a "
            f'function in one'
        )
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(
            f"'steps' must be a whole number above 0 (got {steps}); leave it "
            f'out for the default'
        )
    if not (isinstance(lr, int | float) and 0 < lr < math.inf):
        raise ValueError(
            f"'lr' must be a finite number above 0 (got {lr}); leave it out "
            f'for the default'
        )
    if not any(x.is_floating_point() for x in _tensors(student)):
        raise ValueError(
            f"'student' must hold the features of its layers (got "
            f'{_kind(student)} without any); pass LayerRecorder.features()'
        )

    # Tensors of inference mode cannot take part in training, copies can.
    with torch.inference_mode(False), torch.enable_grad():
        loss = copy.deepcopy(loss)
        teacher = _map(teacher, lambda x: x.clone() if x.is_inference() else x)
        batch = _map(batch, lambda x: x.clone() if x.is_inference() else x)
        student = _map(student, lambda x: x.detach().clone())
        more = () if batch is None else (batch,)
        parameters = [p for p in loss.parameters() if p.requires_grad]
        tensors = [*parameters, *_tensors(student)]
        devices = {x.device for x in tensors if x.device.type == 'cuda'}
        # Losses that draw samples draw the same before and after.
        with torch.random.fork_rng(devices):
            before = _measure(loss, parameters, teacher, student, *more)
        with torch.random.fork_rng(devices):
            bar = tqdm(
                range(steps), 'Training the loss', disable=not log, delay=1
            )
            _train(loss, parameters, bar, lr, teacher, student, *more)
        with torch.random.fork_rng(devices):
            after = _measure(loss, parameters, teacher, student, *more)
    return CollapseReport(
        name=type(loss).__name__,
        before=before,
        after=after,
        num_parameters=sum(p.numel() for p in parameters),
        steps=steps if parameters else 0,
    )


def _train(
    loss: torch.nn.Module,
    parameters: Sequence[Tensor],
    steps: Iterable[int],
    lr: float,
    *args: Any,
) -> None:
    if not parameters:
        return
    optimizer = torch.optim.Adam(parameters, lr=lr)
    for _ in steps:
        optimizer.zero_grad()
        loss(*args).backward()
        optimizer.step()


def _measure(
    loss: torch.nn.Module,
    parameters: Sequence[Tensor],
    teacher: Any,
    student: Any,
    *batch: Any,
) -> LossState:
    student = _map(
        student, lambda x: x.detach().requires_grad_(x.is_floating_point())
    )
    value = loss(teacher, student, *batch)
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise ValueError(
            f"'{type(loss).__name__}' must return a scalar (got "
            f'{_kind(value)}); sum or average it'
        )
    if not bool(value.isfinite()):
        raise ValueError(
            f"'{type(loss).__name__}' must return a finite scalar (got "
            f'{value.item()}); check the layers, or lower lr'
        )
    layers = student if isinstance(student, list | tuple) else [student]
    of_layer = [
        [x for x in _tensors(layer) if x.requires_grad] for layer in layers
    ]
    leaves = [x for xs in of_layer for x in xs]
    if not value.requires_grad:
        raise ValueError(
            f"'{type(loss).__name__}' must depend on the student (got a value "
            f'without gradient); do not detach it'
        )
    grads = torch.autograd.grad(
        value, [*leaves, *parameters], allow_unused=True
    )
    student_gradient, start = [], 0
    for xs in of_layer:
        student_gradient.append(_norm(grads[start : start + len(xs)]))
        start += len(xs)
    entropy, mass = _attention(loss, layers)
    return LossState(
        loss=value.item(),
        student_gradient=tuple(student_gradient),
        parameter_gradient=_norm(grads[start:]),
        entropy=entropy,
        mass=mass,
    )


def _attention(
    loss: torch.nn.Module, layers: Sequence[Any]
) -> tuple[dict[str, float], dict[str, tuple[float, ...]]]:
    """Entropy and mass of the attention of the last call, by node type."""
    attention = getattr(loss, 'last_attention', None)
    if isinstance(attention, Tensor):
        attention = {'': attention}
    entropy: dict[str, float] = {}
    mass: dict[str, tuple[float, ...]] = {}
    for t, weight in (attention or {}).items():
        weight = weight.detach().double()
        columns = (weight.sum(dim=0) / weight.sum()).tolist()
        if t and all(isinstance(layer, Mapping) for layer in layers):
            # Layers without this type have no column.
            rest = iter(columns)
            columns = [next(rest) if t in layer else 0.0 for layer in layers]
        mass[t] = tuple(columns)
        if weight.size(1) > 1:
            weight = weight[weight.sum(dim=1) > 0]
            share = weight / weight.sum(dim=1, keepdim=True)
            bits = -torch.special.xlogy(share, share).sum(dim=1)
            entropy[t] = float(bits.mean()) / math.log(weight.size(1))
    return entropy, mass


def _map(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """The same structure with another tensor in place of each."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, Mapping):
        return {key: _map(x, function) for key, x in value.items()}
    if isinstance(value, list | tuple):
        return [_map(x, function) for x in value]
    return value


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for x in value.values():
            yield from _tensors(x)
    elif isinstance(value, list | tuple):
        for x in value:
            yield from _tensors(x)


def _norm(grads: Sequence[Tensor | None]) -> float:
    squares = [float(g.double().square().sum()) for g in grads if g is not None]
    return math.sqrt(math.fsum(squares))


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f'a tensor of shape {list(value.size())}'
    return type(value).__name__
