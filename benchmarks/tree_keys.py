"""Keys of computation trees, and frequent sets of them, beside references.

Keys are compared with a reference in Python that unrolls the tree of every node
and writes it down as a canonical string. Both must find the same number of
trees. Where the trees have more than `--max_unrolled` nodes together, both are
timed on the first graphs only.

`--mining` compares frequent sets with mlxtend, which must find as many, and
with pyfpgrowth (if it is installed), which the original implementation of
Mirage mines with. It leaves out some sets, and their share is printed. Sets are
mined in synthetic transactions (unions of templates, as in the "Fast
Algorithms for Mining Association Rules" paper, VLDB 1994) and, with `--root`,
in the trees of the classes of real data sets. Seconds are processor time.
"""

import argparse
import time
import warnings
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from measure import cpu_seconds
from recipes import load_graphs

from pyg_distill.data import read_table
from pyg_distill.trees import Forest, frequent_sets, support_count

# Data set, depth, class and support.
CLASSES = [
    ('NCI1', 2, 0, 0.05),
    ('NCI1', 2, 0, 0.02),
    ('NCI1', 2, 1, 0.05),
    ('NCI1', 2, 1, 0.02),
    ('PROTEINS', 1, 0, 0.2),
    ('PROTEINS', 1, 1, 0.1),
    ('IMDB-BINARY', 1, 0, 0.02),
    ('IMDB-BINARY', 1, 1, 0.01),
]


def unrolled_sizes(graphs, num_layers):
    """The nodes of the unrolled trees of each graph."""
    size = torch.ones(graphs.num_nodes, dtype=torch.double)
    source, target = graphs.edge_index
    for _ in range(num_layers):
        size = torch.ones_like(size).index_add_(0, target, size[source])
    total = torch.zeros(graphs.num_graphs, dtype=torch.double)
    return total.index_add_(0, graphs.graph_of_node(), size)


def unroll(graphs, num_layers):
    """The number of distinct canonical strings of all trees."""
    label = [0] * graphs.num_nodes
    if graphs.x is not None:
        label = graphs.x.unique(dim=0, return_inverse=True)[1].tolist()
    children = [[] for _ in label]
    for source, target in graphs.edge_index.t().tolist():
        children[target].append(source)

    def spell(node, depth):
        if depth == 0:
            return f'({label[node]})'
        below = sorted(spell(child, depth - 1) for child in children[node])
        return f'({label[node]}{"".join(below)})'

    return len({spell(node, num_layers) for node in range(len(label))})


def keys(args):
    def read(dataset):
        return read_table(dataset, exclude_keys=['edge_attr']).graphs

    print(
        'data set      L     nodes     trees       keys |  graphs       keys'
        '    unrolled     ratio'
    )
    for name in ['toy', *(args.datasets if args.root else [])]:
        dataset = load_graphs(args.root, name)
        graphs = read(dataset)
        for num_layers in range(1, args.num_layers + 1):
            sizes = unrolled_sizes(graphs, num_layers)
            first = int((sizes.cumsum(0) <= args.max_unrolled).sum())
            if first == 0:
                print(f'{name}: too many nodes to unroll at L={num_layers}')
                break
            part = graphs if first == len(dataset) else read(dataset[:first])
            of_all, of_part = (
                cpu_seconds(partial(Forest, g, num_layers), args.repeats)
                for g in (graphs, part)
            )
            start = time.process_time()
            expected = unroll(part, num_layers)
            slow = time.process_time() - start
            found = Forest(part, num_layers).distinct().first.numel()
            if found != expected:
                raise RuntimeError(f'{found} keys, but {expected} strings')
            trees = Forest(graphs, num_layers).distinct().first.numel()
            print(
                f'{name:12}{num_layers:3}{graphs.num_nodes:10,}{trees:10,}'
                f'{1000 * of_all:8.1f} ms |{first:8,}{1000 * of_part:8.1f} ms'
                f'{1000 * slow:9,.0f} ms{slow / of_part:9,.0f}x',
                flush=True,
            )


def synthetic(num_transactions=2000, num_items=200, size=20):
    """Items and transactions, with their number."""
    rng = np.random.default_rng(0)
    templates = [
        rng.choice(num_items, size=1 + rng.poisson(4), replace=False)
        for _ in range(150)
    ]
    weight = rng.exponential(size=len(templates))
    held = np.zeros((num_transactions, num_items), dtype=bool)
    for row in held:
        while row.sum() < size:
            template = templates[rng.choice(150, p=weight / weight.sum())]
            row[template[rng.random(len(template)) < 0.85]] = True
    transaction, item = torch.from_numpy(held).nonzero().t()
    return item, transaction, num_transactions


