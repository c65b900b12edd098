# Distils a training split with Mirage and trains on it and on the full split.
import argparse
from itertools import chain, repeat

import torch
import torch.nn.functional as F
import torch_geometric.transforms as T
from sklearn.metrics import roc_auc_score
from torch_geometric import seed_everything
from torch_geometric.datasets import TUDataset
from torch_geometric.loader import DataLoader
from torch_geometric.logging import init_wandb, log
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE
from torch_geometric.profile import timeit

from pyg_distill.data import compressed_size
from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.nn import global_root_pool, num_hops

GNNS = {'gcn': GCN, 'gin': GIN, 'gat': GAT, 'sage': GraphSAGE}
NAMES = ['toy', 'MUTAG', 'NCI1', 'PROTEINS', 'DD', 'IMDB-BINARY', 'AIDS']

parser = argparse.ArgumentParser()
parser.add_argument('--dataset', default='toy', choices=NAMES)
parser.add_argument('--root', default='data/TUDataset')
parser.add_argument('--gnn', default='gin', choices=GNNS)
parser.add_argument('--hidden_channels', type=int, default=64)
parser.add_argument('--num_layers', type=int, default=2)
parser.add_argument('--readout', default='sum', choices=['sum', 'mean', 'max'])
parser.add_argument('--selection', default='auto')
parser.add_argument('--budget', type=float, default=0.1)
parser.add_argument('--min_support', type=float, nargs='+')
parser.add_argument('--lr', type=float, default=0.001)
parser.add_argument('--steps', type=int, default=1000)
parser.add_argument('--runs', type=int, default=3)
parser.add_argument('--wandb', action='store_true')
args = parser.parse_args()
init_wandb('mirage_train', **vars(args))

toy = args.dataset == 'toy'
dataset = ToyMolecules() if toy else TUDataset(args.root, args.dataset)
if dataset.num_features == 0:
    # Before distilling, since the leaves of a tree have lost their neighbors.
    dataset.transform = T.OneHotDegree(max_degree=200, cat=False)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        channels = (dataset.num_features, args.hidden_channels)
        self.gnn = GNNS[args.gnn](*channels, args.num_layers)
        self.lin = torch.nn.Linear(channels[1], dataset.num_classes)

    def forward(self, data):
        x = self.gnn(data.x, data.edge_index)
        return self.lin(global_root_pool(x, data, reduce=args.readout))


@torch.no_grad()
def test(model, loader):
    model.eval()
    y = torch.cat([data.y for data in loader])
    prob = torch.cat([model(data).softmax(dim=-1) for data in loader])
    acc = float((prob.argmax(dim=-1) == y).float().mean())
    prob = prob[:, 1] if prob.size(1) == 2 else prob
    return roc_auc_score(y, prob, multi_class='ovr'), acc


def train(train_set, val_loader, test_loader):
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    loader = DataLoader(train_set, batch_size=64, shuffle=True)
    batches = chain.from_iterable(repeat(loader))
    best_val, result = 0, None
    for step, data in zip(range(1, args.steps + 1), batches, strict=False):
        model.train()
        optimizer.zero_grad()
        target = data.get('target', data.y)  # Of graphs without one, `y`.
        loss = F.cross_entropy(model(data), target, reduction='none')
        (loss * data.get('weight', 1.0)).mean().backward()
        optimizer.step()
        if step % 50 == 0 or step == args.steps:
            val_auc, _ = test(model, val_loader)
            if val_auc > best_val:
                best_val, result = val_auc, test(model, test_loader)
    return result


rows = {'full': [], 'distilled': []}
for run in range(args.runs):
    seed_everything(run)
    perm, num = torch.randperm(len(dataset)), len(dataset) // 10
    held_out = perm[: 2 * num].view(2, -1)
    loaders = [DataLoader(dataset[i], batch_size=256) for i in held_out]
    full = dataset[perm[2 * num :]]
    options = {'exclude_keys': ['edge_attr']}  # These networks do not read it.
    full_bytes = compressed_size(full, **options)
    if low := args.min_support:  # One a class, or one for all.
        low = dict(enumerate(low)) if low[1:] else low[0]
        options |= {'selection': 'frequent'}
        options |= {'selection_kwargs': {'min_support': low}}
    else:
        options |= {'selection': args.selection, 'budget': args.budget}
    distilled = MirageDataset(full, num_hops(Net().gnn), **options)
    report = distilled.report
    print(f'Run {run}: {report}\n')
    sizes = [full_bytes, 0.0], [report.compressed_bytes, report.seconds]
    sets = zip(rows, (full, distilled), sizes, strict=True)
    for name, train_set, size in sets:
        seed_everything(run)
        with timeit(log=False) as t:
            auc, acc = train(train_set, *loaders)
        rows[name].append([acc, auc, *size, t.duration])
        log(Run=run, Set=name, Acc=acc, AUC=float(auc))

print('           Test acc       Test AUC  Bytes (zlib)    Distil     Train')
for name, values in rows.items():
    std, mean = torch.std_mean(torch.tensor(values), dim=0, correction=0)
    acc, auc, num_bytes, seconds, duration = mean.tolist()
    print(f'{name:9}  {acc:.3f} ± {std[0]:.3f}  ', end='')
    print(f'{auc:.3f} ± {std[1]:.3f}{num_bytes:>12,.0f}', end='')
    print(f'{seconds:>8.2f} s{duration:>8.1f} s')
