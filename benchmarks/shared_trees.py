"""Epochs of TreeSetLoader beside those of an ordinary DataLoader.

Seconds are processor time, the least of some epochs of forward, backward and
step. Memory is what is alive when the backward pass begins: the mini-batch and
what autograd has saved, the most of five steps. Models read nodes only; without
features, all nodes are ones. Deviations of logits are relative to the largest,
in evaluation mode and in training mode, where norms and dropout cause them.

    python benchmarks/shared_trees.py --root ROOT --datasets NCI1 molhiv
"""

import argparse
import itertools
import time

import torch
import torch.nn.functional as F
from measure import cpu_seconds
from recipes import load_graphs
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GAT, GIN, GraphSAGE

from pyg_distill.datasets import MirageDataset
from pyg_distill.loader import TreeSetLoader
from pyg_distill.nn import global_root_pool

MODELS = {'GIN': GIN, 'SAGE': GraphSAGE, 'GAT': GAT}
EXCLUDED = {'exclude_keys': ['edge_attr']}


class Net(torch.nn.Module):
    def __init__(self, gnn, in_channels, num_layers, args):
        super().__init__()
        options = {'norm': args.norm, 'dropout': args.dropout}
        self.gnn = MODELS[gnn](
            max(1, in_channels), args.channels, num_layers, **options
        )
        self.head = torch.nn.Linear(args.channels, 2)

    def forward(self, data):
        x = data.get('x')
        x = torch.ones(data.num_nodes, 1) if x is None else x.float()
        x = self.gnn(x, data.edge_index)
        return self.head(global_root_pool(x, data, reduce='mean'))

    def loss(self, data):
        return F.cross_entropy(self(data), data.y.view(-1).clamp(0, 1))


def mib_alive(net, data):
    """The MiB of a mini-batch and of what autograd saves."""
    alive = {}

    def note(value):
        storage = value.untyped_storage()
        alive[storage.data_ptr()] = storage.nbytes()
        return value

    data.apply(note)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
        net.loss(data).backward()
    return sum(alive.values()) / 2**20


def measure(net, loader, repeats):
    """Seconds of an epoch and MiB of a mini-batch."""
    optimizer = torch.optim.Adam(net.parameters(), lr=0.001)

    def epoch():
        for data in loader:
            optimizer.zero_grad()
            net.loss(data).backward()
            optimizer.step()

    seconds = cpu_seconds(epoch, repeats)
    batches = itertools.islice(loader, 5)
    return seconds, max(mib_alive(net, data) for data in batches)


def mean_size(loader):
    """The mean nodes and edges of full mini-batches."""
    full = [d for d in loader if d.num_graphs == loader.batch_size]
    sizes = torch.tensor([[d.num_nodes, d.num_edges] for d in full])
    return sizes.double().mean(dim=0).tolist()


@torch.no_grad()
def deviations(net, dataset, lossless, batch_size):
    index = [torch.randperm(len(dataset))[:batch_size].tolist()]
    (data,) = DataLoader(dataset, batch_sampler=index)
    (shared,) = TreeSetLoader(lossless, batch_sampler=index, **EXCLUDED)
    for mode in (False, True):
        out, expected = net.train(mode)(shared), net(data)
        yield float((out - expected).abs().max() / expected.abs().max())


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--root', help='folder of TUDataset and OGB')
    parser.add_argument('--datasets', nargs='+', default=['toy'])
    parser.add_argument('--batch_size', type=int, default=128)
    parser.add_argument('--num_layers', type=int, nargs='+', default=[2, 3, 4])
    parser.add_argument(
        '--models', nargs='+', default=[*MODELS], choices=MODELS
    )
    parser.add_argument('--channels', type=int, default=64)
    parser.add_argument('--norm', help='such as batch_norm')
    parser.add_argument('--dropout', type=float, default=0.0)
    parser.add_argument('--max_graphs', type=int)
    parser.add_argument('--repeats', type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)

    once = []
    print(
        'data set       L      nodes   shared      edges   shared  ratio'
        '  predicted  model  epoch/s   shared  times   MiB  shared'
        '  deviation training'
    )
    for name in args.datasets:
        dataset = load_graphs(args.root, name)
        if args.max_graphs is not None:
            order = torch.randperm(len(dataset))[: args.max_graphs]
            dataset = dataset.copy(order)
        size = min(args.batch_size, len(dataset))
        ordinary = DataLoader(dataset, size, shuffle=True)
        nodes, edges = mean_size(ordinary)
        for num_layers in args.num_layers:
            start = time.process_time()
            lossless = MirageDataset(
                dataset, num_layers, selection='lossless', log=False, **EXCLUDED
            )
            distilled = time.process_time()
            options = {'batch_size': size, 'shuffle': True, **EXCLUDED}
            shared = TreeSetLoader(lossless, **options)
            loaded = time.process_time()
            TreeSetLoader(dataset, num_layers=num_layers, **options)
            direct = time.process_time() - loaded
            once.append(
                f'{name:14}{num_layers:2}{distilled - start:12.2f} s'
                f'{loaded - distilled:12.2f} s{direct:12.2f} s'
            )
            few_nodes, few_edges = mean_size(shared)
            all_edges = size * len(dataset._data.edge_index[0]) / len(dataset)
            predicted = all_edges / shared.expected_size()[1]
            for gnn in args.models:
                net = Net(gnn, dataset.num_features, num_layers, args)
                error, training = deviations(net, dataset, lossless, size)
                seconds, mib = measure(net.train(), ordinary, args.repeats)
                few_seconds, few_mib = measure(net, shared, args.repeats)
                print(
                    f'{name:14}{num_layers:2}{nodes:11,.0f}{few_nodes:9,.0f}'
                    f'{edges:11,.0f}{few_edges:9,.0f}{edges / few_edges:7.2f}'
                    f'{predicted:11.2f}  {gnn:5}{seconds:9.2f}'
                    f'{few_seconds:9.2f}{seconds / few_seconds:7.2f}{mib:6.1f}'
                    f'{few_mib:8.1f}{error:11.0e}{training:9.0e}',
                    flush=True,
                )
    print('\nseconds once    L   distilling  its loader   or direct')
    print(*once, sep='\n')


if __name__ == '__main__':
    main()
