"""Epochs of an ordinary loader beside those on shared trees.

Seconds are those of the processor, the least of some epochs of forward,
backward and step. Memory is what is alive when the backward pass begins, its
peak: the mini-batch and all that autograd has saved, storage by storage, the
most of five steps (what the system reports depends on what the process has
freed before). Models see nodes only; without features, all nodes are ones.
Deviations of logits are relative to the largest, in evaluation mode and in
training mode, where they are due to norms and dropout.
"""

import argparse
import itertools
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from pyg_distill.datasets.ogb_molecules import OGBMolecules
from torch_geometric.datasets import TUDataset
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GAT, GIN, GraphSAGE

from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.loader import TreeSetLoader
from pyg_distill.nn import global_root_pool

MODELS = {'GIN': GIN, 'SAGE': GraphSAGE, 'GAT': GAT}

parser = argparse.ArgumentParser()
parser.add_argument('--root', help='folder of TUDataset and OGB')
parser.add_argument('--datasets', nargs='+', default=['toy'])
parser.add_argument('--batch_size', type=int, nargs='+', default=[128])
parser.add_argument('--num_layers', type=int, nargs='+', default=[2, 3, 4])
parser.add_argument('--models', nargs='+', default=['GIN', 'SAGE', 'GAT'])
parser.add_argument('--channels', type=int, default=64)
parser.add_argument('--norm', help='such as batch_norm')
parser.add_argument('--dropout', type=float, default=0.0)
parser.add_argument('--max_graphs', type=int)
parser.add_argument('--repeats', type=int, default=3)
args = parser.parse_args()
torch.set_num_threads(1)


def load(name):
    if name == 'toy':
        dataset = ToyMolecules()
    elif name == 'molhiv':
        folder = Path(args.root, 'OGB', 'ogbg_molhiv')
        return OGBMolecules(folder)[: args.max_graphs]
    else:
        dataset = TUDataset(str(Path(args.root, 'TUDataset')), name)
    if args.max_graphs is None or args.max_graphs >= len(dataset):
        return dataset
    return dataset.copy(torch.randperm(len(dataset))[: args.max_graphs])


class Net(torch.nn.Module):
    def __init__(self, gnn, num_features, num_layers):
        super().__init__()
        size = max(1, num_features)
        self.gnn = MODELS[gnn](
            size,
            args.channels,
            num_layers,
            norm=args.norm,
            dropout=args.dropout,
        )
        self.head = torch.nn.Linear(args.channels, 2)

    def forward(self, data):
        x = data.get('x')
        x = torch.ones(data.num_nodes, 1) if x is None else x.float()
        x = global_root_pool(
            self.gnn(x, data.edge_index),
            data.get('batch'),
            data.get('root_index'),
            data.get('root_count'),
            data.num_graphs,
            'mean',
            data.get('root_index_batch'),
        )
        return self.head(x)


def loss_of(net, data):
    return F.cross_entropy(net(data), data.y.view(-1).clamp(0, 1))


def epoch(net, optimizer, loader):
    start = time.process_time()
    for data in loader:
        optimizer.zero_grad()
        loss_of(net, data).backward()
        optimizer.step()
    return time.process_time() - start


def bytes_held(net, data):
    held = {}

    def note(value):
        storage = value.untyped_storage()
        held[storage.data_ptr()] = storage.nbytes()
        return value

    data.apply(note)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
        loss_of(net, data).backward()
    return sum(held.values())


def measure(net, loader):
    optimizer = torch.optim.Adam(net.parameters(), lr=0.001)
    seconds = min(epoch(net, optimizer, loader) for _ in range(args.repeats))
    batches = itertools.islice(loader, 5)
    return seconds, max(bytes_held(net, data) for data in batches)


def sizes(loader):
    full = [data for data in loader if data.num_graphs == loader.batch_size]
    count = max(1, len(full))
    return (
        sum(data.num_nodes for data in full) / count,
        sum(data.num_edges for data in full) / count,
    )


def num_bytes(*tensors):
    kept = [t for t in tensors if t is not None]
    return sum(t.numel() * t.element_size() for t in kept) / 1e6


@torch.no_grad()
def deviations(net, dataset, lossless, size):
    index = [torch.randperm(len(dataset))[:size].tolist()]
    (graph,) = DataLoader(dataset, batch_sampler=index)
    (tree,) = TreeSetLoader(lossless, batch_sampler=index, **left_out)
    for train in (False, True):
        out, expected = net.train(train)(tree), net(graph)
        yield float((out - expected).abs().max() / expected.abs().max())


left_out = {'exclude_keys': ['edge_attr']}
once = []
print(
    'data set       L     B      nodes   shared      edges   shared  ratio'
    '  predicted  model  epoch/s   shared  times    MB  shared'
    '  deviation training'
)
for name in args.datasets:
    dataset = load(name)
    for num_layers in args.num_layers:
        start = time.process_time()
        lossless = MirageDataset(
            dataset, num_layers, selection='lossless', log=False, **left_out
        )
        distilled = time.process_time()
        TreeSetLoader(lossless, **left_out)
        made = time.process_time()
        direct = TreeSetLoader(dataset, num_layers=num_layers, **left_out)
        read = time.process_time()
        trees, roots = direct.dataset.trees, direct.dataset.root
        data = dataset._data
        once.append(
            f'{name:14}{num_layers:2}{distilled - start:9.2f} s'
            f'{made - distilled:9.2f} s{read - made:9.2f} s'
            f'{num_bytes(data.get("x"), data.edge_index):9.1f} MB'
            f'{num_bytes(trees.x, trees.child, trees.ptr, trees.stem):9.1f} MB'
            f'{num_bytes(roots.value, direct.dataset.root_count):9.1f} MB'
        )
        for batch_size in args.batch_size:
            size = min(batch_size, len(dataset))
            kwargs = {'batch_size': size, 'shuffle': True}
            ordinary = DataLoader(dataset, **kwargs)
            shared = TreeSetLoader(lossless, **kwargs, **left_out)
            nodes, edges = sizes(ordinary)
            few_nodes, few_edges = sizes(shared)
            mean_size = size * len(data.edge_index[0]) / len(dataset)
            predicted = mean_size / shared.expected_size()[1]
            for gnn in args.models:
                net = Net(gnn, dataset.num_features, num_layers)
                error, of_training = deviations(net, dataset, lossless, size)
                seconds, peak = measure(net.train(), ordinary)
                few_seconds, few_peak = measure(net.train(), shared)
                print(
                    f'{name:14}{num_layers:2}{size:6}{nodes:11,.0f}'
                    f'{few_nodes:9,.0f}{edges:11,.0f}{few_edges:9,.0f}'
                    f'{edges / few_edges:7.2f}{predicted:11.2f}  {gnn:5}'
                    f'{seconds:9.2f}{few_seconds:9.2f}'
                    f'{seconds / few_seconds:7.2f}{peak / 1e6:6.1f}'
                    f'{few_peak / 1e6:8.1f}{error:11.0e}{of_training:9.0e}',
                    flush=True,
                )

print('\nonce           L    distil  dictionary    direct', end='')
print('    x, edges  dictionary  roots', *once, sep='\n')
