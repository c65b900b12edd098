# Distils the data, trains a teacher on what is left and compresses the teacher.
import argparse
import time
from itertools import chain, repeat

import torch
import torch.nn.functional as F
from torch_geometric import seed_everything
from torch_geometric.datasets import TUDataset
from torch_geometric.loader import DataLoader
from torch_geometric.logging import init_wandb, log
from torch_geometric.nn import GIN
from torch_geometric.profile import count_parameters

from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.nn import Distiller, global_root_pool

NAMES = ['toy', 'MUTAG', 'NCI1', 'PROTEINS', 'AIDS']

parser = argparse.ArgumentParser()
parser.add_argument('--dataset', default='toy', choices=NAMES)
parser.add_argument('--root', default='data/TUDataset')
parser.add_argument('--budget', type=float, default=0.1)
parser.add_argument('--num_layers', type=int, default=2)
parser.add_argument('--teacher_channels', type=int, default=64)
parser.add_argument('--hidden_channels', type=int, default=8)
parser.add_argument('--kd_weight', type=float, default=4.0)
parser.add_argument('--abkd_weight', type=float, default=1.0)
parser.add_argument('--lr', type=float, default=0.005)
parser.add_argument('--steps', type=int, default=400)
parser.add_argument('--runs', type=int, default=3)
parser.add_argument('--wandb', action='store_true')
args = parser.parse_args()
init_wandb('mirage_abkd', **vars(args))

toy = args.dataset == 'toy'
dataset = ToyMolecules() if toy else TUDataset(args.root, args.dataset)


class Net(torch.nn.Module):
    def __init__(self, hidden_channels):
        super().__init__()
        sizes = (dataset.num_features, hidden_channels, args.num_layers)
        self.gnn = GIN(*sizes)
        self.lin = torch.nn.Linear(hidden_channels, dataset.num_classes)

    def forward(self, data):
        x = self.gnn(data.x, data.edge_index)
        return self.lin(global_root_pool(x, data))


@torch.no_grad()
def test(model, loader):
    model.eval()
    correct = sum(int((model(d).argmax(-1) == d.y).sum()) for d in loader)
    return correct / len(loader.dataset)


def train(model, train_set, parameters=None, total=None):
    optimizer = torch.optim.Adam(parameters or model.parameters(), args.lr)
    loader = DataLoader(train_set, batch_size=64, shuffle=True)
    batches = chain.from_iterable(repeat(loader))
    best, start = [0.0, 0.0], time.perf_counter()
    for step, data in zip(range(1, args.steps + 1), batches, strict=False):
        model.train()
        optimizer.zero_grad()
        target = data.get('target', data.y)  # Of graphs without one, `y`.
        loss = F.cross_entropy(model(data), target, reduction='none')
        loss = (loss * data.get('weight', 1.0)).mean()
        loss = loss if total is None else total(loss)
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            accs = [test(model, loader) for loader in (val_loader, test_loader)]
            best = max(best, accs)
    return [*best, time.perf_counter() - start]


names = ['teacher, all data', 'teacher', 'student alone', 'student']
rows = {name: [] for name in names}
for run in range(args.runs):
    seed_everything(run)
    perm, num = torch.randperm(len(dataset)), len(dataset) // 10
    val_loader = DataLoader(dataset[perm[:num]], batch_size=256)
    test_loader = DataLoader(dataset[perm[num : 2 * num]], batch_size=256)
    full = dataset[perm[2 * num :]]
    options = {'budget': args.budget, 'exclude_keys': ['edge_attr']}
    distilled = MirageDataset(full, args.num_layers, **options)

    seed_everything(run)
    teacher = Net(args.teacher_channels)
    rows['teacher, all data'].append(train(teacher, full))
    seed_everything(run)
    teacher = Net(args.teacher_channels)
    rows['teacher'].append(train(teacher, distilled))

    seed_everything(run)
    student = Net(args.hidden_channels)
    rows['student alone'].append(train(student, distilled))
    seed_everything(run)
    student = Net(args.hidden_channels)
    example = (next(iter(DataLoader(distilled, batch_size=64))),)
    weights = {'abkd': args.abkd_weight, 'kd': args.kd_weight}
    distiller = Distiller.from_example(
        student, teacher, example, weights=weights
    )
    groups = distiller.parameter_groups()
    rows['student'].append(train(distiller, distilled, groups, distiller.loss))
    log(Run=run, **{name: values[-1][1] for name, values in rows.items()})

print(distilled.report)
print('\n                   Val acc        Test acc       Train')
for name, values in rows.items():
    std, mean = torch.std_mean(torch.tensor(values), dim=0, correction=0)
    (val, acc, duration), (val_std, std, _) = mean.tolist(), std.tolist()
    print(f'{name:17}  {val:.3f} ± {val_std:.3f}  ', end='')
    print(f'{acc:.3f} ± {std:.3f}{duration:>7.1f} s')
for name, model in {'Teacher': teacher, 'Student': student}.items():
    print(f'{name}: {count_parameters(model):,} parameters')
