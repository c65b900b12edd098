"""Trees that stand for others are what trying all of them finds."""

from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pyg_distill.trees import facility_location as module
from pyg_distill.trees.facility_location import facility_steps, nearest

# Distances are rounded to this, so that sums of them are exact.
DIGIT = 2.0**-10


def random_points(num_points: int, num_columns: int, high: int = 5) -> Tensor:
    """Multiples of 1 / 4, so that many points are equally far apart."""
    return torch.randint(-high, high, (num_points, num_columns)) / 4


def facility_location(points: Tensor, weight: Tensor) -> Tensor:
    return torch.tensor([*facility_steps(points, weight)]).long()


def distance(a: list[float], b: list[float]) -> float:
    square = sum((p - q) ** 2 for p, q in zip(a, b, strict=True))
    return round(square**0.5 / DIGIT) * DIGIT


def gain(
    points: list[list[float]], weight: list[int], chosen: list[int]
) -> float:
    """What is saved by having these, as compared to the largest distance."""
    far = max(distance(a, b) for a in points for b in points)
    return sum(
        w * (far - min([far, *(distance(point, points[c]) for c in chosen)]))
        for point, w in zip(points, weight, strict=True)
    )


def greedy(points: Tensor, weight: Tensor) -> list[int]:
    """Tries all points at each step; of equally good ones, the first."""
    rows, count = points.tolist(), weight.tolist()
    order: list[int] = []
    while len(order) < len(rows):
        rest = [i for i in range(len(rows)) if i not in order]
        value = [gain(rows, count, [*order, i]) for i in rest]
        order.append(rest[value.index(max(value))])
    return order


@settings(max_examples=40)
@given(
    st.integers(0, 7),
    st.integers(1, 3),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(0, 1000),
)
def test_each_step_is_the_best_one(
    num_points: int, num_columns: int, high: int, most: int, seed: int
) -> None:
    torch.manual_seed(seed)
    points = random_points(num_points, num_columns, high)
    weight = torch.randint(0, most, (num_points,))
    expected = greedy(points, weight)
    assert facility_location(points, weight).tolist() == expected


def test_what_is_computed_together_does_not_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    points, weight = random_points(120, 2, 20), torch.randint(0, 9, (120,))
    lazy = facility_location(points, weight)
    assert lazy.sort().values.equal(torch.arange(120))
    steps = facility_steps(points, weight)
    assert [*islice(steps, 3), *islice(steps, 4)] == lazy[:7].tolist()
    # All gains are computed anew in the last case.
    for together in (1, 2, 120):
        monkeypatch.setattr(module, '_TOGETHER', together)
        assert facility_location(points, weight).equal(lazy)

    points, weight = random_points(200, 5), torch.randint(1, 50, (200,))
    others = random_points(70, 5)
    order = facility_location(points, weight)
    number = nearest(points, others)
    monkeypatch.setattr(module, '_BLOCK', 200)
    assert facility_location(points, weight).equal(order)
    assert nearest(points, others).equal(number)
    assert torch.cat([nearest(p, others) for p in points.split(7)]).equal(
        number
    )


def test_no_points() -> None:
    none = torch.empty(0, 3)
    assert facility_location(none, torch.empty(0)).tolist() == []
    assert nearest(none, torch.ones(2, 3)).tolist() == []
    assert facility_location(torch.ones(1, 0), torch.ones(1)).tolist() == [0]
    assert nearest(torch.ones(2, 0), torch.ones(3, 0)).tolist() == [0, 0]


@settings(max_examples=30)
@given(
    st.integers(0, 12),
    st.integers(1, 9),
    st.integers(1, 3),
    st.sampled_from([1.0, 1000.0]),
    st.integers(0, 1000),
)
def test_nearest_is_nearest(
    num_points: int, num_centers: int, dim: int, scale: float, seed: int
) -> None:
    torch.manual_seed(seed)
    points = random_points(num_points, dim) * scale
    centers = random_points(num_centers, dim) * scale
    square = [
        [
            sum((p - q) ** 2 for p, q in zip(a, b, strict=True))
            for b in centers.tolist()
        ]
        for a in points.tolist()
    ]
    expected = [row.index(min(row)) for row in square]
    assert nearest(points, centers).tolist() == expected
