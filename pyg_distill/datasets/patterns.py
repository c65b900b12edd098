"""The paper's selection: per class, the tree sets that many graphs hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import NoReturn

import torch
from torch import Tensor
from tqdm import tqdm

from pyg_distill.datasets.matching import mean_counts, num_holders
from pyg_distill.datasets.options import PatternOptions, Support
from pyg_distill.datasets.selection import (
    ClassSummary,
    Occurrences,
    Selection,
)
from pyg_distill.datasets.source import Source
from pyg_distill.trees import Forest
from pyg_distill.trees.csr import pointer
from pyg_distill.trees.mining import (
    FrequentSets,
    TooManySets,
    frequent_sets,
    support_count,
)

_FEWER = {
    'all': "patterns='closed', a max_size, or a larger max_patterns",
    'closed': "patterns='maximal', a max_size, or a larger max_patterns",
    'maximal': 'a max_size, or a larger max_patterns',
}


def select_patterns(
    source: Source, forest: Forest, options: PatternOptions, log: bool
) -> Selection:
    """Selects the frequent tree sets of each class (Mirage, Section 3.2).

    Args:
        source (Source): The graphs.
        forest (Forest): Their trees.
        options (PatternOptions): What is frequent, and which sets to keep.
        log (bool): Whether to show progress if it takes long.

    Returns:
        Selection: The tree sets, class by class, by descending support.

    Raises:
        ValueError: If a class has no frequent tree set, or too many.
    """
    tree = forest.distinct()
    occurrences = Occurrences.of(
        forest.graphs.graph_of_node(), tree.inverse, tree.first.numel()
    )
    classes = {
        label: _Class.of(label, source.label == label, occurrences)
        for label in source.label.unique().tolist()
    }
    given = _by_class(options.min_support, classes)
    least = _support_counts(given, classes)
    _check_reached(given, least, classes)
    bar = tqdm(classes.items(), desc='Mining classes', disable=not log, delay=1)
    mined, fits = {}, {}
    for label, member in bar:
        try:
            mined[label] = member.mine(least[label], options)
        except TooManySets as error:
            fits[label] = error.suggestion
    if fits:
        _raise_too_many(fits, given, least, classes, options)
    if options.shared == 'drop':
        mined = {
            label: _drop_shared(label, sets, classes, least)
            for label, sets in mined.items()
        }

    roots, counts, sizes, labels, supports = [], [], [], [], []
    summaries = {}
    for label, sets in mined.items():
        member = classes[label]
        if options.root_count == 'mean':
            counts.append(mean_counts(sets, member.occurrences, member.size))
        else:
            counts.append(torch.ones_like(sets.item))
        roots.append(tree.first[sets.item])
        sizes.append(sets.ptr.diff())
        labels.append(torch.full_like(sets.support, label))
        supports.append(sets.support)
        summaries[label] = member.summarise(sets)

    return Selection(
        root=torch.cat(roots),
        root_count=torch.cat(counts),
        root_ptr=pointer(torch.cat(sizes)),
        label=torch.cat(labels),
        support=torch.cat(supports),
        classes=summaries,
    )


@dataclass(frozen=True)
class _Class:
    label: int
    size: int
    occurrences: Occurrences

    @classmethod
    def of(
        cls, label: int, members: Tensor, occurrences: Occurrences
    ) -> '_Class':
        return cls(label, int(members.sum()), occurrences.of_graphs(members))

    def mine(self, least: int, options: PatternOptions) -> FrequentSets:
        sets = frequent_sets(
            self.occurrences.tree,
            self.occurrences.graph,
            self.size,
            least,
            options.patterns,
            options.max_patterns,
            options.max_size,
        )
        if len(sets) == 0:
            raise ValueError(
                f'all {options.patterns} tree sets of class {self.label} have '
                f'more than max_size={options.max_size} trees; raise max_size, '
                f"or pass patterns='all'"
            )
        return sets

    def best_support(self) -> int:
        tree = self.occurrences.tree
        if tree.numel() == 0:
            raise ValueError(
                f'no tree set of class {self.label} is frequent, as its '
                f'{self.size} graphs have no nodes; leave the class out'
            )
        return int(tree.unique(return_counts=True)[1].max())

    def summarise(self, sets: FrequentSets) -> ClassSummary:
        found = self.occurrences
        kept = torch.isin(found.tree, sets.item)
        held = reduce(or_, sets.tids)
        return ClassSummary(
            num_graphs=self.size,
            num_trees=found.tree.unique().numel(),
            num_sets=len(sets),
            graph_coverage=held.bit_count() / self.size,
            node_coverage=int(found.count[kept].sum()) / int(found.count.sum()),
        )


def _by_class(
    min_support: Support, classes: dict[int, _Class]
) -> dict[int, int | float]:
    if not isinstance(min_support, Mapping):
        return dict.fromkeys(classes, min_support)
    if set(min_support) != set(classes):
        raise ValueError(
            f"'min_support' must name the classes of the source, which are "
            f'{sorted(classes)} (got {sorted(min_support)})'
        )
    return dict(min_support)


def _support_counts(
    given: dict[int, int | float], classes: dict[int, _Class]
) -> dict[int, int]:
    for label, member in classes.items():
        value = given[label]
        if isinstance(value, int) and value > member.size:
            raise ValueError(
                f"'min_support' is a count of {value} graphs, but class "
                f'{label} has {member.size}; give a smaller count, a share '
                f'(1.0 is all graphs), or a dictionary with either for each '
                f'class'
            )
    return {
        label: support_count(given[label], member.size)
        for label, member in classes.items()
    }


def _check_reached(
    given: dict[int, int | float],
    least: dict[int, int],
    classes: dict[int, _Class],
) -> None:
    best = {label: member.best_support() for label, member in classes.items()}
    short = {label: best[label] for label in best if best[label] < least[label]}
    if not short:
        return
    label = min(short)
    raise ValueError(
        f'no tree set of class {label} reaches the min_support of '
        f'{least[label]} of its {classes[label].size} graphs (the highest '
        f'support there is {best[label]}); try min_support={given | short}, '
        f'or a smaller num_layers'
    )


def _raise_too_many(
    fits: dict[int, int | None],
    given: dict[int, int | float],
    least: dict[int, int],
    classes: dict[int, _Class],
    options: PatternOptions,
) -> NoReturn:
    label = min(fits)
    remedy = _FEWER[options.patterns]
    known = {c: count for c, count in fits.items() if count is not None}
    if len(known) == len(fits):
        remedy = f'min_support={given | known}, {remedy}'
    raise ValueError(
        f'class {label} has too many {options.patterns} tree sets for '
        f'max_patterns={options.max_patterns} at a support of {least[label]} '
        f'of its {classes[label].size} graphs; try {remedy}'
    )


def _drop_shared(
    label: int,
    sets: FrequentSets,
    classes: dict[int, _Class],
    least: dict[int, int],
) -> FrequentSets:
    kept = torch.ones_like(sets.support, dtype=torch.bool)
    for other, member in classes.items():
        if other != label:
            holders = num_holders(sets, member.occurrences, member.size)
            kept &= holders < least[other]
    if not kept.any():
        raise ValueError(
            f'all {len(sets)} frequent tree sets of class {label} are frequent '
            f"in another class, too; pass shared='keep' or raise min_support "
            f'of the other classes'
        )
    return sets.select(kept)
