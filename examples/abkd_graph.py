# Compresses a graph classifier: a deep, wide GIN teaches a small one.
import argparse
import copy

import torch
import torch.nn.functional as F
from torch_geometric import seed_everything
from torch_geometric.datasets import TUDataset
from torch_geometric.loader import DataLoader
from torch_geometric.logging import init_wandb, log
from torch_geometric.nn import GIN, global_add_pool
from torch_geometric.profile import count_parameters, timeit
from torch_geometric.transforms import OneHotDegree

from pyg_distill.datasets import ToyMolecules
from pyg_distill.nn import ABKDLoss, Distiller, KDLoss, StrideLoss

NAMES = ['toy', 'MUTAG', 'NCI1', 'PROTEINS', 'IMDB-BINARY', 'AIDS']
LOSSES = {'abkd': ABKDLoss, 'abkd_paper': ABKDLoss.paper, 'stride': StrideLoss}

parser = argparse.ArgumentParser()
parser.add_argument('--dataset', default='toy', choices=NAMES)
parser.add_argument('--root', default='data/TUDataset')
parser.add_argument('--methods', default=['ce', 'kd', 'abkd+kd'], nargs='+')
parser.add_argument('--teacher_layers', type=int, default=5)
parser.add_argument('--teacher_channels', type=int, default=64)
parser.add_argument('--num_layers', type=int, default=3)
parser.add_argument('--hidden_channels', type=int, default=8)
parser.add_argument('--kd_weight', type=float, default=4.0)
parser.add_argument('--abkd_weight', type=float, default=1.0)
parser.add_argument('--lr', type=float, default=0.005)
parser.add_argument('--batch_size', type=int, default=128)
parser.add_argument('--epochs', type=int, default=50)
parser.add_argument('--runs', type=int, default=3)
parser.add_argument('--wandb', action='store_true')
args = parser.parse_args()
init_wandb('abkd_graph', **vars(args))

toy = args.dataset == 'toy'
dataset = ToyMolecules() if toy else TUDataset(args.root, args.dataset)
if dataset.num_features == 0:
    dataset.transform = OneHotDegree(max_degree=200, cat=False)


class Net(torch.nn.Module):
    def __init__(self, hidden_channels, num_layers):
        super().__init__()
        self.gnn = GIN(dataset.num_features, hidden_channels, num_layers)
        self.lin = torch.nn.Linear(hidden_channels, dataset.num_classes)

    def forward(self, data):
        x = self.gnn(data.x, data.edge_index)
        return self.lin(global_add_pool(x, data.batch, data.num_graphs))


@torch.no_grad()
def test(model, loader):
    model.eval()
    correct = sum(int((model(d).argmax(-1) == d.y).sum()) for d in loader)
    return correct / len(loader.dataset)


def train(model, total=lambda loss: loss, parameters=None):
    optimizer = torch.optim.Adam(parameters or model.parameters(), args.lr)
    best_val, best_state = -1.0, None
    for _ in range(args.epochs):
        model.train()
        for data in train_loader:
            optimizer.zero_grad()
            total(F.cross_entropy(model(data), data.y)).backward()
            optimizer.step()
        if (val := test(model, val_loader)) > best_val:
            best_val, best_state = val, copy.deepcopy(model.state_dict())
    model.load_state_dict(best_state)
    return best_val, test(model, test_loader)


def train_student(student, teacher, method):
    if method == 'ce':
        return train(student)
    names = method.split('+')
    losses = {name: LOSSES[name] for name in names if name != 'kd'}
    weights = dict.fromkeys(losses, args.abkd_weight)
    if 'kd' in names:
        losses['kd'], weights['kd'] = KDLoss(), args.kd_weight
    example = (next(iter(train_loader)),)
    model = Distiller.from_example(student, teacher, example, losses, weights)
    return train(model, model.loss, model.parameter_groups())


results = {name: [] for name in ['teacher', *args.methods]}
for run in range(args.runs):
    seed_everything(run)
    perm, num = torch.randperm(len(dataset)), len(dataset) // 10
    val_loader = DataLoader(dataset[perm[:num]], batch_size=256)
    test_loader = DataLoader(dataset[perm[num : 2 * num]], batch_size=256)
    train_loader = DataLoader(
        dataset[perm[2 * num :]], args.batch_size, shuffle=True
    )
    teacher = Net(args.teacher_channels, args.teacher_layers)
    results['teacher'].append(train(teacher))
    for method in args.methods:
        seed_everything(run)
        student = Net(args.hidden_channels, args.num_layers)
        results[method].append(train_student(student, teacher, method))
        log(Run=run, Method=method, Test=results[method][-1][1])

print('              Val acc          Test acc')
for name, values in results.items():
    std, mean = torch.std_mean(torch.tensor(values), dim=0, correction=0)
    (val, acc), (val_std, acc_std) = mean.tolist(), std.tolist()
    print(f'{name:12}  {val:.3f} ± {val_std:.3f}  {acc:.3f} ± {acc_std:.3f}')
data = next(iter(test_loader))
for name, model in [('Teacher', teacher.eval()), ('Student', student.eval())]:
    with torch.no_grad(), timeit(log=False) as timer:
        for _ in range(10):
            model(data)
    duration = timer.duration / 10
    print(f'{name}: {count_parameters(model):,} parameters, {duration:.4f} s')
