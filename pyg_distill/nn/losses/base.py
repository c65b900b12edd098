r"""The base classes of all losses between a student and its teacher."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

import torch
from torch import Tensor

from pyg_distill.nn.losses.checks import (
    Channels,
    Layers,
    check_choice,
    check_count,
    check_equal_widths,
    check_layers,
    check_position,
    check_rows,
    split_channels,
    split_layers,
)
from pyg_distill.nn.losses.functional import sample_rows
from pyg_distill.nn.losses.matching import LayerProjection, ProjectionHead

Self = TypeVar('Self', bound='LayerLoss')


class DistillationLoss(torch.nn.Module):
    r"""Base class of losses that compare a student with its teacher.

    A subclass declares what it reads, and defines :meth:`forward`.
    :class:`~pyg_distill.nn.Distiller` passes exactly what is declared:

    .. code-block:: python

        class LastLayerMSE(DistillationLoss):
            needs = 'layers'

            def forward(self, teacher, student):
                return F.mse_loss(student[-1], teacher[-1])

    Attributes that depend on an option are set on the instance.

    Attributes:
        needs (str): What :obj:`teacher` and :obj:`student` are:
            :obj:`"layers"` (lists with one entry a layer) or :obj:`"logits"`
            (what the models return). (default: :obj:`"layers"`)
        needs_edges (bool): Whether :meth:`forward` takes :obj:`edge_index`,
            the edges between the rows. (default: :obj:`False`)
        needs_batch (bool): Whether :meth:`forward` takes :obj:`batch` and
            :obj:`size`, the graph of each row and the number of graphs.
            (default: :obj:`False`)
        can_prepare (bool): Whether :meth:`prepare` turns the layers of a
            frozen teacher into a target, without further context. The target
            replaces :obj:`teacher` in :meth:`forward`, and is computed once
            if the teacher is cached. (default: :obj:`False`)
        target_level (str): Whether the target has a row for each node
            (:obj:`"node"`), and rows of it can be selected by
            :meth:`TeacherTarget.select`, or it belongs to all nodes together
            (:obj:`"all"`). (default: :obj:`"node"`)
    """

    needs: Literal['layers', 'logits'] = 'layers'
    needs_edges: bool = False
    needs_batch: bool = False
    can_prepare: bool = False
    target_level: Literal['node', 'all'] = 'node'

    def forward(
        self, teacher: Any, student: Any, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Compares the teacher's side, without gradient, with the student's.

        :obj:`batch` and :obj:`size`, or :obj:`edge_index`, follow as declared.
        """
        raise NotImplementedError

    def prepare(self, teacher: Any, *args: Any, **kwargs: Any) -> Any:
        """Computes everything that depends on the teacher's layers alone.

        Returns:
            TeacherTarget or torch.Tensor or list: What replaces
            :obj:`teacher` in :meth:`forward`. A tensor, or each tensor of a
            list, has a row for each node. If layers are dictionaries, so are
            these by node type.
        """
        raise NotImplementedError(f"'{type(self).__name__}' has no prepare()")


@dataclass
class TeacherTarget:
    r"""The teacher's side of a loss, as far as no parameter changes it.

    :meth:`DistillationLoss.prepare` makes it. Losses with fixed attention fold
    all teacher layers into one target for each student layer and width.

    Args:
        layers (list[torch.Tensor]): Layers of shape :obj:`[N, C]`, or stacks
            of normalised ones of shape :obj:`[K, N, C]`, one for each width.
        means (list[torch.Tensor]): The mean of each teacher layer over its
            nodes, which learned attention reads, each of shape :obj:`[1, C]`.
            (default: :obj:`[]`)
        spread (torch.Tensor, optional): The part of the distance of each row
            that does not depend on the student, of shape :obj:`[N]`, if layers
            are folded. (default: :obj:`None`)
    """

    layers: list[Tensor]
    means: list[Tensor] = field(default_factory=list)
    spread: Tensor | None = None

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return self.layers[0].size(-2)

    @property
    def num_bytes(self) -> int:
        """The bytes of all tensors."""
        spread = [] if self.spread is None else [self.spread]
        return sum(x.nbytes for x in (*self.layers, *self.means, *spread))

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}({self.num_rows:,} rows, '
            f'widths={[x.size(-1) for x in self.layers]}, '
            f'{self.num_bytes:,} bytes)'
        )

    def select(self, index: Tensor | slice) -> 'TeacherTarget':
        """The target of some rows, such as the seed nodes of a mini-batch."""
        spread = None if self.spread is None else self.spread[index]
        layers = [x[..., index, :] for x in self.layers]
        return TeacherTarget(layers, self.means, spread)

    def move(self, fn: Callable[[Tensor], Tensor]) -> None:
        """Replaces each tensor by the output of a function."""
        self.layers = [fn(x) for x in self.layers]
        self.means = [fn(x) for x in self.means]
        if self.spread is not None:
            self.spread = fn(self.spread)


