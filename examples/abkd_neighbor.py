# Compresses a network in mini-batches of sampled neighborhoods, with a teacher
# that answers to each of them or only once. Needs torch_sparse or pyg-lib.
import argparse
import time

import torch
import torch.nn.functional as F
from node_graphs import load
from torch_geometric import seed_everything
from torch_geometric.loader import NeighborLoader
from torch_geometric.logging import init_wandb, log
from torch_geometric.nn import GraphSAGE

from pyg_distill.nn import Distiller, TeacherCache

NAMES = ['toy', 'Computers', 'CS']

parser = argparse.ArgumentParser()
parser.add_argument('--dataset', default='toy', choices=NAMES)
parser.add_argument('--root', default='data')
parser.add_argument('--teacher_channels', type=int, default=256)
parser.add_argument('--teacher_layers', type=int, default=2)
parser.add_argument('--hidden_channels', type=int, default=8)
parser.add_argument('--num_layers', type=int, default=2)
parser.add_argument('--num_neighbors', type=int, default=10)
parser.add_argument('--batch_size', type=int, default=256)
parser.add_argument('--kd_weight', type=float, default=4.0)
parser.add_argument('--abkd_weight', type=float, default=1.0)
parser.add_argument('--lr', type=float, default=0.01)
parser.add_argument('--epochs', type=int, default=20)
parser.add_argument('--runs', type=int, default=3)
parser.add_argument('--wandb', action='store_true')
args = parser.parse_args()
init_wandb('abkd_neighbor', **vars(args))

data = load(args.root, args.dataset, num_train_per_class=100)
num_classes = int(data.y.max()) + 1


def build(hidden_channels, num_layers):
    sizes = (data.num_features, hidden_channels, num_layers, num_classes)
    return GraphSAGE(*sizes)


@torch.no_grad()
def test(model):
    model.eval()
    pred = model(data.x, data.edge_index).argmax(dim=-1)
    masks = (data.val_mask, data.test_mask)
    return [float((pred == data.y)[mask].float().mean()) for mask in masks]


def train(model, parameters, loss_fn):
    optimizer = torch.optim.Adam(parameters, lr=args.lr)
    # As many hops as the teacher has layers, which may answer to them.
    num_neighbors = [args.num_neighbors] * args.teacher_layers
    loader = NeighborLoader(
        data, num_neighbors, data.train_mask, batch_size=args.batch_size
    )
    best, start = [0.0, 0.0], time.perf_counter()
    for _ in range(args.epochs):
        model.train()
        for batch in loader:
            optimizer.zero_grad()
            out = model(batch.x, batch.edge_index)[: batch.batch_size]
            loss = F.cross_entropy(out, batch.y[: batch.batch_size])
            loss_fn(loss, batch).backward()
            optimizer.step()
        best = max(best, test(model), key=lambda accs: accs[0])
    return *best, (time.perf_counter() - start) / args.epochs


def distil(student, teacher):
    example = (data.x, data.edge_index)
    weights = {'abkd': args.abkd_weight, 'kd': args.kd_weight}
    distiller = Distiller.from_example(
        student, teacher, example, weights=weights
    )
    cached = isinstance(teacher, TeacherCache)

    def loss_fn(loss, batch):
        n_id = batch.n_id if cached else None
        return distiller.loss(loss, batch_size=batch.batch_size, n_id=n_id)

    return train(distiller, distiller.parameter_groups(), loss_fn)


rows = {name: [] for name in ['teacher', 'ce', 'each batch', 'cached']}
for run in range(args.runs):
    seed_everything(run)
    teacher = build(args.teacher_channels, args.teacher_layers)
    row = train(teacher, teacher.parameters(), lambda loss, batch: loss)
    rows['teacher'].append(row)
    cache = TeacherCache.from_inputs(teacher, (data.x, data.edge_index))
    for name, source in {'each batch': teacher, 'cached': cache}.items():
        seed_everything(run)
        student = build(args.hidden_channels, args.num_layers)
        rows[name].append(distil(student, source))
    seed_everything(run)
    student = build(args.hidden_channels, args.num_layers)
    row = train(student, student.parameters(), lambda loss, batch: loss)
    rows['ce'].append(row)
    log(Run=run, **{name: values[-1][1] for name, values in rows.items()})

print('            Val acc        Test acc       Epoch')
for name, values in rows.items():
    std, mean = torch.std_mean(torch.tensor(values), dim=0, correction=0)
    (val, acc, duration), (val_std, std, _) = mean.tolist(), std.tolist()
    print(
        f'{name:10}  {val:.3f} ± {val_std:.3f}  {acc:.3f} ± {std:.3f}  ', end=''
    )
    print(f'{duration:.3f} s')
print(cache)
