"""A teacher that has said all it will say."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyg_distill.nn.distiller.alignment import BatchSize, seed_rows
from pyg_distill.nn.distiller.by_type import items, select
from pyg_distill.nn.distiller.describing import format_bytes
from pyg_distill.nn.distiller.inputs import check_features, node_features
from pyg_distill.nn.distiller.named_losses import compares
from pyg_distill.nn.distiller.teacher_cache import TeacherCache
from pyg_distill.nn.losses import TeacherTarget


class Heard(NamedTuple):
    """What is known of the inputs that the teacher was not asked about.

    Attributes:
        x: Matrices that may be node features, or those of all node types.
        as_cached: Whether they are those of the cache, `None` if it was not
            found out.
    """

    x: Any
    as_cached: bool | None


class CachedTeacher:
    """Stands in for a teacher, and prepares its side of each loss once.

    The layers themselves are only held where a loss may read them again: with
    rows that are no nodes, for other nodes than all.

    Args:
        cache (TeacherCache): What the teacher said.
        losses (dict[str, torch.nn.Module]): The losses that take layers.
    """

    def __init__(
        self, cache: TeacherCache, losses: Mapping[str, torch.nn.Module]
    ) -> None:
        self.prepared: dict[str, Any] = {}
        needed = False
        for name, loss in losses.items():
            # Pooling graphs needs a batch vector, which comes with each call.
            if getattr(loss, 'granularity', 'graph') != 'graph':
                self.prepared[name] = loss.prepare(cache.layers)  # type: ignore[operator]
            # Rows of nodes can be selected once they are prepared.
            needed |= getattr(loss, 'granularity', 'graph') != 'node'
        self.cache = cache if needed else cache.without_layers()

    def __call__(self, *args: Any, **kwargs: Any) -> Heard:
        """Looks at what a teacher would be asked about."""
        if torch.compiler.is_compiling():
            return Heard(None, True)
        fingerprint = self.cache.fingerprint
        if fingerprint is None:
            return Heard(node_features(args, kwargs), None)
        as_cached = fingerprint.matches(args, kwargs)
        return Heard(node_features(args, kwargs), as_cached)

    def align(
        self, heard: Heard, batch_size: BatchSize | None, n_id: Any
    ) -> Any:
        """The rows of the cache to compare with, `None` for all."""
        cache = self.cache
        if n_id is not None:
            rows = cache.rows(seed_rows(n_id, batch_size))
            num_nodes = n_id.numel() if isinstance(n_id, Tensor) else 0
            check_features(cache.row_sums, rows, heard.x, num_nodes)
            return rows
        unknown = heard.as_cached is None and batch_size is not None
        if cache.n_id is not None or heard.as_cached is False or unknown:
            raise ValueError(
                'the teacher was cached for other inputs than those of this '
                'step; pass n_id=data.n_id of a mini-batch to loss(), or the '
                'teacher itself where inputs are augmented'
            )
        return None if batch_size is None else cache.first_rows(batch_size)

    def target(self, name: str, loss: torch.nn.Module, rows: Any) -> Any:
        """The teacher's side of a loss."""
        cache = self.cache
        if compares(loss) == 'outputs':
            return (
                cache.outputs if rows is None else select(cache.outputs, rows)
            )
        if rows is None:
            return self.prepared.get(name, cache.layers)
        # Elsewhere, rows of the target are no nodes.
        if getattr(loss, 'granularity', None) != 'node':
            return [select(layer, rows) for layer in cache.layers]
        target = self.prepared[name]
        if isinstance(target, TeacherTarget):
            return target.select(rows)
        return {
            key: value.select(rows[key])
            for key, value in target.items()
            if key in rows
        }

    def move(self, fn: Callable[[Tensor], Tensor]) -> None:
        """Applies what moves the parameters of a module."""
        self.cache.move(fn)
        for target in self.prepared.values():
            for _, part in items(target):
                part.move(fn)

    @property
    def num_bytes(self) -> int:
        """The bytes of all that is held."""
        targets = [t for v in self.prepared.values() for _, t in items(v)]
        return self.cache.num_bytes + sum(t.num_bytes for t in targets)

    def __repr__(self) -> str:
        return (
            f'TeacherCache of {self.cache.num_nodes:,} nodes in '
            f'{format_bytes(self.num_bytes)}, the teacher itself never runs'
        )
