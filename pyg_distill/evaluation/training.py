"""Graphs -> mini-batches -> a trained classifier and its scores."""

import copy
import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, repeat
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn.models.basic_gnn import BasicGNN
from torch_geometric.utils import to_edge_index

from pyg_distill.evaluation.comparison import require
from pyg_distill.nn import global_root_pool

Encoder: TypeAlias = Callable[[Tensor], Tensor]
Readout: TypeAlias = Literal['sum', 'mean', 'max']

_EDGE_KEYS = ('edge_attr', 'edge_weight')
_KEYS = ('x', *_EDGE_KEYS, 'root_index', 'root_count', 'weight', 'target')
# The size of the mini-batches that all models of a training set share.
_MAX_SHARED_BYTES = 2**29


def check_count(**values: Any) -> None:
    """Refuses values that are no whole numbers above 0."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(
                f"'{name}' must be a whole number above 0 (got {value!r}); "
                f'leave it out for the default'
            )


def check_rate(name: str, value: Any, zero: bool = False) -> None:
    """Refuses a value that is no finite number above 0, or 0 if allowed."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not (0 < value < math.inf or (zero and value == 0)):
        least = 'of 0 or more' if zero else 'above 0'
        raise ValueError(
            f"'{name}' must be a finite number {least} (got {value!r}); "
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
        if isinstance(source, Data) or not hasattr(source, '__getitem__'):
            raise TypeError(
                f"'{name}' must be a data set or a list of graphs (got "
                f"'{type(source).__name__}'); pass a slice of a data set, or "
                f'[data]'
            )
        if len(source) == 0:
            raise ValueError(
                f"'{name}' must hold at least one graph (got none); check the "
                f'split'
            )
        items = [source[i] for i in range(len(source))]
        self.graphs = [_read_graph(data, name, exclude_keys) for data in items]
        self.label = torch.cat([data.y for data in self.graphs])
        self.size: dict[str, Any] = {
            'num_graphs': len(items),
            'num_nodes': sum(data.num_nodes or 0 for data in items),
            'num_edges': sum(data.num_edges for data in items),
            'num_bytes': sum(_num_bytes(data, exclude_keys) for data in items),
            **_read_report(source, len(items)),
        }
        # The layers on whole graphs are not limited by a depth of trees.
        depths = [
            int(data.num_layers.min())
            for data in items
            if {'root_index', 'num_layers'} <= {*data.keys()}
            and data.root_index.numel() < (data.num_nodes or 0)
        ]
        self.depth: int | None = min(depths, default=None)
        self._batch_size, self._device = batch_size, device
        self._encode = encode
        self._in_order: list[Batch] = []
        self._check(name)

    @property
    def num_classes(self) -> int:
        """The number of classes up to the largest label or target."""
        target = self.graphs[0].get('target')
        least = 0 if target is None else target.size(-1)
        return max(least, int(self.label.max()) + 1)

    @property
    def num_features(self) -> int:
        """The number of node features that a model reads."""
        x = self.graphs[0].get('x')
        return self._features(x, 1 if x is None else x.size(0)).size(1)

    def in_order(self) -> list[Batch]:
        """All graphs in order, in few mini-batches that are made once."""
        if not self._in_order:
            index = torch.arange(len(self.graphs)).split(4 * self._batch_size)
            self._in_order = [*self._collate(i.tolist() for i in index)]
        return self._in_order

    def mini_batches(self, seed: int, shared: list[Batch]) -> Iterator[Batch]:
        """Shuffled mini-batches without end, the same ones for each model.

        The sizes in an epoch differ by one at most, because a small last
        mini-batch would have the weight of a large one. Mini-batches in
        `shared` come first, and new ones are added, up to a limit in bytes.
        """
        num_graphs = len(self.graphs)
        number = math.ceil(num_graphs / self._batch_size)
        if number == 1:
            shared[:] = shared or self._collate([[*range(num_graphs)]])
            yield from repeat(shared[0])

        def indices() -> Iterator[list[int]]:
            generator = torch.Generator().manual_seed(seed)
            while True:
                order = torch.randperm(num_graphs, generator=generator)
                yield from (i.tolist() for i in order.tensor_split(number))

        yield from shared
        size = sum(map(_num_bytes, shared))
        for batch in self._collate(islice(indices(), len(shared), None)):
            if size < _MAX_SHARED_BYTES:
                shared.append(batch)
                size += _num_bytes(batch)
            yield batch

    def _collate(self, indices: Iterable[list[int]]) -> Iterator[Batch]:
        """Makes mini-batches of graphs, with features as floats."""
        loader = DataLoader(
            self.graphs,
            batch_sampler=indices,
            # Otherwise, it draws from the global random state.
            generator=torch.Generator(),
        )
        for batch in loader:
            batch = batch.to(self._device)
            batch.x = self._features(batch.get('x'), batch.num_nodes)
            if 'edge_attr' in batch:
                batch.edge_attr = _as_matrix(batch.edge_attr, batch.num_edges)
            yield batch

    def _features(self, x: Tensor | None, num_nodes: int) -> Tensor:
        if x is None:
            return torch.ones(num_nodes, 1, device=self._device)
        return _as_matrix(self._encode(x) if self._encode else x, num_nodes)

    def _check(self, name: str) -> None:
        keys = {*self.graphs[0].keys()}
        for i, data in enumerate(self.graphs):
            if odd := sorted(keys ^ {*data.keys()}):
                raise ValueError(
                    f"'{name}' must hold graphs with the same attributes "
                    f'(graph {i} differs from graph 0 in {", ".join(odd)}); '
                    f'fill them in, or leave them out with exclude_keys={odd}'
                )
        if 'x' not in keys:
            return
        x = torch.cat([data.x for data in self.graphs])
        if not x.is_floating_point() and self._encode is None:
            raise ValueError(
                f"'{name}' must hold float features 'x' (got {x.dtype}, "
                f'which may be category codes); pass encode=OneHot(dataset), '
                f'or a function such as encode=torch.Tensor.float'
            )
        if not bool(x.isfinite().all()):
            raise ValueError(
                f"'{name}' must hold finite features 'x' (got infinite ones "
                f"or NaN); fill them in, or pass exclude_keys=['x']"
            )


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
            supported = {
                'edge_weight': gnn.supports_edge_weight,
                'edge_attr': any(
                    getattr(conv, 'edge_dim', None) is not None
                    for conv in gnn.convs
                ),
            }
            self.edge_keys = [k for k in self.edge_keys if supported[k]]

    def forward(self, data: Batch) -> Tensor:
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


class BestStep(NamedTuple):
    """The step that the validation graphs chose, and their scores."""

    step: int
    val_auc: float
    val_loss: float


def train(
    model: torch.nn.Module,
    batches: Iterable[Batch],
    val: Sequence[Batch],
    steps: int,
    lr: float,
    weight_decay: float,
    eval_every: int,
) -> BestStep | None:
    """Trains a model, and restores its best validated step.

    That is the step of the largest ROC-AUC and, among equal ones, of the
    smallest loss; there is none if outputs were never finite.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    # One kernel for all tensors instead of ten for each.
    fused = all(p.device.type in ('cpu', 'cuda') for p in parameters)
    optimizer = torch.optim.Adam(
        parameters, lr, weight_decay=weight_decay, fused=fused
    )
    best: BestStep | None = None
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
        if best is None or (auc, -loss) > (best.val_auc, -best.val_loss):
            best = BestStep(step, auc, loss)
            state = copy.deepcopy(model.state_dict())
    if best is not None:
        model.load_state_dict(state)
    return best


@torch.no_grad()
def predict(
    model: torch.nn.Module, batches: Sequence[Batch]
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


def _read_graph(data: Any, name: str, exclude_keys: Sequence[str]) -> Data:
    """A graph with the attributes that training reads, checked."""
    if not isinstance(data, Data) or isinstance(data, Batch):
        raise TypeError(
            f"'{name}' must hold 'Data' objects, one a graph (got "
            f"'{type(data).__name__}'); call to_homogeneous() or "
            f'to_data_list()'
        )
    out = Data(edge_index=data.get('edge_index'))
    if out.edge_index is None and 'adj_t' in data:
        index, value = to_edge_index(data.adj_t)
        out.edge_index = index.flip(0)
        out['edge_weight' if value.dim() == 1 else 'edge_attr'] = value
    if out.edge_index is None or data.get('y') is None:
        missing = 'edge_index' if out.edge_index is None else 'y'
        raise ValueError(
            f"'{name}' must hold graphs with '{missing}' (got {data}); set "
            f'data.{missing}'
        )
    for key in _KEYS:
        if key in data or key in exclude_keys:
            out[key] = None if key in exclude_keys else data[key]
    if 'x' not in out:
        out.num_nodes = data.num_nodes
    if 'root_index' in out and 'root_count' not in out:
        raise ValueError(
            f"'{name}' must hold 'root_count' with 'root_index' (got the "
            f"latter alone); make tree sets with 'ToComputationTrees'"
        )
    rows = dict.fromkeys(_EDGE_KEYS, out.edge_index.size(1))
    rows |= {'weight': 1, 'target': 1}
    if 'root_index' in out:
        rows['root_count'] = out.root_index.numel()
    for key, expected in rows.items():
        if key in out and torch.atleast_1d(out[key]).size(0) != expected:
            raise ValueError(
                f"'{name}' must hold '{key}' with {expected} rows (got "
                f'{out[key].size(0)}), one for each edge, graph or root; fill '
                f"it in, or leave it out with exclude_keys=['{key}']"
            )
    y = torch.as_tensor(data.y).reshape(-1)
    if y.numel() != 1:
        raise ValueError(
            f"'{name}' must hold one class label 'y' a graph (got {y.numel()} "
            f'values: a multi-label or node-level task?); use one task at a '
            f'time'
        )
    out.y = y.long()
    if float(y) != float(out.y) or int(out.y) < 0:
        raise ValueError(
            f"'{name}' must hold class labels 0, 1, 2, ... in 'y' (got "
            f'{float(y):g}: a regression task or a missing label?); bin the '
            f'targets, or drop unlabelled graphs'
        )
    return out


def _read_report(dataset: Any, num_graphs: int) -> dict[str, Any]:
    """Sizes and times that a distilled data set reports of itself."""
    report = getattr(dataset, 'report', None)
    distilled = getattr(report, 'distilled', None)
    indices = getattr(dataset, '_indices', None)
    # Slices and copies of some graphs still carry the report of all of them.
    if getattr(distilled, 'num_graphs', None) != num_graphs or (
        indices is not None and sorted(indices) != [*range(num_graphs)]
    ):
        return {}
    keys = ('compressed_bytes', 'file_size', 'seconds')
    return {key: getattr(report, key, None) for key in keys}


def _as_matrix(value: Tensor, num_rows: int) -> Tensor:
    """Floats of shape `[num_rows, F]`, also without rows."""
    width = math.prod(value.size()[1:])
    return value.reshape(num_rows, width).to(torch.get_default_dtype())


def _num_bytes(data: Data, exclude_keys: Sequence[str] = ()) -> int:
    return sum(
        value.numel() * value.element_size()
        for key, value in data.to_dict().items()
        if isinstance(value, Tensor) and key not in exclude_keys
    )
