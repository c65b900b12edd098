"""Compares training sets of the same compressed size.

For each data set, run and budget, every training set is made from the training
split, and GCN, GIN, GAT and GraphSAGE with sum and mean readout are trained on
it. Runs change the split, the draw and the weights. Prints, for each budget,
the mean test ROC-AUC over all networks and its deviation over the runs, the
mean rank over data sets and networks, and the paired differences from
`--compare`.

Results are appended to `--path`, one training set a line, and are not computed
again. `--report` prints the tables of that file alone:

    python benchmarks/selections.py --root ROOT --datasets MUTAG NCI1 \\
        --budgets 0.005 0.02 0.1 --runs 4 --path runs.jsonl
    python benchmarks/selections.py --report \\
        --path benchmarks/results/selections.jsonl
"""

import argparse
import hashlib
import json
import time
from pathlib import Path

import torch
from measure import p_value, ranks
from recipes import RECIPES

from pyg_distill.data import compressed_size
from pyg_distill.datasets import MirageDataset
from pyg_distill.evaluation import evaluate
from pyg_distill.selection import BudgetTooSmall

# The options of MirageDataset; the names are those of the results.
SETS = {
    'random': {'selection': 'random'},
    'kcenter': {'selection': 'kcenter'},
    'herding': {'selection': 'herding'},
    'herding both': {
        'selection': 'herding',
        'selection_kwargs': {'histogram': 'both'},
    },
    'frequent': {'selection': 'frequent'},
    'multisets': {'selection': 'multisets'},
    'auto': {'selection': 'auto'},
}
# What earlier versions called them.
OLD_NAMES = {
    'patterns': 'frequent',
    'k_center': 'kcenter',
    'graphs': 'herding both',
}
TRAINING = ['steps', 'lr', 'batch_size', 'eval_every']


def read(path):
    """The results in a file, with the names of this version."""
    lines = []
    if path is not None and Path(path).exists():
        lines = Path(path).read_text().splitlines()
    cells = [json.loads(line) for line in lines]
    for cell in cells:
        cell['set'] = OLD_NAMES.get(cell['set'], cell['set'])
    return cells


def make(name, source, budget, run):
    """A training set."""
    if name == 'full':
        return source
    options = dict(SETS[name])
    if name == 'random':
        options['selection_kwargs'] = {'seed': run}
    return MirageDataset(source, 2, budget=budget, log=False, **options)


def digest(dataset):
    """A digest of everything that a network is trained on."""
    out = hashlib.blake2b(digest_size=8)
    for data in dataset:
        for key in sorted({*data.keys()} - {'support', 'graph_id'}):
            if torch.is_tensor(data[key]):
                out.update(key.encode() + data[key].numpy().tobytes())
    return out.hexdigest()


def measure(cell, cells, splits, options):
    """Makes a training set, trains on it, and adds the result to `cell`."""
    train, val, test = splits
    name, run, start = cell['set'], cell['run'], time.perf_counter()
    try:
        small = make(name, train, cell['budget'], run)
    except BudgetTooSmall as error:
        return cell | {'error': str(error)}
    cell['seconds'] = time.perf_counter() - start
    if name == 'full':
        cell['compressed_bytes'] = compressed_size(train)
    else:
        cell['compressed_bytes'] = small.report.compressed_bytes
    cell['num_graphs'], cell['digest'] = len(small), digest(small)
    # 'auto' keeps what another selection keeps: training is not repeated.
    same = ('dataset', 'run', 'training', 'digest')
    for other in cells:
        if all(other.get(key) == cell[key] for key in same):
            result = json.loads(json.dumps(other['result']))
            for record in result['records'] + result['set_records']:
                record['train_set'] = name
            return cell | {'trained_as': other['set'], 'result': result}
    result = evaluate(
        {name: small}, test, val, runs=[run], log=False, **options
    )
    return cell | {'result': result.to_dict()}


def run_all(args, cells):
    """Computes what is not in `cells`, and appends it to the file."""
    for dataset_name in args.datasets:
        recipe = RECIPES[dataset_name]
        dataset = recipe.load(args.root)
        options = recipe.options(dataset)
        given = {key: getattr(args, key) for key in TRAINING}
        options |= {k: v for k, v in given.items() if v is not None}
        training = ' '.join(f'{key}={options[key]:g}' for key in TRAINING)
        same = [c for c in cells if c['dataset'] == dataset_name]
        earlier = {c['training'] for c in same if 'training' in c}
        if earlier - {training}:
            raise SystemExit(
                f'--path holds runs of {dataset_name} with {earlier}, not '
                f'{training}; pass another file'
            )
        known = {(c['budget'], c['run'], c['set']) for c in same}
        for run in range(args.first_run, args.first_run + args.runs):
            splits = [dataset[index] for index in recipe.split(dataset, run)]
            work = [(1.0, name) for name in args.sets if name == 'full']
            work += [
                (budget, name)
                for budget in args.budgets
                for name in args.sets
                if name != 'full'
            ]
            for budget, name in work:
                if (budget, run, name) in known:
                    continue
                cell = {
                    'dataset': dataset_name,
                    'budget': budget,
                    'run': run,
                    'set': name,
                    'training': training,
                }
                cell = measure(cell, cells, splits, options)
                cells.append(cell)
                if args.path is not None:
                    with open(args.path, 'a') as file:
                        file.write(json.dumps(cell) + '\n')
                auc = ''
                if 'result' in cell:
                    values = [r['auc'] for r in cell['result']['records']]
                    auc = f'{sum(values) / len(values):.3f}'
                print(
                    dataset_name, f'{budget:g}', run, name, auc,
                    cell.get('error', ''), flush=True,
                )  # fmt: skip


