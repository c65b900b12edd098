"""Graphs -> mini-batches -> a trained classifier and its scores."""

import copy
import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, repeat
from typing import Any, Literal, TypeAlias

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
_ROOT_KEYS = ('root_index', 'root_count')
_KEYS = ('x', *_EDGE_KEYS, *_ROOT_KEYS, 'weight', 'target')
# Collated mini-batches that all models of a training set share.
_MAX_SHARED_BYTES = 2**29


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Attributes:
        steps: The number of steps of the optimiser.
        batch_size: The largest number of graphs of a mini-batch.
        lr: The learning rate of :class:`~torch.optim.Adam`.
        weight_decay: Its weight decay.
        eval_every: The number of steps between two validations; the last step
            is always validated.
    """

    steps: int
    batch_size: int
    lr: float
    weight_decay: float
    eval_every: int

    def __post_init__(self) -> None:
        check_count(
            steps=self.steps,
            batch_size=self.batch_size,
            eval_every=self.eval_every,
        )
        check_rate('lr', self.lr)
        check_rate('weight_decay', self.weight_decay, zero=True)


@dataclass(frozen=True)
class BestStep:
    """The step of training that the validation graphs chose.

    Attributes:
        step: The number of the step.
        auc: The ROC-AUC on the validation graphs.
        loss: Their mean cross entropy.
    """

    step: int
    auc: float
    loss: float


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
    """The graphs of a data set, reduced to the attributes of a training.

    Args:
        source (Dataset or list): Graphs, ordinary ones or in tree-set form.
        name (str): The argument named in error messages.
        encode (callable, optional): Makes floats of node features.
        exclude_keys (list): Attributes that are not read.
        batch_size (int): The largest number of graphs of a training step.
        device (torch.device): The device of mini-batches.

    Raises:
        TypeError: If :obj:`source` is no collection of homogeneous graphs.
        ValueError: If it is empty, or its graphs or labels do not fit.
    """

    def __init__(
        self,
        source: Any,
        name: str,
        encode: Encoder | None,
        exclude_keys: Sequence[str],
        batch_size: int,
        device: torch.device | str,
    ) -> None:
        if isinstance(source, Data) or not (
            hasattr(source, '__len__') and hasattr(source, '__getitem__')
        ):
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
        self.size = {
            'num_graphs': len(items),
            'num_nodes': sum(data.num_nodes or 0 for data in items),
            'num_edges': sum(data.num_edges for data in items),
            'num_bytes': sum(num_bytes(data, exclude_keys) for data in items),
        }
        self._encode = encode
        self._device = device
        self._batch_size = batch_size
        names = {*self.graphs[0].keys()}
        for i, data in enumerate(self.graphs):
            if odd := sorted(names ^ {*data.keys()}):
                raise ValueError(
                    f"'{name}' must hold graphs with the same attributes "
                    f'(graph {i} differs from graph 0 in {", ".join(odd)}); '
                    f'fill them in, or leave them out with exclude_keys={odd}'
                )
        if 'x' in names:
            self._check_features(name)
        self.label = _read_labels(self.graphs, name)
        depths = [
            int(data.num_layers.min())
            for data in items
            if 'root_index' in data
            and 'num_layers' in data
            # The layers of whole graphs are not limited by any depth.
            and data.root_index.numel() < (data.num_nodes or 0)
        ]
        self.depth: int | None = min(depths, default=None)

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

    @cached_property
    def batches(self) -> list[Batch]:
        """All graphs in order, in few mini-batches that are made once."""
        size = self._batch_size
        indices = torch.arange(len(self.graphs)).split(4 * size)
        return [*self.collate(index.tolist() for index in indices)]

    def collate(self, indices: Iterable[list[int]]) -> Iterator[Batch]:
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
                value = batch.edge_attr
                # Without edges, a width of -1 is ambiguous.
                width = math.prod(value.size()[1:])
                value = value.reshape(value.size(0), width)
                batch.edge_attr = value.to(batch.x.dtype)
            yield batch

    def _features(self, x: Tensor | None, num_nodes: int) -> Tensor:
        dtype = torch.get_default_dtype()
        if x is None:
            return torch.ones(num_nodes, 1, dtype=dtype, device=self._device)
        x = x if self._encode is None else self._encode(x)
        return x.reshape(num_nodes, math.prod(x.size()[1:])).to(dtype)

    def _check_features(self, name: str) -> None:
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
                f"or NaN); fill them in, or leave 'x' out with "
                f"exclude_keys=['x']"
            )


class MiniBatches:
    """Mini-batches without end, the same ones for every model.

    The graphs of an epoch are shuffled and cut into as few batches as
    possible. Their sizes differ by one at most, because a small last batch
    would have the weight of a large one. If all graphs fit, there is one
    batch. The first mini-batches are kept, up to a limit in bytes.

    Args:
        graphs (LabelledGraphs): The training set.
        batch_size (int): The largest number of graphs of a batch.
        seed (int): The seed of the shuffling.
    """

    def __init__(
        self, graphs: LabelledGraphs, batch_size: int, seed: int
    ) -> None:
        self.graphs = graphs
        self.num_batches = math.ceil(len(graphs.graphs) / batch_size)
        self.seed = seed
        self._shared: list[Batch] = []
        self._num_bytes = 0

    def __iter__(self) -> Iterator[Batch]:
        shared = self._shared
        if self.num_batches == 1:
            every = [*range(len(self.graphs.graphs))]
            shared.extend([] if shared else self.graphs.collate([every]))
            yield from repeat(shared[0])
        yield from shared
        rest = islice(self.indices(), len(shared), None)
        for batch in self.graphs.collate(rest):
            if self._num_bytes < _MAX_SHARED_BYTES:
                shared.append(batch)
                self._num_bytes += num_bytes(batch)
            yield batch

    def indices(self) -> Iterator[list[int]]:
        """The numbers of the graphs of each mini-batch."""
        generator = torch.Generator().manual_seed(self.seed)
        while True:
            order = torch.randperm(len(self.graphs.graphs), generator=generator)
            for index in order.tensor_split(self.num_batches):
                yield index.tolist()


class GraphClassifier(torch.nn.Module):
    """A GNN, a readout and a linear head.

    Args:
        gnn (torch.nn.Module): Computes node embeddings of width
            :obj:`hidden_channels` from :obj:`x`, :obj:`edge_index` and, if
            its :obj:`forward` names them, :obj:`edge_attr` and
            :obj:`edge_weight`.
        hidden_channels (int): The width of node embeddings.
        num_classes (int): The number of classes.
        readout (str): :obj:`"sum"`, :obj:`"mean"` or :obj:`"max"`.
    """

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
                f'shape {expected} (got {got}); readout and head are added to '
                f'it'
            )
        return self.head(global_root_pool(x, data, self.readout))


def train(
    model: torch.nn.Module,
    batches: Iterable[Batch],
    val: Sequence[Batch],
    options: TrainingOptions,
) -> BestStep | None:
    """Trains a model, and restores its best validated step at the end.

    Args:
        model (torch.nn.Module): Computes logits of a mini-batch.
        batches (iterable): Mini-batches without end.
        val (list): The validation graphs.
        options (TrainingOptions): How to train.

    Returns:
        BestStep: The step of the largest validation ROC-AUC and, among equal
        ones, of the smallest loss; :obj:`None` if outputs were never finite.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    # One kernel for all tensors instead of ten for each.
    fused = all(p.device.type in ('cpu', 'cuda') for p in parameters)
    optimizer = torch.optim.Adam(
        parameters, options.lr, weight_decay=options.weight_decay, fused=fused
    )
    best: BestStep | None = None
    state = {}
    for step, data in enumerate(islice(batches, options.steps), start=1):
        model.train()
        optimizer.zero_grad()
        weighted_loss(model(data), data).backward()
        optimizer.step()
        if step % options.eval_every and step < options.steps:
            continue
        label, out = predict(model, val)
        if not bool(out.isfinite().all()):
            continue
        loss = float(F.cross_entropy(out, label))
        now = BestStep(step, roc_auc(label, out), loss)
        if best is None or (now.auc, -now.loss) > (best.auc, -best.loss):
            best, state = now, copy.deepcopy(model.state_dict())
    if best is not None:
        model.load_state_dict(state)
    return best


