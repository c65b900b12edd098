r"""Frequent sets a second, beside the reference implementation of `mlxtend`.

Seconds are those of the processor, so that other programs do not count. The
transactions are unions of templates, as purchases are in the generator of
the "Fast Algorithms for Mining Association Rules" paper (VLDB 1994).
"""

import argparse
import time
import warnings

import numpy as np
import pandas as pd
import torch
from mlxtend.frequent_patterns import fpgrowth, fpmax

from pyg_distill.trees.mining import frequent_sets, support_count

parser = argparse.ArgumentParser()
parser.add_argument('--num_transactions', type=int, default=2000)
parser.add_argument('--num_items', type=int, default=200)
parser.add_argument('--size', type=int, default=20)
parser.add_argument(
    '--min_support', type=float, nargs='+', default=[0.02, 0.0125]
)
parser.add_argument('--repeats', type=int, default=3)
parser.add_argument('--seed', type=int, default=0)
args = parser.parse_args()

torch.set_num_threads(1)
warnings.filterwarnings('ignore', category=DeprecationWarning)

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
frame = pd.DataFrame(held)
references = {'all': fpgrowth, 'maximal': fpmax}


def best_time(call, repeats):
    times = []
    for _ in range(repeats):
        start = time.process_time()
        size = len(call())
        times.append(time.process_time() - start)
    return size, min(times)


print('min_support  items     mode    sets  seconds   sets/s  mlxtend  ratio')
for fraction in args.min_support:
    count = support_count(fraction, args.num_transactions)
    num_frequent = int((held.sum(axis=0) >= count).sum())
    for mode in ['all', 'closed', 'maximal']:
        size, seconds = best_time(
            lambda count=count, mode=mode: frequent_sets(
                item,
                transaction,
                args.num_transactions,
                count,
                mode,
                max_sets=None,
            ),
            args.repeats,
        )
        line = f'{fraction:11} {num_frequent:6} {mode:>8} {size:7} '
        line += f'{seconds:8.3f} {size / seconds:8.0f}'
        if mode in references:
            expected, reference = best_time(
                lambda fraction=fraction, mode=mode: references[mode](
                    frame, min_support=fraction
                ),
                1,
            )
            if expected != size:
                raise RuntimeError(f'{size} sets, but mlxtend finds {expected}')
            line += f' {reference:7.2f}s {reference / seconds:5.1f}x'
        print(line)
