"""Teacher and students on the same inputs: size, time, memory of a forward.

A model is written as kind:layersxchannels. The first one is the teacher, and
ratios are to it. Weights are random. Milliseconds are medians in evaluation
mode, in which models take turns. Memory is what a forward needs beyond its
inputs and weights, in a process of its own for each model (Linux).

    python benchmarks/latency.py --root ROOT
    python benchmarks/latency.py --task graph --models gin:5x300 gin:3x32
"""

import argparse
from functools import partial

import torch
from kd_settings import GCNII, KINDS, SETTINGS, load_nodes
from measure import added_mib, in_process, median_ms
from recipes import load_graphs
from torch_geometric.data import Batch, Data
from torch_geometric.nn import global_add_pool

DEFAULT = {
    'node': ['gcnii:64x64', 'gcn:4x16', 'gcn:4x4', 'sage:4x16', 'gat:2x16'],
    'graph': ['gin:5x300', 'gin:3x32', 'gin:2x16', 'gcn:3x32'],
}


def load(args):
    """The graph or mini-batch, and the number of classes."""
    torch.manual_seed(0)
    if args.task == 'graph':
        graphs = load_graphs(args.root, 'NCI1' if args.root else 'toy')
        return Batch.from_data_list([graphs[i] for i in range(128)]), 2
    if args.root is not None:
        return load_nodes(args.root, SETTINGS['cora-gcn']).data, 7
    edge_index = torch.randint(2708, (2, 5278))
    edge_index = torch.cat([edge_index, edge_index.flip(0)], dim=1)
    return Data(torch.randn(2708, 1433), edge_index), 7


class GraphNet(torch.nn.Module):
    def __init__(self, gnn, channels, num_classes):
        super().__init__()
        self.gnn = gnn
        self.lin = torch.nn.Linear(channels, num_classes)

    def forward(self, x, edge_index, batch):
        return self.lin(global_add_pool(self.gnn(x, edge_index), batch))


def build(name, task, in_channels, num_classes):
    kind, size = name.split(':')
    num_layers, channels = map(int, size.split('x'))
    if kind == 'gcnii':
        # The graph is normalised in every forward, as by the others.
        model = GCNII(
            in_channels, channels, num_layers, num_classes, cached=False
        )
    elif task == 'node':
        model = KINDS[kind](in_channels, channels, num_layers, num_classes)
    else:
        gnn = KINDS[kind](in_channels, channels, num_layers)
        model = GraphNet(gnn, channels, num_classes)
    return model.eval()


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--task', choices=DEFAULT, default='node')
    parser.add_argument('--models', nargs='+')
    parser.add_argument('--root', help='of Cora and NCI1; else a toy')
    parser.add_argument('--repeats', type=int, default=21)
    args = parser.parse_args()
    torch.set_num_threads(1)

    data, num_classes = load(args)
    x = data.x.float()
    inputs = [x, data.edge_index]
    inputs += [data.batch] if args.task == 'graph' else []
    names = args.models or DEFAULT[args.task]
    models = [build(n, args.task, x.size(1), num_classes) for n in names]
    calls = [partial(model, *inputs) for model in models]

    def peak(call):
        call()
        return added_mib(call)

    mib = [in_process(partial(peak, call)) for call in calls]
    ms = median_ms(calls, args.repeats)
    print(
        f'{x.size(0):,} nodes, {data.num_edges:,} edges, {x.size(1):,} '
        f'features\n{"model":<14}{"parameters":>11}{"fewer":>8}{"ms":>9}'
        f'{"faster":>8}{"MiB":>8}'
    )
    count = [sum(p.numel() for p in model.parameters()) for model in models]
    for i, name in enumerate(names):
        print(
            f'{name:<14}{count[i]:>11,}{count[0] / count[i]:>7.1f}x'
            f'{ms[i]:>9.2f}{ms[0] / ms[i]:>7.1f}x{mib[i]:>8.1f}'
        )


if __name__ == '__main__':
    main()
