"""The outputs of a frozen teacher, stored for all epochs."""

import copy
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import fsspec
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map
from torch_geometric.io import fs
from tqdm import tqdm

from pyg_distill.nn.distiller.inputs import (
    Fingerprint,
    check_features,
    feature_matrices,
    row_sums,
)
from pyg_distill.nn.distiller.loaders import cast, check_loader, run_teacher
from pyg_distill.nn.distiller.teacher import (
    BatchSize,
    Teacher,
    as_arguments,
    concat,
    items,
    only,
    seed_rows,
    select_rows,
)
from pyg_distill.nn.losses import DistillationLoss, TeacherTarget
from pyg_distill.nn.recorder.layers import shorten

Self = TypeVar('Self', bound='TeacherCache')


class TeacherCache:
    r"""The outputs and layers of a frozen teacher, stored for all epochs.

    It takes the place of the teacher in a
    :class:`~pyg_distill.nn.Distiller`, which then never runs it again:

    .. code-block:: python

        cache = TeacherCache.from_inputs(teacher, (data.x, data.edge_index))
        distiller = Distiller.from_example(student, cache, example)

    Full-batch training goes on as before. With mini-batches, pass their nodes
    as :obj:`n_id` to :meth:`~pyg_distill.nn.Distiller.loss`.

    A cache is right only as long as the teacher would return the same again.
    In full-batch training, inputs that differ from those of the cache (as with
    augmentation) are refused. In mini-batches, other node features are
    refused. The cache cannot detect changed edges of a sampled neighborhood,
    changes through :obj:`x.data` or shared memory, or any change in compiled
    code.

    Args:
        outputs (torch.Tensor or dict[str, torch.Tensor]): The teacher's
            outputs, of shape :obj:`[N, C]`.
        layers (list[torch.Tensor] or list[dict[str, torch.Tensor]]): Its
            layers, each of shape :obj:`[N, F]`.
        n_id (torch.Tensor or dict[str, torch.Tensor], optional): The node of
            each row. By default, rows are all nodes in order.
            (default: :obj:`None`)

    Raises:
        ValueError: If outputs, layers and nodes have different numbers of
            rows.
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
        self._index: dict[str, _RowIndex] = {}
        self._typed = any(isinstance(x, Mapping) for x in [outputs, *layers])
        # A model may return outputs for some of the types of its layers only.
        num_rows: dict[str, set[int]] = {}
        for value in [outputs, *layers]:
            for key, x in items(value):
                num_rows.setdefault(key, set()).add(x.size(0))
        nodes = dict(items(n_id))
        if isinstance(outputs, Tensor):
            num_rows, nodes = {'': num_rows['']}, {'': only(n_id)}
        for key, rows in num_rows.items():
            node = nodes.get(key)
            rows |= set() if node is None else {node.numel()}
            if len(rows) > 1:
                raise ValueError(
                    f"'outputs', 'layers' and 'n_id' must have a row for each "
                    f'node (got {" and ".join(map(str, sorted(rows)))} rows); '
                    f'leave the teacher of a task on graphs uncached'
                )
            self._index[key] = _RowIndex(node, *rows)

    @classmethod
    def from_inputs(
        cls: type[Self],
        teacher: torch.nn.Module,
        inputs: Any,
        layers: Any = 'auto',
        dtype: torch.dtype | None = None,
        clone: bool = False,
    ) -> Self:
        """Runs the teacher once, on the whole graph.

        Args:
            teacher (torch.nn.Module): The teacher.
            inputs (tuple or dict or Any): Its positional arguments, its
                keyword arguments, or its only argument.
            layers (str or list, optional): The layers to store, see
                :class:`~pyg_distill.nn.LayerRecorder`; :obj:`None` stores the
                outputs alone. (default: :obj:`"auto"`)
            dtype (torch.dtype, optional): The type in which layers are stored,
                such as :obj:`torch.half`. (default: :obj:`None`)
            clone (bool, optional): Whether layers are copied, for a teacher
                that changes them in-place. (default: :obj:`False`)
        """
        args, kwargs = as_arguments(inputs)
        fingerprint = Fingerprint(args, kwargs)
        runner = Teacher(teacher, layers, clone=clone)
        try:
            outputs, stored = runner(*args, **kwargs)
        finally:
            runner.remove()
        out = cls(outputs, cast(stored, dtype))
        out.fingerprint = fingerprint
        out.row_sums = row_sums(feature_matrices(args, kwargs), out.num_nodes)
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
        """Runs the teacher on mini-batches, and stores their seed nodes.

        The loader must sample all neighbors, for as many hops as the teacher
        reads, and must not transform mini-batches. Teachers that read all
        nodes of a mini-batch, as with
        :class:`~torch_geometric.nn.norm.GraphNorm`, are refused.

        Args:
            teacher (torch.nn.Module): The teacher.
            loader (torch_geometric.loader.NeighborLoader): Mini-batches with
                :obj:`n_id` and :obj:`batch_size`.
            inputs (Callable, optional): A function from a mini-batch to the
                inputs of the teacher, see :meth:`from_inputs`. By default,
                :obj:`x` and :obj:`edge_index`, or their dictionaries.
                (default: :obj:`None`)
            layers (optional): See :meth:`from_inputs`.
            dtype (optional): See :meth:`from_inputs`.
            clone (optional): See :meth:`from_inputs`.
            log (bool, optional): Whether to show progress if it takes long.
                (default: :obj:`True`)
        """
        sampled = check_loader(loader, teacher)
        runner = Teacher(teacher, layers, clone=clone)
        bar = tqdm(loader, 'Running the teacher', disable=not log, delay=1)
        try:
            parts = list(run_teacher(runner, bar, inputs, dtype, sampled))
        finally:
            runner.remove()
        if not parts:
            raise ValueError(
                "'loader' must give at least one mini-batch (got none)"
            )
        outputs, stored, n_id, sums = zip(*parts, strict=True)
        concatenated = map(concat, zip(*stored, strict=True))
        out = cls(concat(outputs), list(concatenated), concat(n_id))
        # A mini-batch with as many edges as nodes has sums of edge features.
        widths = {x.size(1) for x in sums if isinstance(x, Tensor)}
        if len(widths) < 2 and not any(x is None for x in sums):
            out.row_sums = concat(sums)
        return out

    @property
    def channels(self) -> list[int] | list[dict[str, int]]:
        """The width of each layer."""
        return tree_map(lambda x: x.size(-1), self.layers)

    @property
    def num_nodes(self) -> int:
        """The number of nodes."""
        return sum(index.num_rows for index in self._index.values())

    @property
    def num_bytes(self) -> int:
        """The bytes of all tensors."""
        tensors = tree_leaves((self.outputs, self.layers))
        return sum(x.nbytes for x in tensors)

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
        index = self._index
        if '' in index:
            index = dict.fromkeys(n_id, index[''])
            if len(n_id) != 1:
                raise ValueError(
                    f"'n_id' must name the one node type of outputs (got "
                    f'{", ".join(n_id) or "none"}); leave out the others'
                )
        return {key: index[key](n_id[key]) for key in n_id if key in index}

    def save(self, path: str) -> None:
        """Writes the cache to a file, as a whole or not at all.

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
        temporary = f'{path}.{uuid.uuid4().hex}'
        try:
            fs.torch_save(state, temporary)
            fs.mv(temporary, path)
        except BaseException:
            if fs.exists(temporary):
                fs.rm(temporary)
            raise

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
        """Replaces each tensor by the result of a function.

        Args:
            fn (Callable): The function, such as one that moves to a device.
        """
        self.outputs = tree_map(fn, self.outputs)
        self.layers = tree_map(fn, self.layers)
        for index in self._index.values():
            index.row = None if index.row is None else fn(index.row)
        if self.n_id is not None:
            self.n_id = tree_map(fn, self.n_id)
        if self.row_sums is not None:
            # Another type would round the sums.
            self.row_sums = tree_map(
                lambda x: x.to(fn(x).device), self.row_sums
            )

    def __deepcopy__(self: Self, memo: dict[int, Any]) -> Self:
        # Copies of a student only read it.
        return self

    def __repr__(self) -> str:
        widths = f'[{shorten([str(x) for x in self.channels] or [""])}]'
        return (
            f'{type(self).__name__}({self.num_nodes:,} nodes, layers={widths}, '
            f'{self.num_bytes / 2**20:,.2f} MiB)'
        )


