"""Teacher layers are merged ahead, without changing the result."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from pyg_distill.nn import ABKDLoss, StrideLoss, TeacherTarget

FIXED = ['uniform', 'diagonal', 'last', [[0.5, 0.0], [1.5, 0.25], [0.0, 2.0]]]
ROWS = ['node', 'group', 'graph', 'pooled']
BATCH = torch.tensor([0, 0, 1, 1, 3, 3, 3])


def layers(widths: list[int]) -> list[Tensor]:
    return [torch.randn(7, width, dtype=torch.double) + 1 for width in widths]


@pytest.mark.parametrize('reduction', ['mean', 'sum'])
@pytest.mark.parametrize('granularity', ROWS)
@pytest.mark.parametrize('attention', ['learned', *FIXED])
def test_prepared_is_the_same(attention, granularity, reduction):
    for widths, projection, normalize in [
        (([4, 3, 4], [2, 3]), 'student', True),
        (([4, 3, 4], [2, 3]), 'student', False),
        (([4, 3, 4], [2, 3]), 'both', True),
        (([3, 3, 3], [3, 3]), None, True),
    ]:
        loss = ABKDLoss(
            *widths,
            attention,
            granularity,
            projection,
            normalize,
            reduction=reduction,
            center=granularity != 'pooled',
            hidden_channels=4,
            num_groups=4,
        ).double()
        teacher, student = layers(widths[0]), layers(widths[1])
        student = [x.requires_grad_() for x in student]
        through = [*loss.parameters(), *student]

        want = loss(teacher, student, BATCH)
        target = loss.prepare(teacher, BATCH)
        out = loss(target, student, BATCH)
        assert out.item() == want.item()
        # As often as needed.
        assert loss(target, student, BATCH).item() == want.item()

        # The definition: the weighted sum over all pairs.
        pair = loss.compare(teacher, student, BATCH)
        total = (pair.attention.double() * pair.distance).nansum()
        if reduction == 'mean':
            total = total / pair.attention.sum()
        assert out.item() == pytest.approx(total.item(), rel=1e-9)

        # Unfolded, and thus by another way, gradients are the same.
        matching = loss.matchings[0]
        unfolded = matching.prepare(teacher, BATCH, None, fold=False)
        slow = loss(unfolded, student, BATCH)
        assert slow.item() == pytest.approx(want.item(), rel=1e-9)
        grads = [
            torch.autograd.grad(value, through, allow_unused=True)
            for value in (want, out, slow)
        ]
        for a, b, c in zip(*grads, strict=True):
            # Layers that are given no weight have no gradient.
            a, b, c = (torch.zeros(1) if g is None else g for g in (a, b, c))
            assert torch.equal(a, b)
            assert_close(
                a.double(), c.double().view_as(a), rtol=1e-8, atol=1e-10
            )


def test_size_of_a_target():
    def numbers(num_layers: int, attention: str, widths: list[int]) -> int:
        widths = [widths[i % len(widths)] for i in range(num_layers)]
        loss = ABKDLoss(widths, [2, 2], attention)
        target = loss.prepare([torch.randn(7, width) for width in widths])
        return sum(
            x.numel() for x in [*target.layers, *target.means, target.spread]
        )

    # Nothing for a layer that is not attended to.
    assert numbers(2, 'last', [4]) == 7 * (1 * 4 + 1)
    assert numbers(60, 'last', [4, 3]) == 7 * (1 * 3 + 1)
    assert numbers(60, 'diagonal', [4] * 30 + [3] * 30) == 7 * (4 + 3 + 1)
    for attention in ['uniform', 'diagonal']:
        assert numbers(2, attention, [4]) == 7 * (2 * 4 + 1)
        assert numbers(60, attention, [4]) == 7 * (2 * 4 + 1)
        assert numbers(60, attention, [4, 3]) == 7 * (2 * 4 + 2 * 3 + 1)


def test_target_has_no_gradient():
    loss = ABKDLoss([4], [2])
    target = loss.prepare([torch.randn(7, 4)])
    assert isinstance(target, TeacherTarget)
    assert target.num_rows == 7
    assert not any(x.requires_grad for x in target.layers)


@pytest.mark.parametrize('attention', ['learned', 'uniform', 'last'])
@pytest.mark.parametrize('projection', ['student', 'both'])
@pytest.mark.parametrize(
    'index',
    [
        torch.tensor([4, 0, 6]),
        slice(2, 5),
        torch.tensor([True, False, True, True, False, False, True]),
    ],
)
def test_select(attention, projection, index):
    loss = ABKDLoss(
        [4, 3, 4], [2, 2], attention, projection=projection
    ).double()
    teacher, student = layers([4, 3, 4]), layers([2, 2])
    target = loss.prepare(teacher)
    some = target.select(index)
    num_rows = torch.arange(7)[index].numel()
    assert some.num_rows == num_rows
    # By hand, row by row.
    rows = torch.arange(7)[index].tolist()
    for x, y in zip(target.layers, some.layers, strict=True):
        for new, old in enumerate(rows):
            assert torch.equal(y[:, new], x[:, old])
    for x, y in zip(target.means, some.means, strict=True):
        assert torch.equal(x, y)
    if target.spread is not None:
        want = [target.spread[v].item() for v in rows]
        assert some.spread.tolist() == want
    out = loss(some, [x[index] for x in student])
    assert out.isfinite()
    # The target itself is as before.
    assert target.num_rows == 7


def test_select_averages_what_rows_contribute():
    # Without centring, rows are on their own, but for the floor of their
    # length, a millionth of what is typical.
    loss = ABKDLoss([4, 4], [2], 'uniform', center=False).double()
    teacher, student = layers([4, 4]), layers([2])
    target = loss.prepare(teacher)
    want = loss(target, student).item()
    out = [
        loss(target.select(slice(v, v + 1)), [x[v : v + 1] for x in student])
        for v in range(7)
    ]
    assert sum(x.item() for x in out) / 7 == pytest.approx(want, rel=1e-5)
    # And so they are for the loss of a part of the graph.
    part = [x[2:5] for x in teacher], [x[2:5] for x in student]
    some = loss(target.select(slice(2, 5)), part[1])
    assert some.item() == pytest.approx(loss(*part).item(), rel=1e-5)


@pytest.mark.parametrize('dtype', [torch.float, torch.double])
@pytest.mark.parametrize('num_layers', [1, 2, 5])
def test_zero_where_equal(num_layers, dtype):
    x = [torch.randn(50, 7, dtype=dtype) + 2 for _ in range(num_layers)]
    widths = [7] * num_layers
    for granularity, normalize in itertools.product(ROWS, [True, False]):
        loss = ABKDLoss(
            widths,
            widths,
            'diagonal',
            granularity=granularity,
            projection=None,
            normalize=normalize,
            center=granularity != 'pooled',
        )
        batch = torch.arange(50) % 6
        # Rows of length 1 are compared by an expanded square.
        bound = 10 * torch.finfo(dtype).eps if normalize else 0.0
        assert 0.0 <= loss(x, x, batch).item() <= bound
        out = loss(loss.prepare(x, batch), x, batch).item()
        assert 0.0 <= out <= bound
        loss = ABKDLoss(widths, widths, 'last', granularity, None, center=False)
        assert 0.0 <= loss(x, x, batch).item() <= 10 * torch.finfo(dtype).eps


def test_prepared_stride():
    loss = StrideLoss([4, 3], [2, 2], hidden_channels=5)
    teacher = [x.float() for x in layers([4, 3])]
    student = [x.float() for x in layers([2, 2])]
    out = loss(loss.prepare(teacher), student)
    assert torch.equal(out, loss(teacher, student))