@torch.no_grad()
def predict(
    model: torch.nn.Module, batches: Sequence[Batch]
) -> tuple[Tensor, Tensor]:
    """Applies a model to all batches, in evaluation mode.

    Returns:
        tuple: The labels of shape :obj:`[G]` and the logits :obj:`[G, C]`.
    """
    model.eval()
    out = torch.cat([model(data) for data in batches])
    return torch.cat([data.y for data in batches]), out


def weighted_loss(out: Tensor, data: Data) -> Tensor:
    """The cross entropy with targets or labels, weighted if there are weights.

    Args:
        out (torch.Tensor): Logits of shape :obj:`[B, C]`.
        data (torch_geometric.data.Data): A mini-batch with labels :obj:`y`
            of shape :obj:`[B]`, and :obj:`target` :obj:`[B, C]` and
            :obj:`weight` :obj:`[B]`, if any.
    """
    target = data.get('target')
    if target is None:
        target = data.y
    else:
        # Other data sets may have more classes.
        target = F.pad(target, (0, out.size(1) - target.size(1))).to(out.dtype)
    if data.get('weight') is None:
        return F.cross_entropy(out, target)
    loss = F.cross_entropy(out, target, reduction='none')
    return (loss * data.weight).mean()


def roc_auc(label: Tensor, out: Tensor) -> float:
    """The area under the ROC curve.

    Args:
        label (torch.Tensor): Classes of shape :obj:`[G]`, two or more.
        out (torch.Tensor): Logits of shape :obj:`[G, C]`.

    Returns:
        float: The area of class 1 if there are two classes. Otherwise, the
        mean over the classes that occur, each against the rest.
    """
    score = require('sklearn.metrics', 'evaluate').roc_auc_score
    # Ties among probabilities that round to 1 are no ties among logits.
    label, out = label.cpu(), out.double().cpu()
    if out.size(1) == 2:
        return float(score(label == 1, out[:, 1] - out[:, 0]))
    prob = out.softmax(dim=-1)
    classes = label.unique().tolist()
    areas = [float(score(label == c, prob[:, c])) for c in classes]
    return sum(areas) / len(areas)


