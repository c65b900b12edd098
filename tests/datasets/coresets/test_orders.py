"""Herding and k-center pick what trying all points picks."""

from collections.abc import Callable
from itertools import combinations, islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pyg_distill.datasets.coresets.herding import herding, herding_steps
from pyg_distill.datasets.coresets.k_center import k_center, k_center_steps
from pyg_distill.datasets.coresets.random_order import random_order
from tests.datasets.coresets.brute_force import farthest_first, herd

METHODS = [(herding, herd), (k_center, farthest_first)]
ONE_BY_ONE = [(herding, herding_steps), (k_center, k_center_steps)]


@st.composite
def integer_points(draw: st.DrawFn) -> Tensor:
    width = draw(st.integers(1, 3))
    row = st.lists(st.integers(-2, 4), min_size=width, max_size=width)
    return torch.tensor(draw(st.lists(row, min_size=1, max_size=8)))


@pytest.mark.parametrize('to_sparse', [False, True])
@pytest.mark.parametrize(('method', 'oracle'), METHODS)
@settings(max_examples=60)
@given(integer_points())
def test_order_is_that_of_the_definition(
    method: Callable, oracle: Callable, to_sparse: bool, points: Tensor
) -> None:
    # Of integers, also ties must be the same: the first of the best.
    expected = oracle([tuple(row) for row in points.tolist()])
    given = points.to_sparse() if to_sparse else points
    assert method(given).tolist() == expected


@pytest.mark.parametrize(('method', '_'), METHODS)
def test_sparse_is_the_same_as_dense(method: Callable, _: Callable) -> None:
    dense = torch.randint(0, 5, (60, 40)) * (torch.rand(60, 40) < 0.1)
    expected = method(dense)
    assert expected.sort().values.equal(torch.arange(60))
    for sparse in (dense.to_sparse(), dense.float().to_sparse_csc()):
        assert method(sparse).equal(expected)
    index = torch.stack([torch.arange(60), torch.zeros(60, dtype=torch.long)])
    twice = torch.sparse_coo_tensor(
        torch.cat([index, index], 1), torch.arange(120.0), (60, 3)
    )
    assert not twice.is_coalesced()
    assert method(twice).equal(method(twice.to_dense()))


def test_each_herded_point_is_the_best_of_reals() -> None:
    points = torch.randn(40, 6, dtype=torch.double) + 100
    order = herding(points)
    mean = points.mean(0)
    for k in range(40):
        total = points[order[:k]].sum(0)
        distance = (mean - (total + points) / (k + 1)).norm(dim=1)
        distance[order[:k]] = float('inf')
        assert distance[order[k]] <= distance.min() + 1e-9


def test_rounding_does_not_break_ties_of_herding() -> None:
    # All rows have the same entries, so that the first ones are equally good.
    row = torch.rand(90).sqrt()
    points = torch.stack([row.roll(i) for i in range(90)])
    order = herding(points)
    assert order[0] == 0
    for _ in range(3):
        columns = torch.randperm(90)
        assert herding(points[:, columns]).equal(order)
        assert herding(points[:, columns].to_sparse()).equal(order)


def test_each_center_is_the_farthest_of_reals() -> None:
    points = torch.randn(40, 6, dtype=torch.double) + 100
    order = k_center(points)
    distance = torch.cdist(points, points)
    for k in range(1, 40):
        nearest = distance[:, order[:k]].min(1).values
        assert nearest[order[k]] >= nearest.max() - 1e-6


def test_centers_are_within_twice_the_optimum() -> None:
    points = torch.rand(10, 2)
    distance = torch.cdist(points, points)
    for k in (1, 2, 3):
        radius = distance[:, k_center(points, k)].min(1).values.max()
        best = min(
            float(distance[:, list(c)].min(1).values.max())
            for c in combinations(range(10), k)
        )
        assert best <= radius <= 2 * best


@pytest.mark.parametrize(('method', 'steps'), ONE_BY_ONE)
def test_the_first_k_are_a_prefix(method: Callable, steps: Callable) -> None:
    points = torch.randn(12, 3)
    order = method(points)
    for k in (0, 1, 5, 12, 20):
        found = method(points, k)
        assert found.dtype == torch.long
        assert found.equal(order[:k])
    assert list(islice(steps(points), 4)) == order[:4].tolist()


@pytest.mark.parametrize(('method', '_'), METHODS)
def test_equal_points_come_in_their_order(
    method: Callable, _: Callable
) -> None:
    assert method(torch.ones(5, 2)).tolist() == [0, 1, 2, 3, 4]
    assert method(torch.zeros(3, 2).to_sparse()).tolist() == [0, 1, 2]
    assert method(torch.empty(4, 0)).tolist() == [0, 1, 2, 3]
    assert method(torch.empty(0, 4)).tolist() == []


def test_the_embedding_is_left_alone() -> None:
    points = torch.randn(6, 2, dtype=torch.double, requires_grad=True)
    before = points.detach().clone()
    assert not herding(points).requires_grad
    k_center(points)
    assert points.equal(before)


def test_random_order_depends_on_its_seed_only() -> None:
    torch.manual_seed(5)
    order = random_order(50, seed=1)
    state = torch.get_rng_state()
    assert random_order(50, seed=1).equal(order)
    assert torch.get_rng_state().equal(state)
    assert order.sort().values.equal(torch.arange(50))
    assert not random_order(50, seed=2).equal(order)


@pytest.mark.parametrize(('method', '_'), METHODS)
@pytest.mark.parametrize(
    ('embedding', 'error', 'message'),
    [
        ([[1.0]], TypeError, r"'embedding' must be a tensor .* \(got list\)"),
        (torch.ones(2, 1) * 1j, TypeError, r'real numbers \(got torch.comp'),
        (torch.ones(3), ValueError, r'num_features\] \(got \[3\]\)'),
        (torch.tensor([[1.0], [float('nan')]]), ValueError, 'be finite'),
        (torch.tensor([[float('inf')]]).to_sparse(), ValueError, 'be finite'),
    ],
)
def test_bad_embeddings(
    method: Callable,
    _: Callable,
    embedding: object,
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        method(embedding)
