"""Mirage, Section 3.2, by trying every set of trees: slow and plain.

Nothing here uses the code under test.
"""

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


def frequent(held: list[Counter], least: int) -> dict[frozenset[Tree], int]:
    """All frequent sets of trees, by their support."""
    out = {}
    for graph in held:
        trees = sorted(graph)
        for size in range(1, len(trees) + 1):
            for items in map(frozenset, combinations(trees, size)):
                support = sum(items <= set(other) for other in held)
                if support >= least:
                    out[items] = support
    return out


def select(
    everything: dict[frozenset, int], kind: str, max_size: int | None
) -> dict[frozenset, int]:
    """Keeps closed, maximal or all frequent sets."""
    return {
        items: support
        for items, support in everything.items()
        if (max_size is None or len(items) <= max_size)
        and not any(
            items < other
            and (kind == 'maximal' or everything[other] == support)
            for other in (everything if kind != 'all' else ())
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
    kind: str = 'closed',
    drop_shared: bool = False,
    multiplicity: str = 'mean',
    max_size: int | None = None,
    class_weight: str = 'source',
) -> list[Distilled]:
    """What the distilled data set must hold, in any order."""
    classes: dict[int, list[Counter]] = {}
    for data in graphs:
        held = classes.setdefault(int(data.y), [])
        held.append(Counter(trees_of(data, num_layers)))
    least = {}
    for label, held in classes.items():
        value = min_support
        if isinstance(min_support, dict):
            value = min_support[label]
        least[label] = support_count(value, len(held))
    rows: list[tuple[int, frozenset, int]] = []
    for label, held in sorted(classes.items()):
        sets = select(frequent(held, least[label]), kind, max_size)
        for items, support in sets.items():
            elsewhere = any(
                sum(items <= set(graph) for graph in classes[other])
                >= least[other]
                for other in classes
                if other != label
            )
            if drop_shared and elsewhere:
                continue
            counted = frozenset(
                (tree, mean_count(tree, items, held))
                if multiplicity == 'mean'
                else (tree, 1)
                for tree in items
            )
            rows.append((label, counted, support))
    sizes = {c: len(held) for c, held in classes.items()}
    weights = weigh(rows, sizes, class_weight)
    return [(*row, weight) for row, weight in zip(rows, weights, strict=True)]


def weigh(
    rows: list[tuple[int, frozenset, int]],
    sizes: dict[int, int],
    class_weight: str,
) -> list[float]:
    """Supports, scaled so that classes sum to their shares and all to P."""
    total: Counter = Counter()
    for label, _, support in rows:
        total[label] += support
    graphs, supports = sum(sizes.values()), sum(total.values())
    share = {
        'source': {c: Fraction(n, graphs) for c, n in sizes.items()},
        'uniform': {c: Fraction(1, len(sizes)) for c in sizes},
        'none': {c: Fraction(n, supports or 1) for c, n in total.items()},
    }[class_weight]
    return [
        float(Fraction(support, total[label]) * share[label] * len(rows))
        for label, _, support in rows
    ]
