"""ToyMolecules beside NCI1: skew of computation trees, accuracy of GNNs.

"Slope" is that of the line through log10(count) over log10(rank) of the 1,000
most frequent trees. "Coverage" is the share of all nodes whose tree is one of
the 100 most frequent. `--train` prints the test accuracy of networks with three
layers and of the counts of atoms alone, mean and deviation over splits.

    python benchmarks/toy_molecules.py --root ROOT --train
"""

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from recipes import load_graphs
from torch_geometric import seed_everything
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader
from torch_geometric.nn import (
    MLP,
    GATConv,
    GCNConv,
    GINConv,
    GINEConv,
    SAGEConv,
    global_add_pool,
)

from pyg_distill.datasets import ToyMolecules
from pyg_distill.trees import edge_keys, tree_keys, unique_keys

NUM_ATOMS, NUM_BONDS = (
    len(ToyMolecules.atom_types),
    len(ToyMolecules.bond_types),
)
CONVS = {
    'GCN': lambda: GCNConv(64, 64),
    'SAGE': lambda: SAGEConv(64, 64),
    'GAT': lambda: GATConv(64, 16, heads=4),
    'GAT+bonds': lambda: GATConv(64, 16, heads=4, edge_dim=NUM_BONDS),
    'GIN': lambda: GINConv(MLP([64, 64, 64])),
    'GINE+bonds': lambda: GINEConv(MLP([64, 64, 64]), edge_dim=NUM_BONDS),
}


class GNN(torch.nn.Module):
    """Convolutions and a sum readout; without them, counts of atoms."""

    def __init__(self, name, num_layers=3):
        super().__init__()
        convs = [CONVS[name]() for _ in range(num_layers * (name in CONVS))]
        self.embed = torch.nn.Linear(NUM_ATOMS, 64)
        self.convs = torch.nn.ModuleList(convs)
        self.norms = torch.nn.ModuleList(
            torch.nn.BatchNorm1d(64) for _ in convs
        )
        width = 64 if convs else NUM_ATOMS
        self.head = torch.nn.Linear(width, len(ToyMolecules.class_names))
        self.has_bonds = name.endswith('+bonds')

    def forward(self, data):
        x = self.embed(data.x) if self.convs else data.x
        bonds = [data.edge_attr] if self.has_bonds else []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = norm(conv(x, data.edge_index, *bonds)).relu()
        return self.head(global_add_pool(x, data.batch))


@torch.no_grad()
def accuracy(model, loader):
    model.eval()
    hits = sum(int((model(d).argmax(-1) == d.y).sum()) for d in loader)
    return hits / len(loader.dataset)


def train(dataset, name, seed, epochs):
    """The test accuracy in the epoch of the best validation."""
    seed_everything(seed)
    dataset = dataset.shuffle()
    a, b = int(0.8 * len(dataset)), int(0.9 * len(dataset))
    loader = DataLoader(dataset[:a], batch_size=64, shuffle=True)
    val, test = (DataLoader(d, 200) for d in (dataset[a:b], dataset[b:]))
    model = GNN(name)
    lr = 0.005 if name in CONVS else 0.05
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    best, result = 0.0, 0.0
    for _ in range(epochs):
        model.train()
        for data in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(data), data.y).backward()
            optimizer.step()
        if (value := accuracy(model, val)) > best:
            best, result = value, accuracy(model, test)
    return result


def skew(dataset, num_layers, with_bonds):
    """Slope, coverage and distinct trees per node."""
    batch = Batch.from_data_list(list(dataset))
    edge_key = edge_keys(batch.edge_attr) if with_bonds else None
    keys = tree_keys(
        batch.edge_index, batch.num_nodes, num_layers, batch.x, edge_key
    )
    count = unique_keys(keys[-1]).count.sort(descending=True)[0].double()
    top = count[:1000].log10().numpy()
    rank = np.log10(np.arange(1, len(top) + 1))
    slope = float(np.polyfit(rank, top, 1)[0])
    coverage = float(count[:100].sum() / count.sum())
    return slope, coverage, len(count) / batch.num_nodes


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--root', help='folder of TUDataset, for NCI1')
    parser.add_argument('--num_graphs', type=int, default=2000)
    parser.add_argument('--train', action='store_true')
    parser.add_argument('--epochs', type=int, default=40)
    parser.add_argument('--splits', type=int, default=3)
    parser.add_argument('--models', nargs='+', default=['counts', *CONVS])
    args = parser.parse_args()
    torch.set_num_threads(1)

    toy = ToyMolecules(args.num_graphs)
    rows = [('ToyMolecules', toy, True), ('ToyMolecules', toy, False)]
    if args.root is not None:
        rows.append(('NCI1', load_graphs(args.root, 'NCI1'), False))
    print(f'{"data set":14}{"bonds":7}   L    slope  coverage  distinct/node')
    for num_layers in (1, 2, 3):
        for name, dataset, with_bonds in rows:
            slope, coverage, share = skew(dataset, num_layers, with_bonds)
            print(
                f'{name:14}{"yes" if with_bonds else "no":7}{num_layers:4}'
                f'{slope:9.3f}{coverage:10.3f}{share:15.3f}'
            )
    for name in args.models if args.train else []:
        runs = [
            100 * train(toy, name, seed, args.epochs)
            for seed in range(args.splits)
        ]
        print(f'{name:14}{np.mean(runs):6.1f} ± {np.std(runs):.1f} %')


if __name__ == '__main__':
    main()
