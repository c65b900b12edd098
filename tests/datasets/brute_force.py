"""Mirage, Section 3.2, by trying every set of trees: slow and plain.

Nothing here uses the code under test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations
from math import ceil, floor
from typing import Any

from torch_geometric.data import Data

from tests.oracles import Tree, trees_of

# The class, the trees with their counts, the support and the weight.
Distilled = tuple[int, frozenset, int, float]


def support_count(value: int | float, size: int) -> int:
    """A share or a count -> the number of graphs that must hold a set."""
    if isinstance(value, int):
        return value
    return max(1, ceil(Fraction(str(value)) * size))


def frequent(
    held: list[Counter], least: int, max_size: int | None = None
) -> dict[frozenset[Tree], int]:
    """All frequent sets of trees, by their support."""
    found = {}
    for graph in held:
        trees = sorted(graph)
        top = len(trees) if max_size is None else max_size
        for size in range(1, top + 1):
            for items in map(frozenset, combinations(trees, size)):
                support = sum(items <= set(other) for other in held)
                if support >= least:
                    found[items] = support
    return found


def select(
    everything: dict[frozenset, int], patterns: str, max_size: int | None
) -> dict[frozenset, int]:
    """Keeps closed, maximal or all frequent sets."""
    return {
        items: support
        for items, support in everything.items()
        if (max_size is None or len(items) <= max_size)
        and not any(
            items < other
            and (patterns == 'maximal' or everything[other] == support)
            for other in (everything if patterns != 'all' else ())
        )
    }


def mean_count(tree: Tree, items: frozenset, held: list[Counter]) -> int:
    """The mean over the graphs that hold the set, rounded half up."""
    counts = [graph[tree] for graph in held if items <= set(graph)]
    return max(1, floor(Fraction(sum(counts), len(counts)) + Fraction(1, 2)))


def distil(
    graphs: Sequence[Data],
    num_layers: int,
    min_support: Any = 0.1,
    patterns: str = 'closed',
    shared: str = 'keep',
    root_count: str = 'mean',
    max_size: int | None = None,
    balance: str = 'source',
) -> list[Distilled]:
    """What the distilled data set must hold, in any order within a class."""
    classes: dict[int, list[Counter]] = {}
    for data in graphs:
        held = classes.setdefault(int(data.y), [])
        held.append(Counter(trees_of(data, num_layers)))
    least = {
        label: support_count(
            min_support[label]
            if isinstance(min_support, dict)
            else min_support,
            len(held),
        )
        for label, held in classes.items()
    }
    rows: list[tuple[int, frozenset, int]] = []
    for label, held in sorted(classes.items()):
        sets = select(frequent(held, least[label]), patterns, max_size)
        for items, support in sets.items():
            elsewhere = any(
                sum(items <= set(graph) for graph in classes[other])
                >= least[other]
                for other in classes
                if other != label
            )
            if shared == 'drop' and elsewhere:
                continue
            counted = frozenset(
                (
                    tree,
                    mean_count(tree, items, held)
                    if root_count == 'mean'
                    else 1,
                )
                for tree in items
            )
            rows.append((label, counted, support))
    weights = weigh(
        rows, {c: len(held) for c, held in classes.items()}, balance
    )
    return [(*row, weight) for row, weight in zip(rows, weights, strict=True)]


def weigh(
    rows: list[tuple[int, frozenset, int]], sizes: dict[int, int], balance: str
) -> list[float]:
    """Supports, scaled so that classes sum to their shares and all to P."""
    total = Counter()
    for label, _, support in rows:
        total[label] += support
    share = {
        'source': {
            c: Fraction(n, sum(sizes.values())) for c, n in sizes.items()
        },
        'uniform': {c: Fraction(1, len(sizes)) for c in sizes},
        'none': {c: Fraction(n, total.total()) for c, n in total.items()},
    }[balance]
    return [
        float(Fraction(support, total[label]) * share[label] * len(rows))
        for label, _, support in rows
    ]
