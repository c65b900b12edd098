"""The paper's selection: per class, the tree sets that many graphs hold."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import reduce
from operator import or_
from typing import Any

import torch
from torch import Tensor

from pyg_distill.datasets.matching import mean_counts, num_holders
from pyg_distill.datasets.selection import (
    ClassSummary,
    Occurrences,
    Selection,
)
from pyg_distill.datasets.source import Source
from pyg_distill.trees import Forest
from pyg_distill.trees.mining import (
    FrequentSets,
    TooManySets,
    frequent_sets,
    support_count,
)

Support = int | float | Mapping[int, int | float]


@dataclass(frozen=True)
class PatternOptions:
    """The options of :obj:`selection="patterns"`; see `MirageDataset`."""

    min_support: Support = 0.1
    patterns: str = 'closed'
    shared: str = 'keep'
    root_count: str = 'mean'
    max_patterns: int | None = 10_000
    max_size: int | None = None

    def __post_init__(self) -> None:
        _one_of('patterns', self.patterns, ('closed', 'maximal', 'all'))
        _one_of('shared', self.shared, ('keep', 'drop'))
        _one_of('root_count', self.root_count, ('mean', 'one'))

    def to_dict(self) -> dict[str, Any]:
        """The options by name, in an order that does not matter."""
        out = {f.name: getattr(self, f.name) for f in fields(self)}
        if isinstance(self.min_support, Mapping):
            out['min_support'] = dict(sorted(self.min_support.items()))
        return out

    def changed(self) -> list[str]:
        """The names of the options that differ from their default."""
        return [
            f.name for f in fields(self) if getattr(self, f.name) != f.default
        ]


def select_patterns(
    source: Source, forest: Forest, options: PatternOptions
) -> Selection:
    """Selects the frequent tree sets of each class (Mirage, Section 3.2).

    Args:
        source (Source): The graphs.
        forest (Forest): Their trees.
        options (PatternOptions): What is frequent, and which sets to keep.

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
    least = _support_counts(options.min_support, classes)
    mined = {
        label: member.mine(least[label], options)
        for label, member in classes.items()
    }
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
        root_ptr=torch.nn.functional.pad(torch.cat(sizes).cumsum(0), (1, 0)),
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
        try:
            sets = frequent_sets(
                self.occurrences.tree,
                self.occurrences.graph,
                self.size,
                least,
                options.patterns,
                options.max_patterns,
                options.max_size,
            )
        except TooManySets as error:
            raise ValueError(f'class {self.label}: {error}') from None
        if len(sets) == 0:
            self._raise_empty(least)
        return sets

    def _raise_empty(self, least: int) -> None:
        tree = self.occurrences.tree
        best = int(tree.unique(return_counts=True)[1].max()) if len(tree) else 0
        if best == 0:
            raise ValueError(
                f'no tree set of class {self.label} is frequent, as its '
                f'{self.size} graphs have no nodes; leave the class out'
            )
        # Rounded down, so that it works as it is printed.
        share = math.floor(best / self.size * 1e4) / 1e4 or best
        raise ValueError(
            f'no tree set of class {self.label} reaches the min_support of '
            f'{least} of its {self.size} graphs (the highest support there is '
            f'{best}); try min_support={share} or less, or a smaller '
            f'num_layers'
        )

    def summarise(self, sets: FrequentSets) -> ClassSummary:
        found = self.occurrences
        kept = torch.isin(found.tree, sets.item)
        held = reduce(or_, sets.tids)
        return ClassSummary(
            num_graphs=self.size,
            num_trees=found.tree.unique().numel(),
            num_sets=len(sets),
            graph_coverage=held.bit_count() / self.size,
            node_coverage=float(found.count[kept].sum() / found.count.sum()),
        )


def _support_counts(
    min_support: Support, classes: dict[int, _Class]
) -> dict[int, int]:
    if isinstance(min_support, Mapping):
        if set(min_support) != set(classes):
            raise ValueError(
                f"'min_support' must name the classes of the source, which "
                f'are {sorted(classes)} (got {sorted(min_support)})'
            )
        given = dict(min_support)
    else:
        given = dict.fromkeys(classes, min_support)
    return {
        label: support_count(given[label], member.size)
        for label, member in classes.items()
    }


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


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(
            f"'{name}' must be one of {', '.join(map(repr, allowed))} (got "
            f'{value!r})'
        )