Target: TypeAlias = TeacherTarget | dict[str, TeacherTarget]
Batch: TypeAlias = Tensor | Mapping[str, Tensor] | None


class LayerLoss(DistillationLoss):
    """Base of losses of declared layers, which may be dictionaries by type.

    Each node type that occurs on both sides is compared on its own, with
    parameters of its own. The loss is the mean over the types that are
    present. Subclasses define :meth:`_prepare` and :meth:`_compare`.

    Args:
        teacher_channels (list[int] or list[dict[str, int]]): The width of each
            of the teacher's layers, see
            :meth:`~pyg_distill.nn.LayerRecorder.channels`.
        student_channels (list[int] or list[dict[str, int]]): The width of each
            of the student's layers.

    Raises:
        ValueError: If no node type occurs on both sides.
    """

    can_prepare = True
    # The fewest rows that can be compared.
    _min_rows = 1
    # The options of the paper's form.
    _paper: ClassVar[dict[str, Any]] = {}

    def __init__(
        self, teacher_channels: Channels, student_channels: Channels
    ) -> None:
        super().__init__()
        teacher = split_channels('teacher_channels', teacher_channels)
        student = split_channels('student_channels', student_channels)
        both = [t for t in teacher if t in student]
        if not both:
            raise ValueError(
                f"'student_channels' must share a node type with "
                f"'teacher_channels' (got {list(student)} and "
                f'{list(teacher)}); record both as tensors or both by node type'
            )
        # The widths of the layers that hold a type.
        self._widths = {t: (teacher[t], student[t]) for t in both}
        # What a loss remembers of the last call, by node type.
        self._last: dict[str, Any] = {}

    @classmethod
    def paper(
        cls: type[Self],
        teacher_channels: Channels,
        student_channels: Channels,
        **kwargs: Any,
    ) -> Self:
        """The form of the paper, which is described above.

        Args:
            teacher_channels (list): The width of each of the teacher's layers.
            student_channels (list): The width of each of the student's layers.
            **kwargs (optional): Options that replace those of the paper.
        """
        return cls(teacher_channels, student_channels, **(cls._paper | kwargs))

    @property
    def node_types(self) -> list[str]:
        """The node types that are compared, or :obj:`['']` without types."""
        return list(self._widths)

    def forward(
        self,
        teacher: Layers | Target,
        student: Layers,
        batch: Batch = None,
        size: int | None = None,
        edge_index: Any = None,
    ) -> Tensor:
        """Compares the teacher's with the student's layers.

        Args:
            teacher (list): The teacher's layers, without gradient: matrices
                :obj:`[N, F]`, or dictionaries of them by node type. Or the
                output of :meth:`prepare`.
            student (list): The student's layers.
            batch (torch.Tensor or dict[str, torch.Tensor], optional): The
                graph of each node, if :attr:`needs_batch`.
                (default: :obj:`None`)
            size (int, optional): The number of graphs. (default: :obj:`None`)
            edge_index (torch.Tensor or SparseTensor, optional): The edges
                between the rows, if :attr:`needs_edges`. A sparse matrix is
                read as transposed, :obj:`adj_t`, as by PyG's convolutions.
                (default: :obj:`None`)

        Raises:
            ValueError: If layers are not those that were declared, differ in
                their rows, have too few, or require gradients on the
                teacher's side, or :obj:`batch` or :obj:`edge_index` does not
                fit them.
            TypeError: If layers are not lists of tensors or of dictionaries.
        """
        self._last, values = {}, []
        sides = self._by_type(teacher, student, batch)
        for k, target, layers, context in sides:
            context |= {'size': size, 'edge_index': edge_index}
            with torch.autocast(layers[0].device.type, enabled=False):
                if not isinstance(target, TeacherTarget):
                    target = self._prepare(k, target, **context)
                values.append(self._compare(k, target, layers, **context))
        return torch.stack(values).mean()

    def prepare(
        self, teacher: Layers, batch: Batch = None, size: int | None = None
    ) -> Target:
        """Computes everything that depends on the teacher alone.

        The result takes the place of the teacher's layers in :meth:`forward`,
        with the same value. All arguments are those of :meth:`forward`.
        """
        layers = split_layers('teacher', teacher, self._typed)
        out: dict[str, TeacherTarget] = {}
        for k, t in enumerate(self.node_types):
            if t in layers:
                check_layers('teacher', layers[t], self._widths[t][0])
                context = {'batch': _of_type(batch, t), 'size': size}
                with torch.autocast(layers[t][0].device.type, enabled=False):
                    out[t] = self._prepare(k, layers[t], **context)
        return out if self._typed else out['']

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        kinds = LayerProjection, torch.nn.Linear, torch.nn.BatchNorm1d
        for module in self.modules():
            if isinstance(module, kinds):
                module.reset_parameters()

    def extra_repr(self) -> str:
        """All options."""
        names = [
            name
            for cls in reversed(type(self).__mro__)
            if issubclass(cls, LayerLoss)
            for name in signature(cls).parameters
            if name in vars(self)
        ]
        options = {name: getattr(self, name) for name in names}
        return ', '.join(f'{name}={x!r}' for name, x in options.items())

    def __repr__(self) -> str:
        types = f', node_types={self.node_types}' if self._typed else ''
        return f'{type(self).__name__}({self.extra_repr()}{types})'

    def _prepare(
        self, k: int, teacher: list[Tensor], **context: Any
    ) -> TeacherTarget:
        """The target of the :obj:`k`-th node type."""
        raise NotImplementedError

    def _compare(
        self, k: int, target: Any, student: list[Tensor], **context: Any
    ) -> Tensor:
        """The loss of the :obj:`k`-th node type."""
        raise NotImplementedError

    def _has_rows(self, student: list[Tensor], batch: Tensor | None) -> bool:
        """Whether a node type has enough rows to be compared."""
        return all(x.size(0) >= self._min_rows for x in student)

    @property
    def _typed(self) -> bool:
        return self.node_types != ['']

    def _by_type(
        self, teacher: Any, student: Any, batch: Batch
    ) -> Iterator[tuple[int, Any, list[Tensor], dict[str, Any]]]:
        """Both sides of each node type that has rows to compare."""
        targets: Any = teacher
        if isinstance(teacher, TeacherTarget):
            targets = {'': teacher}
        elif not (isinstance(teacher, dict) and self._typed):
            targets = split_layers('teacher', teacher, self._typed)
        students = split_layers('student', student, self._typed)
        is_empty = True
        for k, t in enumerate(self.node_types):
            # A mini-batch may lack types.
            if t not in targets or t not in students:
                continue
            if not isinstance(targets[t], TeacherTarget):
                check_layers('teacher', targets[t], self._widths[t][0])
            check_layers('student', students[t], self._widths[t][1])
            graph = _of_type(batch, t)
            if self._typed and not self._has_rows(students[t], graph):
                continue
            is_empty = False
            yield k, targets[t], students[t], {'batch': graph}
        if is_empty:
            raise ValueError(
                f"'student' must hold one of the node types "
                f"{', '.join(self.node_types)} that 'teacher' holds (got "
                f'{", ".join(students) or "none"} and '
                f'{", ".join(targets) or "none"})'
            )

    def _check_target(
        self,
        target: TeacherTarget,
        widths: list[int],
        form: tuple[int, bool, bool] = (2, False, False),
    ) -> None:
        """Refuses a target of other widths, dimensions or parts."""
        got = [x.size(-1) for x in target.layers]
        parts = len(target.means) > 0, target.spread is not None
        if got != widths or (target.layers[0].dim(), *parts) != form:
            raise ValueError(
                f"'teacher' must be a target of this loss (got {got} channels, "
                f'not {widths}, or other options); call its own prepare()'
            )


