"""ToyMolecules beside NCI1: skew of computation trees, accuracy of GNNs.

    PYG_DISTILL_DATA=~/data python benchmarks/toy_molecules.py --train

"Slope" is that of the least-squares line through log10(count) over log10(rank)
of the 1,000 most frequent trees (all trees where there are fewer), every rank
weighing the same. Cut there, it hardly depends on the number of graphs.
"Coverage" is the share of all nodes whose tree is among the 100 most frequent
ones.
"""

import argparse
import os
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import BatchNorm1d, Linear, Module, ModuleList
from torch.nn.functional import cross_entropy
from torch_geometric import seed_everything
from torch_geometric.data import Batch, Data, Dataset
from torch_geometric.datasets import TUDataset
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

from pyg_distill.datasets.toy_molecules import ToyMolecules
from pyg_distill.trees.keys import edge_keys, tree_keys
from pyg_distill.trees.unique import unique_keys

WIDTH, BOND_TYPES = 64, len(ToyMolecules.bond_types)

CONVS: dict[str, Callable[[], Module]] = {
    'GCN': lambda: GCNConv(WIDTH, WIDTH),
    'SAGE': lambda: SAGEConv(WIDTH, WIDTH),
    'GAT': lambda: GATConv(WIDTH, WIDTH // 4, heads=4),
    'GAT+bonds': lambda: GATConv(
        WIDTH, WIDTH // 4, heads=4, edge_dim=BOND_TYPES
    ),
    'GIN': lambda: GINConv(MLP([WIDTH, WIDTH, WIDTH])),
    'GINE+bonds': lambda: GINEConv(
        MLP([WIDTH, WIDTH, WIDTH]), edge_dim=BOND_TYPES
    ),
}


class GNN(Module):
    """Convolutions under a sum readout; none of them: counts of atoms."""

    def __init__(self, name: str, num_layers: int = 3) -> None:
        super().__init__()
        convs = [CONVS[name]() for _ in range(num_layers * (name in CONVS))]
        width = WIDTH if convs else len(ToyMolecules.atom_types)
        self.embed = Linear(len(ToyMolecules.atom_types), WIDTH)
        self.convs = ModuleList(convs)
        self.norms = ModuleList(BatchNorm1d(WIDTH) for _ in convs)
        self.head = Linear(width, len(ToyMolecules.class_names))
        self.sees_bonds = name.endswith('+bonds')

    def forward(self, data: Data) -> Tensor:
        x = self.embed(data.x) if self.convs else data.x
        bonds = [data.edge_attr] if self.sees_bonds else []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = norm(conv(x, data.edge_index, *bonds)).relu()
        return self.head(global_add_pool(x, data.batch))


def accuracy(model: Module, loader: DataLoader) -> float:
    model.eval()
    with torch.no_grad():
        hits = sum(int((model(d).argmax(-1) == d.y).sum()) for d in loader)
    return hits / len(loader.dataset)


def train(dataset: Dataset, name: str, seed: int, epochs: int) -> float:
    """Returns the test accuracy in the epoch of the best validation."""
    seed_everything(seed)
    dataset = dataset.shuffle()
    a, b = int(0.8 * len(dataset)), int(0.9 * len(dataset))
    loader = DataLoader(dataset[:a], batch_size=64, shuffle=True)
    val, test = (DataLoader(d, 200) for d in (dataset[a:b], dataset[b:]))

    model = GNN(name)
    rate = 0.005 if name in CONVS else 0.05
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    best, result = 0.0, 0.0
    for _ in range(epochs):
        model.train()
        for data in loader:
            optimizer.zero_grad()
            cross_entropy(model(data), data.y).backward()
            optimizer.step()
        if (valid := accuracy(model, val)) > best:
            best, result = valid, accuracy(model, test)
    return result


def skew(dataset: Dataset, depth: int, with_bonds: bool) -> list[float]:
    """Returns slope, coverage and distinct trees per node."""
    batch = Batch.from_data_list(list(dataset))
    edge_key = edge_keys(batch.edge_attr) if with_bonds else None
    keys = tree_keys(
        batch.edge_index, batch.num_nodes, depth, batch.x, edge_key
    )
    count = unique_keys(keys[-1]).count.sort(descending=True)[0].double()
    top = count[:1000].log10().numpy()
    rank = np.log10(np.arange(1, len(top) + 1))
    slope = float(np.polyfit(rank, top, 1)[0])
    share = float(count[:100].sum() / count.sum())
    return [slope, share, len(count) / batch.num_nodes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--num_graphs', type=int, default=2000)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--train', action='store_true')
    parser.add_argument('--epochs', type=int, default=40)
    parser.add_argument('--splits', type=int, default=3)
    parser.add_argument('--models', nargs='+', default=['counts', *CONVS])
    args = parser.parse_args()
    torch.set_num_threads(1)

    toy = ToyMolecules(args.num_graphs, args.seed)
    rows = [('ToyMolecules', toy, True), ('ToyMolecules', toy, False)]
    if root := os.environ.get('PYG_DISTILL_DATA'):
        nci1 = TUDataset(os.path.join(root, 'TUDataset'), 'NCI1')
        rows.append(('NCI1', nci1, False))

    print(f'{"data set":14}{"bonds":7}   L    slope  coverage  distinct/node')
    for depth in (1, 2, 3):
        for name, dataset, with_bonds in rows:
            slope, share, distinct = skew(dataset, depth, with_bonds)
            print(
                f'{name:14}{"yes" if with_bonds else "no":7}{depth:4}'
                f'{slope:9.3f}{share:10.3f}{distinct:15.3f}'
            )

    for name in args.models if args.train else []:
        runs = [
            100 * train(toy, name, seed, args.epochs)
            for seed in range(args.splits)
        ]
        print(f'{name:14}{np.mean(runs):6.1f} ± {np.std(runs):.1f} %')


if __name__ == '__main__':
    main()
