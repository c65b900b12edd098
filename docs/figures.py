r"""Draws the figures of the documentation, each for light and dark pages.

    python docs/figures.py
    python docs/figures.py --root ROOT --evaluation RESULTS --latency TIMES

With --root, graphs are those of NCI1 and MUTAG in that folder, else toy
molecules. Two figures, and a part of the overview, need results:

* accuracy from RESULTS, the file that benchmarks/selections.py writes to its
  --path (one line of JSON a training set), or one of Evaluation.to_dict(),
* latency from TIMES, a table (CSV) with the columns name, milliseconds,
  accuracy and, if there is one, deviation; the first row is the teacher. Times
  are those of benchmarks/latency.py, accuracies those of examples/abkd_node.py.
"""

import argparse
import csv
import io
import json
from functools import cached_property, partial
from pathlib import Path

import matplotlib as mpl
import torch
import torch.nn.functional as F
from matplotlib.patches import Circle
from PIL import Image
from torch_geometric import seed_everything
from torch_geometric.datasets import TUDataset
from torch_geometric.nn import GCN
from torch_geometric.utils import stochastic_blockmodel_graph

import pyg_distill.visualization as vis
from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.evaluation import Evaluation
from pyg_distill.nn import ABKDLoss, Distiller
from pyg_distill.trees import tree_keys, unique_keys

mpl.use('agg')
import matplotlib.pyplot as plt

# The elements that the README of MUTAG names.
ELEMENTS = ('C', 'N', 'O', 'F', 'I', 'Cl', 'Br')
# The background of dark pages.
DARK = dict.fromkeys(
    ('figure.facecolor', 'axes.facecolor', 'savefig.facecolor'), '#131416'
)
COMMON = {'font.size': 10, 'savefig.dpi': 150}
STYLES = {
    '': ['default', COMMON],
    '_dark': ['dark_background', COMMON, DARK],
}


def subplots(rows, columns, width, height, **kwargs):
    size = (width, height)
    return plt.subplots(
        rows, columns, figsize=size, layout='constrained', **kwargs
    )


def train_distillers():
    """Trains students of a stochastic block model, by kind of attention."""
    seed_everything(0)
    y = torch.arange(4).repeat_interleave(200)
    probs = torch.full((4, 4), 0.005).fill_diagonal_(0.03)
    edge_index = stochastic_blockmodel_graph(y.bincount(), probs)
    x = torch.randn(800, 16) + F.one_hot(y, 16)
    mask = torch.rand(800) < 0.1

    def fit(model, params, total=lambda loss: loss, steps=200):
        optimizer = torch.optim.Adam(params, lr=0.01)
        for _ in range(steps):
            optimizer.zero_grad()
            out = model.train()(x, edge_index)
            total(F.cross_entropy(out[mask], y[mask])).backward()
            optimizer.step()

    teacher = GCN(16, 64, num_layers=6, out_channels=4, dropout=0.5)
    fit(teacher, teacher.parameters())
    distillers = {}
    for title, attention, steps in [
        ('uniform', 'uniform', 1),
        ('learned, 10 steps', 'learned', 10),
        ('learned, 200 steps', 'learned', 200),
    ]:
        seed_everything(0)
        distiller = Distiller.from_example(
            GCN(16, 16, num_layers=3, out_channels=4),
            teacher,
            (x, edge_index),
            partial(ABKDLoss, attention=attention),
        )
        params = distiller.parameter_groups()
        fit(distiller, params, distiller.loss, steps)
        distillers[title] = distiller
    return distillers


def read_evaluations(path):
    """Reads results, and merges the runs of each budget."""
    text = Path(path).read_text()
    try:
        values = json.loads(text)
        lines = values if isinstance(values, list) else [values]
    except json.JSONDecodeError:
        lines = [json.loads(line) for line in text.splitlines()]
    results = {}
    for i, line in enumerate(lines):
        if 'error' not in line:
            result = Evaluation.from_dict(line.get('result', line))
            results.setdefault(line.get('budget', i), []).append(result)
    return [Evaluation.merge(parts) for parts in results.values()]


