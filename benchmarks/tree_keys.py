# How long do the keys of all computation trees take, how does that grow, and
# how much faster is it than unrolling the trees? In one run, on one thread.
import argparse
import resource
import time

import psutil
import torch
from torch_geometric.datasets import TUDataset
from torch_geometric.utils import erdos_renyi_graph

from pyg_distill.datasets import ToyMolecules
from pyg_distill.datasets.reading.source import read_source
from pyg_distill.trees import Forest, Graphs

parser = argparse.ArgumentParser()
parser.add_argument('--root', default=None, help='folder of TUDataset')
parser.add_argument('--datasets', nargs='+', default=['NCI1', 'IMDB-BINARY'])
parser.add_argument('--num_layers', type=int, default=3)
parser.add_argument('--repeats', type=int, default=5)
args = parser.parse_args()
torch.set_num_threads(1)


def seconds(function):
    times = []
    for _ in range(args.repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def unrolled(graphs, num_layers):
    """Canonical strings of all trees, each node and hop spelled out."""
    label = [0] * graphs.num_nodes
    if graphs.x is not None:
        _, label = graphs.x.unique(dim=0, return_inverse=True)
        label = label.tolist()
    children = [[] for _ in label]
    for source, target in graphs.edge_index.t().tolist():
        children[target].append(source)

    def spell(node, depth):
        if depth == 0:
            return f'({label[node]})'
        below = sorted(spell(child, depth - 1) for child in children[node])
        return f'({label[node]}{"".join(below)})'

    return len({spell(node, num_layers) for node in range(len(label))})


def random_graphs(num_graphs):
    """Copies of a random graph of degree 8, with 5 labels."""
    torch.manual_seed(0)
    edge_index = erdos_renyi_graph(1000, 8 / 1000)
    num_edges = torch.full((num_graphs,), edge_index.size(1))
    num_nodes = torch.full((num_graphs,), 1000)
    x = torch.randint(5, (1000 * num_graphs,))
    edge_index = edge_index.repeat(1, num_graphs)
    return Graphs.from_local(edge_index, num_nodes, num_edges, x)


# First of all, as the peak of a process never falls.
Forest(random_graphs(1), 3)
graphs = random_graphs(640)
tensors = [graphs.edge_index, graphs.x]
num_bytes = sum(t.numel() * t.element_size() for t in tensors)
before = psutil.Process().memory_info().rss
Forest(graphs, 3)
peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(f'at most {peak / num_bytes:.1f} times the input of {num_bytes:,} bytes')
print(f'are needed beside it for {graphs.num_nodes:,} nodes and L=3\n')

print('   nodes     edges    L      keys   per edge and layer')
for num_graphs in (10, 40, 160, 640):
    graphs = random_graphs(num_graphs)
    for num_layers in (1, 3, 10):
        keys = seconds(lambda g=graphs, n=num_layers: Forest(g, n))
        per_edge = 1e9 * keys / (num_layers * graphs.num_edges)
        print(
            f'{graphs.num_nodes:8,}{graphs.num_edges:10,}{num_layers:5}'
            f'{1000 * keys:7.1f} ms{per_edge:9.1f} ns'
        )

sources = {'toy': ToyMolecules()}
if args.root is not None:
    sources |= {name: TUDataset(args.root, name) for name in args.datasets}

print('\ndata set        L     nodes     trees      keys    unrolled     ratio')
for name, source in sources.items():
    graphs = read_source(source, ['edge_attr'], 'benchmark', False).graphs
    # Unrolling takes too long on hubs for all graphs at once.
    first = min(200, len(source))
    part = read_source(source[:first], ['edge_attr'], 'benchmark', False).graphs
    for num_layers in range(1, args.num_layers + 1):
        forest = Forest(graphs, num_layers)
        num_trees = forest.distinct().first.numel()
        keys = seconds(lambda g=graphs, n=num_layers: Forest(g, n))
        of_part = seconds(lambda g=part, n=num_layers: Forest(g, n))
        slow = seconds(lambda g=part, n=num_layers: unrolled(g, n))
        print(
            f'{name:12}{num_layers:5}{graphs.num_nodes:10,}{num_trees:10,}'
            f'{1000 * keys:7.1f} ms{1000 * slow:9.1f} ms{slow / of_part:9.0f}x'
        )
print(f'(unrolled, and the ratio, on the first {first} graphs of each)')
