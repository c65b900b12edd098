"""What a training set is worth, without training a network on it."""

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, pad

from pyg_distill.data.statistics import TreeStatistics
from pyg_distill.data.tree_sets import TreeSets
from pyg_distill.selection.base import (
    Selected,
    random_order,
    sample_weights,
)
from pyg_distill.selection.budget import ClassWeight
from pyg_distill.trees import Forest, TreeCode

# The graphs of the source that are scored on.
MAX_GRAPHS, MAX_NODES = 4096, 200_000
# Random features of a tree, and how many are computed at a time.
NUM_FEATURES, BLOCK = 256, 64
# The ridge is small relative to the length of rows, as networks that train
# for long fit few graphs to the letter.
RIDGE = 1e-6
# The bias relative to the features of a node.
BIAS = 0.02


class Scorer:
    r"""Scores training sets by ridge regression on random features of trees.

    A graph is described by what a network with random weights sees in it: the
    points of its trees (see :class:`~pyg_distill.trees.TreeCode`), through
    one layer of random rectified features (as in Rahimi and Recht, `"Random
    Features for Large-Scale Kernel Machines"
    <https://papers.nips.cc/paper/3182>`_, NeurIPS 2007), either summed or
    averaged over its nodes. The score of a training set is the area under the
    ROC curve of a ridge regression fitted to its weighted labels, on a sample
    of graphs of the source. It is the mean over sums and averages.

    The bias of the regression is small relative to what one node adds to a
    sum. With a free bias, it would learn from two graphs that larger graphs
    belong to the other class. Networks do not learn that from few graphs.

    Args:
        statistics (TreeStatistics): What is known of the source.
        class_weight (str): What the weights of a class sum to; see
            :class:`~pyg_distill.datasets.MirageDataset`.
    """

    def __init__(
        self, statistics: TreeStatistics, class_weight: ClassWeight
    ) -> None:
        self.num_layers = statistics.num_layers
        self.class_sizes = statistics.class_sizes()
        self.class_weight = class_weight
        index = _sample(statistics)
        table = statistics.source.fetch(index)
        forest = Forest(table.graphs, self.num_layers)
        self._code = TreeCode.fit(forest)
        num_columns = self._code(forest).size(1)
        # A user may have set other default types and devices.
        options: Any = {'dtype': torch.double, 'device': 'cpu'}
        generator = torch.Generator().manual_seed(0)
        draw = partial(torch.randn, generator=generator, **options)
        scale = (2 / max(1, num_columns)) ** 0.5
        self._weight = scale * draw(num_columns, NUM_FEATURES)
        self._bias = draw(NUM_FEATURES)
        self._label = statistics.label[index]
        self._rows = self._describe(len(table), *_all_roots(forest))

    def __call__(self, selected: Selected) -> float:
        """The score of a training set: 0.5 if useless, 1 at best."""
        label, graphs = selected.label, selected.graphs
        weight = sample_weights(
            selected.support, label, self.class_sizes, self.class_weight
        )
        if isinstance(graphs, TreeSets):
            roots = graphs.root, graphs.root_count, graphs.set_of_root
            rows = self._describe(len(graphs), graphs.forest, *roots)
        else:
            forest = Forest(graphs.graphs, self.num_layers)
            rows = self._describe(len(graphs), *_all_roots(forest))
        bias = BIAS * float(rows[1].square().sum(dim=1).mean().sqrt())
        areas = []
        for pair in zip(rows, self._rows, strict=True):
            row, test = (pad(r, (0, 1), value=bias) for r in pair)
            areas.append(self._area(row, label, weight, test))
        return round(sum(areas) / len(areas), 3)

    def _area(
        self, row: Tensor, label: Tensor, weight: Tensor, test: Tensor
    ) -> float:
        classes = self._label.unique()
        target = 2 * (label[:, None] == classes).double() - 1
        weighted = row.t() * weight.double()
        gram = weighted @ row
        ridge = RIDGE * gram.trace().clamp(min=1e-12)
        eye = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        score = test @ torch.linalg.solve(gram + ridge * eye, weighted @ target)
        # Equal graphs tie, in any order of summation.
        score = (score * 2**20).round()
        areas = [
            area_under_curve(score[:, i], self._label == c)
            for i, c in enumerate(classes.tolist())
        ]
        return sum(areas) / len(areas)

    def _describe(
        self,
        num_graphs: int,
        forest: Forest,
        root: Tensor,
        count: Tensor,
        graph: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The sum and the average of the features of each graph."""
        tree = forest.distinct().inverse[root]
        point = self._code(forest).double()
        num_roots = torch.bincount(graph, minlength=num_graphs)
        first = num_roots.cumsum(0) - num_roots
        total = point.new_empty(num_graphs, NUM_FEATURES)
        for start in range(0, NUM_FEATURES, BLOCK):
            block = slice(start, start + BLOCK)
            feature = point @ self._weight[:, block] + self._bias[block]
            total[:, block] = embedding_bag(
                tree,
                feature.relu_(),
                first,
                mode='sum',
                per_sample_weights=count.double(),
            )
        size = torch.bincount(graph, count, num_graphs).clamp(min=1)
        return total, total / size[:, None]


def _sample(statistics: TreeStatistics) -> Tensor:
    """The positions of graphs to score on, ascending."""
    num_graphs = statistics.num_graphs
    num_nodes = max(1, int(statistics.num_nodes.sum()))
    size = max(1, min(MAX_GRAPHS, MAX_NODES * num_graphs // num_nodes))
    # At random, since labels may be sorted or periodic.
    return random_order(num_graphs)[:size].sort().values


def _all_roots(forest: Forest) -> tuple[Forest, Tensor, Tensor, Tensor]:
    graph = forest.graphs.graph_of_node()
    root = torch.arange(graph.numel())
    return forest, root, torch.ones_like(root), graph


def area_under_curve(score: Tensor, positive: Tensor) -> float:
    """How often a positive scores higher than a negative; ties count half."""
    num_positive = int(positive.sum())
    num_negative = positive.numel() - num_positive
    if num_positive == 0 or num_negative == 0:
        return 0.5
    _, number, size = score.unique(return_inverse=True, return_counts=True)
    rank = size.cumsum(0) - (size - 1).double() / 2
    above = float(rank[number[positive]].sum())
    above -= num_positive * (num_positive + 1) / 2
    return above / (num_positive * num_negative)
