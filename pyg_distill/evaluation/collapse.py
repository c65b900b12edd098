"""Can a loss fall without a better student? Train it on a frozen one."""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only
from tqdm import tqdm

from pyg_distill.evaluation.training import check_count


@dataclass(frozen=True)
class CollapseReport:
    """How far the parameters of a loss alone lower it; prints as a table.

    Attributes:
        name: The name of the loss.
        before: The loss and the norms of its gradients at the start, on each
            layer of the student and on the parameters of the loss.
        after: The same after training the parameters of the loss.
        num_parameters: The number of values that were trained.
        steps: The number of steps.
    """

    name: str
    before: dict[str, float]
    after: dict[str, float]
    num_parameters: int
    steps: int

    @property
    def remaining(self) -> float:
        """The share of the loss that remains."""
        return self._share('loss')

    @property
    def remaining_gradient(self) -> float:
        """The share that remains of the gradient on the student."""
        return self._share(*(k for k in self.before if 'student' in k))

    def _share(self, *keys: str) -> float:
        before = math.hypot(*(self.before[key] for key in keys))
        after = math.hypot(*(self.after[key] for key in keys))
        return (
            1.0 if self.num_parameters == 0 or before == 0 else after / before
        )

    @property
    def collapsed(self) -> bool:
        """Whether the student has next to nothing left to learn.

        Less than 5 % of the loss remains, or less than 1 % of the gradient:
        different teacher layers can leave a loss that nothing lowers.
        """
        return self.remaining < 0.05 or self.remaining_gradient < 0.01

    def __str__(self) -> str:
        lines = [
            f'{self.name}: {self.num_parameters} parameters of its own, '
            f'{self.steps} steps with the student frozen',
            f'{"":28}{"before":>11}{"after":>11}',
        ]
        for label, x in self.before.items():
            lines.append(f'{label:28}{x:>11.4g}{self.after[label]:>11.4g}')
        left = f'{self.remaining:.1%} of the loss'
        if self.num_parameters == 0:
            verdict = 'NOT COLLAPSIBLE: only the student can lower the loss'
        elif self.collapsed:
            verdict = (
                f'COLLAPSED: {left} and {self.remaining_gradient:.1%} of its '
                f"gradient remain; use projection='student' with "
                f"granularity='node' or 'group', and more rows than channels"
            )
        elif self.remaining < 0.5:
            verdict = (
                f'PARTLY: {left} remains for the student; compare with '
                f"projection='student' and more rows"
            )
        else:
            verdict = f'HOLDS: {left} remains for the student to lower'
        return '\n'.join([*lines, verdict])


def collapse_report(
    loss: torch.nn.Module,
    teacher: Any,
    student: Any,
    *,
    steps: int = 300,
    lr: float = 0.01,
    log: bool = True,
    **context: Any,
) -> CollapseReport:
    r"""Trains the parameters of a loss on a frozen student.

    The learned projections of a distillation loss may be able to minimise it
    alone. Then its curve falls, but the student learns nothing. This function
    trains a copy of the loss on the fixed layers of an untrained student, and
    reports how much of the loss remains. The loss itself, its gradients and
    the state of the random number generator do not change.

    .. code-block:: python

        loss_fn = ABKDLoss.paper([64, 64], [16, 16])
        print(collapse_report(loss_fn, teacher_layers, student_layers))
        # ...
        # COLLAPSED: 0.0% of the loss and 0.0% of its gradient remain; ...

    Args:
        loss (torch.nn.Module): Any loss of :obj:`(teacher, student)`, such as
            a :class:`~pyg_distill.nn.DistillationLoss`.
        teacher (Any): The teacher's side of the loss: layers, logits or a
            prepared target.
        student (Any): The student's layers, such as the features of a
            :class:`~pyg_distill.nn.LayerRecorder`, or its logits.
        steps (int, optional): The number of steps. (default: :obj:`300`)
        lr (float, optional): The learning rate of
            :class:`~torch.optim.Adam`. (default: :obj:`0.01`)
        log (bool, optional): Whether to show progress if it takes long.
            (default: :obj:`True`)
        **context (optional): Further arguments of the loss by name, such as
            :obj:`batch`, :obj:`size` or :obj:`edge_index`.

    Returns:
        CollapseReport: The state before and after.

    Raises:
        TypeError: If the loss is no module.
        ValueError: If the student holds no features, or the loss is no finite
            scalar or does not depend on the student.
    """
    if not isinstance(loss, torch.nn.Module):
        raise TypeError(
            f"'loss' must be a torch.nn.Module (got {type(loss).__name__}); "
            f'wrap a function in one'
        )
    check_count(steps=steps)
    if not _floats(student):
        raise ValueError(
            f"'student' must hold the features of its layers (got no floats "
            f"in a '{type(student).__name__}'); pass LayerRecorder.features()"
        )

    # Inference mode has no gradients, and its tensors cannot be trained on.
    with torch.inference_mode(False), torch.enable_grad():
        loss = copy.deepcopy(loss)
        teacher, context = tree_map_only(
            Tensor,
            lambda x: x.clone() if x.is_inference() else x,
            (teacher, context),
        )
        student = tree_map_only(Tensor, lambda x: x.detach().clone(), student)
        parameters = [p for p in loss.parameters() if p.requires_grad]
        tensors = [*parameters, *_floats(student)]
        devices = {x.device for x in tensors if x.device.type == 'cuda'}
        steps = steps if parameters else 0
        bar = tqdm(range(steps), 'Training', disable=not log, delay=1)
        # Losses that draw samples draw the same before and after.
        with torch.random.fork_rng(devices):
            before = _measure(loss, parameters, teacher, student, context)
        with torch.random.fork_rng(devices):
            optimizer = torch.optim.Adam(parameters or _floats(student), lr=lr)
            for _ in bar:
                optimizer.zero_grad()
                loss(teacher, student, **context).backward()
                optimizer.step()
        with torch.random.fork_rng(devices):
            after = _measure(loss, parameters, teacher, student, context)
    number = sum(p.numel() for p in parameters)
    return CollapseReport(type(loss).__name__, before, after, number, steps)


def _measure(
    loss: torch.nn.Module,
    parameters: Sequence[Tensor],
    teacher: Any,
    student: Any,
    context: Mapping[str, Any],
) -> dict[str, float]:
    student = tree_map_only(
        Tensor,
        lambda x: x.detach().requires_grad_(x.is_floating_point()),
        student,
    )
    value = loss(teacher, student, **context)
    is_scalar = isinstance(value, Tensor) and value.numel() == 1
    if not is_scalar or not value.isfinite() or not value.requires_grad:
        raise ValueError(
            f"'{type(loss).__name__}' must return a finite scalar with a "
            f'gradient (got {value}); average it, do not detach it, or lower lr'
        )
    layers = student if isinstance(student, list | tuple) else [student]
    groups = [*map(_floats, layers), list(parameters)]
    inputs = [x for group in groups for x in group]
    grads = torch.autograd.grad(
        value, inputs, allow_unused=True, materialize_grads=True
    )
    norms = iter(float(grad.double().norm()) for grad in grads)
    norm = [math.hypot(*islice(norms, len(group))) for group in groups]
    labels = [f'gradient, student layer {j}' for j in range(len(layers))]
    labels.append('gradient, own parameters')
    return {'loss': value.item()} | dict(zip(labels, norm, strict=True))


def _floats(value: Any) -> list[Tensor]:
    leaves = tree_leaves(value)
    return [x for x in leaves if torch.is_tensor(x) and x.is_floating_point()]
