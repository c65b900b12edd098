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


@pytest.mark.parametrize('compact', [True, False])
@pytest.mark.parametrize('selection', ['multisets', 'frequent'])
def test_trees_fit_as_they_are_stored(
    selection: str, compact: bool, tmp_path: Any
) -> None:
    options: Any = {
        'selection': selection,
        'selection_kwargs': {'compact': compact},
        'budget': 260,
    }
    kept = keep(GRAPHS, 1, root=str(tmp_path), **options)
    content = torch.load(kept.processed_paths[0], weights_only=True)
    assert content['payload'].numel() == kept.report.compressed_bytes <= 260
    assert same(kept, keep(GRAPHS, 1, **options))


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


@pytest.mark.parametrize('selection', ['herding', 'kcenter', 'random'])
@pytest.mark.parametrize('budget', [180, 300])
def test_no_more_graphs_would_fit(selection: str, budget: int) -> None:
    kept = keep(GRAPHS, 1, selection=selection, budget=budget)
    index, counts = kept.source_index, Counter(kept.y.tolist())
    for label in range(3):
        # The graph that would be next is the one that more graphs add.
        for k in range(len(kept) + 1, 61):
            more = keep(GRAPHS, 1, selection=selection, num_graphs=k)
            mine = more.source_index[more.y == label]
            new = mine[~torch.isin(mine, index)]
            if new.numel():
                break
        else:
            continue
        assert mine.numel() == counts[label] + 1
        graphs = torch.cat([index, new]).sort().values.tolist()
        assert compressed_size([GRAPHS[i] for i in graphs]) > budget


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


def test_a_number_of_graphs_out_of_range() -> None:
    for number in (2, 61):
        with pytest.raises(ValueError, match='num_graphs') as info:
            keep(GRAPHS, 1, selection='herding', num_graphs=number)
        assert f'got {number}' in str(info.value)


def test_a_budget_and_a_number() -> None:
    for selection, options in (
        ('herding', {}),
        ('multisets', {'vocabulary_size': 60}),
    ):

        def distil(
            selection: str = selection, options: dict = options, **limits: Any
        ) -> MirageDataset:
            return keep(TOY, 2, selection=selection, **options, **limits)

        most = distil(num_graphs=60).report.compressed_bytes
        assert len(distil(budget=most, num_graphs=4)) == 4
        budget = most * 7 // 8
        limited = distil(budget=budget, num_graphs=59)
        assert 4 < len(limited) < 59
        assert limited.report.compressed_bytes <= budget
        # Few more would fit, of any class.
        more = distil(num_graphs=len(limited) + 5)
        assert more.report.compressed_bytes > budget


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
        kwargs = {k: v for k, v in options.items() if k != 'budget'}
        return keep(
            source,
            1,
            budget=options.get('budget'),
            selection='frequent',
            kind=kind,
            **kwargs,
        )

    tried = []
    for support in range(1, most + 1):
        least = {
            c: min(best[c], ceil(support * len(held[c]) / most)) for c in held
        }
        tried.append(distil(min_support=least))
    sizes = [kept.report.compressed_bytes for kept in tried]
    assert sizes[0] > 1.3 * sizes[-1]
    for budget in (sizes[0], sizes[0] - 1, sizes[len(sizes) // 2], sizes[-1]):
        # The first after the last that does not fit.
        wanted = max(
            (i + 1 for i, size in enumerate(sizes) if size > budget), default=0
        )
        kept = distil(budget=budget)
        assert kept.report.compressed_bytes <= budget
        found = next(i for i, d in enumerate(tried) if same(kept, d))
        if sizes == sorted(sizes, reverse=True) or found > wanted:
            assert sizes[found] == sizes[wanted]
    with pytest.raises(BudgetTooSmall, match='too small'):
        distil(budget=min(sizes) - 1)


def test_too_many_of_the_most_frequent_sets() -> None:
    graphs = [path(*range(9)), path(*range(9), y=1)]
    options = {'kind': 'all', 'max_sets': 5}
    with pytest.raises(BudgetTooSmall, match='max_sets') as info:
        keep(graphs, 1, selection='frequent', **options, budget=1000)
    assert '\n' not in str(info.value)
