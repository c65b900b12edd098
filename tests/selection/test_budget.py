"""What is kept fits, and hardly more would."""

import re
from collections import Counter
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pyg_distill.data import GraphTable, compressed_size
from pyg_distill.data.sources import Source
from pyg_distill.data.statistics import collect_statistics
from pyg_distill.data.storage import encode
from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.selection import Budget, BudgetTooSmall
from pyg_distill.selection.budget import class_turns
from pyg_distill.selection.frequent import _Search
from tests.oracles import trees_of
from tests.selection.helpers import keep, path, random_graphs, same

GRAPHS = random_graphs(60, (0, 1, 2), max_nodes=9, edge_attr=True)
TOY = ToyMolecules(num_graphs=60, log=False)
SELECTIONS = ['auto', 'herding', 'kcenter', 'random', 'multisets', 'frequent']
SIZES = st.lists(st.integers(1, 12), min_size=1, max_size=4).map(
    lambda values: dict(enumerate(values, 3))
)


def known(graphs: Any = GRAPHS, needs: Any = ()) -> Any:
    return collect_statistics(Source(graphs, 1), needs)


def stored(kept: MirageDataset) -> int:
    """The bytes of the whole graphs that were kept."""
    graphs = [GRAPHS[i] for i in kept.source_index.tolist()]
    return encode(GraphTable.from_list(graphs)).num_bytes


@pytest.mark.parametrize('budget', [180, 260, 0.5, 0.9])
@pytest.mark.parametrize('selection', SELECTIONS)
def test_the_result_fits(selection: str, budget: float) -> None:
    kept = keep(GRAPHS, 1, selection=selection, budget=budget)
    report, limit = kept.report, budget
    if isinstance(budget, float):
        assert report.source_compressed_bytes == compressed_size(GRAPHS)
        limit = budget * compressed_size(GRAPHS)
    else:
        assert report.source_compressed_bytes is None
    assert report.compressed_bytes <= limit
    if kept.source_index.min() >= 0 and selection != 'multisets':
        assert report.compressed_bytes == stored(kept)
    assert set(kept.y.tolist()) == {0, 1, 2}