class LayerPairLoss(LayerLoss):
    """Base of losses that compare one layer of each side.

    Subclasses define :meth:`_loss`.

    Args:
        teacher_channels (list): The width of each of the teacher's layers.
        student_channels (list): The width of each of the student's layers.
        teacher_layer (int, optional): The position of the teacher's layer. Of
            layers by node type, it counts those that hold the type.
            (default: :obj:`-1`)
        student_layer (int, optional): The position of the student's layer.
            (default: :obj:`-1`)
        projection (str, optional): With :obj:`"both"`, both layers are mapped
            to :obj:`hidden_channels` by a learned linear layer, batch norm and
            ReLU. (default: :obj:`None`)
        hidden_channels (int, optional): The width of that space.
            (default: :obj:`256`)
        max_nodes (int, optional): The number of nodes that are compared, drawn
            anew in each call by the global generator. If set to :obj:`None`,
            all nodes are compared. (default: :obj:`None`)

    Raises:
        ValueError: If an option is unknown or does not go with another.
    """

    _projections: Any = Literal['both', None]
    # Whether the widths of both layers must agree without a projection.
    _equal_widths = False

    def __init__(
        self,
        teacher_channels: Channels,
        student_channels: Channels,
        *,
        teacher_layer: int = -1,
        student_layer: int = -1,
        projection: Literal['student', 'both'] | None = None,
        hidden_channels: int = 256,
        max_nodes: int | None = None,
    ) -> None:
        super().__init__(teacher_channels, student_channels)
        check_choice('projection', projection, self._projections)
        check_count('hidden_channels', hidden_channels)
        if max_nodes is not None:
            check_count('max_nodes', max_nodes, self._min_rows)
        self.teacher_layer = teacher_layer
        self.student_layer = student_layer
        self.projection = projection
        self.hidden_channels = hidden_channels
        self.max_nodes = max_nodes
        # The widths of the two layers of each node type.
        self._pairs = []
        for x, y in self._widths.values():
            check_position('teacher_layer', teacher_layer, len(x))
            check_position('student_layer', student_layer, len(y))
            pair = x[teacher_layer], y[student_layer]
            if projection is None and self._equal_widths:
                check_equal_widths(*pair)
            self._pairs.append(pair)
        self.teacher_heads, self.student_heads = (
            torch.nn.ModuleList(
                ProjectionHead(pair[side], hidden_channels)
                for pair in (self._pairs if projection == 'both' else [])
            )
            for side in (0, 1)
        )

    def _loss(
        self, k: int, teacher: Tensor, student: Tensor, **context: Any
    ) -> Tensor:
        """Compares the layers of the :obj:`k`-th node type."""
        raise NotImplementedError

    def _prepare(
        self, k: int, teacher: list[Tensor], **context: Any
    ) -> TeacherTarget:
        # Learned pooling may leave other nodes in other layers.
        check_rows(*(x.size(0) for x in teacher))
        return TeacherTarget([teacher[self.teacher_layer]])

    def _compare(
        self, k: int, target: Any, student: list[Tensor], **context: Any
    ) -> Tensor:
        self._check_target(target, [self._pairs[k][0]])
        check_rows(target.num_rows, *(x.size(0) for x in student))
        if not self._has_rows(student, None):
            raise ValueError(
                f"'student' must have two rows or more (got "
                f'{target.num_rows}); use larger batches, or drop_last=True'
            )
        x, y = target.layers[0], student[self.student_layer]
        x, y = x.to(working_dtype(self, x)), y.to(working_dtype(self, y))
        if self.projection == 'both':
            x, y = self.teacher_heads[k](x), self.student_heads[k](y)
        index = sample_rows(y.size(0), self.max_nodes, y.device)
        if index is not None:
            x, y = x.index_select(0, index), y.index_select(0, index)
        return self._loss(k, x, y, **context)

    def _has_rows(self, student: list[Tensor], batch: Tensor | None) -> bool:
        # Batch norm needs two.
        is_normed = self.projection == 'both' and self.training
        least = 2 if is_normed else self._min_rows
        return all(x.size(0) >= least for x in student)


def working_dtype(module: torch.nn.Module, x: Tensor) -> torch.dtype:
    """The type to compute in: that of the parameters, and at least float.

    Sums over nodes exceed the range of half precision.
    """
    parameter = next(module.parameters(), x)
    return torch.promote_types(parameter.dtype, torch.float)


def _of_type(batch: Batch, node_type: str) -> Tensor | None:
    return batch.get(node_type) if isinstance(batch, Mapping) else batch