class _RowIndex:
    """The row of each node; without `n_id`, rows are all nodes in order."""

    def __init__(self, n_id: Tensor | None, num_rows: int) -> None:
        self.num_rows = num_rows
        self.row: Tensor | None = None
        if n_id is not None:
            num_nodes = int(n_id.max()) + 1 if n_id.numel() > 0 else 0
            self.row = n_id.new_full((num_nodes,), -1)
            self.row[n_id] = torch.arange(num_rows, device=n_id.device)

    def __call__(self, n_id: Tensor) -> Tensor:
        if not isinstance(n_id, Tensor) or n_id.dtype != torch.long:
            got = getattr(n_id, 'dtype', type(n_id).__name__)
            raise TypeError(
                f"'n_id' must be a tensor of node indices (got {got}); pass "
                f'data.n_id'
            )
        limit = self.num_rows if self.row is None else self.row.numel()
        missing = (n_id < 0) | (n_id >= limit)
        row = n_id
        if self.row is not None and limit > 0:
            row = self.row[n_id.masked_fill(missing, 0)]
            missing = missing | (row < 0)
        # Compiled code cannot raise an error that depends on values.
        if not torch.compiler.is_compiling() and bool(missing.any()):
            raise ValueError(
                f"'n_id' must hold nodes of the teacher's cache (got "
                f'{int(n_id[missing][0])}, it holds {self.num_rows} nodes); '
                f'build the cache from the whole graph'
            )
        return row


