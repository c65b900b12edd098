"""Losses that compare all pairs of layers, for each node type."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyg_distill.nn.losses.base import DistillationLoss
from pyg_distill.nn.losses.matching import LayerMatching
from pyg_distill.nn.losses.node_types import Layers, split_layers
from pyg_distill.nn.losses.projection import LayerProjection
from pyg_distill.nn.losses.target import TeacherTarget

Target = TeacherTarget | dict[str, TeacherTarget]


class LayerComparison(NamedTuple):
    """How much each pair of layers counts, and how far it is apart.

    Args:
        attention (torch.Tensor): The weight of each pair, of shape
            :obj:`[T, S]`.
        distance (torch.Tensor): The distance of each pair, of shape
            :obj:`[T, S]`. NaN where a fixed attention is 0 and the student's
            layer is not mapped to the teacher's width.
    """

    attention: Tensor
    distance: Tensor


class PairwiseLoss(DistillationLoss):
    """The calls that all losses over pairs of layers have in common."""

    compares = 'layers'

    attention: str
    node_types: list[str]
    matchings: torch.nn.ModuleList

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, tuple[Tensor, Tensor | None]] = {}

    def forward(
        self,
        teacher: Layers | Target,
        student: Layers,
        batch: Tensor | Mapping[str, Tensor] | None = None,
        size: int | None = None,
    ) -> Tensor:
        """Compares the teacher's with the student's layers.

        Args:
            teacher (list[torch.Tensor] or list[dict[str, torch.Tensor]]): The
                teacher's layers, without gradient, or what :meth:`prepare`
                made of them.
            student (list[torch.Tensor] or list[dict[str, torch.Tensor]]): The
                student's layers.
            batch (torch.Tensor or dict[str, torch.Tensor], optional): The
                graph of each node, for :obj:`granularity="graph"`.
                (default: :obj:`None`)
            size (int, optional): The number of graphs, calculated if not
                given. (default: :obj:`None`)
        """
        total, self._last = [], {}
        pairs = self._pairs(teacher, student, batch)
        for t, matching, target, layers in pairs:
            with torch.autocast(_device_type(layers), enabled=False):
                loss, attention, distance = matching(
                    target, layers, _of_type(batch, t), size
                )
            total.append(loss)
            if distance is not None:
                distance = distance.detach()
            self._last[t] = attention.detach(), distance
        return torch.stack(total).mean()

    def prepare(
        self,
        teacher: Layers,
        batch: Tensor | Mapping[str, Tensor] | None = None,
        size: int | None = None,
    ) -> Target:
        """Works out all that depends on the teacher alone.

        The result takes the place of the teacher's layers in :meth:`forward`,
        with the same value, as often as they are needed. Unless attention is
        learned, it holds one matrix for each student layer and width of the
        teacher, however many layers the teacher has.

        Args:
            teacher (list[torch.Tensor] or list[dict[str, torch.Tensor]]): The
                teacher's layers.
            batch (torch.Tensor or dict[str, torch.Tensor], optional): The
                graph of each node. (default: :obj:`None`)
            size (int, optional): The number of graphs. (default: :obj:`None`)
        """
        layers = split_layers('teacher', teacher, self._typed)
        out: dict[str, TeacherTarget] = {}
        for t, matching in zip(self.node_types, self.matchings, strict=True):
            if t in layers:
                assert isinstance(matching, LayerMatching)
                with torch.autocast(_device_type(layers[t]), enabled=False):
                    out[t] = matching.prepare(
                        layers[t], _of_type(batch, t), size, matching.folds
                    )
        return out if self._typed else out['']

    @torch.no_grad()
    def compare(
        self,
        teacher: Layers,
        student: Layers,
        batch: Tensor | Mapping[str, Tensor] | None = None,
        size: int | None = None,
    ) -> LayerComparison | dict[str, LayerComparison]:
        """The attention and the distance of all pairs, for plots.

        Args:
            teacher (list[torch.Tensor] or list[dict[str, torch.Tensor]]): The
                teacher's layers.
            student (list[torch.Tensor] or list[dict[str, torch.Tensor]]): The
                student's layers.
            batch (torch.Tensor or dict[str, torch.Tensor], optional): The
                graph of each node. (default: :obj:`None`)
            size (int, optional): The number of graphs. (default: :obj:`None`)

        Returns:
            LayerComparison: Two matrices of shape :obj:`[T, S]`, or a
            dictionary of them by node type.
        """
        out = {}
        for t, matching, target, layers in self._pairs(teacher, student, batch):
            with torch.autocast(_device_type(layers), enabled=False):
                pair = matching.compare(
                    target, layers, _of_type(batch, t), size
                )
            out[t] = LayerComparison(*pair)
        return out if self._typed else out['']

    @property
    def last_attention(self) -> Tensor | dict[str, Tensor]:
        """The attention :obj:`[T, S]` of the last call, without gradient."""
        out = {t: attention for t, (attention, _) in self._last_call().items()}
        return out if self._typed else out['']

    @property
    def last_distance(self) -> Tensor | dict[str, Tensor]:
        """The distances :obj:`[T, S]` of the last call, without gradient.

        Fixed attention folds the teacher's layers and never computes them:
        use :meth:`compare`.
        """
        out = {}
        for t, (_, distance) in self._last_call().items():
            if distance is None:
                raise RuntimeError(
                    f"attention='{self.attention}' folds the teacher's layers "
                    f'and computes no distances of pairs; call '
                    f'compare(teacher, student)'
                )
            out[t] = distance
        return out if self._typed else out['']

    def reset_parameters(self) -> None:
        """Draws all projections anew."""
        for module in self.modules():
            if isinstance(module, LayerProjection):
                module.reset_parameters()

    def __repr__(self) -> str:
        types = f', node_types={self.node_types}' if self._typed else ''
        return f'{type(self).__name__}({self.extra_repr()}{types})'

    @property
    def _typed(self) -> bool:
        return self.node_types != ['']

    def _last_call(self) -> dict[str, tuple[Tensor, Tensor | None]]:
        if not self._last:
            raise RuntimeError(
                f"'{type(self).__name__}' has not been called yet; call it, "
                f'or use compare(teacher, student)'
            )
        return self._last

    def _pairs(
        self, teacher: Layers | Target, student: Layers, batch: Any
    ) -> Iterator[tuple[str, LayerMatching, Any, list[Tensor]]]:
        targets: Any = teacher
        if isinstance(teacher, TeacherTarget):
            targets = {'': teacher}
        elif not (isinstance(teacher, dict) and self._typed):
            targets = split_layers('teacher', targets, self._typed)
        students = split_layers('student', student, self._typed)
        found = False
        for t, matching in zip(self.node_types, self.matchings, strict=True):
            # A mini-batch need not hold every type.
            if t in targets and t in students:
                assert isinstance(matching, LayerMatching)
                if self._typed and not matching.has_rows(
                    students[t], _of_type(batch, t)
                ):
                    continue
                found = True
                yield t, matching, targets[t], students[t]
        if not found:
            raise ValueError(
                f"'student' must hold one of the node types "
                f"{', '.join(self.node_types)} that 'teacher' holds (got "
                f'{", ".join(students) or "none"} and '
                f'{", ".join(targets) or "none"}); record one of '
                f'them in both'
            )


def _of_type(batch: Any, node_type: str) -> Any:
    return batch.get(node_type) if isinstance(batch, Mapping) else batch


def _device_type(layers: Any) -> str:
    # Before anything is known of the layers: they are checked later.
    if isinstance(layers, list | tuple):
        for x in layers:
            if isinstance(x, Tensor):
                return x.device.type
    return 'cpu'