class Figures:
    """The figures by name, with data that light and dark ones share."""

    def __init__(self, args):
        self.args = args
        if args.root is None:
            self.title, self.names = 'Toy molecules', ToyMolecules.atom_types
            self.many = small = ToyMolecules()
        else:
            self.title, self.names = 'NCI1', ELEMENTS
            self.many = TUDataset(args.root, 'NCI1')
            small = TUDataset(args.root, 'MUTAG')
        # Bonds are not drawn.
        self.small = [
            data.__class__(x=data.x, edge_index=data.edge_index, y=data.y)
            for data in small
        ]
        if args.root is None:
            self.many = self.small

    @cached_property
    def reports(self):
        budgets = {'2%': 0.02, '10%': 0.1}
        distil = partial(MirageDataset, self.many, 2, log=False)
        return {k: distil(budget=v).report for k, v in budgets.items()}

    @cached_property
    def distillers(self):
        return train_distillers()

    @cached_property
    def evaluations(self):
        path = self.args.evaluation
        return [] if path is None else read_evaluations(path)

    @property
    def tasks(self):
        records = [r for e in self.evaluations for r in e.records]
        return list(dict.fromkeys(r.dataset for r in records))

    def tree_frequency(self):
        return vis.plot_tree_frequency(self.many, 3)[0]

    def coverage(self):
        return vis.plot_coverage(self.many, 3)[0]

    def computation_tree(self):
        data = self.small[0]
        root = int(data.x.argmax(dim=1).ne(0).nonzero()[0])
        fig, axes = subplots(1, 2, 9, 2.7, width_ratios=[1.25, 0.75])
        vis.plot_tree_set(data, names=self.names, ax=axes[0])
        node = axes[0].patches[root]
        style = {'edgecolor': mpl.rcParams['text.color'], 'linewidth': 1.8}
        ring = Circle(node.center, 1.25 * node.radius, fill=False, **style)
        axes[0].add_patch(ring)
        vis.plot_computation_tree(data, root, 2, names=self.names, ax=axes[1])
        return fig

    def tree_set(self):
        train = MirageDataset(
            self.small, 2, num_graphs=20, selection='multisets', log=False
        )
        data = sorted(train, key=lambda data: data.num_nodes)[8]
        return vis.plot_tree_set(data, names=self.names)[0]

    def compression(self):
        return vis.plot_compression(self.reports)[0]

    def attention(self):
        fig, axes = subplots(1, len(self.distillers), 9, 3.2, sharey=True)
        for ax, title in zip(axes, self.distillers, strict=True):
            vis.plot_attention(self.distillers[title], ax=ax)
            ax.set_title(title, fontsize='medium')
            ax.label_outer()
        return fig

    def accuracy(self):
        if not self.evaluations:
            return None
        columns = min(2, len(self.tasks))
        rows = -(-len(self.tasks) // columns)
        size = 4.8 * columns, 3.4 * rows
        fig, axes = subplots(rows, columns, *size, squeeze=False)
        handles = {}
        for ax, task in zip(axes.flat, self.tasks, strict=False):
            vis.plot_accuracy(self.evaluations, dataset=task, ax=ax)
            # One legend for all, without the level of all graphs in each.
            legend = ax.get_legend_handles_labels()
            for handle, label in zip(*legend, strict=True):
                handles.setdefault(label.partition(' (')[0], handle)
            ax.get_legend().remove()
        for ax in axes.flat[len(self.tasks) :]:
            ax.remove()
        below = {'loc': 'outside lower center', 'frameon': False}
        ncols = min(5, len(handles))
        fig.legend(handles.values(), handles, ncols=ncols, **below)
        return fig

    def latency(self):
        if self.args.latency is None:
            return None
        with open(self.args.latency, newline='') as file:
            rows = list(csv.DictReader(file))
        return vis.plot_latency(
            [float(row['milliseconds']) for row in rows],
            [float(row['accuracy']) for row in rows],
            [row['name'] for row in rows],
            [float(row.get('deviation') or 0) for row in rows],
        )[0]

    def overview(self):
        def distinct(data):
            keys = tree_keys(data.edge_index, data.num_nodes, 2, data.x)
            return unique_keys(keys[-1])

        # A graph of few trees, which many nodes share.
        data = min(
            (data for data in self.small if 12 <= data.num_nodes <= 18),
            key=lambda data: len(distinct(data).first) / data.num_nodes,
        )
        tree = distinct(data)
        atom = data.x.argmax(dim=1)[tree.first].tolist()
        names = [self.names[a] for a in atom]
        labels = {'node_labels': tree.inverse, 'names': names}
        fig = plt.figure(figsize=(10, 6.6), layout='constrained')
        top, bottom = fig.subfigures(2, 1, height_ratios=[1.3, 1])
        left, right = top.subfigures(1, 2, width_ratios=[0.8, 1.2])
        left.suptitle('A graph ...', fontsize='medium')
        vis.plot_tree_set(data, **labels, ax=left.subplots())
        title = '... is the multiset of its computation trees'
        right.suptitle(title, fontsize='medium')
        axes = list(right.subplots(2, -(-len(names) // 2)).flat)
        for root, count in zip(tree.first.tolist(), tree.count, strict=True):
            ax = axes.pop(0)
            vis.plot_computation_tree(data, root, 2, **labels, ax=ax)
            ax.set_title(f'\u00d7{count}', fontsize='small')
        for ax in axes:
            ax.remove()

        small = self.reports['2%']
        axes = bottom.subplots(1, 3 if self.evaluations else 2)
        vis.plot_tree_frequency(self.many, [2], slope=False, ax=axes[0])
        axes[0].set_title(f'{self.title}: few trees are frequent')
        vis.plot_compression(small, ax=axes[1])
        axes[1].set_title('What is kept at 2% of the bytes')
        if self.evaluations:
            task = self.title if self.title in self.tasks else self.tasks[0]
            lines = {'full': 'all graphs', 'random': 'random graphs'}
            lines[small.options['selection']] = 'distilled'
            known = {s for e in self.evaluations for s in e.train_sets}
            vis.plot_accuracy(
                self.evaluations,
                dataset=task,
                lines=lines,
                train_sets=[name for name in lines if name in known],
                ax=axes[2],
            )
            axes[2].legend(loc='lower right', fontsize='small')
            axes[2].set_title(f'{task}: what models learn from it')
        for ax in axes:
            ax.title.set_fontsize('medium')
        return fig


NAMES = [
    'overview',
    'tree_frequency',
    'coverage',
    'computation_tree',
    'tree_set',
    'compression',
    'accuracy',
    'attention',
    'latency',
]


def save(fig, path):
    """Writes a small file: lines and text need no more than 255 colours."""
    buffer = io.BytesIO()
    fig.savefig(buffer)
    plt.close(fig)
    image = Image.open(buffer).convert('RGB')
    image.quantize(255).save(path, optimize=True)
    print(f'{path}: {path.stat().st_size / 1000:.0f} kB', flush=True)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--root', help='folder of NCI1 and MUTAG (TUDataset)')
    parser.add_argument('--evaluation', help='results of training sets')
    parser.add_argument('--latency', help='times and accuracies of models')
    parser.add_argument('--out', default=Path(__file__).parent / 'figures')
    parser.add_argument('--only', nargs='+', choices=NAMES, default=NAMES)
    args = parser.parse_args()
    torch.set_num_threads(1)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    figures = Figures(args)
    for name in args.only:
        for suffix, style in STYLES.items():
            with plt.style.context(style):
                fig = getattr(figures, name)()
                if fig is None:
                    print(f'{name} is skipped; give its results as an option')
                    break
                save(fig, out / f'{name}{suffix}.png')
