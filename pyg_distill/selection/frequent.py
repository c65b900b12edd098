"""The paper's selection: sets of trees that many graphs of a class hold."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from math import inf
from numbers import Integral
from operator import or_
from typing import Literal

import numpy as np
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
from pyg_distill.selection.base import Selected, Selector, summarize
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
                f'budget={budget!r} and min_support={self.min_support!r}); '
                f'pass one of them'
            )

    def select(self, statistics: TreeStatistics, budget: Budget) -> Selected:
        """Mines the sets of a support, or of the smallest one that fits."""
        refuse_uncarried(statistics.uncarried)
        message = repetition_message(statistics)
        if message:
            raise ValueError(message)
        search = _Search(self, statistics)
        if self.min_support is None and not budget.is_default:
            return search.smallest_support(budget)
        classes = statistics.by_class()
        given = DEFAULT_SUPPORT
        if self.min_support is not None:
            given = self.min_support  # type: ignore[assignment]
        return search.mine(_counts_by_class(given, classes))


def repetition_message(statistics: TreeStatistics) -> str:
    """Says why hardly any tree repeats, or nothing if trees do."""
    num_trees = statistics.counts.num_trees()
    num_nodes = int(statistics.num_nodes.sum())
    if num_trees <= MAX_DISTINCT * num_nodes or not statistics.continuous:
        return ''
    names = ' and '.join(f"'{name}'" for name in statistics.continuous)
    return (
        f'{num_trees:,} of {num_nodes:,} computation trees of depth '
        f'{statistics.num_layers} are distinct, since {names} holds '
        f'continuous values, so trees hardly repeat; round or bin them, leave '
        f'them out with exclude_keys=[...], or lower num_layers'
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
        """The frequent sets of each class.

        Args:
            min_support (dict): The graphs that must hold a set, by class.

        Raises:
            ValueError: If a class has too many sets, or none.
        """
        trees = self.collect(min_support)
        members = {
            label: _Class(
                label, known, trees.occurrences.of_graphs(trees.label == label)
            )
            for label, known in self.classes.items()
        }
        mined = {
            label: member.mine(min_support[label], self.options)
            for label, member in members.items()
        }
        if self.options.drop_shared:
            mined = {
                label: _drop_shared(label, sets, members, min_support)
                for label, sets in mined.items()
            }
        counts, coverage = [], {}
        for label, sets in mined.items():
            member = members[label]
            counts.append(
                member.mean_counts(sets)
                if self.options.multiplicity == 'mean'
                else torch.ones_like(sets.item)
            )
            coverage[label] = member.coverage(sets)
        labels = torch.cat(
            [torch.full_like(s.support, c) for c, s in mined.items()]
        )
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
            self.options.compact,
            {'y': (y, single), 'support': (support, single)},
        )
        order = _interleave([len(sets) for sets in mined.values()])
        return Selected(
            graphs=graphs.take(order),
            label=labels[order],
            support=support[order],
            graph_id=torch.full_like(labels, -1),
            classes=summarize(self.statistics, coverage),
        )

    def smallest_support(self, budget: Budget) -> Selected:
        """The sets of the smallest support that fits a budget.

        The support is the same share of every class, as far as the trees of
        the class reach it.
        """
        high = self._highest()
        selected, num_bytes = self._try(high)
        if selected is None:
            raise BudgetTooSmall(
                f"'max_sets' is too low even for the most frequent tree sets "
                f'of a class (got {self.options.max_sets}); raise it, or pass '
                f"kind='maximal' or max_size"
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
            tried, num_bytes = self._try(new)
            if tried is not None and num_bytes <= budget.num_bytes:
                high, selected, size = new, tried, num_bytes
            else:
                low = new
        return selected

    def _highest(self) -> int:
        """The highest support of any class, in graphs of the largest."""
        for label, known in self.classes.items():
            if known.best_support == 0:
                raise BudgetTooSmall(
                    f"selection='frequent' needs trees of every class (got no "
                    f'nodes in the {known.num_graphs} graphs of class '
                    f'{label}); leave the class out, or pass '
                    f"selection='herding'"
                )
        most = max(c.num_graphs for c in self.classes.values())
        return max(
            -(-c.best_support * most // c.num_graphs)
            for c in self.classes.values()
        )

    def _try(self, support: int) -> tuple[Selected | None, float]:
        """The sets of a support, and their size."""
        most = max(c.num_graphs for c in self.classes.values())
        min_support = {
            label: min(c.best_support, -(-support * c.num_graphs // most))
            for label, c in self.classes.items()
        }
        try:
            selected = self.mine(min_support)
        except _TooManyOfClass:
            return None, inf
        return selected, encode(selected.graphs).num_bytes


class _TooManyOfClass(ValueError):  # noqa: N818
    """More sets of a class are frequent than may be kept."""


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
            raise _TooManyOfClass(
                f'class {self.label} has more than max_sets='
                f'{options.max_sets} {options.kind} tree sets at a support of '
                f'{min_support} of its {self.known.num_graphs} graphs; raise '
                f"min_support or max_sets, or pass max_size or kind='maximal'"
            ) from error
        if len(sets) == 0:
            raise ValueError(
                f'all {options.kind} tree sets of class {self.label} have '
                f'more than max_size={options.max_size} trees; raise '
                f"max_size, or pass kind='all'"
            )
        return sets

    def coverage(self, sets: FrequentSets) -> tuple[int, float, float]:
        """The number of sets, and the shares of graphs and nodes in them."""
        kept = torch.isin(self.occurrences.tree, sets.item)
        holders = reduce(or_, sets.tids)
        return (
            len(sets),
            holders.bit_count() / self.known.num_graphs,
            int(self.occurrences.count[kept].sum()) / self.known.num_nodes,
        )

    def mean_counts(self, sets: FrequentSets) -> Tensor:
        """How often each tree of a set occurs in the graphs that hold it.

        Returns:
            torch.Tensor: The means, rounded half up, one for each entry of
            :obj:`sets.item`.
        """
        row, matrix = self._matrix(sets, self.occurrences.count)
        width = (self.known.num_graphs + 7) // 8
        totals = []
        for start, stop, set_of_entry in _blocks(sets):
            packed = b''.join(
                tids.to_bytes(width, 'little') for tids in sets.tids[start:stop]
            )
            bits = np.unpackbits(
                np.frombuffer(packed, np.uint8).reshape(-1, width),
                axis=1,
                count=self.known.num_graphs,
                bitorder='little',
            )
            holders = torch.from_numpy(bits).double().t()
            total = torch.sparse.mm(matrix, holders)
            entries = slice(int(sets.ptr[start]), int(sets.ptr[stop]))
            totals.append(total[row[entries], set_of_entry])
        total = torch.cat(totals).long()
        support = sets.support.repeat_interleave(sets.ptr.diff())
        return (2 * total + support) // (2 * support)

    def num_holders(self, sets: FrequentSets) -> Tensor:
        """The graphs of this class that hold each set, of shape :obj:`[P]`."""
        one = torch.ones_like(self.occurrences.count)
        row, matrix = self._matrix(sets, one)
        numbers = []
        for start, stop, set_of_entry in _blocks(sets):
            entries = slice(int(sets.ptr[start]), int(sets.ptr[stop]))
            member = torch.zeros(
                matrix.size(0), stop - start, dtype=torch.double
            )
            member[row[entries], set_of_entry] = 1
            hits = torch.sparse.mm(matrix.t(), member)
            size = sets.ptr.diff()[start:stop]
            numbers.append((hits == size).sum(dim=0))
        return torch.cat(numbers)

    def _matrix(
        self, sets: FrequentSets, value: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The row of each entry of some sets, and trees by graphs, sparse."""
        tree, row = sets.item.unique(return_inverse=True)
        found = self.occurrences
        kept = torch.isin(found.tree, tree)
        index = torch.stack(
            [torch.searchsorted(tree, found.tree[kept]), found.graph[kept]]
        )
        size = tree.numel(), self.known.num_graphs
        return row, torch.sparse_coo_tensor(
            index, value[kept].double(), size, check_invariants=False
        ).coalesce()


