"""The paper's selection: sets of trees that many graphs of a class hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from math import inf
from operator import index, or_
from typing import Literal

import torch
from torch import Tensor

from pyg_distill.data.statistics import (
    ClassStatistics,
    CollectedTrees,
    Occurrences,
    TreeStatistics,
)
from pyg_distill.data.storage import encode
from pyg_distill.data.table import refuse_uncarried
from pyg_distill.data.tree_sets import TreeSets
from pyg_distill.selection.base import ClassSummary, Selected, Selector
from pyg_distill.selection.budget import (
    Budget,
    BudgetTooSmall,
    check_choice,
    check_count,
    count_or_share,
)
from pyg_distill.trees import (
    FrequentSets,
    TooManySets,
    frequent_sets,
    pointer,
    support_count,
)

Support = int | float | Mapping[int, int | float]

# The support if nothing says how much to keep.
DEFAULT_SUPPORT = 0.1
# Sets that are counted at a time.
BLOCK = 1024
# With a larger share of distinct trees, hardly any are frequent.
MAX_DISTINCT = 0.9


class FrequentTrees(Selector):
    r"""Keeps the sets of computation trees that many graphs of a class hold.

    This is the selection of Mirage (Gupta et al., `"Mirage: Model-Agnostic
    Graph Distillation for Graph Classification"
    <https://arxiv.org/abs/2310.09486>`_, ICLR 2024, Section 3.2). The trees
    of a graph are a transaction, and the sets are the frequent item sets of
    each class. With a budget, the smallest support of at least two graphs is
    taken whose sets fit.

    Args:
        min_support (float or int or dict, optional): How many graphs of a
            class must hold a set: a share in :obj:`(0, 1]`, a count
            (:obj:`1` is one graph, :obj:`1.0` is all), or a dictionary with
            either for each class. Without a budget, its default is
            :obj:`0.1`. (default: :obj:`None`)
        kind (str, optional): Which frequent sets: :obj:`"closed"` (those
            without a superset of the same support, which lose no support),
            :obj:`"maximal"` (those without a frequent superset) or
            :obj:`"all"` (the paper's). (default: :obj:`"closed"`)
        drop_shared (bool, optional): If set to :obj:`True`, leaves out sets
            that are frequent in several classes. (default: :obj:`False`)
        multiplicity (str, optional): How often each tree of a set counts:
            :obj:`"mean"`, the rounded mean over the graphs that hold the set,
            or :obj:`"one"` (the paper's). (default: :obj:`"mean"`)
        max_sets (int, optional): The number of sets of a class above which an
            error is raised. (default: :obj:`10_000`)
        max_size (int, optional): Leaves out sets of more trees.
            (default: :obj:`None`)
        compact (bool, optional): If set to :obj:`False`, trees are unrolled
            instead of sharing equal subtrees. (default: :obj:`True`)

    Raises:
        TypeError: If an option is of another type.
        ValueError: If an option does not fit.
    """

    name = 'frequent'
    limits = ('budget',)
    builds_trees = True

    def __init__(
        self,
        min_support: Support | None = None,
        kind: Literal['closed', 'maximal', 'all'] = 'closed',
        drop_shared: bool = False,
        multiplicity: Literal['mean', 'one'] = 'mean',
        max_sets: int | None = 10_000,
        max_size: int | None = None,
        compact: bool = True,
    ) -> None:
        check_choice('kind', kind, ('closed', 'maximal', 'all'))
        check_choice('multiplicity', multiplicity, ('mean', 'one'))
        max_sets = check_count('max_sets', max_sets)
        max_size = check_count('max_size', max_size)
        if min_support is not None:
            min_support = _plain_support(min_support)
        self.min_support = min_support
        self.kind = kind
        self.drop_shared = drop_shared
        self.multiplicity = multiplicity
        self.max_sets = max_sets
        self.max_size = max_size
        self.compact = compact

    def check_limits(
        self, budget: float | int | None, num_graphs: int | None
    ) -> None:
        """Refuses a budget beside a support; see :class:`Selector`."""
        super().check_limits(budget, num_graphs)
        if budget is not None and self.min_support is not None:
            raise ValueError(
                f"'budget' finds a min_support by itself (got "
                f'{self.min_support!r}); pass one of them'
            )

    def select(self, statistics: TreeStatistics, budget: Budget) -> Selected:
        """Mines the sets of a support, or of the smallest one that fits."""
        refuse_uncarried(statistics.uncarried)
        message = repetition_message(statistics)
        if message:
            raise ValueError(message)
        search = _Search(self, statistics)
        given = self.min_support
        if given is None and not budget.is_default:
            return search.smallest_support(budget)
        given = DEFAULT_SUPPORT if given is None else given
        return search.mine(_counts_by_class(given, search.classes))


def repetition_message(statistics: TreeStatistics) -> str:
    """Says why hardly any tree repeats, or nothing if trees do."""
    num_trees = statistics.counts.num_trees()
    num_nodes = int(statistics.num_nodes.sum())
    if num_trees <= MAX_DISTINCT * num_nodes or not statistics.continuous:
        return ''
    names = ' and '.join(f"'{name}'" for name in statistics.continuous)
    return (
        f'trees hardly repeat, since {names} holds continuous values (got '
        f'{num_trees:,} distinct trees of {num_nodes:,}); round them, or leave '
        f'them out with exclude_keys=[...]'
    )


class _Search:
    """Mines sets of several supports, and reads the source as rarely."""

    def __init__(
        self, options: FrequentTrees, statistics: TreeStatistics
    ) -> None:
        self.options = options
        self.statistics = statistics
        self.classes = statistics.by_class()
        self._trees: CollectedTrees | None = None
        self._lowest: dict[int, int] = {}

    def collect(self, min_support: dict[int, int]) -> CollectedTrees:
        """The trees of some supports, or of lower ones: others are ignored."""
        if self._trees is None or any(
            count < self._lowest[label] for label, count in min_support.items()
        ):
            key = self.statistics.counts.frequent(min_support)
            self._trees = self.statistics.collect_trees(key)
            self._lowest = min_support
        return self._trees

    def mine(self, min_support: dict[int, int]) -> Selected:
        """The frequent sets of each class, at its number of graphs."""
        trees, options = self.collect(min_support), self.options
        members = {
            label: _Class(
                label, known, trees.occurrences.of_graphs(trees.label == label)
            )
            for label, known in self.classes.items()
        }
        mined = {
            label: member.mine(min_support[label], options)
            for label, member in members.items()
        }
        if options.drop_shared:
            mined = {
                label: _drop_shared(label, sets, members, min_support)
                for label, sets in mined.items()
            }
        counts, classes = [], {}
        for label, sets in mined.items():
            classes[label] = members[label].summary(sets)
            count = torch.ones_like(sets.item)
            if options.multiplicity == 'mean':
                total = members[label].count(sets)[1]
                support = sets.support.repeat_interleave(sets.ptr.diff())
                count = (2 * total + support) // (2 * support)
            counts.append(count)
        number = torch.tensor([len(sets) for sets in mined.values()])
        labels = torch.tensor([*mined]).repeat_interleave(number)
        support = torch.cat([sets.support for sets in mined.values()])
        size = torch.cat([sets.ptr.diff() for sets in mined.values()])
        item = torch.cat([sets.item for sets in mined.values()])
        single = torch.arange(labels.numel() + 1)
        y = labels.view(-1, *self.statistics.y_shape[1:])
        graphs = TreeSets(
            trees.forest,
            trees.root_of(item),
            torch.cat(counts),
            pointer(size),
            options.compact,
            {'y': (y, single), 'support': (support, single)},
        )
        # No class comes before the others.
        when = [(torch.arange(n) + 0.5).double() / n for n in number.tolist()]
        order = torch.argsort(torch.cat(when), stable=True)
        return Selected(
            graphs=graphs.take(order),
            label=labels[order],
            support=support[order],
            graph_id=torch.full_like(labels, -1),
            classes=classes,
        )

    def smallest_support(self, budget: Budget) -> Selected:
        """The sets of the smallest share of all classes that fits a budget."""
        for label, known in self.classes.items():
            if known.best_support == 0:
                raise BudgetTooSmall(
                    f"selection='frequent' needs nodes in every class (got "
                    f'{known.num_graphs} graphs of class {label} without); '
                    f"leave the class out, or pass selection='herding'"
                )
        # Supports are counted in graphs of the largest class.
        most = max(c.num_graphs for c in self.classes.values())
        high = max(
            -(-c.best_support * most // c.num_graphs)
            for c in self.classes.values()
        )
        selected, num_bytes = self._try(high, most)
        if selected is None:
            raise BudgetTooSmall(
                f"'max_sets' is too low for the most frequent tree sets (got "
                f"{self.options.max_sets}); raise it, or pass kind='maximal'"
            )
        if num_bytes > budget.num_bytes:
            what = 'the most frequent tree sets of each class'
            raise budget.too_small(int(num_bytes), what)
        # Low supports take long, so they are tried only if higher ones fit. A
        # set of one graph is not frequent.
        low, size = 1, num_bytes
        while high - low > 1:
            new = (low + high) // 2
            if low == 1 and budget.num_bytes < 8 * size:
                # Half the support might take many times the budget.
                new = max(new, 3 * high // 4)
            tried, num_bytes = self._try(new, most)
            if tried is not None and num_bytes <= budget.num_bytes:
                high, selected, size = new, tried, num_bytes
            else:
                low = new
        return selected

    def _try(self, support: int, most: int) -> tuple[Selected | None, float]:
        """The sets of a support, and their size."""
        min_support = {
            label: min(c.best_support, -(-support * c.num_graphs // most))
            for label, c in self.classes.items()
        }
        try:
            selected = self.mine(min_support)
        except TooManySets:
            return None, inf
        return selected, encode(selected.graphs).num_bytes


@dataclass(frozen=True)
class _Class:
    """The graphs of one class, as transactions of trees."""

    label: int
    known: ClassStatistics
    occurrences: Occurrences

    def mine(self, min_support: int, options: FrequentTrees) -> FrequentSets:
        try:
            sets = frequent_sets(
                self.occurrences.tree,
                self.occurrences.graph,
                self.known.num_graphs,
                min_support,
                options.kind,
                max_sets=options.max_sets,
                max_size=options.max_size,
            )
        except TooManySets as error:
            raise TooManySets(
                f'class {self.label} has more than max_sets='
                f'{options.max_sets} {options.kind} tree sets (got a support '
                f'of {min_support} graphs); raise min_support or max_sets, or '
                f"pass max_size or kind='maximal'"
            ) from error
        if len(sets) == 0:
            raise ValueError(
                f'class {self.label} has {options.kind} tree sets of more '
                f'than max_size={options.max_size} trees only; raise it, or '
                f"pass kind='all'"
            )
        return sets

    def summary(self, sets: FrequentSets) -> ClassSummary:
        """What some sets keep of the class."""
        kept = torch.isin(self.occurrences.tree, sets.item)
        return ClassSummary(
            self.known.num_graphs,
            self.known.num_trees,
            len(sets),
            reduce(or_, sets.tids).bit_count() / self.known.num_graphs,
            int(self.occurrences.count[kept].sum()) / self.known.num_nodes,
        )

    def count(self, sets: FrequentSets) -> tuple[Tensor, Tensor]:
        """The graphs that hold each set, and the occurrences of its trees."""
        tree, row = sets.item.unique(return_inverse=True)
        found, num_graphs = self.occurrences, self.known.num_graphs
        kept = torch.isin(found.tree, tree)
        count = torch.sparse_coo_tensor(
            torch.stack(
                [torch.searchsorted(tree, found.tree[kept]), found.graph[kept]]
            ),
            found.count[kept].double(),
            (tree.numel(), num_graphs),
            check_invariants=False,
        ).coalesce()
        held = count.bool().double().t()
        numbers: list[Tensor] = []
        totals: list[Tensor] = []
        # Some sets at a time, so that they fit into memory.
        for size in sets.ptr.diff().split(BLOCK):
            first = sum(len(n) for n in numbers)
            entries = row[int(sets.ptr[first]) :][: int(size.sum())]
            number = torch.arange(len(size)).repeat_interleave(size)
            member = torch.zeros(len(tree), len(size), dtype=torch.double)
            member[entries, number] = 1
            holds = torch.sparse.mm(held, member).eq(size)
            numbers.append(holds.sum(dim=0))
            total = torch.sparse.mm(count, holds.double())
            totals.append(total[entries, number].long())
        return torch.cat(numbers), torch.cat(totals)


def _drop_shared(
    label: int,
    sets: FrequentSets,
    classes: dict[int, _Class],
    min_support: dict[int, int],
) -> FrequentSets:
    kept = torch.ones_like(sets.support, dtype=torch.bool)
    for other, member in classes.items():
        if other != label:
            kept &= member.count(sets)[0] < min_support[other]
    if not kept.any():
        raise ValueError(
            f'class {label} shares all of its {len(sets)} frequent tree sets; '
            f'pass drop_shared=False, or raise the min_support of other classes'
        )
    return sets.select(kept)


def _counts_by_class(
    min_support: Support, classes: Mapping[int, ClassStatistics]
) -> dict[int, int]:
    """The supports as numbers of graphs, by class."""
    if not isinstance(min_support, Mapping):
        min_support = dict.fromkeys(classes, min_support)
    if set(min_support) != set(classes):
        raise ValueError(
            f"'min_support' must name the classes {sorted(classes)} of the "
            f'source (got {sorted(min_support)}); pass a value for each'
        )
    out, reached = {}, {**min_support}
    for label, known in classes.items():
        if known.best_support == 0:
            raise ValueError(
                f'no tree set of class {label} is frequent (got no nodes in '
                f'its {known.num_graphs} graphs); leave the class out'
            )
        out[label] = support_count(min_support[label], known.num_graphs)
        if out[label] > known.best_support:
            reached[label] = known.best_support
    for label, known in classes.items():
        if out[label] > known.best_support:
            raise ValueError(
                f'no tree set of class {label} reaches the min_support of '
                f'{out[label]} of its {known.num_graphs} graphs; try '
                f'min_support={reached}, or a smaller num_layers'
            )
    return out


def _plain_support(min_support: Support) -> Support:
    """Plain numbers, since those of NumPy cannot be written to a report."""
    hint = '1 is one graph, 1.0 is all graphs of a class'
    if not isinstance(min_support, Mapping):
        return count_or_share('min_support', min_support, hint)
    return {
        index(label): count_or_share('min_support', min_support[label], hint)
        for label in sorted(min_support)
    }
