r"""Draws the figures of the documentation, each for light and dark pages.

    python docs/figures.py
    python docs/figures.py --root ROOT --evaluation RESULTS --latency TIMES

With --root, graphs are those of NCI1 and MUTAG in that folder, else toy
molecules. Two figures are drawn only if they are given results, and the
overview has them then, too:

* accuracy from RESULTS, what benchmarks/selections.py writes to its --path,
  one line of JSON a training set, or a file of Evaluation.to_dict(),
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

from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.evaluation import Evaluation
from pyg_distill.nn import ABKDLoss, Distiller
from pyg_distill.trees import tree_keys, unique_keys
from pyg_distill.visualization import (
    plot_accuracy,
    plot_attention,
    plot_compression,
    plot_computation_tree,
    plot_coverage,
    plot_latency,
    plot_tree_frequency,
    plot_tree_set,
)

mpl.use('agg')
import matplotlib.pyplot as plt

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

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument('--root', help='folder of NCI1 and MUTAG (TUDataset)')
parser.add_argument('--evaluation', help='results of training sets')
parser.add_argument('--latency', help='times and accuracies of models')
parser.add_argument('--out', default=str(Path(__file__).parent / 'figures'))
parser.add_argument('--only', nargs='+', choices=NAMES, default=NAMES)

# The elements that the README of MUTAG names.
ELEMENTS = ('C', 'N', 'O', 'F', 'I', 'Cl', 'Br')
STYLES = {'': 'default', '_dark': 'dark_background'}
# The background of dark pages.
DARK = dict.fromkeys(
    ('figure.facecolor', 'axes.facecolor', 'savefig.facecolor'), '#131416'
)
COMMON = {'font.size': 10, 'savefig.dpi': 150}


def without_bonds(data):
    return data.__class__(x=data.x, edge_index=data.edge_index, y=data.y)


def load(root):
    """Many graphs, some small ones to draw, and the names of their atoms."""
    if root is None:
        toy = ToyMolecules()
        bare = [without_bonds(data) for data in toy]
        return bare, bare, toy.atom_types
    small = [without_bonds(data) for data in TUDataset(root, 'MUTAG')]
    return TUDataset(root, 'NCI1'), small, ELEMENTS


def distinct(data, num_layers=2):
    """Which of the distinct trees of a graph each node has."""
    keys = tree_keys(data.edge_index, data.num_nodes, num_layers, data.x)
    return unique_keys(keys[-1])


def ring(ax, node):
    """Marks a node of a graph that was drawn before."""
    circle = Circle(
        ax.patches[node].center,
        1.25 * ax.patches[node].radius,
        fill=False,
        edgecolor=mpl.rcParams['text.color'],
        linewidth=1.8,
    )
    ax.add_patch(circle)


def train_distillers():
    """Students of a stochastic block model, by their kind of attention."""
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
    found = {}
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
        found[title] = distiller
    return found


def read_evaluations(path):
    """Results of each budget, the runs of which are put together."""
    text = Path(path).read_text()
    try:
        values = json.loads(text)
        lines = values if isinstance(values, list) else [values]
    except json.JSONDecodeError:
        lines = [json.loads(line) for line in text.splitlines()]
    found = {}
    for i, line in enumerate(lines):
        if 'error' not in line:
            result = Evaluation.from_dict(line.get('result', line))
            found.setdefault(line.get('budget', i), []).append(result)
    return [Evaluation.merge(results) for results in found.values()]


def read_latency(path):
    with open(path, newline='') as file:
        rows = list(csv.DictReader(file))
    columns = [
        [float(row[name]) for row in rows]
        for name in ('milliseconds', 'accuracy')
    ]
    deviation = [float(row.get('deviation') or 0) for row in rows]
    return *columns, [row['name'] for row in rows], deviation


class Figures:
    """What is drawn, computed once for light and dark."""

    def __init__(self, args):
        self.args = args
        self.title = 'Toy molecules' if args.root is None else 'NCI1'
        self.many, self.small, self.names = load(args.root)

    @cached_property
    def budgets(self):
        return {
            f'{budget:.0%}': MirageDataset(
                self.many, 2, budget=budget, log=False
            )
            for budget in (0.02, 0.1)
        }

    @cached_property
    def distillers(self):
        return train_distillers()

    @cached_property
    def evaluations(self):
        path = self.args.evaluation
        return None if path is None else read_evaluations(path)

    @cached_property
    def graph(self):
        """A graph of few trees, which many nodes share."""
        return min(
            (data for data in self.small if 12 <= data.num_nodes <= 18),
            key=lambda data: distinct(data).first.numel() / data.num_nodes,
        )

    def tree_frequency(self):
        return plot_tree_frequency(self.many, 3)[0]

    def coverage(self):
        return plot_coverage(self.many, 3)[0]

    def computation_tree(self):
        data = self.small[0]
        root = int(data.x.argmax(dim=1).ne(0).nonzero()[0])
        fig, (left, right) = plt.subplots(
            1,
            2,
            figsize=(9, 2.7),
            layout='constrained',
            width_ratios=[1.25, 0.75],
        )
        plot_tree_set(data, names=self.names, ax=left)
        ring(left, root)
        plot_computation_tree(data, root, 2, names=self.names, ax=right)
        return fig

    def tree_set(self):
        train = MirageDataset(
            self.small, 2, selection='multisets', num_graphs=20, log=False
        )
        size = [data.num_nodes for data in train]
        data = train[sorted(range(len(size)), key=size.__getitem__)[8]]
        return plot_tree_set(data, names=self.names)[0]

    def compression(self):
        reports = {name: data.report for name, data in self.budgets.items()}
        return plot_compression(reports)[0]

    def attention(self):
        fig, axes = plt.subplots(
            1,
            len(self.distillers),
            figsize=(9, 3.2),
            layout='constrained',
            sharey=True,
        )
        for ax, (title, distiller) in zip(
            axes, self.distillers.items(), strict=True
        ):
            plot_attention(distiller, ax=ax)
            ax.set_title(title, fontsize='medium')
            ax.label_outer()
        return fig

    def accuracy(self):
        if self.evaluations is None:
            return None
        records = [r for e in self.evaluations for r in e.records]
        tasks = list(dict.fromkeys(r.dataset for r in records))
        columns = min(2, len(tasks))
        rows = -(-len(tasks) // columns)
        fig, axes = plt.subplots(
            rows,
            columns,
            figsize=(4.8 * columns, 3.4 * rows),
            layout='constrained',
            squeeze=False,
        )
        for ax, task in zip(axes.flat, tasks, strict=False):
            plot_accuracy(self.evaluations, dataset=task, ax=ax)
        for ax in axes.flat[len(tasks) :]:
            ax.remove()
        self.join_legends(fig)
        return fig

    def latency(self):
        if self.args.latency is None:
            return None
        return plot_latency(*read_latency(self.args.latency))[0]

    def join_legends(self, fig):
        """One legend for all axes; the level of all graphs is their own."""
        handles = {}
        for ax in fig.axes:
            for handle, label in zip(
                *ax.get_legend_handles_labels(), strict=True
            ):
                handles.setdefault(label.partition(' (')[0], handle)
            ax.get_legend().remove()
        fig.legend(
            handles.values(),
            handles,
            loc='outside lower center',
            ncols=min(5, len(handles)),
            frameon=False,
        )

    def overview(self):
        data = self.graph
        tree = distinct(data)
        atom = data.x.argmax(dim=1)
        names = {
            int(kind): self.names[int(a)]
            for kind, a in zip(tree.inverse, atom, strict=True)
        }
        labels = {'node_labels': tree.inverse, 'names': names}
        fig = plt.figure(figsize=(10, 6.6), layout='constrained')
        top, bottom = fig.subfigures(2, 1, height_ratios=[1.3, 1])
        left, right = top.subfigures(1, 2, width_ratios=[0.8, 1.2])
        plot_tree_set(data, **labels, ax=left.subplots())
        left.suptitle('A graph ...', fontsize='medium')
        columns = -(-tree.first.numel() // 2)
        axes = list(right.subplots(2, columns, squeeze=False).flat)
        for root, count in zip(tree.first.tolist(), tree.count, strict=True):
            ax = axes.pop(0)
            plot_computation_tree(data, root, 2, **labels, ax=ax)
            ax.set_title(f'\u00d7{count}', fontsize='small')
        for ax in axes:
            ax.remove()
        right.suptitle(
            '... is the multiset of its computation trees', fontsize='medium'
        )
        with_results = self.evaluations is not None
        axes = bottom.subplots(1, 2 + with_results)
        plot_tree_frequency(self.many, [2], slope=False, ax=axes[0])
        small = self.budgets['2%'].report
        plot_compression(small, ax=axes[1])
        titles = [
            f'{self.title}: few trees are frequent',
            'What is kept at 2% of the bytes',
            'What models learn from it',
        ]
        if with_results:
            lines = {
                'full': 'all graphs',
                'random': 'random graphs',
                small.options['selection']: 'distilled',
            }
            records = [r for e in self.evaluations for r in e.records]
            tasks = [r.dataset for r in records]
            task = self.title if self.title in tasks else tasks[0]
            if task != self.title:
                titles[2] = f'{task}: what models learn'
            known = {r.train_set for r in records if r.dataset == task}
            plot_accuracy(
                self.evaluations,
                dataset=task,
                lines=lines,
                train_sets=[name for name in lines if name in known],
                ax=axes[2],
            )
            axes[2].legend(loc='lower right', fontsize='small')
        for ax, title in zip(axes, titles, strict=False):
            ax.set_title(title, fontsize='medium')
        return fig


def save(fig, name, suffix, out):
    """Writes a small file: 255 colours are all that lines and text need."""
    path = Path(out) / f'{name}{suffix}.png'
    buffer = io.BytesIO()
    fig.savefig(buffer)
    plt.close(fig)
    image = Image.open(buffer).convert('RGB')
    image.quantize(255).save(path, optimize=True)
    print(f'{path}: {path.stat().st_size / 1000:.0f} kB', flush=True)


if __name__ == '__main__':
    args = parser.parse_args()
    torch.set_num_threads(1)
    Path(args.out).mkdir(parents=True, exist_ok=True)
    figures = Figures(args)
    for name in args.only:
        for suffix, style in STYLES.items():
            with plt.style.context([style, COMMON, DARK if suffix else {}]):
                fig = getattr(figures, name)()
                if fig is None:
                    print(f'{name} is skipped; give its results as an option')
                    break
                save(fig, name, suffix, args.out)