class CachedTeacher:
    """Replaces a teacher, and prepares its side of each loss once."""

    def __init__(
        self, cache: TeacherCache, losses: Mapping[str, DistillationLoss]
    ) -> None:
        self.prepared: dict[str, Any] = {
            name: loss.prepare(cache.layers)
            for name, loss in losses.items()
            if loss.can_prepare
        }
        self.names = [str(i) for i in range(len(cache.layers) if losses else 0)]
        # All losses on layers read their own targets, row by row.
        if all(map(_selects_rows, losses.values())):
            cache, index = copy.copy(cache), cache._index
            cache.layers = []
            # Each copy moves to the device of its own tensors.
            cache._index = {key: copy.copy(x) for key, x in index.items()}
        self.cache = cache

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Any, bool | None]:
        """The features, and whether the inputs are those of the cache."""
        if torch.compiler.is_compiling():
            return None, True
        as_cached = None
        if self.cache.fingerprint is not None:
            as_cached = self.cache.fingerprint.matches(args, kwargs)
        return feature_matrices(args, kwargs), as_cached

    def align(
        self,
        teacher_out: tuple[Any, bool | None],
        batch_size: BatchSize | None,
        n_id: Any,
    ) -> Any:
        """The rows of the cache to compare, `None` for all."""
        features, as_cached = teacher_out
        if n_id is not None:
            rows = self.cache.rows(seed_rows(n_id, batch_size))
            num_nodes = n_id.numel() if isinstance(n_id, Tensor) else 0
            check_features(self.cache.row_sums, rows, features, num_nodes)
            return rows
        unknown = as_cached is None and batch_size is not None
        if self.cache.n_id is not None or as_cached is False or unknown:
            raise ValueError(
                'the teacher was cached for other inputs than those of this '
                'step; pass n_id=data.n_id to loss(), or the teacher itself'
            )
        return None if batch_size is None else tree_map(slice, batch_size)

    def target(self, name: str, loss: DistillationLoss, rows: Any) -> Any:
        """The teacher's side of a loss."""
        target: Any = self.cache.layers
        if loss.needs == 'logits':
            target = self.cache.outputs
        elif name in self.prepared and (rows is None or _selects_rows(loss)):
            target = self.prepared[name]
        return target if rows is None else select_rows(target, rows)

    def move(self, fn: Callable[[Tensor], Tensor]) -> None:
        """Applies a function that moves the parameters of a module."""

        def move(x: Any) -> Any:
            if not isinstance(x, TeacherTarget):
                return fn(x)
            x.move(fn)
            return x

        self.cache.move(fn)
        self.prepared = tree_map(move, self.prepared)

    def __repr__(self) -> str:
        size = self.cache.num_bytes + sum(
            x.num_bytes if isinstance(x, TeacherTarget) else x.nbytes
            for x in tree_leaves(self.prepared)
        )
        number = f'{self.cache.num_nodes:,}'
        return f'TeacherCache of {number} nodes, {size / 2**20:,.2f} MiB'


def _selects_rows(loss: DistillationLoss) -> bool:
    return loss.can_prepare and loss.target_level == 'node'
