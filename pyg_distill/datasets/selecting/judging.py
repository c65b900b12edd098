"""What is a training set worth, without training on it?"""

from functools import partial

import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from pyg_distill.datasets.materialising import add_weights
from pyg_distill.datasets.packing.attributes import collated
from pyg_distill.trees import Forest
from pyg_distill.trees.csr import ragged_range
from pyg_distill.trees.descriptors import TreeCode

# Random features of a tree.
NUM_FEATURES = 256
# Of the ridge regression, where rows have a length of about one.
RIDGE = 0.1


class Judge:
    r"""Learns from some graphs in closed form, and tests on others.

    A graph is described by what a network with random weights sees in it: the
    points of its trees (see :class:`TreeCode`), through one layer of random
    rectified features, summed and averaged over its nodes (as in Rahimi and
    Recht, `"Random Features for Large-Scale Kernel Machines"
    <https://papers.nips.cc/paper/3182>`_, NeurIPS 2007). A set of graphs is
    then worth the area under the ROC curve of the ridge regression that is
    fitted to its weighted labels, on the graphs given here. Those that were
    kept may be among them.

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
            dtype=torch.float,
            device='cpu',
        )
        scale = (2 / max(1, num_columns)) ** 0.5
        self._weight = scale * draw(num_columns, NUM_FEATURES)
        self._bias = draw(NUM_FEATURES)
        self._label = torch.cat([data.y.view(-1) for data in graphs])
        self._row = self._describe(forest, root, count, graph, len(graphs))
        self._std = self._row.std(dim=0, correction=0).clamp(min=1e-6)

    def __call__(self, graphs: list[Data]) -> float:
        """The mean area under the curve of each class against all others.

        Args:
            graphs (list): The training set: whole graphs, or tree sets.

        Returns:
            float: One half if it does not help, one at best, to three digits.
        """
        return self._score(graphs, slice(None))

    def is_sound(self, graphs: list[Data]) -> bool:
        """Whether sums alone, and averages alone, rank no worse than chance.

        Networks see either of them. From a few trees that are the same in two
        classes they learn the opposite of what is right, whatever the other
        would tell.

        Args:
            graphs (list): The training set.
        """
        half = self._row.size(1) // 2
        parts = slice(half), slice(half, None)
        return all(self._score(graphs, part) >= 0.5 for part in parts)

    def _score(self, graphs: list[Data], part: slice) -> float:
        label = torch.cat([data.y.view(-1) for data in graphs])
        row = self._describe(*self._roots(graphs), len(graphs))[:, part]
        weight = self._weights(graphs)
        share = weight / weight.sum()
        mean = share @ row
        scale = self._std[part] * row.size(1) ** 0.5
        row, test = (row - mean) / scale, (self._row[:, part] - mean) / scale
        classes = self._label.unique()
        # Rows that sum to nothing make a bias needless.
        target = (label[:, None] == classes).double()
        weighted = row.t() * weight
        ridge = RIDGE * torch.eye(row.size(1), dtype=row.dtype)
        fitted = torch.linalg.solve(weighted @ row + ridge, weighted @ target)
        score = test @ fitted
        areas = [
            area_under_curve(score[:, i], self._label == c)
            for i, c in enumerate(classes.tolist())
        ]
        return round(sum(areas) / len(areas), 3)

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
    ) -> Tensor:
        feature = (self._code(forest) @ self._weight + self._bias).relu_()
        tree = forest.distinct().inverse[root]
        total = feature.new_zeros(num_graphs, feature.size(1))
        total.index_add_(0, graph, feature[tree] * count[:, None])
        total = total.double()
        size = torch.bincount(graph, count, num_graphs).clamp(min=1)
        return torch.cat([total.sqrt(), total / size[:, None]], dim=1)


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
