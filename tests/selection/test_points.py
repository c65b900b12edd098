"""Herding, k-center and random: what they pick, by trying all points."""

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from itertools import islice
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pyg_distill.selection import Herding, KCenter
from pyg_distill.selection.base import random_order
from tests.selection.helpers import keep, message, path, random_graphs, same

Point = tuple[Any, ...]


def distance(first: Point, second: Point) -> Any:
    return sum((a - b) ** 2 for a, b in zip(first, second, strict=True))


def mean(points: list[Point]) -> Point:
    columns = zip(*points, strict=True)
    return tuple(Fraction(sum(c)) / len(points) for c in columns)


def herd(points: list[Point]) -> list[int]:
    """Tries every point in every step."""
    center, order = mean(points), list[int]()
    while len(order) < len(points):
        rest = [i for i in range(len(points)) if i not in order]

        def gap(i: int) -> Any:
            return distance(center, mean([points[j] for j in [*order, i]]))

        order.append(min(rest, key=gap))
    return order


def farthest_first(points: list[Point]) -> list[int]:
    """Measures the distance of every point to every picked one."""
    center = mean(points)
    order = [min(range(len(points)), key=lambda i: distance(center, points[i]))]
    while len(order) < len(points):
        rest = [i for i in range(len(points)) if i not in order]

        def gap(i: int) -> Any:
            return min(distance(points[i], points[j]) for j in order)

        order.append(max(rest, key=gap))
    return order


def order_of(selector: Any, points: Tensor) -> list[int]:
    return list(selector.steps(points))


METHODS = [(Herding(), herd), (KCenter(), farthest_first)]


@st.composite
def integer_points(draw: st.DrawFn) -> Tensor:
    width = draw(st.integers(1, 3))
    row = st.lists(st.integers(-2, 4), min_size=width, max_size=width)
    return torch.tensor(draw(st.lists(row, min_size=1, max_size=7)))


@pytest.mark.parametrize(('selector', 'oracle'), METHODS)
@settings(max_examples=40)
@given(integer_points())
def test_order_is_that_of_the_definition(
    selector: Any, oracle: Callable, points: Tensor
) -> None:
    # Of integers, also ties must be the same: the first of the best.
    expected = oracle([tuple(row) for row in points.tolist()])
    assert order_of(selector, points) == expected
    assert order_of(selector, points.to_sparse()) == expected


@pytest.mark.parametrize(('selector', '_'), METHODS)
def test_any_layout_of_points(selector: Any, _: Callable) -> None:
    dense = torch.randint(0, 5, (60, 40)) * (torch.rand(60, 40) < 0.1)
    expected = order_of(selector, dense)
    assert sorted(expected) == [*range(60)]
    for sparse in (dense.to_sparse(), dense.float().to_sparse_csc()):
        assert order_of(selector, sparse) == expected
    assert [*islice(selector.steps(dense), 4)] == expected[:4]
    assert order_of(selector, torch.ones(5, 2)) == [0, 1, 2, 3, 4]
    assert order_of(selector, torch.zeros(3, 2).to_sparse()) == [0, 1, 2]
    assert order_of(selector, torch.empty(4, 0)) == [0, 1, 2, 3]
    assert order_of(selector, torch.empty(0, 4)) == []
    points = torch.randn(6, 2, dtype=torch.double, requires_grad=True)
    before = points.detach().clone()
    order_of(selector, points)
    assert points.equal(before)


def test_rounding_does_not_break_ties_of_herding() -> None:
    # All rows have the same entries, so that the first ones are equally good.
    row = torch.rand(90).sqrt()
    points = torch.stack([row.roll(i) for i in range(90)])
    order = order_of(Herding(), points)
    assert order[0] == 0
    for _ in range(3):
        columns = points[:, torch.randperm(90)]
        assert order_of(Herding(), columns) == order
        assert order_of(Herding(), columns.to_sparse()) == order


def test_embeddings_may_be_given() -> None:
    graphs = random_graphs(20)
    points = torch.randn(20, 3)
    for selection, selector in (('herding', Herding()), ('kcenter', KCenter())):
        options = {'num_graphs': 6, 'selection': selection}
        kept = keep(graphs, 2, embedding=points, **options)
        expected = [
            label + 2 * step
            for label in (0, 1)
            for step in islice(selector.steps(points[label::2]), 3)
        ]
        assert kept.source_index.tolist() == sorted(expected)
        sparse = keep(graphs, 2, embedding=points.to_sparse(), **options)
        assert same(sparse, kept)


@pytest.mark.parametrize('selection', ['herding', 'kcenter'])
@pytest.mark.parametrize(
    ('embedding', 'error', 'word'),
    [
        ([[1.0]], TypeError, 'got list'),
        (torch.ones(12, 1) * 1j, TypeError, 'complex'),
        (torch.ones(12), ValueError, r'num_features'),
        (torch.full((12, 1), float('nan')), ValueError, 'finite'),
        (torch.full((12, 1), float('inf')).to_sparse(), ValueError, 'finite'),
        (torch.ones(11, 1), ValueError, '11 rows for 12'),
    ],
)
def test_bad_embeddings(
    selection: str, embedding: Any, error: type[Exception], word: str
) -> None:
    text = message(
        error, random_graphs(12), 1, selection=selection, embedding=embedding
    )
    assert "'embedding'" in text
    assert word in text


def test_more_graphs_hold_fewer() -> None:
    graphs = random_graphs(30, (0, 1, 2))
    for selection in ('herding', 'kcenter', 'random'):
        kept = [
            {
                *keep(
                    graphs, 1, selection=selection, num_graphs=k
                ).source_index.tolist()
            }
            for k in (3, 8, 21, 30)
        ]
        assert kept[0] < kept[1] < kept[2] < kept[3] == {*range(30)}


def test_random_draws_depend_on_their_seed_only() -> None:
    graphs = [path(i, y=i % 2) for i in range(40)]

    def draw(seed: int) -> list[int]:
        kept = keep(graphs, 1, num_graphs=10, selection='random', seed=seed)
        return kept.source_index.tolist()

    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = draw(0)
    assert torch.get_rng_state().equal(state)
    torch.manual_seed(6)
    assert draw(0) == first != draw(1)
    order = random_order(40, seed=1)
    assert order.sort().values.equal(torch.arange(40))
    drawn = Counter(i for seed in range(60) for i in draw(seed))
    # Each is drawn 15 times on average, within four standard deviations.
    assert all(abs(drawn[i] - 15) < 4 * 3.4 for i in range(40))
    for seed in (0.5, True, 'a'):
        text = message(TypeError, graphs, 1, selection='random', seed=seed)
        assert "'seed'" in text