def accuracy(label: Tensor, out: Tensor) -> float:
    """The share of graphs whose class has the largest logit."""
    return float((out.argmax(dim=-1) == label).double().mean())


def num_bytes(data: Data, exclude_keys: Sequence[str] = ()) -> int:
    """The bytes of all tensors of a graph or mini-batch."""
    return sum(
        value.numel() * value.element_size()
        for key, value in data.to_dict().items()
        if isinstance(value, Tensor) and key not in exclude_keys
    )


def _read_graph(data: Any, name: str, exclude_keys: Sequence[str]) -> Data:
    """A graph with the attributes that training reads, checked."""
    if not isinstance(data, Data) or isinstance(data, Batch):
        raise TypeError(
            f"'{name}' must hold 'Data' objects, one a graph (got "
            f"'{type(data).__name__}'); call to_homogeneous() or "
            f'to_data_list()'
        )
    out = Data(edge_index=data.get('edge_index'), y=data.get('y'))
    for key in _KEYS:
        if key in data and key not in exclude_keys:
            out[key] = data[key]
    if out.edge_index is None and 'adj_t' in data:
        adj_t, value = to_edge_index(data.adj_t)
        out.edge_index = adj_t.flip(0)
        key = 'edge_weight' if value.dim() == 1 else 'edge_attr'
        if key not in exclude_keys:
            out[key] = value
    if out.edge_index is None:
        raise ValueError(
            f"'{name}' must hold graphs with 'edge_index' (got {data}); for "
            f'a graph without edges set edge_index=torch.empty(2, 0).long()'
        )
    if out.y is None:
        raise ValueError(
            f"'{name}' must hold graphs with class labels 'y' (got "
            f'{data}); set data.y'
        )
    if 'x' not in out:
        out.num_nodes = data.num_nodes
    if 'weight' in out:
        out.weight = out.weight.reshape(-1)
    if 'root_index' in out and 'root_count' not in out:
        raise ValueError(
            f"'{name}' must hold 'root_count' with 'root_index' (got the "
            f"latter alone); make tree sets with 'ToComputationTrees'"
        )
    num_edges = out.edge_index.size(1)
    num_roots = out.root_index.numel() if 'root_index' in out else 0
    for key, expected, what in (
        ('edge_attr', num_edges, 'edge'),
        ('edge_weight', num_edges, 'edge'),
        ('weight', 1, 'graph'),
        ('target', 1, 'graph'),
        ('root_count', num_roots, 'root'),
    ):
        if key in out and out[key].size(0) != expected:
            raise ValueError(
                f"'{name}' must hold '{key}' with one row a {what} (got "
                f'{out[key].size(0)} rows for {expected}); fill it in, or '
                f"leave it out with exclude_keys=['{key}']"
            )
    return out


def _read_labels(graphs: Sequence[Data], name: str) -> Tensor:
    """The class of each graph, which also becomes its `y`."""
    for i, data in enumerate(graphs):
        y = torch.as_tensor(data.y).reshape(-1)
        if y.numel() != 1:
            raise ValueError(
                f"'{name}' must hold one class label 'y' a graph (got "
                f'{y.numel()} values for graph {i}: a multi-label or '
                f'node-level task?); use one task at a time'
            )
        data.y = y.long()
        if float(y) != float(data.y) or int(data.y) < 0:
            raise ValueError(
                f"'{name}' must hold class labels 0, 1, 2, ... in 'y' (got "
                f'{float(y):g}: a regression task or a missing label?); bin '
                f'the targets, or drop unlabelled graphs'
            )
    return torch.cat([data.y for data in graphs])
