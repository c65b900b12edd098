"""Classes take turns in their proportions, until there is no more room."""

from collections import Counter
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_distill.datasets.coresets.proportions import (
    ClassOrders,
    class_turns,
    fill,
)

sizes = st.lists(st.integers(1, 12), min_size=1, max_size=4).map(
    lambda values: dict(enumerate(values, 3))
)


@given(sizes)
def test_turns_are_those_of_webster(num_graphs: dict[int, int]) -> None:
    taken = Counter()
    for turn in class_turns(num_graphs):
        waiting = [c for c in num_graphs if taken[c] == 0]
        # The class that is farthest below its share, in the sense of Webster.
        rest = waiting or [c for c in num_graphs if taken[c] < num_graphs[c]]
        expected = rest[0]
        if not waiting:
            expected = min(
                rest, key=lambda c: Fraction(2 * taken[c] + 1, num_graphs[c])
            )
        assert turn == expected
        taken[turn] += 1
    assert taken == num_graphs


@given(sizes)
def test_shares_are_kept(num_graphs: dict[int, int]) -> None:
    turns = class_turns(num_graphs)
    total = len(turns)
    for k in range(len(num_graphs), total + 1):
        taken = Counter(turns[:k])
        assert len(taken) == len(num_graphs)
        if k >= 4 * len(num_graphs):
            for c, size in num_graphs.items():
                assert abs(taken[c] - k * size / total) < 2


def test_two_classes_are_rounded_to_the_nearest() -> None:
    turns = class_turns({0: 30, 1: 70})
    for k in range(4, 101):
        assert abs(turns[:k].count(0) - 0.3 * k) <= 0.5 + 1e-9


@settings(max_examples=60)
@given(sizes, st.integers(0, 60), st.integers(0, 1000))
def test_filling_is_a_walk(
    num_graphs: dict[int, int], room: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    total = sum(num_graphs.values())
    price = torch.randint(0, 9, (total,), generator=generator)
    order = torch.randperm(total, generator=generator).tolist()
    turns = class_turns(num_graphs)
    mine = {
        c: [g for g, turn in zip(order, turns, strict=True) if turn == c]
        for c in num_graphs
    }

    taken: dict[int, list[int]] = {c: [] for c in mine}
    closed, spent = set(), 0
    for number, turn in enumerate(turns):
        if turn in closed:
            continue
        graph = mine[turn][len(taken[turn])]
        if spent + int(price[graph]) > room:
            if number < len(mine):
                taken = {}
                break
            closed.add(turn)
        else:
            taken[turn].append(graph)
            spent += int(price[graph])

    orders = ClassOrders({c: iter(graphs) for c, graphs in mine.items()})
    found = fill(turns, orders, lambda index: int(price[index].sum()), room)
    assert found.dtype == torch.long
    assert found.tolist() == [g for c in taken for g in taken[c]]


def test_few_prices_are_asked_for() -> None:
    generator = torch.Generator().manual_seed(0)
    price = torch.randint(100, 900, (20_000,), generator=generator)
    asked = []

    def cost(index: torch.Tensor) -> int:
        asked.append(index.numel())
        return 1000 + int(price[index].sum())

    steps = {0: iter(range(10_000)), 1: iter(range(10_000, 20_000))}
    turns = class_turns({0: 10_000, 1: 10_000})
    found = fill(turns, ClassOrders(steps), cost, 500_000)
    assert 499_000 < 1000 + int(price[found].sum()) <= 500_000
    assert len(asked) < 15
    assert max(asked) < 2 * found.numel()


@pytest.mark.parametrize('room', [0.5, 3.0, 1e9])
def test_odd_prices_do_not_exceed_the_room(room: float) -> None:
    # Free graphs, then one that is dear, and prices that fall again.
    def cost(index: torch.Tensor) -> int:
        return [0, 0, 0, 0, 50, 3, 2, 2, 60, 1][index.numel() - 1]

    orders = ClassOrders({0: iter(range(10))})
    found = fill([0] * 10, orders, cost, room)
    assert cost(found) <= room
    assert found.equal(torch.arange(found.numel()))
    assert found.numel() >= 4


def test_orders_are_computed_when_needed() -> None:
    seen = []

    def steps(label: int) -> object:
        for i in range(10):
            seen.append((label, i))
            yield 10 * label + i

    orders = ClassOrders({1: steps(1), 0: steps(0)})
    assert orders.first_of([1, 0, 1]).tolist() == [0, 10, 11]
    assert sorted(seen) == [(0, 0), (1, 0), (1, 1)]
    assert orders.first_of([1]).tolist() == [10]
    assert orders.first_of([]).dtype == torch.long
    assert len(seen) == 3
