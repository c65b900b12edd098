"""The weights of pairs of layers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from pyg_distill.nn import ABKDLoss
from pyg_distill.nn.losses.matching import fixed_attention
from tests.nn.losses import oracles
from tests.nn.losses.helpers import both

SIZES = st.integers(1, 12)


@pytest.mark.parametrize(
    ('size', 'want'),
    [
        ((4, 2), [[1, 0], [1, 0], [0, 1], [0, 1]]),
        ((2, 4), [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]),
        ((3, 2), [[1, 0], [0.5, 0.5], [0, 1]]),
        ((2, 3), [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]]),
        ((3, 1), [[1], [1], [1]]),
        ((1, 4), [[0.25, 0.25, 0.25, 0.25]]),
    ],
)
def test_diagonal_by_hand(size, want):
    out = fixed_attention('diagonal', *size)
    assert_close(out, torch.tensor(want).float())


@given(SIZES, SIZES)
def test_fixed(num_teacher, num_student):
    size = num_teacher, num_student
    for kind in ['diagonal', 'uniform', 'last']:
        want = torch.tensor(oracles.fixed(kind, *size))
        assert_close(fixed_attention(kind, *size), want, rtol=1e-6, atol=1e-6)
    out = fixed_attention('diagonal', *size)
    assert_close(out.sum(1), torch.ones(num_teacher))
    # Student layers share the teacher's depth evenly.
    share = torch.full((num_student,), num_teacher / num_student)
    assert_close(out.sum(0), share)
    assert_close(out, out.flip(0, 1))
    turned = fixed_attention('diagonal', num_student, num_teacher)
    assert_close(out / num_teacher, turned.t() / num_student)


@given(st.integers(1, 5), st.integers(1, 5), st.data())
def test_any_matrix(num_teacher, num_student, data):
    weights = st.floats(0, 4, width=32)
    row = st.lists(weights, min_size=num_student, max_size=num_student)
    matrix = data.draw(
        st.lists(row, min_size=num_teacher, max_size=num_teacher)
    )
    if sum(map(sum, matrix)) < 0.01:
        return
    widths = [2] * num_teacher, [2] * num_student
    sides = both(widths, 4, torch.float, seed=data.draw(st.integers(0, 99)))
    options = {'projection': None}
    loss = ABKDLoss(*widths, matrix, **options)
    want = oracles.abkd(loss, *sides, attention_kind=matrix, **options)
    assert loss(*sides).item() == pytest.approx(want, rel=1e-4, abs=1e-4)


def test_matrix_is_copied():
    matrix = torch.ones(2, 1)
    loss = ABKDLoss([2, 2], [2], matrix)
    matrix.zero_()
    loss([torch.randn(3, 2)] * 2, [torch.randn(3, 2)])
    assert loss.last_attention.tolist() == [[1.0], [1.0]]
    # A teacher layer may have no weight.
    ABKDLoss([2, 2], [2], [[0], [1]])


def test_learned():
    widths = [3, 2, 3], [2, 4]
    loss = ABKDLoss(*widths, 'learned', hidden_channels=4).double()
    teacher, student = both(widths)
    loss(teacher, student)
    out = loss.last_attention
    assert_close(out.sum(1), torch.ones(3).double())
    rows = ([x.tolist() for x in side] for side in (teacher, student))
    want = oracles.attention(loss.matchings[0], *rows, 'learned', 4)
    assert_close(out, torch.tensor(want).double())


@pytest.mark.parametrize('attention', ['learned', 'uniform'])
def test_gradient_of_scores(attention):
    widths = [3, 3], [2, 2]
    loss = ABKDLoss(*widths, attention)
    loss(*both(widths, dtype=torch.float)).backward()
    assert all(p.grad.abs().sum() > 0 for p in loss.parameters())
    scores = [name for name, _ in loss.named_parameters() if 'learned' in name]
    assert len(scores) == (4 if attention == 'learned' else 0)


@pytest.mark.parametrize(
    'matrix',
    [
        torch.ones(2, 3),
        torch.ones(6),
        [[1, 1], [1, -0.5], [1, 1]],
        [[1, 1], [1, float('inf')], [1, 1]],
        [[1, 1], [1, float('nan')], [1, 1]],
        torch.zeros(3, 2),
        'random',
        None,
        [[1.0], [1.0, 2.0]],
        [['a', 'b']] * 2,
    ],
)
def test_bad_matrix(matrix):
    match = r"^'attention' must be 'learned'.* matrix of shape \[3, 2\]"
    with pytest.raises(ValueError, match=match):
        ABKDLoss([4, 4, 4], [2, 2], matrix)


@pytest.mark.parametrize('make', [ABKDLoss, ABKDLoss.paper])
def test_single_layer(make):
    with pytest.raises(ValueError, match='a single student layer'):
        make([4, 4], [2], attention='learned')
    make([4], [2, 2], attention='learned')
