# Distils in several processes, each with a shard, and trains in all of them:
# torchrun --nproc_per_node=2 examples/mirage_distributed.py
import argparse
import os
import time

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data.distributed import DistributedSampler
from torch_geometric import seed_everything
from torch_geometric.datasets import TUDataset
from torch_geometric.loader import DataLoader
from torch_geometric.logging import init_wandb, log
from torch_geometric.nn import GIN

from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.nn import global_root_pool

parser = argparse.ArgumentParser()
parser.add_argument('--dataset', default='toy', choices=['toy', 'NCI1'])
parser.add_argument('--root', default='data/TUDataset')
parser.add_argument('--hidden_channels', type=int, default=64)
parser.add_argument('--num_layers', type=int, default=2)
parser.add_argument('--budget', type=float, default=0.1)
parser.add_argument('--selection', default='auto')
parser.add_argument('--lr', type=float, default=0.005)
parser.add_argument('--epochs', type=int, default=40)
parser.add_argument('--runs', type=int, default=3)
parser.add_argument('--wandb', action='store_true')
args = parser.parse_args()

is_distributed = 'RANK' in os.environ  # As set by torchrun.
if is_distributed:
    torch.set_num_threads(1)
    dist.init_process_group('gloo')
rank = dist.get_rank() if is_distributed else 0
world_size = dist.get_world_size() if is_distributed else 1
if rank == 0:
    init_wandb('mirage_distributed', **vars(args))

toy = args.dataset == 'toy'
dataset = ToyMolecules() if toy else TUDataset(args.root, args.dataset)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        channels = (dataset.num_features, args.hidden_channels)
        self.gnn = GIN(*channels, args.num_layers)
        self.lin = torch.nn.Linear(channels[1], dataset.num_classes)

    def forward(self, data):
        x = self.gnn(data.x, data.edge_index)
        return self.lin(global_root_pool(x, data))


def train(train_set):
    model = Net()
    if is_distributed:
        model = DistributedDataParallel(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    sampler = DistributedSampler(train_set, world_size, rank)
    loader = DataLoader(train_set, batch_size=64, sampler=sampler)
    model.train()
    for epoch in range(args.epochs):
        sampler.set_epoch(epoch)
        for data in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(data), data.target, reduction='none')
            (loss * data.weight).mean().backward()
            optimizer.step()
    return model.module if is_distributed else model


@torch.no_grad()
def test(model, test_set):
    model.eval()
    correct = 0
    for data in DataLoader(test_set, batch_size=256):
        correct += int((model(data).argmax(dim=-1) == data.y).sum())
    return correct / len(test_set)


accs, durations = [], []
for run in range(args.runs):
    seed_everything(run)  # The same split everywhere.
    perm, num = torch.randperm(len(dataset)), len(dataset) // 10
    test_set, train_split = dataset[perm[:num]], dataset[perm[num:]]

    start = time.perf_counter()
    distilled = MirageDataset(
        train_split[rank::world_size],
        num_layers=args.num_layers,
        budget=args.budget,
        selection=args.selection,
        exclude_keys=['edge_attr'],  # This network does not read it.
        distributed=is_distributed,
    )
    durations.append(time.perf_counter() - start)
    acc = test(train(distilled), test_set)
    accs.append(acc)
    if rank == 0:
        print(f'Run {run}: {distilled.report}\n')
        log(Run=run, Test=acc, Seconds=durations[-1])

if rank == 0:
    acc, seconds = torch.tensor(accs), torch.tensor(durations)
    print(
        f'{world_size} processes, test accuracy: {acc.mean():.3f} ± '
        f'{acc.std(correction=0):.3f}, distilled in {seconds.mean():.2f} ± '
        f'{seconds.std(correction=0):.2f} s'
    )
if is_distributed:
    dist.destroy_process_group()
