"""Do scores of training sets predict what networks learn from them?

`MirageDataset` keeps, by default, the selection of the best score
(`pyg_distill.selection.Scorer`), and trains no network. For each training set
in `--path`, which selections.py has written, this makes the set again, scores
it with the constants of the scorer and with others, and compares the score with
the mean validation ROC-AUC of the networks. Prints, for each budget, the mean
absolute difference of both, and how often the better of two training sets of
one split has the higher score, if their ROC-AUC differs by more than 0.02. Test
results are not read.

    python benchmarks/scores.py --root ROOT --datasets MUTAG NCI1
"""

import argparse
from collections import defaultdict
from itertools import combinations

import torch
from recipes import RECIPES
from selections import SETS, read

from pyg_distill.data.sources import Source
from pyg_distill.data.statistics import collect_statistics
from pyg_distill.selection import (
    Budget,
    BudgetTooSmall,
    Scorer,
    scoring,
    selector_resolver,
)

DEFAULT = {'BIAS': scoring.BIAS, 'RIDGE': scoring.RIDGE}
CONSTANTS = {
    'as it is': {},
    'no bias': {'BIAS': 0.0},
    'bias / 2': {'BIAS': scoring.BIAS / 2},
    'bias x 2': {'BIAS': scoring.BIAS * 2},
    'free bias': {'BIAS': 10.0},
    'ridge / 10': {'RIDGE': scoring.RIDGE / 10},
    'ridge x 10': {'RIDGE': scoring.RIDGE * 10},
    'ridge x 10,000': {'RIDGE': scoring.RIDGE * 1e4},
}


def validation_auc(path, datasets):
    """{(data set, run): {(budget, set): validation ROC-AUC}}."""
    out = defaultdict(dict)
    for cell in read(path):
        skipped = datasets and cell['dataset'] not in datasets
        if 'result' in cell and cell['set'] in SETS and not skipped:
            auc = defaultdict(list)
            for r in cell['result']['records']:
                auc[r['readout']].append(r['val_auc'])
            means = [sum(values) / len(values) for values in auc.values()]
            known = out[cell['dataset'], cell['run']]
            known[cell['budget'], cell['set']] = sum(means) / len(means)
    return out


def score_all(train, known, run):
    """Budget, validation ROC-AUC and scores of each training set."""
    statistics = collect_statistics(Source(train, 2), ('shares', 'counts'))
    scorer = Scorer(statistics, 'source')
    for (budget, name), auc in known.items():
        if name == 'auto':  # The same as one of the others.
            continue
        kwargs = SETS[name].get('selection_kwargs', {})
        if name == 'random':
            kwargs = {'seed': run}
        selector = selector_resolver(SETS[name]['selection'], **kwargs)
        try:
            selected = selector(statistics, Budget(statistics, budget))
        except BudgetTooSmall:
            continue
        scores = {}
        for title, constants in CONSTANTS.items():
            vars(scoring).update(DEFAULT | constants)
            scores[title] = scorer(selected)
        yield budget, auc, scores


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--root', default='data', help='of TUDataset and OGB')
    parser.add_argument('--path', default='benchmarks/results/selections.jsonl')
    parser.add_argument('--datasets', nargs='+', choices=RECIPES)
    args = parser.parse_args()
    torch.set_num_threads(1)

    rows = []
    for (name, run), known in validation_auc(args.path, args.datasets).items():
        dataset = RECIPES[name].load(args.root)
        train = dataset[RECIPES[name].split(dataset, run)[0]]
        here = [((name, run), *row) for row in score_all(train, known, run)]
        print(f'{name}, run {run}: {len(here)} training sets', flush=True)
        rows += here
    for budget in sorted({row[1] for row in rows}):
        here = [row for row in rows if row[1] == budget]
        pairs = [
            (a, b) if a[2] > b[2] else (b, a)
            for a, b in combinations(here, 2)
            if a[0] == b[0] and abs(a[2] - b[2]) > 0.02
        ]
        print(
            f'\nBudget {budget:g}: {len(here)} training sets, '
            f'{len(pairs)} pairs'
        )
        for title in CONSTANTS:
            gap = sum(abs(auc - s[title]) for _, _, auc, s in here) / len(here)
            right = sum(
                (a[3][title] > b[3][title]) + 0.5 * (a[3][title] == b[3][title])
                for a, b in pairs
            )
            print(
                f'{title:16} difference {gap:.3f}, pairs right '
                f'{right / max(1, len(pairs)):.2f}'
            )


if __name__ == '__main__':
    main()
