"""Graphs -> mini-batches -> a trained classifier and its scores."""

import copy
import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, repeat
from typing import Any, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE
from torch_geometric.nn.models.basic_gnn import BasicGNN

from pyg_distill.data import read_table
from pyg_distill.evaluation.result import require
from pyg_distill.loader import TreeSetLoader
from pyg_distill.nn import global_root_pool, num_hops

Encoder: TypeAlias = Callable[[Tensor], Tensor]
Readout: TypeAlias = Literal['sum', 'mean', 'max']

_EDGE_KEYS = ('edge_attr', 'edge_weight')
_ROOT_KEYS = ('root_index', 'root_count', 'num_layers')
_KEYS = ('x', 'edge_index', *_EDGE_KEYS, *_ROOT_KEYS, 'weight', 'target')
# The size of the mini-batches that all models of a training set share.
_MAX_SHARED_BYTES = 2**29
# Merging equal trees must make mini-batches smaller by this factor.
_MERGING_PAYS = 1.2


def check_count(**values: Any) -> None:
    """Refuses values that are no whole numbers above 0."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(
                f"'{name}' must be a whole number above 0 (got {value!r}); "
                f'leave it out for the default'
            )


class LabelledGraphs:
    """The graphs of a data set, with only the attributes of a training."""

    def __init__(
        self,
        source: Any,
        name: str,
        batch_size: int,
        encode: Encoder | None,
        exclude_keys: Sequence[str],
        device: torch.device | str,
    ) -> None:
        table = read_table(
            source,
            exclude_keys=exclude_keys,
            caller=name,
            allow_tree_sets=True,
        )
        label = table.label
        if label is None:
            raise ValueError(
                f"'{name}' must hold graphs with a label 'y' (got "
                f'{table.keys}); set data.y'
            )
        self.label = label
        self._batch_size, self._device = batch_size, device
        self._encode = encode
        self.size: dict[str, Any] = {
            'num_graphs': len(table),
            'num_nodes': int(table.num_nodes.sum()),
            'num_edges': table.graphs.num_edges,
            'num_bytes': table.num_bytes,
        }
        report = getattr(source, 'report', None)
        # A slice still carries the report of the whole data set.
        if report is not None and getattr(source, '_indices', None) is None:
            self.size['compressed_bytes'] = report.compressed_bytes
            self.size['seconds'] = report.seconds
        self.num_classes = int(label.max()) + 1
        if 'target' in table.keys:
            self.num_classes = table.rows('target').size(-1)
        x = table.rows('x') if 'x' in table.keys else torch.zeros(1)
        if not x.is_floating_point() and encode is None:
            raise ValueError(
                f"'{name}' must hold float features 'x' (got {x.dtype}); pass "
                f'encode=OneHot(dataset), or encode=torch.Tensor.float'
            )
        if not bool(x.isfinite().all()):
            raise ValueError(
                f"'{name}' must hold finite features 'x' (got infinite ones "
                f"or NaN); fill them in, or pass exclude_keys=['x']"
            )
        keys = [key for key in _KEYS if key in table.keys]
        # The depths of all graphs, and of those that are not whole.
        self._depths, self.depth = {math.inf}, math.inf
        if {'root_index', 'num_layers'} <= {*keys}:
            depth = table.rows('num_layers').cpu()
            self._depths = {*depth.tolist()}
            depth = depth[table.sizes('root_index') < table.num_nodes]
            self.depth = min(depth.tolist(), default=math.inf)
        self.graphs = [
            Data(y=y, num_nodes=data.num_nodes, **{k: data[k] for k in keys})
            for data, y in zip(table.to_list(), label.split(1), strict=True)
        ]
        self._evaluated: list[Data] = []
        self._shared: dict[tuple[int, int | None], list[Data]] = {}
        self._merged: dict[int, TreeSetLoader] = {}

    @property
    def num_features(self) -> int:
        """The number of node features that a model reads."""
        x = self.graphs[0].get('x')
        return self._features(x, 1 if x is None else x.size(0)).size(1)

    def in_order(self) -> list[Data]:
        """All graphs in order, in few mini-batches that are made once."""
        if not self._evaluated:
            index = torch.arange(len(self.graphs)).split(4 * self._batch_size)
            self._evaluated = [*self._collate(i.tolist() for i in index)]
        return self._evaluated

    def mini_batches(
        self, seed: int, gnn: torch.nn.Module | None = None
    ) -> Iterator[Data]:
        """Shuffled mini-batches without end, the same ones for each model.

        The sizes in an epoch differ by one at most, because a small last
        mini-batch would have the weight of a large one. Models of one seed
        share the first mini-batches, up to a limit in bytes.
        """
        hops = None if gnn is None else self._hops_to_merge(gnn)
        # The models of other seeds are done.
        kept = {k: v for k, v in self._shared.items() if k[0] == seed}
        self._shared = kept
        shared = kept.setdefault((seed, hops), [])
        num_graphs = len(self.graphs)
        number = math.ceil(num_graphs / self._batch_size)
        if number == 1:
            shared[:] = shared or self._collate([[*range(num_graphs)]], hops)
            yield from repeat(shared[0])

        def indices() -> Iterator[list[int]]:
            generator = torch.Generator().manual_seed(seed)
            while True:
                order = torch.randperm(num_graphs, generator=generator)
                yield from (i.tolist() for i in order.tensor_split(number))

        yield from shared
        size = sum(map(_num_bytes, shared))
        rest = islice(indices(), len(shared), None)
        for batch in self._collate(rest, hops):
            if size < _MAX_SHARED_BYTES:
                shared.append(batch)
                size += _num_bytes(batch)
            yield batch

    def _hops_to_merge(self, gnn: torch.nn.Module) -> int | None:
        """The depth of trees to merge, or None where it does not pay."""
        hops = num_hops(gnn)
        fits = len(self._depths) == 1 and hops <= min(self._depths)
        if not fits or not _reads_trees(gnn):
            return None
        if hops not in self._merged:
            depth = hops if self._depths == {math.inf} else None
            self._merged[hops] = TreeSetLoader(self.graphs, num_layers=depth)
        batch_size = min(self._batch_size, len(self.graphs))
        merged = sum(self._merged[hops].expected_size(batch_size))
        size = self.size['num_nodes'] + self.size['num_edges']
        pays = size * batch_size > _MERGING_PAYS * merged * len(self.graphs)
        return hops if pays else None

    def _collate(
        self, indices: Iterable[list[int]], hops: int | None = None
    ) -> Iterator[Data]:
        """Makes mini-batches of graphs, with features as floats."""
        # Without a generator, they draw from the global random state.
        options: dict[str, Any] = {'generator': torch.Generator()}
        options['batch_sampler'] = indices
        if hops is None:
            loader: Iterable[Data] = DataLoader(self.graphs, **options)
        else:
            merged: Any = self._merged[hops]
            options['num_layers'] = merged.num_layers
            loader = TreeSetLoader(merged.dataset, **options)
        for batch in loader:
            batch = batch.to(self._device)
            batch.x = self._features(batch.get('x'), batch.num_nodes or 0)
            if 'edge_attr' in batch:
                batch.edge_attr = _as_matrix(batch.edge_attr, batch.num_edges)
            yield batch

    def _features(self, x: Tensor | None, num_nodes: int) -> Tensor:
        if x is None:
            return torch.ones(num_nodes, 1, device=self._device)
        return _as_matrix(self._encode(x) if self._encode else x, num_nodes)


class GraphClassifier(torch.nn.Module):
    """A GNN for node embeddings, a readout and a linear head."""

    def __init__(
        self,
        gnn: torch.nn.Module,
        hidden_channels: int,
        num_classes: int,
        readout: Readout,
    ) -> None:
        super().__init__()
        self.gnn = gnn
        self.head = torch.nn.Linear(hidden_channels, num_classes)
        self.readout = readout
        parameters = inspect.signature(gnn.forward).parameters
        self.edge_keys = [key for key in _EDGE_KEYS if key in parameters]
        if isinstance(gnn, BasicGNN):
            # Its `forward` names both, but its layers may not support them.
            dims = [getattr(conv, 'edge_dim', None) for conv in gnn.convs]
            has = {'edge_weight': gnn.supports_edge_weight}
            has['edge_attr'] = dims != [None] * len(dims)
            self.edge_keys = [key for key in self.edge_keys if has[key]]

    def forward(self, data: Data) -> Tensor:
        """Computes logits of shape :obj:`[B, C]`."""
        edges = {key: data.get(key) for key in self.edge_keys}
        x = self.gnn(data.x, data.edge_index, **edges)
        expected = [data.x.size(0), self.head.in_features]
        got = list(x.size()) if isinstance(x, Tensor) else type(x).__name__
        if got != expected:
            raise ValueError(
                f"'{type(self.gnn).__name__}' must return node embeddings of "
                f'shape {expected} (got {got}); leave out its readout and head'
            )
        return self.head(global_root_pool(x, data, reduce=self.readout))


def train(
    model: torch.nn.Module,
    batches: Iterable[Data],
    val: Sequence[Data],
    steps: int,
    lr: float,
    weight_decay: float,
    eval_every: int,
) -> tuple[float, float, int] | None:
    """Trains a model, and restores the step of the largest validation ROC-AUC.

    The smallest loss decides among equal ones. Returns both and the step, or
    None if outputs were never finite.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    # One kernel for all tensors instead of ten for each.
    fused = all(p.device.type in ('cpu', 'cuda') for p in parameters)
    optimizer = torch.optim.Adam(
        parameters, lr, weight_decay=weight_decay, fused=fused
    )
    best: tuple[float, float, int] | None = None
    state = {}
    for step, data in enumerate(islice(batches, steps), start=1):
        model.train()
        optimizer.zero_grad()
        weighted_loss(model(data), data).backward()
        optimizer.step()
        if step % eval_every and step < steps:
            continue
        label, out = predict(model, val)
        if not bool(out.isfinite().all()):
            continue
        auc, loss = roc_auc(label, out), float(F.cross_entropy(out, label))
        if best is None or (auc, -loss) > (best[0], -best[1]):
            best = auc, loss, step
            state = copy.deepcopy(model.state_dict())
    if best is not None:
        model.load_state_dict(state)
    return best


