"""The data, teachers and students of kd.py."""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from ogb import OGBMolecules
from torch_geometric import seed_everything
from torch_geometric.data import Batch, Data
from torch_geometric.datasets import Amazon, Coauthor, Planetoid, TUDataset
from torch_geometric.loader import DataLoader
from torch_geometric.nn import (
    GAT,
    GCN,
    GIN,
    GCN2Conv,
    GraphSAGE,
    global_add_pool,
)
from torch_geometric.transforms import RandomNodeSplit, ToSparseTensor

from pyg_distill.nn import LayerRecorder
from pyg_distill.selection.scoring import area_under_curve


@dataclass
class Setting:
    """A teacher, a student (kind, layers, channels) and their data set."""

    dataset: str
    teacher: tuple
    student: tuple
    dropout: float = 0.5
    decay: float = 5e-4
    epochs: int = 400


GCNII64, GIN64 = ('gcnii', 64, 64), ('gin', 5, 64)
SETTINGS = {
    'cora-gcnii': Setting(
        'Cora', GCNII64, ('gcnii', 4, 4), decay=0.01, epochs=1000
    ),
    'cora-gcnii-wide': Setting(
        'Cora', GCNII64, ('gcnii', 4, 16), decay=0.01, epochs=1000
    ),
    'cora-gcn': Setting(
        'Cora', GCNII64, ('gcn', 2, 4), decay=0.01, epochs=1000
    ),
    'cora-gat': Setting('Cora', ('gat', 2, 256), ('gcn', 2, 4), 0.6),
    'cora-gat-wide': Setting('Cora', ('gat', 2, 432), ('gcn', 2, 4), 0.6),
    'computers-gcnii': Setting('Computers', ('gcnii', 4, 128), ('gcnii', 2, 4)),
    'computers-gat': Setting('Computers', ('gat', 2, 128), ('gcn', 2, 4)),
    'cs-gcnii': Setting('CS', ('gcnii', 4, 128), ('gcnii', 2, 4)),
    'cs-gcn': Setting('CS', ('gcnii', 4, 128), ('gcn', 2, 4)),
    'cs-gat': Setting('CS', ('gat', 2, 128), ('gcn', 2, 4)),
    'nci1': Setting('NCI1', GIN64, ('gin', 3, 8), 0.0, epochs=60),
    'proteins': Setting('PROTEINS', GIN64, ('gin', 3, 8), 0.5, epochs=60),
    'molhiv': Setting('molhiv', GIN64, ('gin', 3, 8), 0.5, epochs=30),
}
CLASSES = {'Cora': Planetoid, 'Computers': Amazon, 'CS': Coauthor}
KINDS = {'gcn': GCN, 'gin': GIN, 'gat': GAT, 'sage': GraphSAGE}
# Only so many training graphs of ogbg-molhiv are drawn.
MAX_TRAIN = 6000
# Of a deeper teacher, so many layers are shown, evenly spaced.
MAX_LAYERS = 8


class GCNII(torch.nn.Module):
    def __init__(
        self, in_channels, channels, num_layers, out, dropout=0.0, cached=True
    ):
        super().__init__()
        self.dropout = torch.nn.Dropout(dropout)
        self.lin1 = torch.nn.Linear(in_channels, channels)
        self.convs = torch.nn.ModuleList(
            GCN2Conv(channels, 0.1, 0.5, layer + 1, cached=cached)
            for layer in range(num_layers)
        )
        self.lin2 = torch.nn.Linear(channels, out)

    def forward(self, x, adj_t):
        x = x0 = self.dropout(self.lin1(x).relu())
        for conv in self.convs:
            x = conv(self.dropout(x), x0, adj_t).relu()
        return self.lin2(self.dropout(x))


class Net(torch.nn.Module):
    """A network of PyG, and a linear layer for the classes."""

    def __init__(self, kind, in_channels, channels, num_layers, out, dropout):
        super().__init__()
        options = {
            'gat': {'heads': 8},
            'gin': {'norm': 'batch_norm'},
            'gcn': {'cached': True},
        }
        self.gnn = KINDS[kind](
            in_channels, channels, num_layers, dropout=dropout, **options[kind]
        )
        self.lin = torch.nn.Linear(channels, out)

    def forward(self, x, edge_index, batch=None, size=None):
        x = self.gnn(x, edge_index).relu()
        if batch is not None:
            x = global_add_pool(x, batch, size)
        return self.lin(x)


def build(model, in_channels, num_classes, dropout=0.0):
    kind, num_layers, channels = model
    if kind == 'gcnii':
        return GCNII(in_channels, channels, num_layers, num_classes, dropout)
    return Net(kind, in_channels, channels, num_layers, num_classes, dropout)


@dataclass
class Task:
    """What students are trained on: `splits` are those of nodes or graphs."""

    setting: Setting
    data: Data
    splits: tuple
    graphs: list | None = None
    layers: list | None = None
    logits: torch.Tensor | None = None

    @property
    def sizes(self):
        """The number of features and of classes."""
        return self.data.x.size(1), int(self.data.y.max()) + 1

    def metric(self, out, y):
        """Accuracy, or the area under the ROC curve on molhiv."""
        if self.setting.dataset == 'molhiv':
            return area_under_curve(out[:, 1] - out[:, 0], y == 1)
        return float((out.argmax(dim=-1) == y).float().mean())

    def loader(self, split, batch_size, **kwargs):
        """Mini-batches of the graphs of a split."""
        graphs = [self.graphs[i] for i in self.splits[split]]
        return DataLoader(graphs, batch_size, **kwargs)


