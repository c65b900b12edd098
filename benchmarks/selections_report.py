"""Tables out of the runs that selections.py has written."""

import json

import torch
from kd_report import p_value

from pyg_distill.evaluation import Evaluation


def auc_by_cell(cells, name, budget):
    """{(data set, model, readout): {run: test AUC}} of a training set."""
    out = {}
    for cell in cells:
        if (cell['set'], cell['budget']) == (name, budget) and 'result' in cell:
            for r in Evaluation.from_dict(cell['result']).records:
                key = (cell['dataset'], r.model, r.readout)
                out.setdefault(key, {})[r.run] = r.auc
    return out


def report(cells, budget, order, mine):
    """Prints the means, ranks and differences of one budget."""
    full = auc_by_cell(cells, 'full', 1.0)
    found = {
        name: auc_by_cell(cells, name, budget)
        for name in order
        if name != 'full'
    }
    found = {name: auc for name, auc in found.items() if auc}
    runs = {  # Those that all have, except for sets that never fit.
        key: set.intersection(
            *(set(a[key]) for a in found.values() if key in a)
        )
        for key in found[mine]
    }
    found['full'] = full
    datasets = list(dict.fromkeys(key[0] for key in runs))
    names = [name for name in order if name in found]
    ranks = {name: [] for name in names}
    print(f'\nBudget {budget:g}: mean test AUC over models, readouts and runs')
    count = {key[0]: len(run) for key, run in runs.items()}
    print(f'{"":16}' + ''.join(f'{d:>20}' for d in datasets) + '      rank')
    print(f'{"runs":16}' + ''.join(f'{count[d]:>20}' for d in datasets))
    mean = {
        (name, key): sum(auc[key][r] for r in runs[key]) / len(runs[key])
        for name, auc in found.items()
        for key in runs
        if key in auc and runs[key] <= {*auc[key]}
    }
    for key in runs:
        here = [n for n in names if n != 'full']
        # What does not fit is last.
        value = {n: mean.get((n, key), 0.0) for n in here}
        for n in here:
            above = sum(value[m] > value[n] for m in here)
            equal = sum(value[m] == value[n] for m in here)
            ranks[n].append(above + (equal + 1) / 2)
    for name in names:
        line = f'{name:16}'
        for d in datasets:
            keys = [k for k in runs if k[0] == d and (name, k) in mean]
            if not keys:
                line += f'{"does not fit":>20}'
                continue
            by_run = torch.tensor(
                [
                    sum(found[name][k][r] for k in keys) / len(keys)
                    for r in runs[keys[0]]
                ]
            )
            line += f'{by_run.mean():>12.3f} ± {by_run.std(correction=0):.3f}'
        rank = ranks[name]
        print(line + (f'{sum(rank) / len(rank):>10.2f}' if rank else ''))
    near = [
        mean[mine, key] > mean['full', key] - 0.03
        for key in runs
        if ('full', key) in mean
    ]
    print(f'{mine} within .03 of full: {sum(near)} of {len(near)} cells')
    for name in names:
        if name != mine:
            print(by_split(mine, found[mine], name, found[name]))


def by_split(mine, own, name, other):
    """The difference over all networks of a data set and run, as one number."""
    gains = {}
    for key, by_run in own.items():
        for run in by_run.keys() & other.get(key, {}).keys():
            gain = by_run[run] - other[key][run]
            gains.setdefault((key[0], run), []).append(gain)
    means = [sum(gain) / len(gain) for gain in gains.values()]
    if not means:
        return f'{mine} and {name} have no run in common'
    return (
        f'{mine} minus {name}: {sum(means) / len(means):+.3f} over '
        f'{len(means)} data sets and runs (p {p_value(means):.3f})'
    )


def compare(cells, first, second):
    """Paired over runs, cell by cell, corrected for their number (Holm)."""
    chosen = []
    for cell in cells:
        if cell['set'] in (first, second) and 'result' in cell:
            name = f'{cell["dataset"]} {cell["budget"]:g}'
            values = json.loads(json.dumps(cell['result']))
            for record in values['records'] + values['set_records']:
                record['dataset'] = name
            values['options'] = {}
            chosen.append(Evaluation.from_dict(values))
    try:
        result = Evaluation.merge(chosen).compare(first, second)
    except ValueError as error:  # Fewer than two runs of both so far.
        print(error)
        return
    print(str(result).splitlines()[0], str(result).splitlines()[-1])
