"""Would other judges keep something else?

By default, MirageDataset asks a judge which of several selections to keep. It
tests on graphs that may have been kept, and sees the sums and the averages of
nodes side by side. For each split of the recipes and each budget, prints the
scores of that judge and of two others: one that tests on graphs that were not
kept (one is left out for each that was), and one that scores sums and averages
apart and takes the mean. Then how often each of them would keep something else,
by its scores alone.
"""

import argparse

import torch

from pyg_distill.datasets import MirageDataset
from pyg_distill.datasets.selecting import by_judgement
from pyg_distill.datasets.selecting.by_judgement import MARGIN
from pyg_distill.datasets.selecting.judging import Judge
from pyg_distill.evaluation import get_recipe, list_recipes

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument('--root', default='data')
parser.add_argument('--datasets', nargs='+', default=list_recipes())
parser.add_argument('--budgets', type=float, nargs='+', default=[0.02, 0.1])
parser.add_argument('--runs', type=int, default=4)
args = parser.parse_args()
torch.set_num_threads(1)

JUDGES = ['default', 'held out', 'apart']
scores = []


class Judges(Judge):
    """Remembers what others think."""

    def __call__(self, graphs):
        value = super().__call__(graphs)
        rows, label, half = self._row, self._label, self._row.size(1) // 2
        known = self._describe(*self._roots(graphs), len(graphs))
        self._row, self._label = self.held_out(known)
        held_out = super().__call__(graphs)
        self._row, self._label = rows, label
        parts = slice(half), slice(half, None)
        apart = sum(self._score(graphs, part) for part in parts) / 2
        scores.append([value, held_out, apart])
        return value

    def held_out(self, known):
        left = torch.ones(len(self._row), dtype=torch.bool)
        for row in known:
            equal = ((self._row - row).abs().amax(dim=1) < 1e-9) & left
            left[equal.nonzero()[:1]] = False
        return self._row[left], self._label[left]


def choice(values):
    best = 0
    for i, value in enumerate(values):
        if value > values[best] + MARGIN:
            best = i
    return best


by_judgement.Judge = Judges
differing = dict.fromkeys(JUDGES[1:], 0)
num_choices = 0
for name in args.datasets:
    recipe = get_recipe(name)
    dataset = recipe.load(args.root)
    for run in range(args.runs):
        train = dataset[recipe.split(dataset, run)[0]]
        for budget in args.budgets:
            scores.clear()
            try:
                small = MirageDataset(train, 2, budget=budget, log=False)
            except ValueError as error:
                print(f'{name:14} {run} {budget:6g} {error}', flush=True)
                continue
            ways = list(small.report.scores)
            num_choices += 1
            kept = [choice(values) for values in zip(*scores, strict=True)]
            for judge, way in zip(JUDGES[1:], kept[1:], strict=True):
                differing[judge] += way != kept[0]
            for way, values in zip(ways, scores, strict=True):
                texts = ''.join(f'{value:10.3f}' for value in values)
                print(f'{name:14} {run} {budget:6g} {way:16}{texts}')
            print(f'{"":23}' + ', '.join(ways[way] for way in kept), flush=True)
for judge, number in differing.items():
    print(f'{judge}: something else in {number} of {num_choices}')
