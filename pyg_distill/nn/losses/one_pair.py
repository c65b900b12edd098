"""Losses that compare one teacher layer with one student layer."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from pyg_distill.nn.losses.base import DistillationLoss
from pyg_distill.nn.losses.checks import check_layers, check_rows
from pyg_distill.nn.losses.head import ProjectionHead
from pyg_distill.nn.losses.node_types import (
    Channels,
    Layers,
    split_channels,
    split_layers,
)
from pyg_distill.nn.losses.options import check_equal_widths
from pyg_distill.nn.losses.target import TeacherTarget

Target = TeacherTarget | dict[str, TeacherTarget]


class OnePairLoss(DistillationLoss):
    """Takes lists of layers like :class:`ABKDLoss`, and picks one of each.

    Layers by node type are compared one type at a time, each with parameters
    of its own. A position then counts the layers that hold the type.
    """

    compares = 'layers'
    can_prepare = True
    # What is prepared of a teacher has a row for each node.
    granularity = 'node'

    def __init__(
        self,
        teacher_channels: Channels,
        student_channels: Channels,
        teacher_layer: int,
        student_layer: int,
    ) -> None:
        super().__init__()
        self.teacher_layer = teacher_layer
        self.student_layer = student_layer
        teacher = split_channels('teacher_channels', teacher_channels)
        student = split_channels('student_channels', student_channels)
        self.node_types = [t for t in teacher if t in student]
        if not self.node_types:
            raise ValueError(
                f"'student_channels' must share a node type with "
                f"'teacher_channels' (got {list(student)} and "
                f'{list(teacher)}); record layers of both as tensors or both '
                f'by node type'
            )
        self._channels: dict[str, tuple[list[int], list[int]]] = {}
        for t in self.node_types:
            widths = teacher[t][1], student[t][1]
            _check_position('teacher_layer', teacher_layer, len(widths[0]))
            _check_position('student_layer', student_layer, len(widths[1]))
            self._channels[t] = widths

    def forward(
        self,
        teacher: Layers | Target,
        student: Layers,
        batch: Tensor | Mapping[str, Tensor] | None = None,
        size: int | None = None,
    ) -> Tensor:
        """Compares the teacher's with the student's layer.

        Args:
            teacher (list[torch.Tensor] or list[dict[str, torch.Tensor]]): The
                teacher's layers, without gradient, or what :meth:`prepare`
                made of them.
            student (list[torch.Tensor] or list[dict[str, torch.Tensor]]): The
                student's layers.
            batch (torch.Tensor or dict[str, torch.Tensor], optional): The
                graph of each node, for losses that tell graphs apart.
                (default: :obj:`None`)
            size (int, optional): The number of graphs, calculated if not
                given. (default: :obj:`None`)
        """
        values = []
        for k, t, x, y in self._pairs(teacher, student):
            graph = batch.get(t) if isinstance(batch, Mapping) else batch
            with torch.autocast(y.device.type, enabled=False):
                values.append(self._compare(k, x, y, graph, size))
        return torch.stack(values).mean()

    def prepare(self, teacher: Layers) -> Target:
        """Keeps the one layer of a frozen teacher that is compared with.

        The result takes the place of the teacher's layers in :meth:`forward`.

        Args:
            teacher (list[torch.Tensor] or list[dict[str, torch.Tensor]]): The
                teacher's layers.
        """
        layers = split_layers('teacher', teacher, self._typed)
        out = {}
        for t in self.node_types:
            if t in layers:
                x = self._pick('teacher', layers[t], self._channels[t][0])
                out[t] = TeacherTarget([x.unsqueeze(0)], [])
        return out if self._typed else out['']

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        for module in self.modules():
            if isinstance(module, ProjectionHead | torch.nn.Linear):
                module.reset_parameters()

    def extra_repr(self) -> str:
        """The options that change the result."""
        names = ['teacher_layer', 'student_layer', *self._options()]
        return ', '.join(f'{name}={getattr(self, name)!r}' for name in names)

    def __repr__(self) -> str:
        types = f', node_types={self.node_types}' if self._typed else ''
        return f'{type(self).__name__}({self.extra_repr()}{types})'

    def _compare(
        self,
        k: int,
        teacher: Tensor,
        student: Tensor,
        batch: Tensor | None,
        size: int | None,
    ) -> Tensor:
        """The loss of the `k`-th node type."""
        raise NotImplementedError

    def _options(self) -> list[str]:
        """The names of the options that a loss adds."""
        return []

    def _least_rows(self) -> int:
        """How many rows it takes to compare any."""
        return 1

    def _widths(self) -> list[tuple[int, int]]:
        """The widths of the two layers of each node type."""
        pairs = [self._channels[t] for t in self.node_types]
        return [
            (x[self.teacher_layer], y[self.student_layer]) for x, y in pairs
        ]

    def _check_equal_widths(self) -> None:
        for teacher, student in self._widths():
            check_equal_widths([teacher], [student])

    @property
    def _typed(self) -> bool:
        return self.node_types != ['']

    def _pairs(
        self, teacher: Any, student: Any
    ) -> Iterator[tuple[int, str, Tensor, Tensor]]:
        prepared = isinstance(teacher, TeacherTarget | dict)
        if isinstance(teacher, TeacherTarget):
            teacher = {'': teacher}
        elif not prepared:
            teacher = split_layers('teacher', teacher, self._typed)
        students = split_layers('student', student, self._typed)
        found = False
        for k, t in enumerate(self.node_types):
            # A mini-batch need not hold every type.
            if t not in teacher or t not in students:
                continue
            widths = self._channels[t]
            y = self._pick('student', students[t], widths[1])
            if prepared:
                x = self._prepared_layer(teacher[t], widths[0])
            else:
                x = self._pick('teacher', teacher[t], widths[0])
            check_rows([x.size(0)], [y.size(0)])
            if y.size(0) < self._least_rows():
                if self._typed:
                    continue
                raise ValueError(
                    f"'student' must have {self._least_rows()} rows or more "
                    f'(got {y.size(0)}); use larger batches, or drop_last=True'
                )
            found = True
            yield k, t, self._wide(x), self._wide(y)
        if not found:
            raise ValueError(
                f"'student' must hold one of the node types "
                f"{', '.join(self.node_types)} that 'teacher' holds (got "
                f'{", ".join(students) or "none"} and '
                f'{", ".join(teacher) or "none"}); record one of '
                f'them in both'
            )

    def _pick(
        self, side: str, layers: list[Tensor], widths: list[int]
    ) -> Tensor:
        """The layer to compare, whose rows are those of all others.

        Pooling that is learned keeps other nodes on each side, of which there
        may be as many.
        """
        check_layers(side, layers, widths)
        sizes = [x.size(0) for x in layers]
        check_rows(sizes, sizes)
        own = self.teacher_layer if side == 'teacher' else self.student_layer
        return layers[own]

    def _prepared_layer(self, target: Any, widths: list[int]) -> Tensor:
        width = widths[self.teacher_layer]
        layers = getattr(target, 'layers', [])
        sizes = [list(x.size())[::2] for x in layers]
        if sizes != [[1, width]]:
            raise ValueError(
                f"'teacher' must be a target of this loss (got layers of "
                f'{[x.size(-1) for x in layers]} channels, not {width}); call '
                f'its own prepare()'
            )
        return layers[0].squeeze(0)

    def _wide(self, x: Tensor) -> Tensor:
        # Sums over nodes pass the range of half precision.
        dtype = torch.promote_types(x.dtype, torch.float)
        for parameter in self.parameters():
            dtype = torch.promote_types(parameter.dtype, torch.float)
            break
        return x.to(dtype)


def _check_position(name: str, value: int, num_layers: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(
            f"'{name}' must be the position of a layer (got {value!r}); pass "
            f'-1 for the last, -2 for the one before'
        )
    if not -num_layers <= value < num_layers:
        raise ValueError(
            f"'{name}' must be from {-num_layers} to {num_layers - 1}, as "
            f'there are {num_layers} layers (got {value}); pass -1 for the last'
        )
