"""A student and its losses, in one module to train."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from pyg_distill.nn.distiller.alignment import BatchSize, seed_rows
from pyg_distill.nn.distiller.cached_teacher import CachedTeacher
from pyg_distill.nn.distiller.checks import (
    check_edges,
    check_models,
    check_task_loss,
)
from pyg_distill.nn.distiller.describing import (
    describe_layers,
    describe_losses,
    describe_student,
)
from pyg_distill.nn.distiller.example import learn_from
from pyg_distill.nn.distiller.gradients import nothing_of
from pyg_distill.nn.distiller.modes import graduate, hush, wake
from pyg_distill.nn.distiller.named_losses import (
    check_weights,
    compare_layers,
    compare_outputs,
    compares,
    name_losses,
)
from pyg_distill.nn.distiller.step import Step
from pyg_distill.nn.distiller.teacher import Teacher, output_tensors
from pyg_distill.nn.distiller.teacher_cache import TeacherCache
from pyg_distill.nn.recorder import LayerRecorder

Self = TypeVar('Self', bound='Distiller')


class Distiller(torch.nn.Module):
    r"""Trains a student to do as a teacher does.

    It takes the place of the student in a training loop: called like the
    student, it returns what the student returns, and beside that lets the
    teacher answer to the same inputs and records the layers of both.

    .. code-block:: python

        distiller = Distiller.from_example(student, teacher, (x, edge_index))
        optimizer = torch.optim.Adam(distiller.parameter_groups(lr=0.01))

        distiller.train()
        out = distiller(x, edge_index)
        loss = distiller.loss(F.cross_entropy(out[train_mask], y[train_mask]))
        loss.backward()

    In evaluation mode, or without gradients, it is the student alone. The
    teacher always runs in evaluation mode and without gradients. It is no
    submodule: optimizers, checkpoints and
    :class:`~torch.nn.parallel.DistributedDataParallel` see the student and the
    parameters of the losses only, though it moves along with them to another
    device.

    Args:
        student (torch.nn.Module): The model to train.
        teacher (torch.nn.Module or TeacherCache): The model to learn from, or
            what it said.
        losses (dict[str, torch.nn.Module] or list or torch.nn.Module): What to
            compare: losses of :obj:`(teacher, student)` that take lists of
            layers, such as :class:`ABKDLoss`, or, if they have an attribute
            :obj:`compares = "outputs"`, what the models return, such as
            :class:`KDLoss`.
        weights (dict[str, float] or list[float], optional): The weight of each
            loss beside that of the task, which is 1. (default: :obj:`None`)
        student_layers (str or list, optional): The layers to match, see
            :class:`LayerRecorder`. (default: :obj:`"auto"`)
        teacher_layers (str or list, optional): The layers to match, see
            :class:`LayerRecorder`. (default: :obj:`"auto"`)
        clone (bool, optional): Whether layers are copied, for models that
            change them in-place. (default: :obj:`False`)

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If the teacher shares parameters with the student, or
            losses and weights do not fit.
    """

    def __init__(
        self,
        student: torch.nn.Module,
        teacher: torch.nn.Module | TeacherCache,
        losses: Mapping[str, Any] | Sequence[Any] | torch.nn.Module,
        weights: Mapping[str, float] | Sequence[float] | None = None,
        *,
        student_layers: Any = 'auto',
        teacher_layers: Any = 'auto',
        clone: bool = False,
    ) -> None:
        super().__init__()
        check_models(student, teacher, teacher_layers)
        named = name_losses(losses)
        for name, loss in named.items():
            if not isinstance(loss, torch.nn.Module):
                raise TypeError(
                    f"'losses' must hold modules (got {loss!r} for {name!r}); "
                    f'pass loss(teacher_channels, student_channels), or use '
                    f'Distiller.from_example, which calls it'
                )
        self.student = student
        wake(student)
        self.losses = torch.nn.ModuleDict(named)
        self.weights = check_weights(list(named), weights)

        on_layers = {k: v for k, v in named.items() if compares(v) == 'layers'}
        self._recorder: LayerRecorder | None = None
        if on_layers:
            self._recorder = LayerRecorder(student, student_layers, clone=clone)
        self._teacher: Teacher | CachedTeacher | None
        if isinstance(teacher, TeacherCache):
            self._teacher = CachedTeacher(teacher, on_layers)
        else:
            layers = teacher_layers if on_layers else None
            hush(teacher)
            self._teacher = Teacher(teacher, layers, clone=clone)
        self._step: Step | None = None
        self._parts: dict[str, Tensor] = {}

    @classmethod
    def from_example(
        cls: type[Self],
        student: torch.nn.Module,
        teacher: torch.nn.Module | TeacherCache,
        example: Any,
        losses: Any = None,
        weights: Mapping[str, float] | Sequence[float] | None = None,
        *,
        student_layers: Any = 'auto',
        teacher_layers: Any = 'auto',
        cache: bool = False,
        clone: bool = False,
    ) -> Self:
        """Finds out from an example how wide the layers are.

        Args:
            student (torch.nn.Module): The model to train. Its lazy parameters
                are materialised.
            teacher (torch.nn.Module or TeacherCache): The model to learn from.
            example (tuple or dict or Any): Positional arguments, keyword
                arguments or the only argument of both models.
            losses (dict[str, Any] or list or Any, optional): Modules, or what
                is called with the widths of the teacher's and the student's
                layers to make one, such as :class:`ABKDLoss` or
                :meth:`ABKDLoss.paper`. By default, :class:`ABKDLoss` and four
                times :class:`KDLoss`.
                (default: :obj:`None`)
            weights (dict[str, float] or list[float], optional): The weight of
                each loss. (default: :obj:`None`)
            student_layers (str or list, optional): The layers to match.
                (default: :obj:`"auto"`)
            teacher_layers (str or list, optional): The layers to match.
                (default: :obj:`"auto"`)
            cache (bool, optional): If set to :obj:`True`, the teacher runs on
                the example and never again: for full-batch training, in which
                every step has the inputs of the example.
                (default: :obj:`False`)
            clone (bool, optional): Whether layers are copied, for models that
                change them in-place. (default: :obj:`False`)
        """
        teacher, named, checked = learn_from(
            student,
            teacher,
            example,
            losses,
            weights,
            student_layers=student_layers,
            teacher_layers=teacher_layers,
            cache=cache,
            clone=clone,
        )
        if isinstance(teacher, TeacherCache):
            teacher_layers = 'auto'
        return cls(
            student,
            teacher,
            named,
            checked,
            student_layers=student_layers,
            teacher_layers=teacher_layers,
            clone=clone,
        )

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the student, and in training mode the teacher, too.

        Args:
            *args (optional): The arguments of the student.
            **kwargs (optional): Its keyword arguments.

        Raises:
            RuntimeError: If the previous call in training mode was not
                followed by :meth:`loss`.
        """
        learns = self.training and torch.is_grad_enabled()
        if not learns or self._teacher is None:
            out = self.student(*args, **kwargs)
            if self._recorder is not None:
                self._recorder.clear()
            return out
        if self._step is not None:
            raise RuntimeError(
                f"'{type(self).__name__}' was called twice in training mode "
                f'without loss() in between, which compares one call; call '
                f'loss() after each, eval() before calls that only evaluate, '
                f'or clear() to drop the first'
            )
        heard = self._teacher(*args, **kwargs)
        out = self.student(*args, **kwargs)
        layers: list[Any] = []
        if self._recorder is not None:
            layers = self._recorder.features()
            self._recorder.clear()
        outputs = output_tensors('student', out)
        self._step = Step.of(heard, outputs, layers)
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
        r"""What to minimise after a call in training mode.

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
                loss, or what it returned was changed in-place.
            ValueError: If rows of teacher and student do not align, the
                teacher was cached for other inputs, or a loss of neighbors
                gets no edges or seed nodes alone.
        """
        step, self._step = self._step, None
        if self._teacher is None:
            raise RuntimeError(
                f"'{type(self).__name__}' has nothing to compare after "
                f'export(); make a new one to train on'
            )
        if step is None:
            raise RuntimeError(
                f"'{type(self).__name__}' has nothing to compare; call it in "
                f'training mode and with gradients once before each loss()'
            )
        step.check()
        check_task_loss(task_loss)
        check_edges(dict(self.losses.items()), edge_index, batch_size)
        taught = self._teacher.align(step.heard, batch_size, n_id)
        outputs = seed_rows(step.outputs, batch_size)
        layers = [seed_rows(x, batch_size) for x in step.layers]
        context: dict[str, Any] = {}
        if batch is not None:
            context['batch'] = seed_rows(batch, batch_size)
        if size is not None:
            context['size'] = size
        if edge_index is not None:
            context['edge_index'] = edge_index

        # What has no weight may be anything, unless it is all that there is.
        others = task_loss is not None or any(self.weights.values())
        self._parts = {}
        terms: list[Tensor] = []
        if task_loss is not None:
            self._parts['task'] = task_loss.detach()
            terms.append(task_loss)
        for name, loss in self.losses.items():
            target = self._teacher.target(name, loss, taught)
            counts = self.weights[name] > 0 or not others
            with contextlib.nullcontext() if counts else torch.no_grad():
                if compares(loss) == 'layers':
                    value = compare_layers(loss, target, layers, context)
                else:
                    value = compare_outputs(loss, target, outputs)
            self._parts[name] = value.detach()
            if counts:
                terms.append(self.weights[name] * value)
        if torch.distributed.is_available() and (
            torch.distributed.is_initialized()
        ):
            terms += nothing_of(self)
        total = sum(terms[1:], terms[0])
        self._parts['total'] = total.detach()
        return total

    def clear(self) -> None:
        """Forgets the last call, if it shall not be trained on."""
        self._step = None

    def parts(self) -> dict[str, Tensor]:
        """The last loss taken apart, before weights, without gradients.

        Returns:
            dict[str, torch.Tensor]: :obj:`"task"`, each of the losses by name,
            and the :obj:`"total"` with weights.
        """
        return dict(self._parts)

    def parameter_groups(
        self,
        lr: float | None = None,
        weight_decay: float | None = None,
        loss_lr: float | None = None,
    ) -> list[dict[str, Any]]:
        """Parameter groups for an optimizer.

        The parameters of the losses are thrown away after training, so that
        they get no weight decay.

        Args:
            lr (float, optional): The learning rate. By default, that of the
                optimizer. (default: :obj:`None`)
            weight_decay (float, optional): The student's weight decay. By
                default, that of the optimizer. (default: :obj:`None`)
            loss_lr (float, optional): The learning rate of the losses. By
                default, :obj:`lr`. (default: :obj:`None`)
        """
        student: dict[str, Any] = {'params': list(self.student.parameters())}
        losses: dict[str, Any] = {
            'params': list(self.losses.parameters()),
            'weight_decay': 0.0,
        }
        if lr is not None:
            student['lr'] = losses['lr'] = lr
        if loss_lr is not None:
            losses['lr'] = loss_lr
        if weight_decay is not None:
            student['weight_decay'] = weight_decay
        return [student, losses] if losses['params'] else [student]

    def export(self) -> torch.nn.Module:
        """Ends the distillation and gives back the student, without hooks."""
        if self._recorder is not None:
            self._recorder.remove()
        graduate(self.student)
        # Copies may still need the teacher, whose hooks go with the last one.
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
        teacher = self._teacher
        model = teacher.model if isinstance(teacher, Teacher) else None
        known = 'none since export()' if teacher is None else teacher
        layers = describe_layers(self._recorder)
        lines = [
            f'teacher={known}',
            f'student={describe_student(self.student, model)}{layers}',
            *describe_losses(dict(self.losses.items()), self.weights),
        ]
        body = ''.join(f'  {line},\n' for line in lines)
        return f'{type(self).__name__}(\n{body})'
