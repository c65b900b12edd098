"""Graphs as multisets over a vocabulary: rare trees become frequent ones."""

from functools import partial
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
from pyg_distill.selection.base import Selected, Selector
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
                f"'vocabulary_size' must be at most {MAX_CANDIDATES} (got "
                f"{vocabulary_size}); pass selection='lossless' to keep all"
            )
        self.vocabulary_size = vocabulary_size
        self.compact = compact

    def select(self, statistics: TreeStatistics, budget: Budget) -> Selected:
        """Replaces rare trees, and herds what becomes of the graphs."""
        refuse_uncarried(statistics.uncarried)
        key = statistics.counts.most_frequent(MAX_CANDIDATES)
        trees = statistics.collect_trees(key)
        code = TreeCode.fit(trees.forest)
        number = trees.forest.distinct().inverse
        point = code(trees.forest)[number[trees.root]]
        order = self._vocabulary(trees, point, budget)
        size = order.numel()
        # Halved until one graph of each class fits.
        while True:
            # By their numbers, which are the order of their keys.
            chosen = order[:size].sort().values
            replace = partial(
                _replace, key=key[chosen], point=point[chosen], code=code
            )
            parts = statistics.source.map(replace, 'Replacing trees')
            exact = [part[1] for part in parts]
            found = Occurrences.concatenate(
                [part[0] for part in parts], [len(e) for e in exact]
            )
            multisets = trees.root[chosen], found, torch.cat(exact)
            try:
                return self._herd(statistics, budget, trees, *multisets)
            except BudgetTooSmall:
                if size <= (self.vocabulary_size or 1):
                    raise
            size //= 2

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
        limit, low = SHARE * budget.num_bytes, 1
        while more := list(islice(steps, max(64, order.numel()))):
            order = torch.cat([order, order.new_tensor(more)])
            if num_bytes(order.numel()) > limit:
                break
            low = order.numel()
        low, high = min(low, order.numel()), order.numel()
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
        found: Occurrences,
        exact: Tensor,
    ) -> Selected:
        """Picks graphs, given as multisets over a vocabulary."""
        size = torch.bincount(found.graph, minlength=exact.numel())
        ptr = pointer(size)
        histogram = torch.sparse_coo_tensor(
            torch.stack([found.graph, found.tree]),
            found.count.double().sqrt(),
            (exact.numel(), root.numel()),
            check_invariants=False,
        ).coalesce()
        orders = Herding().orders(histogram, statistics.label)

        def take(index: Tensor) -> TreeSets:
            index = index.sort().values
            graph, offset = ragged_range(size[index])
            row = ptr[index][graph] + offset
            single = torch.arange(len(index) + 1)
            y = statistics.label[index].view(-1, *statistics.y_shape[1:])
            return TreeSets(
                trees.forest,
                root[found.tree[row]],
                found.count[row],
                pointer(size[index]),
                self.compact,
                {'y': (y, single), 'support': (torch.ones_like(index), single)},
            )

        index = budget.fill(orders, lambda index: encode(take(index)).num_bytes)
        index = index.sort().values
        return Selected.from_graphs(statistics, index, take(index), exact)


def _replace(
    chunk: Chunk, key: Tensor, point: Tensor, code: TreeCode
) -> tuple[Occurrences, Tensor]:
    """The nearest trees of a vocabulary, and the nodes whose tree is in it."""
    forest = chunk.forest
    tree = forest.distinct()
    distinct = forest.keys[-1][tree.first]
    number = look_up(key.to(distinct.device), distinct)
    rare = number < 0
    if bool(rare.any()):
        number[rare] = nearest(code(forest)[rare], point.to(distinct.device))
    graph = forest.graphs.graph_of_node()
    found = Occurrences.from_nodes(graph, number[tree.inverse], key.size(0))
    exact = torch.zeros(len(chunk.table), dtype=torch.long)
    exact.index_add_(0, graph.cpu(), (~rare)[tree.inverse].long().cpu())
    return found.cpu(), exact