@torch.no_grad()
def predict(
    model: torch.nn.Module, batches: Sequence[Data]
) -> tuple[Tensor, Tensor]:
    """The labels :obj:`[G]` of all batches, and a model's logits `[G, C]`."""
    model.eval()
    out = torch.cat([model(data) for data in batches])
    return torch.cat([data.y for data in batches]), out


def weighted_loss(out: Tensor, data: Data) -> Tensor:
    """The cross entropy with targets or labels, weighted by graph."""
    target = data.y
    if 'target' in data:
        # Other data sets may have more classes.
        missing = out.size(1) - data.target.size(1)
        target = F.pad(data.target, (0, missing)).to(out.dtype)
    if 'weight' not in data:
        return F.cross_entropy(out, target)
    loss = F.cross_entropy(out, target, reduction='none')
    return (loss * data.weight).mean()


def roc_auc(label: Tensor, out: Tensor) -> float:
    """The ROC-AUC of class 1, or of each class against the rest, averaged."""
    score = require('sklearn.metrics', 'evaluate').roc_auc_score
    # Ties among probabilities that round to 1 are no ties among logits.
    label, out = label.cpu(), out.double().cpu()
    if out.size(1) == 2:
        return float(score(label == 1, out[:, 1] - out[:, 0]))
    prob = out.softmax(dim=-1)
    classes = label.unique().tolist()
    areas = [float(score(label == c, prob[:, c])) for c in classes]
    return sum(areas) / len(areas)


def _reads_trees(gnn: Any) -> bool:
    """Whether merging equal trees changes no more than rounding errors."""
    return (
        type(gnn) in (GCN, GIN, GAT, GraphSAGE)
        and gnn.dropout.p == 0
        and isinstance(gnn.act, torch.nn.ReLU)
        and all(isinstance(norm, torch.nn.Identity) for norm in gnn.norms)
    )


def _as_matrix(value: Tensor, num_rows: int) -> Tensor:
    """Floats of shape `[num_rows, F]`, also without rows."""
    width = math.prod(value.size()[1:])
    return value.reshape(num_rows, width).to(torch.get_default_dtype())


def _num_bytes(data: Data) -> int:
    values = data.to_dict().values()
    return sum(v.nbytes for v in values if isinstance(v, Tensor))
