"""The weights that pairs of layers get."""

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from pyg_distill.nn import ABKDLoss
from pyg_distill.nn.losses.attention import fixed_attention
from tests.nn.losses import oracles

SIZES = st.integers(1, 12)


@pytest.mark.parametrize(
    ('size', 'want'),
    [
        ((4, 2), [[1, 0], [1, 0], [0, 1], [0, 1]]),
        ((2, 4), [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]),
        ((3, 2), [[1, 0], [0.5, 0.5], [0, 1]]),
        ((2, 3), [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]]),
        ((5, 5), torch.eye(5).tolist()),
        ((3, 1), [[1], [1], [1]]),
        ((1, 4), [[0.25, 0.25, 0.25, 0.25]]),
    ],
)
def test_diagonal_by_hand(size, want):
    out = fixed_attention('diagonal', *size)
    assert_close(out, torch.tensor(want).float())


@given(SIZES, SIZES)
def test_diagonal(num_teacher, num_student):
    out = fixed_attention('diagonal', num_teacher, num_student)
    want = oracles.fixed('diagonal', num_teacher, num_student)
    assert_close(out, torch.tensor(want), rtol=1e-6, atol=1e-6)
    assert_close(out.sum(1), torch.ones(num_teacher))
    # Student layers share the teacher's depth evenly.
    share = torch.full((num_student,), num_teacher / num_student)
    assert_close(out.sum(0), share)
    assert_close(out, out.flip(0, 1))
    turned = fixed_attention('diagonal', num_student, num_teacher)
    assert_close(out / num_teacher, turned.t() / num_student)


@given(SIZES, SIZES)
def test_uniform_and_last(num_teacher, num_student):
    out = fixed_attention('uniform', num_teacher, num_student)
    assert out.tolist() == [[out[0, 0].item()] * num_student] * num_teacher
    assert_close(out.sum(1), torch.ones(num_teacher))
    out = fixed_attention('last', num_teacher, num_student)
    assert out.sum() == 1
    assert out[num_teacher - 1, num_student - 1] == 1


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
    torch.manual_seed(data.draw(st.integers(0, 99)))
    teacher = [torch.randn(4, 2) for _ in range(num_teacher)]
    student = [torch.randn(4, 2) for _ in range(num_student)]
    for reduction in ['mean', 'sum']:
        loss = ABKDLoss(*widths, matrix, projection=None, reduction=reduction)
        want = oracles.abkd(
            loss,
            teacher,
            student,
            reduction=reduction,
            attention_kind=matrix,
            projection=None,
        )
        out = loss(teacher, student).item()
        assert out == pytest.approx(want, rel=1e-4, abs=1e-5)


def test_matrix_is_copied():
    matrix = torch.ones(2, 1)
    loss = ABKDLoss([2, 2], [2], matrix)
    matrix.zero_()
    loss([torch.randn(3, 2)] * 2, [torch.randn(3, 2)])
    assert loss.last_attention.tolist() == [[1.0], [1.0]]
    # A teacher layer may count for nothing.
    ABKDLoss([2, 2], [2], [[0], [1]])
    ABKDLoss([2, 2], [2], torch.tensor([[0], [1]], requires_grad=False))


@pytest.mark.parametrize('over', ['student', 'teacher'])
@pytest.mark.parametrize('temperature', [0.5, 1.0, 100.0, 1e12])
def test_learned(over, temperature):
    loss = ABKDLoss(
        [3, 2, 3],
        [2, 4],
        'learned',
        softmax_over=over,
        temperature=temperature,
        hidden_channels=4,
    )
    teacher = [torch.randn(6, width) + 3 for width in (3, 2, 3)]
    student = [torch.randn(6, width) + 3 for width in (2, 4)]
    loss(teacher, student)
    out = loss.last_attention
    sums = out.sum(1 if over == 'student' else 0)
    assert_close(sums, torch.ones_like(sums))
    want = oracles.attention(
        loss.matchings[0],
        [x.tolist() for x in teacher],
        [x.tolist() for x in student],
        'learned',
        over,
        temperature,
        4,
    )
    assert_close(out, torch.tensor(want), rtol=1e-4, atol=1e-5)
    if temperature == 1e12:
        assert_close(
            out, torch.full((3, 2), 1 / (2 if over == 'student' else 3))
        )


@pytest.mark.parametrize('attention', ['learned', 'uniform'])
def test_gradient_of_scores(attention):
    loss = ABKDLoss([3, 3], [2, 2], attention)
    teacher = [torch.randn(6, 3) for _ in range(2)]
    student = [torch.randn(6, 2) for _ in range(2)]
    loss(teacher, student).backward()
    assert all(p.grad.abs().sum() > 0 for p in loss.parameters())
    scores = [name for name, _ in loss.named_parameters() if 'learned' in name]
    assert len(scores) == (2 if attention == 'learned' else 0)


@pytest.mark.parametrize(
    ('matrix', 'message'),
    [
        (
            torch.ones(2, 3),
            "'attention' must have a row for each of 3 teacher layers and a "
            'column for each of 2 student layers (got [2, 3])',
        ),
        (
            torch.ones(6),
            'column for each of 2 student layers (got [6])',
        ),
        (
            [[1, 1], [1, -0.5], [1, 1]],
            "'attention' must hold finite weights of at least 0 (got values "
            'from -0.5 to 1)',
        ),
        (
            [[1, 1], [1, float('inf')], [1, 1]],
            'must hold finite weights of at least 0 (got values from 1 to inf)',
        ),
        (
            [[1, 1], [1, float('nan')], [1, 1]],
            'must hold finite weights of at least 0 (got values from nan',
        ),
        (
            torch.zeros(3, 2),
            "'attention' must give some pair of layers a weight above 0 (got "
            'only zeros)',
        ),
    ],
)
def test_bad_matrix(matrix, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ABKDLoss([4, 4, 4], [2, 2], matrix)
