r"""Students that learn from labels, logits and layers of a teacher.

For each setting (a data set, a teacher and a student, see kd_settings.py) and
each row (a layer loss alone or with logits, `+kd`; see kd_methods.py, and for
what was tried kd_forms.py, kd_attention.py, kd_schedules.py and
kd_graph_means.py), the weight of the logits is chosen from 1, 4, 16 and 64 with
a layer weight of 1, then the layer weight from 0.1, 1 and 10, both by the mean
validation result of the first seeds; all seeds are then run with what was
chosen. The epoch is validation's choice, too, and no run ends before that has
not become better for a long time; as runs are trained together and leave a few
at a time, some go on for longer.
Layer weights are relative: a loss is divided by its first value. Seeds change
the weights that students begin with, and nothing else: the split, the teacher
and the order of what is drawn are the same for all.

Students of all seeds and weights are trained at once; `--check` compares that
with a plain loop over modules of PyG and losses of this package.

Runs are appended to `--out` as they are done, and what is there is not run
again, so that the program can be stopped and called again with the same or
other settings, rows and seeds. `--report` prints the tables of that file: mean
and deviation over seeds, the paired difference of one row from each other, with
p-values of a permutation test, corrected (Holm) for the number of rows, and
mean ranks. It counts the first `--seeds` seeds only, leaves out rows that lack
some of them or of the runs that weights are chosen by, and says which; ranks
are among rows that all settings have. The last tests are over seeds, of each of
which the differences are averaged over all settings, since settings share what
a seed decides. With five seeds no p-value is below 0.06, with ten none below
0.002. Test results are accuracies, on molhiv areas under the curve.
"""

import argparse
import json
import warnings
from functools import partial
from pathlib import Path

import torch
from kd_attention import ATTENTION
from kd_choice import best, first_options, second_options
from kd_forms import FORMS
from kd_graph_means import GRAPH_MEANS
from kd_methods import ABLATIONS, LOSSES, METHODS, rows, split
from kd_report import report
from kd_schedules import SCHEDULES
from kd_settings import SETTINGS
from kd_train import LibraryLoss, Run, train

# What uses the teacher's classes of nodes.
OF_NODES = 'classes', 'mixed', 'by_class'
TRIED = FORMS | ATTENTION | SCHEDULES | GRAPH_MEANS
# So many at once, since what they need grows.
MAX_RUNS = 40

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument('--root', default='data', help='folder of the data sets')
parser.add_argument('--cache', default='teachers', help='folder of teachers')
parser.add_argument('--out', default='kd.jsonl')
parser.add_argument('--settings', nargs='+', choices=SETTINGS)
parser.add_argument('--rows', nargs='+', default=rows(METHODS))
parser.add_argument('--seeds', type=int, default=10)
parser.add_argument('--tune_seeds', type=int, default=3)
parser.add_argument('--epochs', type=int, help='fewer, to try it out')
parser.add_argument('--mine', default='abkd+kd', help='the row to compare')
parser.add_argument('--ablations', action='store_true')
parser.add_argument('--report', action='store_true')
parser.add_argument('--check', action='store_true')
args = parser.parse_args()
if args.ablations:
    args.rows = [
        'kd',
        'abkd+kd',
        *(f'{name}+kd' for name in ABLATIONS | FORMS),
    ]
for row in args.rows:
    name, _ = split(row)
    if name is not None and name not in LOSSES | TRIED:
        known = ', '.join(rows(LOSSES | TRIED))
        parser.error(f"no row '{row}' (there are {known})")
if not args.report:
    # Slow to import.
    from kd_graphs import GraphTask
    from kd_nodes import NUM_ROWS, NodeTask

torch.set_num_threads(1)
warnings.filterwarnings('ignore', message='.*Sparse.*')


def read():
    """Runs by setting, row, options and seed."""
    out = {}
    path = Path(args.out)
    for text in path.read_text().splitlines() if path.exists() else []:
        run = json.loads(text)
        cells = out.setdefault(run['setting'], {}).setdefault(run['row'], {})
        cells.setdefault((run['kd'], run['weight']), {})[run['seed']] = run
    return out


def complete(task, setting, row, options, seeds):
    """Runs what is missing of a row, and returns all of it."""
    done = read().get(setting, {}).get(row, {})
    runs = [
        Run(seed, *option)
        for option in options
        for seed in range(seeds)
        if seed not in done.get(option, {})
    ]
    name, _ = split(row)
    make = None
    if name in TRIED:
        make = partial(TRIED[name], task)
    elif name is not None:
        make = partial(LibraryLoss, LOSSES[name])
    for i in range(0, len(runs), MAX_RUNS):
        results = train(task, runs[i : i + MAX_RUNS], make, args.epochs)
        with open(args.out, 'a') as file:
            for result in results:
                result = {'setting': setting, 'row': row, **result}
                file.write(json.dumps(result) + '\n')
    done = read()[setting][row]
    return {o: {s: done[o][s] for s in range(seeds)} for o in options}


def run_row(task, setting, row):
    options = first_options(row)
    if len(options) > 1:
        runs = complete(task, setting, row, options, args.tune_seeds)
        options = [best(runs, options, args.tune_seeds)]
    options = second_options(row, options[0])
    if len(options) > 1:
        complete(task, setting, row, options, args.tune_seeds)
        runs = read()[setting][row]
        options = [best(runs, options, args.tune_seeds)]
    (choice,) = options
    complete(task, setting, row, [choice], args.seeds)
    done = read()[setting][row][choice]
    test = [100 * done[seed]['test'] for seed in range(args.seeds)]
    test = torch.tensor(test)
    std, mean = torch.std_mean(test, correction=0)
    print(
        f'{setting:16} {row:16} kd {choice[0]:g}, weight {choice[1]:g}: '
        f'{mean:.1f} ± {std:.1f}',
        flush=True,
    )


def load_task(setting):
    graphs = SETTINGS[setting].teacher[0] == 'gin'
    Path(args.cache).mkdir(parents=True, exist_ok=True)
    cls = GraphTask if graphs else NodeTask
    task = cls(setting, args.root, args.cache)
    val, test = (100 * float(value) for value in task.judge_teacher())
    print(f'{setting:16} teacher: val {val:.1f}, test {test:.1f}', flush=True)
    return task


if args.report:
    results = read()
    shown = {s: results[s] for s in args.settings or results if s in results}
    if not shown:
        parser.error(f"'{args.out}' has no runs of these settings; run them")
    report(shown, args.rows, args.mine, args.seeds, args.tune_seeds)
elif args.check:
    from kd_check import check

    torch.set_default_dtype(torch.double)
    for setting in args.settings or SETTINGS:
        task = load_task(setting)
        for name in LOSSES:
            make = LOSSES[name]
            if name == 'stride':  # No random draws.
                make = partial(make, num_samples=NUM_ROWS)
            difference = check(task, make)
            print(f'{setting:16} {name:12} {difference:.1e}', flush=True)
else:
    for setting in args.settings or SETTINGS:
        task = load_task(setting)
        for row in args.rows:
            if split(row)[0] in OF_NODES and isinstance(task, GraphTask):
                continue  # The teacher says nothing of single nodes.
            if split(row)[0] in GRAPH_MEANS and isinstance(task, NodeTask):
                continue
            run_row(task, setting, row)