def trees_of_class(dataset, num_layers, label):
    """The trees of the graphs of a class, as items and transactions."""
    table = read_table(dataset, exclude_keys=['edge_attr'])
    forest = Forest(table.graphs, num_layers)
    node = forest.distinct_by_graph().first
    graph = table.graphs.graph_of_node()[node]
    is_member = table.label == label
    mask = is_member[graph]
    position = is_member.cumsum(0) - 1
    item = forest.distinct().inverse[node[mask]]
    return item, position[graph[mask]], int(is_member.sum())


def mlxtend(item, transaction, num_transactions, fraction, kind):
    """The number of sets and the seconds of mlxtend."""
    import pandas as pd
    from mlxtend.frequent_patterns import fpgrowth, fpmax

    value, column = item.unique(return_inverse=True)
    held = torch.zeros(num_transactions, value.numel(), dtype=torch.bool)
    held[transaction, column] = True
    # Infrequent items cost mlxtend much time.
    count = support_count(fraction, num_transactions)
    frame = pd.DataFrame(held[:, held.sum(dim=0) >= count].numpy())
    start = time.process_time()
    miner = {'all': fpgrowth, 'maximal': fpmax}[kind]
    found = miner(frame, min_support=fraction)
    return len(found), time.process_time() - start


def pyfpgrowth(item, transaction, num_transactions, count):
    """The number of sets and the seconds of pyfpgrowth."""
    from pyfpgrowth import find_frequent_patterns

    rows = [[] for _ in range(num_transactions)]
    for i, t in zip(item.tolist(), transaction.tolist(), strict=True):
        rows[t].append(i)
    start = time.process_time()
    found = find_frequent_patterns(rows, count)
    return len(found), time.process_time() - start


def mining(args):
    warnings.filterwarnings('ignore', category=DeprecationWarning)
    problems = [('synthetic', synthetic(), f) for f in args.min_support]
    for name, num_layers, label, fraction in CLASSES if args.root else []:
        if name in args.datasets:
            dataset = load_graphs(args.root, name)
            problem = trees_of_class(dataset, num_layers, label)
            problems.append(
                (f'{name} L={num_layers} y={label}', problem, fraction)
            )
    print(
        f'{"":20}support     kind    sets  seconds    sets/s   mlxtend'
        f'   ratio  pyfpgrowth   ratio  left out'
    )
    for name, problem, fraction in problems:
        count = support_count(fraction, problem[2])
        for kind in ('all', 'closed', 'maximal'):
            call = partial(frequent_sets, *problem, count, kind, max_sets=None)
            size, seconds = len(call()), cpu_seconds(call, args.repeats)
            line = f'{name:20}{fraction:7} {kind:>8} {size:7} '
            line += f'{seconds:8.3f} {size / seconds:9,.0f}'
            if kind != 'closed':
                expected, slow = mlxtend(*problem, fraction, kind)
                if size != expected:
                    raise RuntimeError(
                        f'{size} sets, but {expected} by mlxtend'
                    )
                line += f' {slow:8.2f}s {slow / seconds:6.0f}x'
            if kind == 'all' and find_spec('pyfpgrowth'):
                found, slow = pyfpgrowth(*problem, count)
                line += f' {slow:10.2f}s {slow / seconds:6.0f}x'
                line += f' {(size - found) / size:8.1%}'
            print(line, flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--root', help='folder of TUDataset; else toys only')
    parser.add_argument('--datasets', nargs='+')
    parser.add_argument('--num_layers', type=int, default=4)
    parser.add_argument('--max_unrolled', type=int, default=5_000_000)
    parser.add_argument('--mining', action='store_true')
    parser.add_argument(
        '--min_support', type=float, nargs='+', default=[0.02, 0.0125]
    )
    parser.add_argument('--repeats', type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.mining:
        args.datasets = args.datasets or [row[0] for row in CLASSES]
        mining(args)
    else:
        args.datasets = args.datasets or ['NCI1', 'IMDB-BINARY']
        keys(args)


if __name__ == '__main__':
    main()
