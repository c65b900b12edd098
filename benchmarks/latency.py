r"""Teacher and student on the same inputs: size, time and memory of a forward.

    python benchmarks/latency.py
    python benchmarks/latency.py --models gcnii:64x64 gcn:4x16 gcn:4x4
    python benchmarks/latency.py --task graph --models gin:5x300 gin:3x32

A model is written as kind:layersxchannels, the first one is the teacher, and
weights are random, which neither time nor memory know of. Milliseconds are the
median of forwards in evaluation mode, in which models take turns. How many
times fewer or faster a model is counts from the teacher. Memory is what a
forward needs at most beyond its inputs and weights, counted by the system
(Linux) in a process of its own for each model.
"""

import argparse
import ctypes
import multiprocessing
import statistics
import sys
import time
from pathlib import Path

import torch
from torch_geometric.data import Batch, Data
from torch_geometric.datasets import TUDataset
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE, global_add_pool

from pyg_distill.datasets import ToyMolecules

sys.path.append(str(Path(__file__).parents[1] / 'examples'))
from node_graphs import GCNII, load

parser = argparse.ArgumentParser()
parser.add_argument('--task', choices=['node', 'graph'], default='node')
parser.add_argument('--models', nargs='+')
parser.add_argument('--root', help='Folder of Cora or NCI1, else a toy')
parser.add_argument('--batch_size', type=int, default=128)
parser.add_argument('--repeats', type=int, default=21)
parser.add_argument('--num_threads', type=int, default=1)
args = parser.parse_args()
torch.set_num_threads(args.num_threads)
DEFAULT = {
    'node': ['gcnii:64x64', 'gcn:4x16', 'gcn:4x4', 'sage:4x16', 'gat:2x16'],
    'graph': ['gin:5x300', 'gin:3x32', 'gin:2x16', 'gcn:3x32'],
}
KINDS = {'gcn': GCN, 'gin': GIN, 'sage': GraphSAGE, 'gat': GAT}


def inputs():
    torch.manual_seed(0)
    if args.task == 'graph':
        graphs = ToyMolecules(args.batch_size)
        if args.root is not None:
            graphs = TUDataset(f'{args.root}/TUDataset', 'NCI1')
        graphs = [graphs[i] for i in range(args.batch_size)]
        return Batch.from_data_list(graphs), 2
    if args.root is not None:
        return load(args.root, 'Cora'), 7
    edge_index = torch.randint(2708, (2, 5278))
    edge_index = torch.cat([edge_index, edge_index.flip(0)], dim=1)
    return Data(torch.randn(2708, 1433), edge_index), 7


class Readout(torch.nn.Module):
    def __init__(self, gnn, channels, out_channels):
        super().__init__()
        self.gnn = gnn
        self.head = torch.nn.Linear(channels, out_channels)

    def forward(self, x, edge_index, batch):
        return self.head(global_add_pool(self.gnn(x, edge_index), batch))


def build(name, in_channels, out_channels):
    kind, size = name.split(':')
    num_layers, channels = map(int, size.split('x'))
    if kind == 'gcnii':
        model = GCNII(in_channels, channels, num_layers, out_channels)
        for conv in model.convs:
            # As for all others: the graph is normalised in every forward.
            conv.cached = False
    elif args.task == 'node':
        model = KINDS[kind](in_channels, channels, num_layers, out_channels)
    else:
        gnn = KINDS[kind](in_channels, channels, num_layers)
        model = Readout(gnn, channels, out_channels)
    return model.eval()


def size(field):
    with open('/proc/self/status') as file:
        (line,) = [line for line in file if line.startswith(field)]
    return int(line.split()[1]) / 1024


@torch.no_grad()
def memory(model, call, sender):
    # What is freed goes back to the system at once.
    ctypes.CDLL(None).mallopt(-3, 65536)
    model(*call)
    with open('/proc/self/clear_refs', 'w') as file:
        file.write('5')
    before = size('VmRSS')
    model(*call)
    sender.send(size('VmHWM') - before)


@torch.no_grad()
def measure():
    data, out_channels = inputs()
    x = data.x.float()
    call = (x, data.edge_index)
    if args.task == 'graph':
        call = (*call, data.batch)
    names = args.models or DEFAULT[args.task]
    models = [build(name, x.size(1), out_channels) for name in names]
    print(
        f'{x.size(0):,} nodes, {data.num_edges:,} edges, {x.size(1):,} '
        f'features; {args.num_threads} thread(s)\n'
        f'{"model":<14}{"parameters":>11}{"fewer":>8}{"ms":>9}{"faster":>8}'
        f'{"MiB":>8}'
    )
    # In processes of their own, before threads are started here.
    context = multiprocessing.get_context('fork')
    peaks = []
    for model in models:
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=memory, args=(model, call, sender))
        child.start()
        peaks.append(receiver.recv())
        child.join()
    times = [[] for _ in models]
    for _ in range(args.repeats + 3):
        for model, ms in zip(models, times, strict=True):
            start = time.perf_counter()
            model(*call)
            ms.append(1000 * (time.perf_counter() - start))
    counts = [sum(p.numel() for p in model.parameters()) for model in models]
    medians = [statistics.median(ms[3:]) for ms in times]
    for name, n, ms, peak in zip(names, counts, medians, peaks, strict=True):
        print(
            f'{name:<14}{n:>11,}{counts[0] / n:>7.1f}x{ms:>9.2f}'
            f'{medians[0] / ms:>7.1f}x{peak:>8.1f}'
        )


measure()
