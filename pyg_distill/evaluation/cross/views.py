"""Which form of its graphs may a model be given?"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE

from pyg_distill.evaluation.cross.classifier import GraphClassifier
from pyg_distill.evaluation.cross.graph_batch import GraphBatch
from pyg_distill.evaluation.cross.graph_table import GraphTable
from pyg_distill.evaluation.cross.shared_table import SharedTable
from pyg_distill.nn import num_hops

Take = Callable[[Tensor], GraphBatch]

# Those known to see nothing but trees, also while they are trained.
_READ_TREES = (GCN, GIN, GAT, GraphSAGE)
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
        self._shared: dict[tuple, SharedTable | None] = {}
        self._chunks: dict[tuple | None, list[GraphBatch]] = {}

    def take(self, model: GraphClassifier) -> Take:
        """What makes mini-batches for a model.

        Args:
            model (GraphClassifier): The model, with its first weights.
        """
        shared = self._of(model)
        return self.table.take if shared is None else shared.take

    def chunks(self, model: GraphClassifier) -> list[GraphBatch]:
        """All graphs in few batches, made once.

        Args:
            model (GraphClassifier): The model, with its first weights.
        """
        shared = self._of(model)
        key = None if shared is None else _key(model)
        if key not in self._chunks:
            take = self.table.take if shared is None else shared.take
            limit = _MAX_NODES if shared is None else _MAX_SHARED_NODES
            self._chunks[key] = [take(g) for g in self.table.chunks(limit)]
        return self._chunks[key]

    def _of(self, model: GraphClassifier) -> SharedTable | None:
        if not _may_share(model):
            return None
        key = _key(model)
        if key not in self._shared:
            self._shared[key] = self._make(model)
        return self._shared[key]

    def _make(self, model: GraphClassifier) -> SharedTable | None:
        depth = num_hops(model.gnn)
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
        shared = SharedTable.of(self.table, depth, model.reads)
        graph = torch.arange(
            min(self._batch_size, self.table.num_graphs),
            device=self.table.label.device,
        )
        plain, merged = self.table.take(graph), shared.take(graph)
        size = merged.x.size(0) + merged.edge_index.size(1)
        if plain.x.size(0) + plain.edge_index.size(1) < _WORTH * size:
            return None
        with torch.no_grad():
            expected, out = model(plain), model(merged)
        scale = float(expected.abs().max())
        exact = float((out - expected).abs().max()) <= _TOLERANCE * scale
        return shared if exact else None


def _may_share(model: GraphClassifier) -> bool:
    gnn: Any = model.gnn
    return (
        type(gnn) in _READ_TREES
        and all(isinstance(norm, torch.nn.Identity) for norm in gnn.norms)
        and not gnn.dropout.p
    )


def _key(model: GraphClassifier) -> tuple:
    kind = type(model.gnn), tuple(model.reads), num_hops(model.gnn)
    return (*kind, repr(model.gnn))
