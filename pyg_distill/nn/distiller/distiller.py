"""A student and its losses, in one module to train."""

import contextlib
import inspect
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.utils._pytree import tree_leaves, tree_map

from pyg_distill.nn.distiller.teacher import (
    STUDENTS,
    BatchSize,
    ModelOutput,
    Teacher,
    describe,
    dry_run,
    items,
    num_parameters,
    output_tensors,
    restore_modes,
    seed_rows,
    set_eval,
)
from pyg_distill.nn.distiller.teacher_cache import CachedTeacher, TeacherCache
from pyg_distill.nn.losses import ABKDLoss, DistillationLoss, KDLoss
from pyg_distill.nn.recorder import LayerRecorder

S = TypeVar('S', bound=torch.nn.Module)

# As good as tuned weights on average (`benchmarks/kd.py`, row `shipped+kd`).
DEFAULT_WEIGHTS = {'abkd': 1.0, 'kd': 4.0}


class Distiller(torch.nn.Module, Generic[S]):
    r"""Trains a student with the help of a teacher.

    It takes the place of the student in a training loop: called like the
    student, it returns what the student returns. In training mode it also
    runs the teacher on the same inputs, and records the layers of both.

    .. code-block:: python

        distiller = Distiller.from_example(student, teacher, (x, edge_index))
        optimizer = torch.optim.Adam(distiller.parameter_groups(lr=0.01))

        distiller.train()
        out = distiller(x, edge_index)
        loss = distiller.loss(F.cross_entropy(out[train_mask], y[train_mask]))
        loss.backward()

    In evaluation mode, or without gradients, it is the student alone. The
    teacher always runs in evaluation mode and without gradients. It is not a
    submodule: optimizers, checkpoints and
    :class:`~torch.nn.parallel.DistributedDataParallel` see the student and the
    parameters of the losses only. It still moves along to another device.

    Args:
        student (torch.nn.Module): The model to train.
        teacher (torch.nn.Module or TeacherCache): The model to learn from, or
            its stored outputs.
        losses (dict[str, DistillationLoss] or list or DistillationLoss): The
            losses, such as :class:`ABKDLoss` and :class:`KDLoss`.
        weights (dict[str, float] or list[float], optional): The weight of each
            loss, beside weight 1 of the task. (default: :obj:`None`)
        student_layers (str or list, optional): The layers to match, see
            :class:`LayerRecorder`. (default: :obj:`"auto"`)
        teacher_layers (str or list, optional): The same of the teacher.
            (default: :obj:`"auto"`)
        clone (bool, optional): Whether layers are copied, for models that
            change them in-place. (default: :obj:`False`)

    Raises:
        TypeError: If an argument has another type, or a loss is no
            :class:`DistillationLoss`.
        ValueError: If the teacher shares parameters with the student, or
            losses and weights do not fit.
    """

    student: S

    def __init__(
        self,
        student: S,
        teacher: torch.nn.Module | TeacherCache,
        losses: Mapping[str, Any] | Sequence[Any] | torch.nn.Module,
        weights: Mapping[str, float] | Sequence[float] | None = None,
        *,
        student_layers: Any = 'auto',
        teacher_layers: Any = 'auto',
        clone: bool = False,
    ) -> None:
        super().__init__()
        _check_models(student, teacher, teacher_layers)
        named = _name_losses(losses)
        for name, loss in named.items():
            _check_loss(name, loss)
        self.student = student
        restore_modes(student)
        self.losses = torch.nn.ModuleDict(named)
        self.weights = _check_weights(list(named), weights)

        on_layers = {k: x for k, x in named.items() if x.needs == 'layers'}
        self._recorder: LayerRecorder | None = None
        self._names: list[str] = []
        if on_layers:
            self._recorder = LayerRecorder(student, student_layers, clone=clone)
            self._names = self._recorder.names
        self._teacher: Teacher | CachedTeacher | None
        if isinstance(teacher, TeacherCache):
            self._teacher = CachedTeacher(teacher, on_layers)
        else:
            layers = teacher_layers if on_layers else None
            set_eval(teacher)
            self._teacher = Teacher(teacher, layers, clone=clone)
        # What the teacher returned, what the student did, and its versions.
        self._step: tuple[Any, ModelOutput, list[int]] | None = None
        self._loss_dict: dict[str, Tensor] = {}

    @classmethod
    def from_example(
        cls,
        student: S,
        teacher: torch.nn.Module | TeacherCache,
        example: Any,
        losses: Any = None,
        weights: Mapping[str, float] | Sequence[float] | None = None,
        *,
        student_layers: Any = 'auto',
        teacher_layers: Any = 'auto',
        cache: bool = False,
        clone: bool = False,
    ) -> 'Distiller[S]':
        """Infers the channels of all layers from an example.

        Args:
            student (torch.nn.Module): See :class:`Distiller`. Its lazy
                parameters are materialised.
            teacher (torch.nn.Module or TeacherCache): See :class:`Distiller`.
            example (tuple or dict or Any): Positional arguments, keyword
                arguments or the only argument of both models.
            losses (dict[str, Any] or list or Any, optional): Losses, or
                functions that make one from the channels of the teacher's and
                the student's layers, such as :class:`ABKDLoss` or
                :meth:`ABKDLoss.paper`. By default, :class:`ABKDLoss` and four
                times :class:`KDLoss`. (default: :obj:`None`)
            weights (optional): See :class:`Distiller`.
            student_layers (optional): See :class:`Distiller`.
            teacher_layers (optional): See :class:`Distiller`.
            clone (optional): See :class:`Distiller`.
            cache (bool, optional): If set to :obj:`True`, the teacher runs on
                the example and never again: for full-batch training, where
                every step has the inputs of the example.
                (default: :obj:`False`)
        """
        _check_models(student, teacher, teacher_layers)
        if losses is None:
            losses = {'abkd': ABKDLoss, 'kd': KDLoss()}
            if weights is None or isinstance(weights, Mapping):
                weights = DEFAULT_WEIGHTS | dict(weights or {})
        named = _name_losses(losses)
        weights = _check_weights(list(named), weights)
        on_logits = [_needs_logits(loss) for loss in named.values()]
        layers = None if all(on_logits) else student_layers
        student_out = dry_run('student', student, layers, example)
        layers = None if all(on_logits) else teacher_layers
        if cache and isinstance(teacher, torch.nn.Module):
            make = TeacherCache.from_inputs
            teacher = make(teacher, example, layers, clone=clone)
        if isinstance(teacher, TeacherCache):
            teacher_out = ModelOutput(teacher.outputs, teacher.layers)
            teacher_layers = 'auto'
        else:
            teacher_out = dry_run('teacher', teacher, layers, example)
        if any(on_logits):
            for t, s in _shared_types(teacher_out.outputs, student_out.outputs):
                if t.size(-1) != s.size(-1):
                    raise ValueError(
                        f"'teacher' and 'student' must return as many columns "
                        f'for KDLoss (got {t.size(-1)} and {s.size(-1)}); '
                        f"leave it out, losses={{'abkd': ABKDLoss}}"
                    )
        both = [teacher_out.layers, student_out.layers]
        widths = tree_map(lambda x: x.size(-1), both)
        device = tree_leaves(student_out.outputs)[0].device
        for name, loss in named.items():
            if not isinstance(loss, DistillationLoss):
                loss = loss() if _needs_logits(loss) else loss(*widths)
                _check_loss(name, loss)
            named[name] = loss.to(device)
        options: Any = {'student_layers': student_layers, 'clone': clone}
        options['teacher_layers'] = teacher_layers
        return cls(student, teacher, named, weights, **options)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the student and, in training mode, the teacher.

        Args:
            *args (optional): The arguments of the student.
            **kwargs (optional): Its keyword arguments.

        Raises:
            RuntimeError: If the previous call in training mode was not
                followed by :meth:`loss`.
        """
        training = self.training and torch.is_grad_enabled()
        if not training or self._teacher is None:
            out = self.student(*args, **kwargs)
            if self._recorder is not None:
                self._recorder.clear()
            return out
        if self._step is not None:
            raise RuntimeError(
                "'Distiller' was called twice in training mode without loss(); "
                'call loss() after each call, eval() first, or clear()'
            )
        teacher_out = self._teacher(*args, **kwargs)
        out = self.student(*args, **kwargs)
        layers: list[Any] = []
        if self._recorder is not None:
            layers = self._recorder.features()
            if len(layers) != len(self._names):
                self._names = self._recorder.names
            self._recorder.clear()
        student_out = ModelOutput(output_tensors('student', out), layers)
        self._step = teacher_out, student_out, _versions(student_out)
        return out

    def loss(
        self,
        task_loss: Tensor | None = None,
        *,
        batch_size: BatchSize | None = None,
        n_id: Any = None,
        batch: Any = None,
        size: int | None = None,
        edge_index: Any = None,
    ) -> Tensor:
        r"""The loss to minimise after a call in training mode.

        .. math::
            \mathcal{L} = \mathcal{L}_{\mathrm{task}} +
            \sum_k \lambda_k \mathcal{L}_k

        Args:
            task_loss (torch.Tensor, optional): The loss of the task itself.
                (default: :obj:`None`)
            batch_size (int or dict[str, int], optional): The number of seed
                nodes, which come first, in a mini-batch of sampled
                neighborhoods. Only they are compared, since all others miss
                neighbors. (default: :obj:`None`)
            n_id (torch.Tensor or dict[str, torch.Tensor], optional): The nodes
                of the mini-batch, to find them in a :class:`TeacherCache`.
                (default: :obj:`None`)
            batch (torch.Tensor or dict[str, torch.Tensor], optional): The
                graph of each node, for losses that compare graphs.
                (default: :obj:`None`)
            size (int, optional): The number of graphs. (default: :obj:`None`)
            edge_index (torch.Tensor or SparseTensor, optional): The edges of
                the graph or mini-batch, for losses that compare neighbors,
                such as :class:`LSPLoss`. (default: :obj:`None`)

        Raises:
            RuntimeError: If there was no call in training mode since the last
                loss, or its outputs were changed in-place.
            ValueError: If rows of teacher and student do not align, the
                teacher was cached for other inputs, or a loss that needs edges
                gets no edges or seed nodes alone.
        """
        step, self._step = self._step, None
        if self._teacher is None:
            raise RuntimeError(
                "'Distiller' has no teacher after export(); make a new one"
            )
        if step is None:
            raise RuntimeError(
                "'Distiller' has nothing to compare; call it in training mode "
                'and with gradients once before each loss()'
            )
        teacher_out, student_out, before = step
        versions = _versions(student_out)
        if before and versions and before != versions:
            raise RuntimeError(
                "the output of 'student' was changed in-place before loss(); "
                'change a copy'
            )
        shape = list(task_loss.size()) if isinstance(task_loss, Tensor) else []
        valid = isinstance(task_loss, Tensor | None) and math.prod(shape) == 1
        if not valid:
            got = f'shape {shape}' if shape else type(task_loss).__name__
            raise ValueError(
                f"'task_loss' must be a tensor with one value (got {got}); "
                f'pass for example F.cross_entropy(out, y)'
            )
        whole = edge_index is not None and batch_size is None
        for name, loss in self.losses.items():
            if loss.needs_edges and not whole:
                raise ValueError(
                    f"'edge_index' must be given without batch_size for "
                    f'{name!r} (got batch_size={batch_size} or no edges); use '
                    f'batches of whole graphs'
                )
        teacher_out = self._teacher.align(teacher_out, batch_size, n_id)
        logits, layers = seed_rows(student_out, batch_size)
        batch = batch if batch is None else seed_rows(batch, batch_size)

        # A loss of weight 0 gets no gradients, unless there is nothing else.
        others = task_loss is not None or any(self.weights.values())
        self._loss_dict = {}
        terms: list[Tensor] = []
        if task_loss is not None:
            self._loss_dict['task'] = task_loss.detach()
            terms.append(task_loss)
        for name, loss in self.losses.items():
            assert isinstance(loss, DistillationLoss)
            context = {'edge_index': edge_index} if loss.needs_edges else {}
            context |= (
                {'batch': batch, 'size': size} if loss.needs_batch else {}
            )
            target = self._teacher.target(name, loss, teacher_out)
            counts = self.weights[name] > 0 or not others
            with contextlib.nullcontext() if counts else torch.no_grad():
                if loss.needs == 'layers':
                    value = loss(target, layers, **context)
                else:
                    pairs = _shared_types(target, logits)
                    # A mini-batch may have no nodes of some type.
                    pairs = [pair for pair in pairs if pair[1].numel()] or pairs
                    each = [loss(*pair, **context) for pair in pairs]
                    value = torch.stack(each).mean()
            self._loss_dict[name] = value.detach()
            if counts:
                terms.append(self.weights[name] * value)
        dist = torch.distributed
        if dist.is_available() and dist.is_initialized():
            # Every process needs a gradient for every parameter.
            terms += _zeros(self)
        total = sum(terms[1:], terms[0])
        self._loss_dict['total'] = total.detach()
        return total

    def clear(self) -> None:
        """Drops the last call, if it is not trained on."""
        self._step = None

    def loss_dict(self) -> dict[str, Tensor]:
        """The terms of the last loss, before weights and without gradients.

        Returns:
            dict[str, torch.Tensor]: :obj:`"task"`, each of the losses by name,
            and the weighted :obj:`"total"`.
        """
        return dict(self._loss_dict)

    def parameter_groups(
        self,
        lr: float | None = None,
        weight_decay: float | None = None,
        loss_lr: float | None = None,
    ) -> list[dict[str, Any]]:
        """Parameter groups for an optimizer.

        The parameters of the losses get no weight decay, because they are not
        needed after training.

        Args:
            lr (float, optional): The learning rate. By default, that of the
                optimizer. (default: :obj:`None`)
            weight_decay (float, optional): The student's weight decay. By
                default, that of the optimizer. (default: :obj:`None`)
            loss_lr (float, optional): The learning rate of the losses. By
                default, :obj:`lr`. (default: :obj:`None`)
        """
        loss_lr = lr if loss_lr is None else loss_lr
        keys = 'params', 'lr', 'weight_decay'
        student = list(self.student.parameters()), lr, weight_decay
        losses = list(self.losses.parameters()), loss_lr, 0.0
        groups = [student, losses] if losses[0] else [student]
        return [
            {k: v for k, v in zip(keys, group, strict=True) if v is not None}
            for group in groups
        ]

    @property
    def layer_names(self) -> tuple[list[str], list[str]]:
        """The names of the teacher's and the student's layers.

        They are positions for a :class:`TeacherCache`, and empty for losses
        of logits. Layers that are called several times count as several once
        the models were called in training mode.
        """
        teacher = [] if self._teacher is None else self._teacher.names
        return teacher, self._names

    def export(self) -> S:
        """Ends the distillation, and returns the student without hooks."""
        if self._recorder is not None:
            self._recorder.remove()
        STUDENTS.discard(self.student)
        # Copies may still need the hooks of the teacher.
        self._recorder = self._teacher = self._step = None
        return self.student

    def _apply(
        self, fn: Callable[[Tensor], Tensor], recurse: bool = True
    ) -> Any:
        super()._apply(fn, recurse)
        if self._teacher is not None:
            self._teacher.move(fn)
        return self

    def __getstate__(self) -> dict[str, Any]:
        # The graph of a step can be neither copied nor saved.
        return {**self.__dict__, '_step': None}

    def __repr__(self) -> str:
        student = describe(self.student, self._names)
        number = num_parameters(self.student)
        if isinstance(self._teacher, Teacher) and number > 0:
            ratio = num_parameters(self._teacher.model) / number
            student += f', {ratio:,.1f} times fewer' if ratio >= 1 else ''
        lines = [
            f'teacher={self._teacher or "none since export()"}',
            f'student={student}',
        ]
        for name, loss in self.losses.items():
            first = str(loss).split('\n')[0]
            first = type(loss).__name__ if first.endswith('(') else first
            lines.append(f'{self.weights[name]:g} * {name}={first}')
        body = ''.join(f'  {line},\n' for line in lines)
        return f'{type(self).__name__}(\n{body})'


def _versions(out: ModelOutput) -> list[int]:
    """How often each tensor was changed in-place, empty in compiled code."""
    if torch.compiler.is_compiling():
        return []
    return [x._version for x in tree_leaves(tuple(out))]


def _zeros(module: torch.nn.Module) -> list[Tensor]:
    """Zeros that depend on each parameter, so that all have gradients."""
    # Sparse gradients are left out, since they would become dense.
    sparse = {
        id(parameter)
        for part in module.modules()
        if getattr(part, 'sparse', False)
        for parameter in part.parameters(recurse=False)
    }
    return [
        parameter.reshape(-1)[:0].sum()
        for parameter in module.parameters()
        if parameter.requires_grad and id(parameter) not in sparse
    ]


def _shared_types(teacher: Any, student: Any) -> list[tuple[Tensor, Tensor]]:
    """The logits of teacher and student for each type that both have."""
    teachers, students = dict(items(teacher)), dict(items(student))
    shared = [(teachers[k], x) for k, x in students.items() if k in teachers]
    if not shared:
        raise ValueError(
            f"'teacher' and 'student' must return outputs for the same node "
            f'types (got {sorted(teachers)} and {sorted(students)}); wrap one'
        )
    return shared


def _name_losses(losses: Any) -> dict[str, Any]:
    """Names each loss, or each function that makes one."""
    named: dict[Any, Any] = {}
    if isinstance(losses, Mapping | torch.nn.ModuleDict):
        named = dict(losses.items())
    else:
        many = isinstance(losses, Sequence | torch.nn.ModuleList)
        count: Counter[str] = Counter()
        for loss in losses if many else [losses]:
            name = _default_name(loss)
            count[name] += 1
            named[f'{name}{count[name]}' if count[name] > 1 else name] = loss
    taken = {'', 'task', 'total', *dir(torch.nn.ModuleDict())}
    for name, loss in named.items():
        _check_loss(name, loss, or_function=True)
        if not isinstance(name, str) or name in taken or '.' in name:
            raise ValueError(
                f"'losses' must have names without dots, not 'task', 'total' "
                f'or an attribute of ModuleDict (got {name!r}); try "abkd"'
            )
    if not named:
        raise ValueError(
            "'losses' must hold at least one loss (got none); leave it out"
        )
    return named


def _function(loss: Any) -> Any:
    return _function(loss.func) if isinstance(loss, partial) else loss


def _default_name(loss: Any) -> str:
    function = _function(loss)
    named = inspect.isclass(function) or inspect.isroutine(function)
    name = (function if named else type(function)).__name__
    name = name.lower().removesuffix('loss').rstrip('_')
    return name if name.isidentifier() else 'loss'


def _needs_logits(loss: Any) -> bool:
    function = _function(loss)
    loss_or_class = isinstance(function, DistillationLoss | type)
    return loss_or_class and function.needs == 'logits'


def _check_loss(name: Any, loss: Any, or_function: bool = False) -> None:
    """Refuses what is no loss, or no function that may make one."""
    valid = isinstance(loss, DistillationLoss)
    function = _function(loss)
    if or_function and inspect.isclass(function):
        valid = issubclass(function, DistillationLoss)
    elif or_function and not isinstance(function, torch.nn.Module):
        in_torch = inspect.getmodule(function) is torch.nn.functional
        valid = callable(function) and not in_torch
    if not valid:
        got = repr(loss) if callable(loss) else type(loss).__name__
        raise TypeError(
            f"'losses' must hold DistillationLoss modules (got {got} for "
            f'{name!r}); subclass DistillationLoss, or pass a class such as '
            f'ABKDLoss to Distiller.from_example'
        )


def _check_weights(names: list[str], weights: Any) -> dict[str, float]:
    """The weight of each loss, 1 by default."""
    weights = {} if weights is None else weights
    if isinstance(weights, list | tuple) and len(weights) == len(names):
        weights = dict(zip(names, weights, strict=True))
    if not isinstance(weights, Mapping) or not set(weights) <= set(names):
        raise ValueError(
            f"'weights' must be a dictionary, or a list of {len(names)} "
            f'numbers, for the losses {", ".join(names)} (got {weights!r}); '
            f'try {dict.fromkeys(names, 1.0)}'
        )
    for name, weight in weights.items():
        number = isinstance(weight, int | float | Tensor)
        if not number or not 0 <= weight < float('inf'):
            raise ValueError(
                f"'weights' must be finite and at least 0 (got {weight!r} for "
                f'{name!r}); pass 0 to leave a loss out'
            )
    return {name: float(weights.get(name, 1.0)) for name in names}


def _check_models(student: Any, teacher: Any, teacher_layers: Any) -> None:
    cached = isinstance(teacher, TeacherCache)
    if cached and teacher_layers != 'auto':
        raise ValueError(
            f"'teacher_layers' must be left out for a cache (got "
            f'{teacher_layers!r}); pass layers=... to TeacherCache.from_inputs'
        )
    models = {'student': student} | ({} if cached else {'teacher': teacher})
    for name, model in models.items():
        if not isinstance(model, torch.nn.Module):
            raise TypeError(
                f"'{name}' must be a torch.nn.Module (got "
                f'{type(model).__name__}); a teacher may be a TeacherCache'
            )
    if isinstance(student, DataParallel | DistributedDataParallel):
        raise ValueError(
            f"'student' must not be wrapped (got {type(student).__name__}); "
            f'wrap the Distiller in DistributedDataParallel instead'
        )
    trained = {id(parameter) for parameter in student.parameters()}
    frozen = [] if cached else teacher.parameters()
    if teacher is student or any(id(x) in trained for x in frozen):
        raise ValueError(
            "'teacher' must not share parameters with the student, which "
            'would train them; pass copy.deepcopy(teacher)'
        )
