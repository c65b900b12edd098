r"""Keys of all computation trees, beside spelling the trees out.

The reference unrolls the tree of every node, writes it down as a canonical
string, and lets Python compare the strings: what any implementation does that
canonicalises trees one by one. Where the trees of a data set have more than
--max_unrolled nodes together, both are timed on its first graphs only. Both
must find the same number of distinct trees. Seconds are those of the processor,
on one thread, so that other programs do not count.
"""

import argparse
import time

import torch
from pyg_distill.datasets.reading.source import read_source
from torch_geometric.datasets import TUDataset

from pyg_distill.datasets import ToyMolecules
from pyg_distill.trees import Forest

parser = argparse.ArgumentParser()
parser.add_argument('--root', default=None, help='folder of TUDataset')
parser.add_argument('--datasets', nargs='+', default=['NCI1', 'IMDB-BINARY'])
parser.add_argument('--num_layers', type=int, default=4)
parser.add_argument('--max_unrolled', type=int, default=5_000_000)
parser.add_argument('--repeats', type=int, default=7)
args = parser.parse_args()

torch.set_num_threads(1)


def seconds(call, repeats):
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def unrolled_sizes(graphs, num_layers):
    """The nodes of the trees of each graph, were they unrolled."""
    size = torch.ones(graphs.num_nodes, dtype=torch.double)
    source, target = graphs.edge_index
    for _ in range(num_layers):
        size = torch.ones_like(size).index_add_(0, target, size[source])
    total = torch.zeros(graphs.num_graphs, dtype=torch.double)
    return total.index_add_(0, graphs.graph_of_node(), size)


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


def read(source):
    return read_source(source, ['edge_attr'], 'benchmark', False).graphs


sources = {'toy': ToyMolecules()}
if args.root is not None:
    sources |= {name: TUDataset(args.root, name) for name in args.datasets}

print('data set      L     nodes     trees       keys |', end='')
print('  graphs       keys    unrolled     ratio')
for name, source in sources.items():
    graphs = read(source)
    for num_layers in range(1, args.num_layers + 1):
        sizes = unrolled_sizes(graphs, num_layers)
        if sizes[0] > args.max_unrolled:
            print(f'{name}: L={num_layers} is out of reach of the reference')
            break
        first = int((sizes.cumsum(0) <= args.max_unrolled).sum())
        part = graphs if first == len(source) else read(source[:first])
        trees = Forest(graphs, num_layers).distinct().first.numel()
        keys, of_part = (
            seconds(lambda g=g, n=num_layers: Forest(g, n), args.repeats)
            for g in (graphs, part)
        )
        found = []
        slow = seconds(
            lambda g=part, n=num_layers, f=found: f.append(unrolled(g, n)), 1
        )
        expected = Forest(part, num_layers).distinct().first.numel()
        if found != [expected]:
            raise RuntimeError(f'{expected} keys, but {found[0]} strings')
        print(
            f'{name:12}{num_layers:3}{graphs.num_nodes:10,}{trees:10,}'
            f'{1000 * keys:8.1f} ms |{first:8,}{1000 * of_part:8.1f} ms'
            f'{1000 * slow:9,.0f} ms{slow / of_part:9,.0f}x',
            flush=True,
        )
