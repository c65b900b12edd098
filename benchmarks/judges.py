"""Does the judge know what networks learn?

By default, MirageDataset asks a judge which of several selections to keep. For
each training set in `--path`, which selections.py has written, this distils it
again, asks that judge and others with other constants, and compares with the
validation ROC-AUC of the networks (the mean over those with sums, and over
those with averages). Prints for each budget how far they are apart on average,
and how often the better of two training sets of the same split has the higher
score, if they are more than 0.02 apart. Test results are not read.
"""

import argparse
import json
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import torch
from pyg_distill.datasets.coresets.random_order import random_order
from pyg_distill.datasets.selecting import judging
from pyg_distill.datasets.selecting.by_judgement import MAX_GRAPHS

from pyg_distill.datasets import CoresetDataset, MirageDataset
from pyg_distill.evaluation import get_recipe

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument('--root', default='data')
parser.add_argument('--path', default='benchmarks/results/selections.jsonl')
parser.add_argument('--datasets', nargs='+')
args = parser.parse_args()
torch.set_num_threads(1)

CORESETS = ['random', 'herding', 'k_center']
SETS = [*CORESETS, 'patterns', 'multisets', 'graphs']
CONSTANTS = {
    'the judge': {},
    'no bias': {'BIAS': 0.0},
    'bias / 2': {'BIAS': judging.BIAS / 2},
    'bias x 2': {'BIAS': judging.BIAS * 2},
    'a free bias': {'BIAS': 10.0},
    'ridge / 10': {'RIDGE': judging.RIDGE / 10},
    'ridge x 10': {'RIDGE': judging.RIDGE * 10},
    'ridge x 10,000': {'RIDGE': judging.RIDGE * 1e4},
}
SHIPPED = {'BIAS': judging.BIAS, 'RIDGE': judging.RIDGE}


def read():
    """{(data set, run): {(budget, set): validation AUC}}."""
    out = defaultdict(dict)
    for line in Path(args.path).read_text().splitlines():
        cell = json.loads(line)
        if 'result' not in cell or cell['set'] not in SETS:
            continue
        if args.datasets and cell['dataset'] not in args.datasets:
            continue
        auc = defaultdict(list)
        for record in cell['result']['records']:
            auc[record['readout']].append(record['val_auc'])
        means = [sum(values) / len(values) for values in auc.values()]
        known = out[cell['dataset'], cell['run']]
        known[cell['budget'], cell['set']] = sum(means) / len(means)
    return out


def distil(name, source, budget, run):
    if name in CORESETS:
        return CoresetDataset(source, name, budget=budget, seed=run, log=False)
    return MirageDataset(source, 2, selection=name, budget=budget, log=False)


def judged():
    """(budget, split, validation AUC, score of each judge)."""
    out = []
    for (name, run), known in read().items():
        recipe = get_recipe(name)
        dataset = recipe.load(args.root)
        train = dataset[recipe.split(dataset, run)[0]]
        label = torch.cat([data.y.view(-1) for data in train])
        classes, sizes = (t.tolist() for t in label.unique(return_counts=True))
        order = random_order(len(train))[:MAX_GRAPHS].sort().values
        judge = judging.Judge(
            [train[int(i)] for i in order],
            2,
            dict(zip(classes, sizes, strict=True)),
            'source',
        )
        for (budget, kind), auc in known.items():
            small = list(distil(kind, train, budget, run))
            scores = {}
            for other, constants in CONSTANTS.items():
                vars(judging).update(SHIPPED | constants)
                scores[other] = judge(small)
            out.append((budget, (name, run), auc, scores))
        print(f'{name} {run}: {len(known)} training sets', flush=True)
    return out


rows = judged()
for budget in sorted({row[0] for row in rows}):
    here = [row for row in rows if row[0] == budget]
    pairs = [
        (a, b) if a[2] > b[2] else (b, a)
        for a, b in combinations(here, 2)
        if a[1] == b[1] and abs(a[2] - b[2]) > 0.02
    ]
    print(f'\nBudget {budget:g}: {len(here)} training sets, {len(pairs)} pairs')
    for other in CONSTANTS:
        apart = sum(abs(auc - scores[other]) for _, _, auc, scores in here)
        right = sum(
            (a[3][other] > b[3][other]) + 0.5 * (a[3][other] == b[3][other])
            for a, b in pairs
        )
        print(
            f'{other:16} apart {apart / len(here):.3f}, '
            f'pairs right {right / max(1, len(pairs)):.2f}'
        )
