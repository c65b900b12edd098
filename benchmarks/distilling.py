"""What distilling takes: processor seconds and peak memory, whole and in parts.

Each data set is distilled by `MirageDataset(dataset, num_layers, budget=0.02)`
in a fresh process (Linux). With `--package`, another checkout of the package is
timed as well: both take turns, and the least of all times counts. Then follow
the parts of this version: reading and counting trees, measuring the source,
and each selector.

    python benchmarks/distilling.py --root ROOT --datasets NCI1 DD
    python benchmarks/distilling.py --root ROOT --package OTHER_CHECKOUT
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from measure import added_mib, cpu_seconds
from recipes import load_graphs

DATASETS = ['NCI1', 'IMDB-BINARY', 'DD', 'REDDIT-BINARY', 'molhiv']
SELECTORS = ['random', 'kcenter', 'herding', 'frequent', 'multisets', 'auto']


def measure(args):
    """Distils one data set in this process, after a small one."""
    from pyg_distill.datasets import MirageDataset

    (name,) = args.datasets
    dataset = load_graphs(args.root, name)
    options = {'budget': args.budget, 'log': False}
    MirageDataset(dataset[:20], args.num_layers, budget=0.9, log=False)
    seconds = []

    def call():
        seconds.append(
            cpu_seconds(
                lambda: MirageDataset(dataset, args.num_layers, **options)
            )
        )

    mib = added_mib(call)
    return {'seconds': seconds[0], 'mib': mib}


def measure_parts(args):
    """The seconds of each part; parts before it do not count."""
    from pyg_distill.data.sources import Source
    from pyg_distill.data.statistics import collect_statistics
    from pyg_distill.selection import Budget, BudgetTooSmall, selector_resolver

    (name,) = args.datasets
    dataset = load_graphs(args.root, name)
    out = {}
    for part in SELECTORS:
        selector = selector_resolver(part)
        state = {}

        def count(selector=selector, state=state):
            source = Source(dataset, args.num_layers)
            state['statistics'] = collect_statistics(source, selector.needs)

        counting = cpu_seconds(count)
        budget = Budget(state['statistics'], args.budget)
        measuring = cpu_seconds(lambda budget=budget: budget.num_bytes)

        def select(selector=selector, state=state, budget=budget):
            selector(state['statistics'], budget)

        try:
            out[part] = cpu_seconds(select)
        except BudgetTooSmall:
            out[part] = None
        if part == 'auto':  # It needs all histograms.
            out['counting'], out['measuring'] = counting, measuring
    return out


def run(args, name, package, parts=False):
    """Calls this script in a process with a package of its own."""
    command = [
        sys.executable, __file__, '--root', args.root, '--datasets', name,
        '--num_layers', str(args.num_layers), '--budget', str(args.budget),
        '--measure', 'parts' if parts else 'whole',
    ]  # fmt: skip
    env = os.environ | {'PYTHONPATH': str(Path(package).resolve())}
    env |= {'OMP_NUM_THREADS': '1'}
    done = subprocess.run(
        command, env=env, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--root', default='data', help='of TUDataset and OGB')
    parser.add_argument('--datasets', nargs='+', default=DATASETS)
    parser.add_argument('--num_layers', type=int, default=2)
    parser.add_argument('--budget', type=float, default=0.02)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--package', help='folder of another checkout')
    parser.add_argument('--no_parts', action='store_true')
    parser.add_argument(
        '--measure', choices=['whole', 'parts'], help=argparse.SUPPRESS
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.measure:
        torch.manual_seed(0)
        call = measure if args.measure == 'whole' else measure_parts
        print(json.dumps(call(args)))
        return

    packages = {'this': Path(__file__).parents[1]}
    if args.package is not None:
        packages['other'] = args.package
    print(f'{"data set":16}{"package":>9}{"seconds":>10}{"MiB":>9}{"ratio":>8}')
    for name in args.datasets:
        results = {package: [] for package in packages}
        for _ in range(args.repeats):
            for package, path in packages.items():
                results[package].append(run(args, name, path))
        for package, runs in results.items():
            seconds = min(r['seconds'] for r in runs)
            mib = min(r['mib'] for r in runs)
            if package == 'this':
                first = seconds
            print(
                f'{name:16}{package:>9}{seconds:>10.2f}{mib:>9.0f}'
                f'{seconds / first:>7.2f}x',
                flush=True,
            )
    if args.no_parts:
        return
    names = ['counting', 'measuring', *SELECTORS]
    print(f'\n{"seconds of parts":16}' + ''.join(f'{n:>11}' for n in names))
    for name in args.datasets:
        parts = run(args, name, packages['this'], parts=True)
        line = ''.join(
            f'{"no fit":>11}' if parts[n] is None else f'{parts[n]:>11.2f}'
            for n in names
        )
        print(f'{name:16}{line}', flush=True)


if __name__ == '__main__':
    main()
