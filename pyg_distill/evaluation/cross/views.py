"""Which form of its graphs may a model be given?"""

from collections.abc import Callable

import torch
from torch import Tensor

from pyg_distill.evaluation.cross.classifier import GraphClassifier
from pyg_distill.evaluation.cross.graph_batch import GraphBatch
from pyg_distill.evaluation.cross.graph_table import GraphTable
from pyg_distill.evaluation.cross.shared_table import SharedTable
from pyg_distill.evaluation.cross.tree_readers import reads_trees
from pyg_distill.nn import num_hops

Take = Callable[[Tensor], GraphBatch]
# The depth of trees, and which features of edges a model reads.
_Key = tuple[int, tuple[str, ...]]

# Merging takes time in every step, as long as a fifth of the nodes would.
_WORTH = 1.4
_TOLERANCE = 1e-5
# Larger batches leave the caches of a processor.
_MAX_NODES = 8192
_MAX_SHARED_NODES = 65_536


class Views:
    """A table, and the same with equal trees merged where this is exact.

    Args:
        table (GraphTable): The graphs.
        batch_size (int): The largest number of graphs of a mini-batch.
    """

    def __init__(self, table: GraphTable, batch_size: int) -> None:
        self.table = table
        self._batch_size = batch_size
        self._shared: dict[_Key, SharedTable | None] = {}
        self._chunks: dict[_Key | None, list[GraphBatch]] = {}

    def take(self, model: GraphClassifier) -> Take:
        """What makes mini-batches for a model.

        Args:
            model (GraphClassifier): The model, as it is to be trained.
        """
        shared = self._of(model)
        return self.table.take if shared is None else shared.take

    def chunks(self, model: GraphClassifier) -> list[GraphBatch]:
        """All graphs in few batches, made once.

        Args:
            model (GraphClassifier): The model, before or after training.
        """
        shared = self._of(model)
        key = None if shared is None else _key(model)
        if key not in self._chunks:
            take = self.table.take if shared is None else shared.take
            limit = _MAX_NODES if shared is None else _MAX_SHARED_NODES
            self._chunks[key] = [take(g) for g in self.table.chunks(limit)]
        return self._chunks[key]

    def _of(self, model: GraphClassifier) -> SharedTable | None:
        if not reads_trees(model.gnn):
            return None
        key = depth, names = _key(model)
        if key not in self._shared:
            self._shared[key] = self._make(depth, names)
        shared = self._shared[key]
        # Asked of every model: what suits one may not suit the next, and
        # results must not depend on which of them comes first.
        exact = shared is not None and self._is_exact(model, shared)
        return shared if exact else None

    def _make(self, depth: int, names: tuple[str, ...]) -> SharedTable | None:
        source, target = self.table.columns['edge_index'].value
        if bool((source == target).any()):
            # Layers that add or remove loops see others in merged trees, and
            # the graphs compared below may have none.
            return None
        given = self.table.columns.get('num_layers')
        if 'root_index' in self.table.columns and (
            given is None or bool((given.value < depth).any())
        ):
            return None
        shared = SharedTable.of(self.table, depth, names)
        plain, merged = self._first(shared)
        size = merged.x.size(0) + merged.edge_index.size(1)
        if plain.x.size(0) + plain.edge_index.size(1) < _WORTH * size:
            return None
        return shared

    @torch.no_grad()
    def _is_exact(self, model: GraphClassifier, shared: SharedTable) -> bool:
        expected, out = map(model, self._first(shared))
        scale = float(expected.abs().max())
        return float((out - expected).abs().max()) <= _TOLERANCE * scale

    def _first(self, shared: SharedTable) -> tuple[GraphBatch, GraphBatch]:
        graph = torch.arange(
            min(self._batch_size, self.table.num_graphs),
            device=self.table.label.device,
        )
        return self.table.take(graph), shared.take(graph)


def _key(model: GraphClassifier) -> _Key:
    return num_hops(model.gnn), tuple(model.reads)
