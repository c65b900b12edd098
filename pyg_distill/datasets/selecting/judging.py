"""What is a training set worth, without training on it?"""

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag
from torch_geometric.data import Data, InMemoryDataset

from pyg_distill.datasets.materialising import add_weights
from pyg_distill.datasets.packing.attributes import collated
from pyg_distill.trees import Forest
from pyg_distill.trees.csr import ragged_range
from pyg_distill.trees.descriptors import TreeCode

# Random features of a tree, and how many are worked out at once.
NUM_FEATURES, BLOCK = 256, 64
# Of the ridge regression, relative to what rows are in length: hardly any, as
# networks that are trained for long fit few graphs to the letter.
RIDGE = 1e-6
# What a bias weighs beside the features of a node.
BIAS = 0.02


class Judge:
    r"""Learns from some graphs in closed form, and tests on others.

    A graph is described by what a network with random weights sees in it: the
    points of its trees (see :class:`TreeCode`), through one layer of random
    rectified features (as in Rahimi and Recht, `"Random Features for
    Large-Scale Kernel Machines" <https://papers.nips.cc/paper/3182>`_, NeurIPS
    2007), either summed or averaged over its nodes. A set of graphs is then
    worth the area under the ROC curve of a ridge regression that is fitted to
    its weighted labels, on the graphs given here: the mean of that from sums
    and that from averages. Those that were kept may be among them.

    The bias of that regression is worth a small part of what one node adds to
    a sum. With a free one, the judge would know from two graphs that larger
    ones are of the other class. Networks do not find that out: what they learn
    to tell apart in few graphs grows with the number of nodes, and a bias does
    not.

    Args:
        graphs (list): Labelled graphs of the source to test on.
        num_layers (int): The depth of the trees.
        num_graphs (dict): The graphs of each class in the source.
        balance (str): What weights of a class sum to; see
            :meth:`sample_weights`.
    """

    def __init__(
        self,
        graphs: list[Data],
        num_layers: int,
        num_graphs: dict[int, int],
        balance: str,
    ) -> None:
        self.num_layers = num_layers
        self.num_graphs = num_graphs
        self.balance = balance
        forest, root, count, graph = self._roots(graphs)
        self._code = TreeCode.fit(forest)
        num_columns = self._code(forest).size(1)
        # Whatever the default type and device are, which others may set.
        draw = partial(
            torch.randn,
            generator=torch.Generator().manual_seed(0),
            dtype=torch.double,
            device='cpu',
        )
        scale = (2 / max(1, num_columns)) ** 0.5
        self._weight = scale * draw(num_columns, NUM_FEATURES)
        self._bias = draw(NUM_FEATURES)
        self._label = torch.cat([data.y.view(-1) for data in graphs])
        self._rows = self._describe(forest, root, count, graph, len(graphs))

    def __call__(self, graphs: list[Data]) -> float:
        """The mean area under the curve of each class against all others.

        Args:
            graphs (list): The training set: whole graphs, or tree sets.

        Returns:
            float: One half if it does not help, one at best, to three digits.
        """
        label = torch.cat([data.y.view(-1) for data in graphs])
        weight = self._weights(graphs)
        rows = self._describe(*self._roots(graphs), len(graphs))
        bias = BIAS * float(rows[1].square().sum(dim=1).mean().sqrt())
        areas = [
            self._area(_padded(row, bias), label, weight, _padded(test, bias))
            for row, test in zip(rows, self._rows, strict=True)
        ]
        return round(sum(areas) / len(areas), 3)

    def _area(
        self, row: Tensor, label: Tensor, weight: Tensor, test: Tensor
    ) -> float:
        classes = self._label.unique()
        target = 2 * (label[:, None] == classes).double() - 1
        weighted = row.t() * weight
        gram = weighted @ row
        ridge = RIDGE * gram.trace().clamp(min=1e-12)
        eye = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        score = test @ torch.linalg.solve(gram + ridge * eye, weighted @ target)
        # Equal graphs are as good as each other, whatever they are summed in.
        score = (score * 2**20).round()
        areas = [
            area_under_curve(score[:, i], self._label == c)
            for i, c in enumerate(classes.tolist())
        ]
        return sum(areas) / len(areas)

    def _weights(self, graphs: list[Data]) -> Tensor:
        known = [data.clone() for data in graphs]
        for data in known:
            if 'support' not in data:
                data.support = torch.ones(1, dtype=torch.long)
        add_weights(known, self.num_graphs, self.balance)
        return torch.cat([data.weight for data in known]).double()

    def _roots(
        self, graphs: list[Data]
    ) -> tuple[Forest, Tensor, Tensor, Tensor]:
        """All trees, the roots that count, how often, and in which graph."""
        data, slices, *_ = InMemoryDataset.collate(graphs)
        read = collated(data, slices)
        forest = Forest(read.graphs, self.num_layers)
        if 'root_index' not in read.attributes:
            graph = read.graphs.graph_of_node()
            root = torch.arange(graph.numel())
            return forest, root, torch.ones_like(root), graph
        root, root_ptr = read.attributes['root_index']
        graph, _ = ragged_range(root_ptr.diff())
        count, _ = read.attributes['root_count']
        return forest, root + read.graphs.node_ptr[graph], count, graph

    def _describe(
        self,
        forest: Forest,
        root: Tensor,
        count: Tensor,
        graph: Tensor,
        num_graphs: int,
    ) -> tuple[Tensor, Tensor]:
        """What is seen in each graph: sums, and averages."""
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


def _padded(row: Tensor, value: float) -> Tensor:
    """With one more column."""
    return torch.cat([row, row.new_full((len(row), 1), value)], dim=1)


def area_under_curve(score: Tensor, positive: Tensor) -> float:
    """How often a positive scores higher than a negative; ties count half.

    Args:
        score (torch.Tensor): Scores of shape :obj:`[n]`.
        positive (torch.Tensor): Booleans of shape :obj:`[n]`.

    Returns:
        float: One half, too, if there are no positives or no negatives.
    """
    num_positive = int(positive.sum())
    num_negative = positive.numel() - num_positive
    if num_positive == 0 or num_negative == 0:
        return 0.5
    _, number, size = score.unique(return_inverse=True, return_counts=True)
    rank = size.cumsum(0) - (size - 1).double() / 2
    above = float(rank[number[positive]].sum())
    above -= num_positive * (num_positive + 1) / 2
    return above / (num_positive * num_negative)
