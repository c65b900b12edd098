"""Graphs as multisets over a vocabulary: rare trees become frequent ones."""

from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from pyg_distill.data.sources import Chunk
from pyg_distill.data.statistics import (
    CollectedTrees,
    Occurrences,
    TreeStatistics,
    look_up,
)
from pyg_distill.data.storage import encode
from pyg_distill.data.table import refuse_uncarried
from pyg_distill.data.tree_sets import TreeSets
from pyg_distill.selection.base import Selected, Selector, summarize
from pyg_distill.selection.budget import Budget, BudgetTooSmall, check_count
from pyg_distill.selection.herding import Herding
from pyg_distill.trees import (
    TreeCode,
    facility_steps,
    nearest,
    pointer,
    ragged_range,
)

# Trees that may become part of a vocabulary: all distances are computed.
MAX_CANDIDATES = 4096
# The share of a budget that the vocabulary may take.
SHARE = 0.15
# The size of a vocabulary without a budget.
VOCABULARY_SIZE = 400


class Multisets(Selector):
    """Keeps the trees of some graphs, where rare trees become frequent ones.

    A vocabulary of trees stands for all trees: those that most graphs hold
    are candidates, and facility location picks some that leave no other far
    away (see :meth:`~pyg_distill.trees.facility_steps`). Each tree of the
    source becomes the nearest one of the vocabulary. Graphs are then multisets
    over the vocabulary, and herding picks some of each class.

    Args:
        vocabulary_size (int, optional): The number of trees, at most 4,096.
            By default, the number that fits into 15 % of the budget, or
            :obj:`400` without a budget. (default: :obj:`None`)
        compact (bool, optional): If set to :obj:`False`, trees are unrolled
            instead of sharing equal subtrees. (default: :obj:`True`)

    Raises:
        TypeError: If an option is of another type.
        ValueError: If :obj:`vocabulary_size` is out of range.
    """

    name = 'multisets'
    builds_trees = True

    def __init__(
        self, vocabulary_size: int | None = None, compact: bool = True
    ) -> None:
        vocabulary_size = check_count('vocabulary_size', vocabulary_size)
        if vocabulary_size is not None and vocabulary_size > MAX_CANDIDATES:
            raise ValueError(
                f"'vocabulary_size' must be at most {MAX_CANDIDATES}, as all "
                f'distances between trees are computed (got '
                f"{vocabulary_size}); pass selection='lossless' to keep all "
                f'trees'
            )
        self.vocabulary_size = vocabulary_size
        self.compact = compact

    def select(self, statistics: TreeStatistics, budget: Budget) -> Selected:
        """Replaces rare trees, and herds what becomes of the graphs.

        Where one graph of each class does not fit, the vocabulary is halved
        until it does.
        """
        refuse_uncarried(statistics.uncarried)
        key = statistics.counts.most_frequent(MAX_CANDIDATES)
        trees = statistics.collect_trees(key)
        code = TreeCode.fit(trees.forest)
        number = trees.forest.distinct().inverse
        point = code(trees.forest)[number[trees.root]]
        order = self._vocabulary(trees, point, budget)
        size = order.numel()
        smallest = self.vocabulary_size or 1
        while True:
            # By their numbers, which are the order of their keys.
            chosen = order[:size].sort().values
            vocabulary = _Vocabulary(key[chosen], point[chosen], code)
            parts = statistics.source.map(vocabulary.replace, 'Replacing trees')
            multisets = _Multisets.concatenate(parts)
            try:
                return self._herd(
                    statistics, budget, trees, trees.root[chosen], multisets
                )
            except BudgetTooSmall:
                if size <= smallest:
                    raise
            size = max(1, size // 2)

    def _vocabulary(
        self, trees: CollectedTrees, point: Tensor, budget: Budget
    ) -> Tensor:
        """The numbers of trees, the most important one first."""
        found = trees.occurrences
        weight = torch.bincount(
            found.tree, found.count, minlength=trees.root.numel()
        )
        steps = facility_steps(point, weight)
        if self.vocabulary_size is not None or budget.budget is None:
            size = self.vocabulary_size or VOCABULARY_SIZE
            return torch.tensor(list(islice(steps, size)), dtype=torch.long)

        def num_bytes(k: int) -> int:
            root = trees.root[order[:k]]
            ptr = torch.tensor([0, k])
            one = torch.ones_like(root)
            return encode(TreeSets(trees.forest, root, one, ptr)).num_bytes

        order = torch.empty(0, dtype=torch.long)
        limit, fits = SHARE * budget.num_bytes, 1
        while True:
            more = list(islice(steps, max(64, order.numel())))
            order = torch.cat([order, order.new_tensor(more)])
            if not more or num_bytes(order.numel()) > limit:
                break
            fits = order.numel()
        low, high = min(fits, order.numel()), order.numel()
        while high - low > 1:
            middle = (low + high) // 2
            if num_bytes(middle) <= limit:
                low = middle
            else:
                high = middle
        return order[: high if not more else low]

    def _herd(
        self,
        statistics: TreeStatistics,
        budget: Budget,
        trees: CollectedTrees,
        root: Tensor,
        multisets: '_Multisets',
    ) -> Selected:
        histogram = multisets.histogram(root.numel())
        herding, orders = Herding(), {}
        for c in statistics.class_sizes():
            member = (statistics.label == c).nonzero().view(-1)
            steps = herding.steps(histogram.index_select(0, member))
            orders[c] = map(member.tolist().__getitem__, steps)

        def take(index: Tensor) -> TreeSets:
            index = index.sort().values
            chosen = multisets.take(index)
            single = torch.arange(index.numel() + 1)
            y = statistics.label[index].view(-1, *statistics.y_shape[1:])
            support = torch.ones_like(index)
            return TreeSets(
                trees.forest,
                root[chosen.occurrences.tree],
                chosen.occurrences.count,
                chosen.ptr,
                self.compact,
                {'y': (y, single), 'support': (support, single)},
            )

        index = budget.fill(orders, lambda index: encode(take(index)).num_bytes)
        index = index.sort().values
        label = statistics.label[index]
        coverage = {}
        for c, known in statistics.by_class().items():
            num_sets = int((label == c).sum())
            num_exact = int(multisets.exact[statistics.label == c].sum())
            coverage[c] = (
                num_sets,
                num_sets / known.num_graphs,
                num_exact / max(1, known.num_nodes),
            )
        return Selected(
            graphs=take(index),
            label=label,
            support=torch.ones_like(index),
            graph_id=index,
            classes=summarize(statistics, coverage),
        )


@dataclass(frozen=True)
class _Vocabulary:
    """The trees that stand for all others.

    Shapes:
        - **key:** their keys :math:`(V, 2)`, ascending,
        - **point:** their points :math:`(V, D)`.
    """

    key: Tensor
    point: Tensor
    code: TreeCode

    def replace(self, chunk: Chunk) -> '_Multisets':
        """Replaces the trees of some graphs by the nearest ones."""
        forest = chunk.forest
        tree = forest.distinct()
        key = forest.keys[-1][tree.first]
        number = look_up(self.key.to(key.device), key)
        rare = number < 0
        if bool(rare.any()):
            point = self.code(forest)[rare]
            number[rare] = nearest(point, self.point.to(point.device))
        graph = forest.graphs.graph_of_node()
        found = Occurrences.from_nodes(
            graph, number[tree.inverse], self.key.size(0)
        )
        exact = torch.zeros(len(chunk.table), dtype=torch.long)
        exact.index_add_(0, graph.cpu(), (~rare)[tree.inverse].long().cpu())
        return _Multisets(found.cpu(), exact)


@dataclass(frozen=True)
class _Multisets:
    """Graphs as multisets over a vocabulary.

    Shapes:
        - **occurrences:** which graph holds which tree of the vocabulary,
        - **exact:** the nodes of each graph whose tree is in the vocabulary
          :math:`(G)`.
    """

    occurrences: Occurrences
    exact: Tensor

    @classmethod
    def concatenate(cls, parts: list['_Multisets']) -> '_Multisets':
        occurrences = Occurrences.concatenate(
            [part.occurrences for part in parts],
            [part.exact.numel() for part in parts],
        )
        return cls(occurrences, torch.cat([part.exact for part in parts]))

    @property
    def ptr(self) -> Tensor:
        size = torch.bincount(
            self.occurrences.graph, minlength=self.exact.numel()
        )
        return pointer(size)

    def histogram(self, num_trees: int) -> Tensor:
        """The square roots of counts, sparse, of shape :obj:`[G, V]`."""
        found = self.occurrences
        return torch.sparse_coo_tensor(
            torch.stack([found.graph, found.tree]),
            found.count.double().sqrt(),
            (self.exact.numel(), num_trees),
            check_invariants=False,
        ).coalesce()

    def take(self, index: Tensor) -> '_Multisets':
        ptr, found = self.ptr, self.occurrences
        graph, offset = ragged_range(ptr.diff()[index])
        row = ptr[index][graph] + offset
        return _Multisets(
            Occurrences(graph, found.tree[row], found.count[row]),
            self.exact[index],
        )