def _blocks(sets: FrequentSets) -> Iterator[tuple[int, int, Tensor]]:
    """Ranges of sets that fit into memory, and the set of each entry."""
    for start in range(0, len(sets), BLOCK):
        stop = min(start + BLOCK, len(sets))
        size = sets.ptr.diff()[start:stop]
        yield start, stop, torch.arange(stop - start).repeat_interleave(size)


def _drop_shared(
    label: int,
    sets: FrequentSets,
    classes: dict[int, _Class],
    min_support: dict[int, int],
) -> FrequentSets:
    kept = torch.ones_like(sets.support, dtype=torch.bool)
    for other, member in classes.items():
        if other != label:
            kept &= member.num_holders(sets) < min_support[other]
    if not kept.any():
        raise ValueError(
            f'all {len(sets)} frequent tree sets of class {label} are '
            f'frequent in another class, too; pass drop_shared=False, or '
            f'raise the min_support of the other classes'
        )
    return sets.select(kept)


def _interleave(sizes: list[int]) -> Tensor:
    """An order in which no class comes before the others."""
    when = torch.cat([(torch.arange(n) + 0.5).double() / n for n in sizes])
    return torch.argsort(when, stable=True)


def _counts_by_class(
    min_support: Support, classes: Mapping[int, ClassStatistics]
) -> dict[int, int]:
    """The supports as numbers of graphs, by class.

    Raises:
        ValueError: If they do not fit the classes, or no tree of a class is
            frequent.
    """
    if not isinstance(min_support, Mapping):
        min_support = dict.fromkeys(classes, min_support)
    if set(min_support) != set(classes):
        raise ValueError(
            f"'min_support' must name the classes of the source, which are "
            f'{sorted(classes)} (got {sorted(min_support)}); pass a share or '
            f'a count for each'
        )
    out, reached, too_high = {}, {}, []
    for label, known in classes.items():
        value = min_support[label]
        if isinstance(value, int) and value > known.num_graphs:
            raise ValueError(
                f"'min_support' must not exceed the {known.num_graphs} graphs "
                f'of class {label} (got {value}); pass a smaller count, a '
                f'share (1.0 is all graphs), or a dictionary with either for '
                f'each class'
            )
        if known.best_support == 0:
            raise ValueError(
                f'no tree set of class {label} is frequent, as its '
                f'{known.num_graphs} graphs have no nodes; leave the class '
                f'out'
            )
        out[label] = support_count(value, known.num_graphs)
        if known.best_support < out[label]:
            too_high.append(label)
            value = known.best_support
        reached[label] = value
    if too_high:
        label = too_high[0]
        known = classes[label]
        raise ValueError(
            f'no tree set of class {label} reaches the min_support of '
            f'{out[label]} of its {known.num_graphs} graphs (the highest '
            f'support there is {known.best_support}); try min_support='
            f'{reached}, or a smaller num_layers'
        )
    return out


def _plain_support(min_support: Support) -> Support:
    """Plain numbers, since those of NumPy cannot be written to a report."""
    hint = '1 is one graph, 1.0 is all graphs of a class'
    if not isinstance(min_support, Mapping):
        return count_or_share('min_support', min_support, 'a count', hint)
    for label in min_support:
        if not isinstance(label, Integral):
            raise TypeError(
                f"'min_support' must have class labels as keys (got "
                f'{label!r}); pass {{0: 0.1, 1: 0.2}}'
            )
    return {
        int(label): count_or_share(
            'min_support', min_support[label], 'a count', hint
        )
        for label in sorted(min_support)
    }