class Prices:
    """A budget of graphs with prices that simply add up."""

    def __init__(self, sizes: dict[int, int], limit: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        total = sum(sizes.values())
        self.price = torch.randint(0, 9, (total,), generator=generator)
        order = torch.randperm(total, generator=generator).tolist()
        self.turns, self.asked = class_turns(sizes), []
        self.orders: dict[int, list[int]] = {c: [] for c in sizes}
        for graph, turn in zip(order, self.turns, strict=True):
            self.orders[turn].append(graph)
        graphs = [path(1, y=c) for c, n in sizes.items() for _ in range(n)]
        self.budget = Budget(known(graphs), limit)

    def size(self, index: Tensor) -> int:
        self.asked.append(index.numel())
        return int(self.price[index].sum())

    def fill(self) -> list[int]:
        orders = {c: iter(order) for c, order in self.orders.items()}
        return self.budget.fill(orders, self.size).tolist()


@settings(max_examples=30)
@given(SIZES, st.integers(0, 60), st.integers(0, 1000))
def test_filling_is_a_walk(
    sizes: dict[int, int], limit: int, seed: int
) -> None:
    # A graph that does not fit ends its class, and the others go on.
    prices = Prices(sizes, limit, seed)
    taken: dict[int, list[int]] = {c: [] for c in sizes}
    closed, spent = set(), 0
    for number, turn in enumerate(prices.turns):
        if turn in closed:
            continue
        graph = prices.orders[turn][len(taken[turn])]
        if spent + int(prices.price[graph]) <= limit:
            taken[turn].append(graph)
            spent += int(prices.price[graph])
        elif number < len(sizes):
            with pytest.raises(BudgetTooSmall, match='one a class'):
                prices.fill()
            return
        else:
            closed.add(turn)
    assert prices.fill() == [g for c in taken for g in taken[c]]


def test_few_sizes_are_computed_and_orders_only_as_far_as_needed() -> None:
    seen, asked = [0], []
    graphs = [path(1, y=i % 2) for i in range(2000)]
    price = torch.randint(100, 900, (2000,))

    def order(label: int) -> Any:
        for i in range(label, 2000, 2):
            seen[0] += 1
            yield i

    def size(index: Tensor) -> int:
        asked.append(index.numel())
        return 1000 + int(price[index].sum())

    budget = Budget(known(graphs), 100_000)
    found = budget.fill({c: order(c) for c in (0, 1)}, size)
    assert 99_000 < 1000 + int(price[found].sum()) <= 100_000
    assert len(asked) < 15
    assert max(asked) < 2 * found.numel()
    assert seen[0] < 2 * found.numel()


@pytest.mark.parametrize('limit', [50, 3, 10**9])
def test_sizes_that_fall_again_do_not_exceed_the_limit(limit: int) -> None:
    sizes = [1, 1, 1, 1, 50, 3, 2, 2, 60, 1]
    budget = Budget(known([path(1)] * 10), limit)
    found = budget.fill(torch.arange(10), lambda i: sizes[i.numel() - 1])
    assert sizes[found.numel() - 1] <= limit
    assert found.equal(torch.arange(found.numel()))
    assert found.numel() >= 4


@pytest.mark.parametrize('budget', [1, 1e-6])
@pytest.mark.parametrize(
    ('selection', 'options'),
    [
        *((name, {}) for name in SELECTIONS),
        ('multisets', {'vocabulary_size': 7, 'compact': False}),
    ],
    ids=str,
)
def test_the_smallest_budget_is_named_and_works(
    selection: str, options: dict, budget: float
) -> None:
    def distil(budget: float) -> MirageDataset:
        return keep(TOY, 2, budget=budget, selection=selection, **options)

    with pytest.raises(BudgetTooSmall, match='too small') as info:
        distil(budget)
    text = str(info.value)
    assert '\n' not in text
    assert f'got {budget}' in text
    number = re.search(r'works is ([\d.]+)(?: bytes|, which)', text)
    assert number is not None
    kind = type(budget)
    least = kind(number[1])
    assert set(distil(least).y.tolist()) == set(TOY.y.tolist())
    with pytest.raises(BudgetTooSmall, match='too small') as again:
        distil(least - (1 if kind is int else 2e-3))
    assert f'works is {number[1]}' in str(again.value)


@settings(max_examples=60)
@given(st.integers(1, 99), st.integers(1, 3000))
def test_a_share_is_what_is_written(percent: int, total: int) -> None:
    # As a float, 0.57 of 100 bytes is a little less than 57.
    budget = Budget(known([path(1)]), percent / 100)
    budget.__dict__['source_bytes'] = total
    assert budget.num_bytes == Fraction(percent, 100) * total // 1
    for least in (1, total // 2 + 1, total, total + 1):
        text = str(budget.too_small(least, 'it'))
        share = re.search(r'works is ([\d.]+), which', text)
        if least > total:
            assert f'works is {least} bytes (an int)' in text
        else:
            assert share is not None
            again = Budget(budget.statistics, float(share[1]))
            again.__dict__['source_bytes'] = total
            assert again.num_bytes >= least


@given(SIZES)
def test_turns_are_those_of_webster(sizes: dict[int, int]) -> None:
    taken: Counter = Counter()
    for turn in class_turns(sizes):
        waiting = [c for c in sizes if taken[c] == 0]
        rest = waiting or [c for c in sizes if taken[c] < sizes[c]]
        expected = rest[0]
        if not waiting:
            # The class that is farthest below its share.
            expected = min(
                rest, key=lambda c: Fraction(2 * taken[c] + 1, sizes[c])
            )
        assert turn == expected
        taken[turn] += 1
    assert taken == sizes


@pytest.mark.parametrize(
    'selection', ['auto', 'herding', 'random', 'multisets']
)
@pytest.mark.parametrize('num_graphs', [3, 10, 60])
def test_a_number_of_graphs_is_exact_and_keeps_shares(
    selection: str, num_graphs: int
) -> None:
    labels = [0] * 36 + [1] * 18 + [2] * 6
    graphs = [data.clone() for data in GRAPHS]
    for data, label in zip(graphs, labels, strict=True):
        data.y = torch.tensor([label])
    kept = keep(graphs, 1, selection=selection, num_graphs=num_graphs)
    expected = {3: [1, 1, 1], 10: [6, 3, 1], 60: [36, 18, 6]}[num_graphs]
    assert torch.bincount(kept.y).tolist() == expected
    assert kept.report.source_compressed_bytes is None


def test_by_default_a_tenth_and_at_least_one_graph_a_class() -> None:
    source = ToyMolecules(num_graphs=200, log=False)
    kept = keep(source, 2, selection='herding')
    assert same(kept, keep(source, 2, selection='herding', budget=0.1))
    few = keep([path(1, 2, 3), path(3, 4, y=1)], 2)
    assert sorted(few.y.tolist()) == [0, 1]


@pytest.mark.parametrize('kind', ['closed', 'all'])
def test_frequent_sets_have_the_smallest_support_that_fits(kind: str) -> None:
    source = random_graphs(24, (0, 1, 1), max_nodes=4)
    held: dict[int, list[set]] = {0: [], 1: []}
    for data in source:
        held[int(data.y)].append(set(trees_of(data, 1)))
    most = max(len(sets) for sets in held.values())
    best = {
        c: max(Counter(t for s in sets for t in s).values())
        for c, sets in held.items()
    }

    def distil(**options: Any) -> MirageDataset:
        return keep(source, 1, selection='frequent', kind=kind, **options)

    # Sets of one graph are not tried: they are not frequent.
    tried = {}
    for support in range(2, most + 1):
        least = {
            c: min(best[c], ceil(support * len(held[c]) / most)) for c in held
        }
        tried[support] = distil(min_support=least)
    size = {k: kept.report.compressed_bytes for k, kept in tried.items()}
    assert size[2] > 1.3 * size[most]
    for budget in (10**6, size[2], size[2] - 1, size[most // 2], size[most]):
        # The first after the last that does not fit.
        wanted = max((k + 1 for k in size if size[k] > budget), default=2)
        kept = distil(budget=budget)
        assert kept.report.compressed_bytes <= budget
        found = next(k for k in tried if same(kept, tried[k]))
        if found > wanted or [*size.values()] == sorted(size.values())[::-1]:
            assert size[found] == size[wanted]
    with pytest.raises(BudgetTooSmall, match='too small'):
        distil(budget=min(size.values()) - 1)


def test_low_supports_are_tried_only_if_higher_ones_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    mine = _Search.mine

    def watch(self: Any, min_support: dict[int, int]) -> Any:
        asked.append(min_support[0])
        return mine(self, min_support)

    monkeypatch.setattr(_Search, 'mine', watch)
    source = [path(*range(i % 8 + 1), y=0) for i in range(64)]
    size = keep(source, 0, 'frequent', min_support=64).report.compressed_bytes
    for budget, factor in ((int(1.5 * size), 0.74), (100 * size, 0.5)):
        asked.clear()
        keep(source, 0, 'frequent', budget=budget)
        # Near the budget, a step is a quarter of the support, else a half.
        assert asked[:1] == [64]
        assert asked[1] >= factor * 64
        assert (asked[1] == 48) == (budget < 8 * size)
        assert min(asked) > 1


def test_too_many_of_the_most_frequent_sets() -> None:
    graphs = [path(*range(9)), path(*range(9), y=1)]
    options = {'kind': 'all', 'max_sets': 5}
    with pytest.raises(BudgetTooSmall, match='max_sets') as info:
        keep(graphs, 1, selection='frequent', **options, budget=1000)
    assert '\n' not in str(info.value)
