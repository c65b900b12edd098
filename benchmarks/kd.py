"""Students that learn from labels, from logits and from layers of a teacher.

A setting (see kd_settings.py) is a data set, a teacher and a student. A row is
`ce` (labels alone), `kd` (with logits), the name of a layer loss, or that with
logits (`+kd`). The weight of the logits is chosen from 1, 4, 16 and 64 with a
layer weight of 1, then that of the layers from 0.1, 1 and 10, both by the mean
validation result of the first `--tune_seeds` seeds. A layer loss is divided by
its first value. Seeds change the first weights of students and nothing else.
The epoch is chosen by validation data, with early stopping.

Runs are appended to `--out`, and are not repeated. `--report` prints the tables
of that file alone: mean and deviation over seeds, the paired difference of
`--mine` from each row with p-values (permutation test, Holm), and mean ranks.
Rows that lack some of the runs are left out. Results are accuracies, on molhiv
ROC-AUCs.

    python benchmarks/kd.py --root ROOT --settings cora-gat \\
        --rows ce kd abkd abkd+kd --tune_seeds 5 --seeds 10
    python benchmarks/kd.py --report --out benchmarks/results/kd.jsonl
"""

import argparse
import json
import warnings
from functools import partial
from pathlib import Path

import torch
from kd_report import best, first_options, report, second_options, split
from kd_settings import SETTINGS, load
from kd_train import train

from pyg_distill.nn import (
    ABKDLoss,
    ATLoss,
    FitNetLoss,
    GCRDLoss,
    GSPLoss,
    LSPLoss,
    StrideLoss,
)


def random_attention(teacher_channels, student_channels):
    """A fixed matrix, the same for every run."""
    generator = torch.Generator().manual_seed(0)
    size = len(teacher_channels), len(student_channels)
    attention = torch.rand(size, generator=generator)
    return ABKDLoss(teacher_channels, student_channels, attention)


# Both sides are compared in spaces of 64 channels, by every loss alike.
METHODS = {
    'fitnet': partial(FitNetLoss, hidden_channels=64),
    'at': ATLoss,
    'lsp': LSPLoss,
    'gsp': GSPLoss,
    'gcrd': partial(GCRDLoss, hidden_channels=64),
    'abkd_paper': ABKDLoss.paper,
    'stride': StrideLoss,
    'abkd': ABKDLoss,
}
ABLATIONS = {
    'diagonal': partial(ABKDLoss, attention='diagonal'),
    'last': partial(ABKDLoss, attention='last'),
    'random': random_attention,
    'learned': partial(ABKDLoss, attention='learned'),
    'group': partial(ABKDLoss, granularity='group', num_groups=64),
    'of_graphs': partial(ABKDLoss, granularity='graph'),
    'uncentred': partial(ABKDLoss, center=False),
    'unscaled': partial(ABKDLoss, normalize=False),
    'both': partial(ABKDLoss, projection='both'),
    'subspace': partial(ABKDLoss, projection='both', subspace=True),
}
# 'shipped' has the weights of Distiller.from_example instead of tuned ones.
LOSSES = METHODS | ABLATIONS | {'shipped': ABKDLoss}
ROWS = ['ce', 'kd', *METHODS, *(f'{name}+kd' for name in METHODS)]
KNOWN = ['ce', 'kd', *LOSSES, *(f'{name}+kd' for name in LOSSES)]


def read(path):
    """{setting: {row: {(logit weight, layer weight): {seed: run}}}}."""
    out = {}
    text = Path(path).read_text() if Path(path).exists() else ''
    for run in map(json.loads, text.splitlines()):
        rows = out.setdefault(run['setting'], {})
        weights = run['kd'], run['weight']
        runs = rows.setdefault(run['row'], {}).setdefault(weights, {})
        runs[run['seed']] = run
    return out


def complete(task, row, options, seeds, args):
    """Runs what is missing of a row, and returns all of it."""
    name, _ = split(row)
    done = read(args.out).get(args.setting, {}).get(row, {})
    for kd, weight in options:
        for seed in range(seeds):
            if seed not in done.get((kd, weight), {}):
                run = train(
                    task, seed, kd, weight, LOSSES.get(name), args.epochs
                )
                with open(args.out, 'a') as file:
                    run = {'setting': args.setting, 'row': row, **run}
                    file.write(json.dumps(run) + '\n')
    return read(args.out)[args.setting][row]


def run_row(task, row, args):
    """Chooses the weights of a row, and runs all seeds with them."""
    options = first_options(row)
    if len(options) > 1:
        runs = complete(task, row, options, args.tune_seeds, args)
        options = [best(runs, options, args.tune_seeds)]
    options = second_options(row, options[0])
    if len(options) > 1:
        runs = complete(task, row, options, args.tune_seeds, args)
        options = [best(runs, options, args.tune_seeds)]
    (choice,) = options
    runs = complete(task, row, options, args.seeds, args)[choice]
    test = torch.tensor([100 * runs[s]['test'] for s in range(args.seeds)])
    print(
        f'{args.setting:16} {row:16} kd {choice[0]:g}, weight {choice[1]:g}: '
        f'{test.mean():.1f} ± {test.std(correction=0):.1f}',
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--root', default='data', help='folder of data sets')
    parser.add_argument('--cache', default='teachers', help='of teachers')
    parser.add_argument('--out', default='kd.jsonl')
    parser.add_argument('--settings', nargs='+', choices=SETTINGS)
    parser.add_argument(
        '--rows', nargs='+', default=ROWS, help=f'of {", ".join(KNOWN)}'
    )
    parser.add_argument('--seeds', type=int, default=10)
    parser.add_argument('--tune_seeds', type=int, default=3)
    parser.add_argument('--epochs', type=int, help='fewer, to try it out')
    parser.add_argument('--mine', default='abkd+kd', help='the row to compare')
    parser.add_argument('--report', action='store_true')
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings('ignore', message='.*Sparse.*')

    if args.report:
        results = read(args.out)
        names = [s for s in args.settings or SETTINGS if s in results]
        if not names:
            parser.error(f"'{args.out}' has no runs of these settings")
        shown = {name: results[name] for name in names}
        report(shown, args.rows, args.mine, args.seeds, args.tune_seeds)
        return
    if unknown := {*args.rows} - {*KNOWN}:
        parser.error(f'no rows {sorted(unknown)}; pass some of {KNOWN}')
    for setting in args.settings or SETTINGS:
        args.setting = setting
        task = load(setting, args.root, args.cache)
        y = task.data.y
        val, test = (
            100 * task.metric(task.logits[index], y[index])
            for index in task.splits[1:]
        )
        print(f'{setting:16} teacher: val {val:.1f}, test {test:.1f}')
        for row in args.rows:
            if split(row)[0] != 'of_graphs' or task.graphs:
                run_row(task, row, args)


if __name__ == '__main__':
    main()
