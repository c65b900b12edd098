r"""Frequent sets a second, beside other miners written in Python.

`mlxtend` finds the same sets or this stops with an error; `pyfpgrowth`, which
the original implementation of Mirage mines with, leaves out some, which are
counted. Seconds are those of the processor, so that other programs do not
count. The synthetic transactions are unions of templates, as purchases are in
the generator of the "Fast Algorithms for Mining Association Rules" paper (VLDB
1994); with --root, the trees of the classes of real data sets follow.
"""

import argparse
import time
import warnings
from importlib.util import find_spec

import numpy as np
import pandas as pd
import torch
from pyg_distill.datasets.reading.source import read_source
from torch_geometric.datasets import TUDataset

from pyg_distill.trees import Forest
from pyg_distill.trees.mining import frequent_sets, support_count

parser = argparse.ArgumentParser()
parser.add_argument('--num_transactions', type=int, default=2000)
parser.add_argument('--num_items', type=int, default=200)
parser.add_argument('--size', type=int, default=20)
parser.add_argument(
    '--min_support', type=float, nargs='+', default=[0.02, 0.0125]
)
parser.add_argument('--root', default=None, help='folder of TUDataset')
parser.add_argument('--repeats', type=int, default=3)
parser.add_argument('--seed', type=int, default=0)
args = parser.parse_args()

torch.set_num_threads(1)

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


def synthetic():
    rng = np.random.default_rng(args.seed)
    templates = [
        rng.choice(args.num_items, size=1 + rng.poisson(4), replace=False)
        for _ in range(150)
    ]
    weight = rng.exponential(size=len(templates))
    weight /= weight.sum()
    held = np.zeros((args.num_transactions, args.num_items), dtype=bool)
    for row in held:
        while row.sum() < args.size:
            template = templates[rng.choice(len(templates), p=weight)]
            row[template[rng.random(len(template)) < 0.85]] = True
    transaction, item = torch.from_numpy(held).nonzero().t()
    return item, transaction, len(held)


def trees_of_class(name, num_layers, label):
    """Which trees the graphs of a class hold."""
    source = read_source(
        TUDataset(args.root, name), ['edge_attr'], 'benchmark', False
    )
    forest = Forest(source.graphs, num_layers)
    node = forest.distinct_by_graph().first
    graph = source.graphs.graph_of_node()[node]
    is_member = source.label == label
    number = is_member.cumsum(0) - 1
    kept = is_member[graph]
    tree = forest.distinct().inverse[node[kept]]
    return tree, number[graph[kept]], int(is_member.sum())


def problems():
    made = synthetic()
    for fraction in args.min_support:
        yield 'synthetic', *made, fraction
    if args.root is not None:
        for name, num_layers, label, fraction in CLASSES:
            title = f'{name} L={num_layers} y={label}'
            yield title, *trees_of_class(name, num_layers, label), fraction


def best_time(call, repeats):
    times = []
    for _ in range(repeats):
        start = time.process_time()
        found = call()
        times.append(time.process_time() - start)
    return len(found), min(times)


def mine_with_mlxtend(mode, item, transaction, num_transactions, fraction):
    # Not at the top, as it lets every other import warn of what is deprecated.
    from mlxtend.frequent_patterns import fpgrowth, fpmax

    warnings.filterwarnings('ignore', category=DeprecationWarning)
    value, column = item.unique(return_inverse=True)
    held = torch.zeros(num_transactions, value.numel(), dtype=torch.bool)
    held[transaction, column] = True
    # An item that no frequent set holds costs the other miner much time.
    count = support_count(fraction, num_transactions)
    frame = pd.DataFrame(held[:, held.sum(dim=0) >= count].numpy())
    miner = {'all': fpgrowth, 'maximal': fpmax}[mode]
    return best_time(lambda: miner(frame, min_support=fraction), 1)


def mine_with_pyfpgrowth(item, transaction, num_transactions, count):
    from pyfpgrowth import find_frequent_patterns

    rows = [[] for _ in range(num_transactions)]
    for i, t in zip(item.tolist(), transaction.tolist(), strict=True):
        rows[t].append(i)
    return best_time(lambda: find_frequent_patterns(rows, count), 1)


has_pyfpgrowth = find_spec('pyfpgrowth') is not None
if not has_pyfpgrowth:
    print('without pyfpgrowth, which is not installed\n')
print(
    f'{"":20}support     mode    sets  seconds    sets/s   mlxtend'
    f'   ratio  pyfpgrowth   ratio  left out'
)
for name, item, transaction, num_transactions, fraction in problems():
    count = support_count(fraction, num_transactions)
    for mode in ['all', 'closed', 'maximal']:
        size, seconds = best_time(
            lambda problem=(item, transaction, num_transactions, count, mode): (
                frequent_sets(*problem, max_sets=None)
            ),
            args.repeats,
        )
        line = f'{name:20}{fraction:7} {mode:>8} {size:7} '
        line += f'{seconds:8.3f} {size / seconds:9,.0f}'
        if mode != 'closed':
            expected, reference = mine_with_mlxtend(
                mode, item, transaction, num_transactions, fraction
            )
            if expected != size:
                raise RuntimeError(f'{size} sets, but mlxtend finds {expected}')
            line += f' {reference:8.2f}s {reference / seconds:6.0f}x'
        if mode == 'all' and has_pyfpgrowth:
            found, reference = mine_with_pyfpgrowth(
                item, transaction, num_transactions, count
            )
            line += f' {reference:10.2f}s {reference / seconds:6.0f}x'
            line += f' {(size - found) / size:8.1%}'
        print(line, flush=True)