def auc_by_network(cells, name, budget):
    """{(data set, model, readout): {run: test ROC-AUC}} of a training set."""
    out = {}
    for cell in cells:
        if (cell['set'], cell['budget']) == (name, budget) and 'result' in cell:
            for r in cell['result']['records']:
                key = (cell['dataset'], r['model'], r['readout'])
                out.setdefault(key, {})[r['run']] = r['auc']
    return out


def report(cells, budget, names, compared):
    """Prints the table of one budget."""
    auc = {n: auc_by_network(cells, n, budget) for n in names if n != 'full'}
    auc = {name: value for name, value in auc.items() if value}
    networks = list(auc[compared])
    # Only runs of all sets count, but for sets that never fit.
    runs = {
        key: set.intersection(*({*a[key]} for a in auc.values() if key in a))
        for key in networks
    }
    auc['full'] = auc_by_network(cells, 'full', 1.0)
    mean = {
        (name, key): sum(values[key][r] for r in runs[key]) / len(runs[key])
        for name, values in auc.items()
        for key in networks
        if runs[key] and runs[key] <= {*values.get(key, ())}
    }
    placed = [
        # What does not fit is last.
        ranks({n: mean.get((n, key), 0.0) for n in auc if n != 'full'})
        for key in networks
    ]
    datasets = list(dict.fromkeys(key[0] for key in networks))
    width = max(16, *(len(name) + 2 for name in datasets))
    print(f'\nBudget {budget:g}: test ROC-AUC, mean and deviation over runs')
    print(f'{"":14}' + ''.join(f'{d:>{width}}' for d in datasets) + '    rank')
    for name in sorted(auc, key=['full', *SETS].index):
        line = f'{name:14}'
        for d in datasets:
            keys = [k for k in networks if k[0] == d and (name, k) in mean]
            text = 'does not fit'
            if keys:
                by_run = torch.tensor(
                    [
                        [auc[name][k][r] for k in keys]
                        for r in sorted(runs[keys[0]])
                    ]
                ).mean(dim=1)
                std = by_run.std(correction=0)
                text = f'{by_run.mean():.3f} ± {std:.3f}'
            line += f'{text:>{width}}'
        if name != 'full':
            line += f'{sum(p[name] for p in placed) / len(placed):>8.2f}'
        print(line)
    for name in auc:
        if name != compared:
            print(difference(auc[compared], auc[name], compared, name))


def difference(one, other, name, other_name):
    """A paired test; all networks of a data set and run are one number."""
    gains = {}
    for key, by_run in one.items():
        for run in by_run.keys() & other.get(key, {}).keys():
            gain = by_run[run] - other[key][run]
            gains.setdefault((key[0], run), []).append(gain)
    means = [sum(gain) / len(gain) for gain in gains.values()]
    if not means:
        return f'{name} and {other_name} have no run in common'
    return (
        f'{name} minus {other_name}: {sum(means) / len(means):+.3f} over '
        f'{len(means)} data sets and runs (p {p_value(means):.3f})'
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--root', default='data', help='of TUDataset and OGB')
    parser.add_argument(
        '--datasets', nargs='+', default=['MUTAG'], choices=RECIPES
    )
    parser.add_argument('--budgets', nargs='+', type=float, default=[0.02])
    parser.add_argument(
        '--sets',
        nargs='+',
        choices=['full', *SETS],
        default=['full', 'random', 'herding', 'frequent', 'auto'],
    )
    parser.add_argument('--runs', type=int, default=3)
    parser.add_argument('--first_run', type=int, default=0)
    parser.add_argument('--steps', type=int, help="instead of the recipe's")
    parser.add_argument('--batch_size', type=int, help='instead of that')
    parser.add_argument('--lr', type=float, help='instead of that')
    parser.add_argument('--eval_every', type=int, default=25)
    parser.add_argument('--path', help='file of results')
    parser.add_argument('--report', action='store_true')
    parser.add_argument('--compare', default='auto', choices=SETS)
    args = parser.parse_args()
    torch.set_num_threads(1)

    cells = read(args.path)
    if not args.report:
        run_all(args, cells)
    compared = [c for c in cells if c['set'] == args.compare and 'result' in c]
    for budget in sorted({c['budget'] for c in compared}):
        report(cells, budget, args.sets, args.compare)


if __name__ == '__main__':
    main()