def load_nodes(root, setting):
    """A graph whose features have rows of one length."""
    seed_everything(0)
    name = setting.dataset
    data = CLASSES[name](f'{root}/{CLASSES[name].__name__}', name)[0]
    data.x = F.normalize(data.x, p=1 if name == 'Cora' else 2)
    if name != 'Cora':  # It has a public split.
        num_val = 30 * (int(data.y.max()) + 1)
        data = RandomNodeSplit('test_rest', 1, 20, num_val)(data)
    transform = ToSparseTensor(remove_edge_index=False, layout=torch.sparse_csr)
    data = transform(data)
    masks = data.train_mask, data.val_mask, data.test_mask
    return Task(setting, data, tuple(m.nonzero().view(-1) for m in masks))


def load_graphs(root, setting):
    """Graphs whose nodes know their position in all graphs, `n_id`."""
    generator = torch.Generator().manual_seed(0)
    if setting.dataset == 'molhiv':
        dataset = OGBMolecules(f'{root}/OGB/ogbg_molhiv')
        train, *held_out = dataset.get_idx_split().values()
        drawn = torch.randperm(train.numel(), generator=generator)[:MAX_TRAIN]
        splits = [train[drawn], *held_out]
        graphs = list(dataset[torch.cat(splits)])
        order = torch.arange(len(graphs))
        splits = order.split([split.numel() for split in splits])
    else:
        graphs = list(TUDataset(f'{root}/TUDataset', setting.dataset))
        order = torch.randperm(len(graphs), generator=generator)
        num = len(graphs) // 10
        # Many test graphs, so that small differences can be seen.
        splits = order[5 * num :], order[:num], order[num : 5 * num]
    x = torch.cat([data.x for data in graphs])
    if setting.dataset == 'molhiv':
        codes = [column.unique(return_inverse=True)[1] for column in x.t()]
        x = torch.cat([F.one_hot(code) for code in codes], dim=1)
    sizes = [data.num_nodes for data in graphs]
    n_id = torch.arange(len(x)).split(sizes)
    graphs = [
        Data(x, data.edge_index, y=data.y, n_id=i, g_id=g)
        for g, (data, x, i) in enumerate(
            zip(graphs, x.float().split(sizes), n_id, strict=True)
        )
    ]
    return Task(setting, Batch.from_data_list(graphs), splits, graphs)


def node_inputs(data, model):
    """The arguments of a network for nodes, in their fastest form."""
    is_sparse = float((data.x != 0).float().mean()) < 0.1
    x = data.x.to_sparse_csr() if is_sparse else data.x
    return x, data.adj_t if isinstance(model, GCNII) else data.edge_index


def graph_inputs(data):
    return data.x, data.edge_index, data.batch, data.num_graphs


def train_teacher(model, task):
    """The epoch of the best validation result counts."""
    setting, (train, val, _) = task.setting, task.splits
    best, state, since = (-1.0,), None, 0
    if task.graphs:
        optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
        batches = task.loader(0, 128, shuffle=True)
        (held_out,) = task.loader(1, len(val))
    else:
        groups = [
            {
                'params': [p],
                'weight_decay': setting.decay if 'convs' in name else 5e-4,
            }
            for name, p in model.named_parameters()
        ]
        optimizer, batches = torch.optim.Adam(groups, lr=0.01), [task.data]
        args, y = node_inputs(task.data, model), task.data.y
    for _ in range(setting.epochs):
        model.train()
        for data in batches:
            optimizer.zero_grad()
            if task.graphs:
                loss = F.cross_entropy(model(*graph_inputs(data)), data.y)
            else:
                loss = F.cross_entropy(model(*args)[train], y[train])
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            if task.graphs:
                out = model(*graph_inputs(held_out))
                result = (task.metric(out, held_out.y),)
            else:
                out = model(*args)[val]
                loss = float(F.cross_entropy(out, y[val]))
                result = task.metric(out, y[val]), -loss
        since += 1
        if result > best:
            best, state, since = result, deepcopy(model.state_dict()), 0
        if since > 100:
            break
    model.load_state_dict(state)


def load(name, root, cache):
    """The task of a setting, with layers and logits of its teacher."""
    setting = SETTINGS[name]
    is_node = setting.dataset in CLASSES
    task = (load_nodes if is_node else load_graphs)(root, setting)
    seed_everything(0)
    teacher = build(setting.teacher, *task.sizes, setting.dropout)
    kind, num_layers, channels = setting.teacher
    path = Path(cache, f'{setting.dataset}-{kind}-{num_layers}x{channels}.pt')
    if path.exists():
        teacher.load_state_dict(torch.load(path))
    else:
        train_teacher(teacher, task)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(teacher.state_dict(), path)
    data = task.data
    args = node_inputs(data, teacher) if is_node else graph_inputs(data)
    with torch.no_grad(), LayerRecorder(teacher, detach=True) as recorder:
        task.logits = teacher.eval()(*args)
        layers = [x.clone() for x in recorder.features()]
    every = max(1, len(layers) // MAX_LAYERS)
    task.layers = layers[every - 1 :: every]
    return task
