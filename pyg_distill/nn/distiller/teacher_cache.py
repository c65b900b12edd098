"""What a frozen teacher says, kept."""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import fsspec
import torch
from torch import Tensor
from tqdm import tqdm

from pyg_distill.nn.distiller.alignment import BatchSize, RowIndex, seed_rows
from pyg_distill.nn.distiller.by_type import (
    apply,
    cast,
    channels,
    concat,
    items,
    only,
    select,
)
from pyg_distill.nn.distiller.describing import format_bytes, format_widths
from pyg_distill.nn.distiller.files import save_whole
from pyg_distill.nn.distiller.inputs import (
    Fingerprint,
    node_features,
    row_sums,
)
from pyg_distill.nn.distiller.loader_checks import check_loader
from pyg_distill.nn.distiller.loaders import (
    all_sums,
    answers,
    as_arguments,
    batch_inputs,
)
from pyg_distill.nn.distiller.teacher import Answer, Teacher

Self = TypeVar('Self', bound='TeacherCache')


class TeacherCache:
    r"""What a frozen teacher says about each node, kept for all epochs.

    It takes the place of the teacher in a
    :class:`~pyg_distill.nn.Distiller`, which then never runs it again:

    .. code-block:: python

        cache = TeacherCache.from_inputs(teacher, (data.x, data.edge_index))
        distiller = Distiller.from_example(student, cache, example)

    Full-batch training just goes on as before. Mini-batches say which nodes
    they hold, by :obj:`n_id` in :meth:`~pyg_distill.nn.Distiller.loss`.

    A cache is right only as long as the teacher would say the same again.
    Inputs that differ from those of the cache, as augmentation makes them, are
    refused in full-batch training, and in mini-batches if node features
    differ. What is not noticed: other edges of a sampled neighborhood, changes
    through :obj:`x.data` or shared memory, and any in compiled code.

    Args:
        outputs (torch.Tensor or dict[str, torch.Tensor]): The teacher's
            outputs, of shape :obj:`[N, C]`.
        layers (list[torch.Tensor] or list[dict[str, torch.Tensor]]): Its
            layers, each of shape :obj:`[N, F]`.
        n_id (torch.Tensor or dict[str, torch.Tensor], optional): The node of
            each row. Without, rows are all nodes in order.
            (default: :obj:`None`)

    Raises:
        ValueError: If rows of outputs, layers and nodes differ in number.
    """

    def __init__(
        self,
        outputs: Tensor | dict[str, Tensor],
        layers: list[Any],
        n_id: Tensor | dict[str, Tensor] | None = None,
    ) -> None:
        self.outputs = outputs
        self.layers = layers
        self.n_id = n_id
        self.fingerprint: Fingerprint | None = None
        self.row_sums: Any = None
        self._index: Any = {}
        self._typed = isinstance(outputs, Mapping) or any(
            isinstance(layer, Mapping) for layer in layers
        )
        # A model may return outputs for some of the types in its layers alone.
        num_rows = {
            key: x.size(0)
            for value in ([*layers, outputs] if self._typed else [outputs])
            for key, x in items(value)
        }
        if not isinstance(outputs, Mapping):
            num_rows = {'': outputs.size(0)}
        for key, number in num_rows.items():
            nodes = None if n_id is None else dict(items(n_id)).get(key)
            if isinstance(n_id, Mapping) and not isinstance(outputs, Mapping):
                nodes = only(n_id)
            rows = {number} | {
                layer.size(0)
                for value in layers
                for name, layer in items(value)
                if name == key
            }
            if nodes is not None:
                rows.add(nodes.numel())
            if len(rows) > 1:
                raise ValueError(
                    f"'outputs', 'layers' and 'n_id' must have a row for each "
                    f'node (got {" and ".join(map(str, sorted(rows)))} rows); '
                    f'record layers of one row a node, or leave the teacher '
                    f'of a task on graphs uncached'
                )
            self._index[key] = RowIndex(nodes, number)

    @classmethod
    def from_inputs(
        cls: type[Self],
        teacher: torch.nn.Module,
        inputs: Any,
        layers: Any = 'auto',
        dtype: torch.dtype | None = None,
        clone: bool = False,
    ) -> Self:
        """Asks the teacher once, about the whole graph.

        Args:
            teacher (torch.nn.Module): The teacher.
            inputs (tuple or dict or Any): Its positional arguments, its
                keyword arguments, or its only argument.
            layers (str or list, optional): The layers to keep, see
                :class:`~pyg_distill.nn.LayerRecorder`; :obj:`None` keeps the
                outputs alone. (default: :obj:`"auto"`)
            dtype (torch.dtype, optional): What layers are stored as, such as
                :obj:`torch.half`. (default: :obj:`None`)
            clone (bool, optional): Whether layers are copied, for a teacher
                that changes them in-place. (default: :obj:`False`)
        """
        args, kwargs = as_arguments(inputs)
        fingerprint = Fingerprint(args, kwargs)
        holder = Teacher(teacher, layers, clone=clone)
        try:
            answer = holder(*args, **kwargs)
        finally:
            holder.remove()
        out = cls(answer.outputs, cast(answer.layers or [], dtype))
        out.fingerprint = fingerprint
        out.row_sums = row_sums(node_features(args, kwargs), out.num_nodes)
        return out

    @classmethod
    def from_loader(
        cls: type[Self],
        teacher: torch.nn.Module,
        loader: Iterable[Any],
        inputs: Callable[[Any], Any] | None = None,
        layers: Any = 'auto',
        dtype: torch.dtype | None = None,
        clone: bool = False,
        log: bool = True,
    ) -> Self:
        """Asks the teacher about the seed nodes of each mini-batch.

        The loader must sample all neighbors, as many hops as the teacher
        reads, and transform nothing. Teachers that read all nodes of a
        mini-batch, as :class:`~torch_geometric.nn.norm.GraphNorm` does, are
        refused.

        Args:
            teacher (torch.nn.Module): The teacher.
            loader (torch_geometric.loader.NeighborLoader): Mini-batches with
                :obj:`n_id` and :obj:`batch_size`.
            inputs (Callable, optional): A function from a mini-batch to the
                inputs of the teacher, see :meth:`from_inputs`. By default,
                :obj:`x` and :obj:`edge_index`, or their dictionaries.
                (default: :obj:`None`)
            layers (str or list, optional): See :meth:`from_inputs`.
                (default: :obj:`"auto"`)
            dtype (torch.dtype, optional): See :meth:`from_inputs`.
                (default: :obj:`None`)
            clone (bool, optional): See :meth:`from_inputs`.
                (default: :obj:`False`)
            log (bool, optional): Whether to show progress if it takes long.
                (default: :obj:`True`)
        """
        depth = check_loader(loader, teacher)
        holder = Teacher(teacher, layers, clone=clone)
        bar = tqdm(loader, 'Asking the teacher', disable=not log, delay=1)
        try:
            inputs = inputs or batch_inputs
            parts = list(answers(holder, bar, inputs, dtype, depth))
        finally:
            holder.remove()
        if not parts:
            raise ValueError(
                "'loader' must give at least one mini-batch (got none); pass "
                'one over the nodes that the student is trained on'
            )
        out = cls(
            concat([part.outputs for part in parts]),
            [
                concat(list(x))
                for x in zip(*(p.layers for p in parts), strict=True)
            ],
            concat([part.n_id for part in parts]),
        )
        out.row_sums = all_sums(parts)
        return out

    @property
    def channels(self) -> list[int] | list[dict[str, int]]:
        """The width of each layer."""
        return channels(self.layers)

    @property
    def num_nodes(self) -> int:
        """The number of nodes."""
        return sum(index.num_rows for index in self._index.values())

    @property
    def num_bytes(self) -> int:
        """The bytes of all tensors."""
        tensors = [x for v in [self.outputs, *self.layers] for _, x in items(v)]
        return sum(x.numel() * x.element_size() for x in tensors)

    def rows(self, n_id: Any) -> Any:
        """The rows of given nodes, by node type if there are several.

        Args:
            n_id (torch.Tensor or dict[str, torch.Tensor]): The nodes.
        """
        if isinstance(n_id, Mapping) != self._typed:
            raise ValueError(
                f"'n_id' must be a {'dict' if self._typed else 'tensor'} like "
                f"the teacher's layers (got {type(n_id).__name__}); pass "
                f'{"data.n_id_dict" if self._typed else "data.n_id"}'
            )
        if not isinstance(n_id, Mapping):
            return self._index[''](n_id)
        if '' in self._index:
            if len(n_id) != 1:
                raise ValueError(
                    f"'n_id' must name the one node type of the teacher's "
                    f'outputs (got {", ".join(n_id) or "none"}); leave out '
                    f'the others'
                )
            return {key: self._index[''](ids) for key, ids in n_id.items()}
        return {
            key: self._index[key](ids)
            for key, ids in n_id.items()
            if key in self._index
        }

    def first_rows(self, batch_size: BatchSize) -> Any:
        """The first rows, by node type if there are several.

        Args:
            batch_size (int or dict[str, int]): Their number.
        """
        rows: Any = {
            key: torch.arange(index.num_rows)
            for key, index in self._index.items()
        }
        if '' not in rows:
            return seed_rows(rows, batch_size)
        if not isinstance(batch_size, Mapping):
            return seed_rows(rows[''], batch_size)
        return {key: seed_rows(rows[''], n) for key, n in batch_size.items()}

    def take(self, n_id: Any) -> Answer:
        """What the teacher says about given nodes.

        Args:
            n_id (torch.Tensor or dict[str, torch.Tensor]): The nodes.

        Returns:
            tuple: Its :obj:`outputs` and its :obj:`layers`, by these names.
        """
        rows = self.rows(n_id)
        return Answer(
            select(self.outputs, rows), [select(x, rows) for x in self.layers]
        )

    def without_layers(self: Self) -> Self:
        """What the teacher says in the end, and about which nodes."""
        out = copy.copy(self)
        out.layers = []
        # Each moves to the device of its own tensors.
        out._index = {k: copy.copy(index) for k, index in self._index.items()}
        return out

    def save(self, path: str) -> None:
        """Writes the cache to a file.

        Args:
            path (str): The file, on any file system that PyG knows.
        """
        state = {
            'outputs': self.outputs,
            'layers': self.layers,
            'n_id': self.n_id,
            'row_sums': self.row_sums,
            'sums': self.fingerprint and self.fingerprint.sums,
        }
        save_whole(state, path)

    @classmethod
    def load(cls: type[Self], path: str, map_location: Any = None) -> Self:
        """Reads a cache that was saved.

        Args:
            path (str): The file.
            map_location (optional): The device to load to, see
                :meth:`torch.load`. (default: :obj:`None`)
        """
        with fsspec.open(path, 'rb') as file:
            state = torch.load(file, map_location, weights_only=True)
        out = cls(state['outputs'], state['layers'], state['n_id'])
        out.row_sums = state['row_sums']
        if state['sums'] is not None:
            out.fingerprint = Fingerprint((), {})
            out.fingerprint.sums = state['sums']
        return out

    def move(self, fn: Callable[[Tensor], Tensor]) -> None:
        """Replaces each tensor by what a function makes of it.

        Args:
            fn (Callable): The function, such as one that moves to a device.
        """
        self.outputs = apply(fn, self.outputs)
        self.layers = [apply(fn, x) for x in self.layers]
        self.n_id = None if self.n_id is None else apply(fn, self.n_id)
        if self.row_sums is not None:
            # Moved, but kept exact.
            self.row_sums = apply(lambda x: x.to(fn(x).device), self.row_sums)
        for index in self._index.values():
            index.row = None if index.row is None else fn(index.row)

    def __deepcopy__(self: Self, memo: dict[int, Any]) -> Self:
        # Read by every copy of a student, written by none.
        return self

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}({self.num_nodes:,} nodes, '
            f'layers={format_widths(self.channels)}, '
            f'{format_bytes(self.num_bytes)})'
        )
