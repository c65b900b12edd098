"""The paper's selection: per class, the tree sets that many graphs hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import NoReturn

import torch
from tqdm import tqdm

from pyg_distill.datasets.counting.census import ClassCensus
from pyg_distill.datasets.counting.frequent_trees import FrequentTrees
from pyg_distill.datasets.matching import mean_counts, num_holders
from pyg_distill.datasets.options import PatternOptions
from pyg_distill.datasets.selection import (
    ClassSummary,
    Occurrences,
    Selection,
)
from pyg_distill.datasets.thresholds import Thresholds
from pyg_distill.trees.csr import pointer
from pyg_distill.trees.mining import (
    FrequentSets,
    TooManySets,
    frequent_sets,
)


class TooManyPatterns(ValueError):  # noqa: N818
    """More tree sets are frequent than may be kept."""


_FEWER = {
    'all': "patterns='closed', a max_size, or a larger max_patterns",
    'closed': "patterns='maximal', a max_size, or a larger max_patterns",
    'maximal': 'a max_size, or a larger max_patterns',
}


def select_patterns(
    frequent: FrequentTrees,
    classes: Mapping[int, ClassCensus],
    thresholds: Thresholds,
    options: PatternOptions,
    log: bool,
) -> tuple[Selection, dict[int, ClassSummary]]:
    """Selects the frequent tree sets of each class (Mirage, Section 3.2).

    Args:
        frequent (FrequentTrees): The trees that are frequent in any class.
        classes (dict): What is known of each class.
        thresholds (Thresholds): What is frequent.
        options (PatternOptions): Which sets to keep.
        log (bool): Whether to show progress if it takes long.

    Returns:
        tuple: The tree sets, class by class, by descending support, and what
        was kept of each class.

    Raises:
        ValueError: If a class has too many tree sets, or none that is asked
            for.
    """
    least = thresholds.least
    members = {
        label: _Class.of(label, frequent, known)
        for label, known in classes.items()
    }
    bar = tqdm(members.items(), desc='Mining classes', disable=not log, delay=1)
    mined, fits = {}, {}
    for label, member in bar:
        try:
            mined[label] = member.mine(least[label], options)
        except TooManySets as error:
            fits[label] = error.suggestion
    if fits:
        _raise_too_many(fits, thresholds, classes, options)
    if options.shared == 'drop':
        mined = {
            label: _drop_shared(label, sets, members, least)
            for label, sets in mined.items()
        }

    roots, counts, sizes, labels, supports = [], [], [], [], []
    summaries = {}
    for label, sets in mined.items():
        member = members[label]
        if options.root_count == 'mean':
            counts.append(mean_counts(sets, member.occurrences, member.size))
        else:
            counts.append(torch.ones_like(sets.item))
        roots.append(frequent.root_of(sets.item))
        sizes.append(sets.ptr.diff())
        labels.append(torch.full_like(sets.support, label))
        supports.append(sets.support)
        summaries[label] = member.summarise(sets)

    chosen = Selection(
        root=torch.cat(roots),
        root_count=torch.cat(counts),
        root_ptr=pointer(torch.cat(sizes)),
        label=torch.cat(labels),
        support=torch.cat(supports),
    )
    return chosen, summaries


@dataclass(frozen=True)
class _Class:
    label: int
    known: ClassCensus
    occurrences: Occurrences

    @classmethod
    def of(
        cls, label: int, frequent: FrequentTrees, known: ClassCensus
    ) -> '_Class':
        mine = frequent.label == label
        return cls(label, known, frequent.occurrences.of_graphs(mine))

    @property
    def size(self) -> int:
        return self.known.num_graphs

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

    def summarise(self, sets: FrequentSets) -> ClassSummary:
        found = self.occurrences
        kept = torch.isin(found.tree, sets.item)
        held = reduce(or_, sets.tids)
        return ClassSummary(
            num_graphs=self.size,
            num_trees=self.known.num_trees,
            num_sets=len(sets),
            graph_coverage=held.bit_count() / self.size,
            node_coverage=int(found.count[kept].sum()) / self.known.num_nodes,
        )


def _raise_too_many(
    fits: dict[int, int | None],
    thresholds: Thresholds,
    classes: Mapping[int, ClassCensus],
    options: PatternOptions,
) -> NoReturn:
    label = min(fits)
    remedy = _FEWER[options.patterns]
    known = {c: count for c, count in fits.items() if count is not None}
    if len(known) == len(fits):
        remedy = f'min_support={thresholds.given | known}, {remedy}'
    raise TooManyPatterns(
        f'class {label} has more than max_patterns={options.max_patterns} '
        f'tree sets of patterns={options.patterns!r} at a support of '
        f'{thresholds.least[label]} of its {classes[label].num_graphs} '
        f'graphs; try {remedy}'
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
