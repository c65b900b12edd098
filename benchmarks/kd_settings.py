"""The teachers, students and data of kd.py."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pyg_distill.datasets.ogb_molecules import OGBMolecules
from torch_geometric import seed_everything
from torch_geometric.datasets import Amazon, Coauthor, Planetoid, TUDataset
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GAT, GCN, GIN, GCN2Conv, global_add_pool
from torch_geometric.transforms import RandomNodeSplit, ToSparseTensor


@dataclass
class Setting:
    """A teacher, a student and what both are trained on.

    A model is its kind, its layers and its width.
    """

    dataset: str
    teacher: tuple
    student: tuple
    dropout: float = 0.5
    decay: float = 5e-4
    epochs: int = 400


SETTINGS = {
    'cora-gcnii': Setting(
        'Cora', ('gcnii', 64, 64), ('gcnii', 4, 4), decay=0.01, epochs=1000
    ),
    'cora-gcnii-wide': Setting(
        'Cora', ('gcnii', 64, 64), ('gcnii', 4, 16), decay=0.01, epochs=1000
    ),
    'cora-gcn': Setting(
        'Cora', ('gcnii', 64, 64), ('gcn', 2, 4), decay=0.01, epochs=1000
    ),
    'cora-gat': Setting('Cora', ('gat', 2, 256), ('gcn', 2, 4), 0.6),
    'cora-gat-wide': Setting('Cora', ('gat', 2, 432), ('gcn', 2, 4), 0.6),
    'computers-gcnii': Setting('Computers', ('gcnii', 4, 128), ('gcnii', 2, 4)),
    'computers-gat': Setting('Computers', ('gat', 2, 128), ('gcn', 2, 4)),
    'cs-gcnii': Setting('CS', ('gcnii', 4, 128), ('gcnii', 2, 4)),
    'cs-gcn': Setting('CS', ('gcnii', 4, 128), ('gcn', 2, 4)),
    'cs-gat': Setting('CS', ('gat', 2, 128), ('gcn', 2, 4)),
    'nci1': Setting('NCI1', ('gin', 5, 64), ('gin', 3, 8), 0.0, epochs=60),
    'proteins': Setting(
        'PROTEINS', ('gin', 5, 64), ('gin', 3, 8), 0.5, epochs=60
    ),
    'molhiv': Setting('molhiv', ('gin', 5, 64), ('gin', 3, 8), 0.5, epochs=30),
}
CLASSES = {'Cora': Planetoid, 'Computers': Amazon, 'CS': Coauthor}
HEADS = 8
# Of ogbg-molhiv, so many training graphs are drawn; validation and test
# graphs are all there.
MAX_TRAIN = 6000


class GCNII(torch.nn.Module):
    def __init__(self, in_channels, channels, num_layers, out, dropout=0.0):
        super().__init__()
        self.dropout = torch.nn.Dropout(dropout)
        self.lin1 = torch.nn.Linear(in_channels, channels)
        self.convs = torch.nn.ModuleList(
            GCN2Conv(channels, 0.1, 0.5, layer + 1, cached=True)
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
        options = {'dropout': dropout}
        if kind == 'gat':
            options['heads'] = HEADS
        if kind == 'gin':
            options['norm'] = 'batch_norm'
        if kind == 'gcn':
            options['cached'] = True
        cls = {'gat': GAT, 'gcn': GCN, 'gin': GIN}[kind]
        self.gnn = cls(in_channels, channels, num_layers, **options)
        self.lin = torch.nn.Linear(channels, out)

    def forward(self, x, edge_index, batch=None, size=None):
        x = self.gnn(x, edge_index).relu()
        if batch is not None:
            x = global_add_pool(x, batch, size)
        return self.lin(x)


def build(model, num_features, num_classes, dropout=0.0):
    kind, num_layers, channels = model
    if kind == 'gcnii':
        return GCNII(num_features, channels, num_layers, num_classes, dropout)
    return Net(kind, num_features, channels, num_layers, num_classes, dropout)


def load_node(root, name, num_train_per_class=20):
    """A graph with its masks; features are dense and of rows of one length."""
    seed_everything(0)
    cls = CLASSES[name]
    data = cls(f'{root}/{cls.__name__}', name)[0]
    data.x = F.normalize(data.x, p=1 if name == 'Cora' else 2)
    if name != 'Cora':  # Which has a public split.
        num_val = 30 * (int(data.y.max()) + 1)
        args = ('test_rest', 1, num_train_per_class, num_val)
        data = RandomNodeSplit(*args)(data)
    transform = ToSparseTensor(remove_edge_index=False, layout=torch.sparse_csr)
    return transform(data)


def load_graphs(root, name):
    """All graphs in one batch, with `ptr` and the numbers of each split."""
    if name != 'molhiv':
        dataset = TUDataset(f'{root}/TUDataset', name)
        data = next(iter(DataLoader(dataset, len(dataset))))
        generator = torch.Generator().manual_seed(0)
        perm = torch.randperm(len(dataset), generator=generator)
        num = len(dataset) // 10
        # Many test graphs, as differences of a point are to be seen.
        data.splits = [perm[5 * num :], perm[:num], perm[num : 5 * num]]
        data.x = data.x.float()
        return data
    dataset = OGBMolecules(f'{root}/OGB/ogbg_molhiv')
    splits = list(dataset.get_idx_split().values())
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randperm(splits[0].numel(), generator=generator)[:MAX_TRAIN]
    splits[0] = splits[0][drawn]
    kept = torch.cat(splits)
    data = next(iter(DataLoader(dataset[kept], len(kept))))
    sizes = [split.numel() for split in splits]
    data.splits = list(torch.arange(len(kept)).split(sizes))
    # Values that occur nowhere get no column.
    data.x = torch.cat(
        [F.one_hot(c.unique(return_inverse=True)[1]) for c in data.x.t()], 1
    ).float()
    return data


def auc(score, y):
    """The area under the curve of each row of scores, ties at one half."""
    order = score.argsort(dim=-1)
    ordered = score.gather(-1, order)
    position = torch.arange(1, score.size(-1) + 1, dtype=torch.double)
    rank = torch.zeros(score.size(), dtype=torch.double)
    for r in range(score.size(0)):
        _, inverse, count = ordered[r].unique_consecutive(
            return_inverse=True, return_counts=True
        )
        end = count.cumsum(0).double()
        middle = end - (count - 1) / 2
        rank[r, order[r]] = middle[inverse] + 0 * position
    positive = y == 1
    num = positive.sum()
    above = rank[:, positive].sum(dim=-1) - num * (num + 1) / 2
    return above / (num * (y.numel() - num))


def is_sparse(x):
    return float((x != 0).float().mean()) < 0.1


def inputs(data, model):
    """What a network for nodes is called with, in its fastest form."""
    x = data.x.to_sparse_csr() if is_sparse(data.x) else data.x
    return x, data.adj_t if isinstance(model, GCNII) else data.edge_index


def accuracy(out, y):
    return (out.argmax(dim=-1) == y).float().mean(dim=-1)


def area(out, y):
    return auc(out[..., 1] - out[..., 0], y)
