"""Distillation of logits against loops."""

import pytest
import torch
from torch.testing import assert_close

from pyg_distill.nn import KDLoss
from tests.nn.losses import oracles

X = torch.ones(6, 3)


@pytest.mark.parametrize('temperature', [0.5, 1.0, 2, 7.0])
@pytest.mark.parametrize('multi_label', [False, True])
@pytest.mark.parametrize('size', [(1, 2), (5, 3), (2, 9)])
def test_kd(temperature, multi_label, size):
    teacher, student = torch.randn(2, *size, dtype=torch.double) * 3
    student.requires_grad_()
    loss = KDLoss(temperature, multi_label=multi_label)
    out = loss(teacher, student)
    want = oracles.kd(teacher, student, temperature, multi_label)
    assert out.item() == pytest.approx(want, rel=1e-9)
    assert torch.autograd.gradcheck(lambda x: loss(teacher, x), student)


def test_by_hand():
    teacher = torch.tensor([[0.0, 0.0], [0.0, 0.0]])
    student = torch.tensor([[2.0, -2.0], [0.0, 0.0]])
    # log cosh(2 / tau), as both classes are as likely for the teacher.
    for temperature in [1.0, 2.0]:
        want = torch.tensor(2.0 / temperature).cosh().log() * temperature**2
        out = KDLoss(temperature)(teacher, student)
        assert_close(out, want / 2)
    assert torch.equal(KDLoss()(teacher, student), KDLoss(2)(teacher, student))
    # With two columns: log cosh(1 / tau) each.
    want = torch.tensor(1.0).cosh().log() / 2
    assert_close(KDLoss(1, multi_label=True)(teacher, student), want)


def test_one_binary_task():
    teacher, student = torch.randn(2, 6)
    loss = KDLoss(multi_label=True)
    want = loss(teacher.unsqueeze(-1), student.unsqueeze(-1))
    assert torch.equal(loss(teacher, student), want)
    with pytest.raises(ValueError, match=r'at least one row'):
        loss(teacher[:0], student[:0])


def test_what_does_not_matter():
    teacher, student = torch.randn(2, 6, 4)
    out = KDLoss()(teacher, student)
    assert_close(KDLoss()(teacher + 3, student - 1), out)
    binary = KDLoss(multi_label=True)
    assert abs(binary(teacher + 3, student) - binary(teacher, student)) > 1e-2
    for multi_label in [False, True]:
        loss = KDLoss(multi_label=multi_label)
        twice = loss(teacher.repeat(2, 1), student.repeat(2, 1))
        assert_close(twice, loss(teacher, student))
    # Columns count in the softmax form and are averaged in the other.
    twice = loss(teacher.repeat(1, 2), student.repeat(1, 2))
    assert_close(twice, loss(teacher, student))


@pytest.mark.parametrize('masked', ['both', 'teacher'])
def test_masked_classes_do_not_count(masked):
    teacher, student = torch.randn(2, 6, 4, dtype=torch.double)
    teacher[:, 1] = -torch.inf
    if masked == 'both':
        student[:, 1] = -torch.inf
    student.requires_grad_()
    out = KDLoss()(teacher, student)
    (grad,) = torch.autograd.grad(out, student)
    keep = [0, 2, 3]
    if masked == 'both':
        few = student.detach()[:, keep].requires_grad_()
        want = KDLoss()(teacher[:, keep], few)
        assert_close(out, want)
        assert_close(grad[:, keep], torch.autograd.grad(want, few)[0])
        assert not grad[:, 1].any()
    else:  # Almost masked comes to almost the same.
        want = KDLoss()(teacher.clamp(min=-60), student)
        assert_close(out, want)
        assert_close(grad, torch.autograd.grad(want, student)[0])


@pytest.mark.parametrize('dtype', [torch.half, torch.bfloat16])
@pytest.mark.parametrize('multi_label', [False, True])
def test_half_precision(dtype, multi_label):
    teacher, student = torch.randn(2, 6, 4).to(dtype)
    student.requires_grad_()
    loss = KDLoss(multi_label=multi_label)
    out = loss(teacher, student)
    assert out.dtype == torch.float
    assert torch.equal(out, loss(teacher.float(), student.float()))
    assert torch.equal(loss(teacher.double(), student), out)
    with torch.autocast('cpu', dtype):
        assert torch.equal(loss(teacher, student), out)
    (grad,) = torch.autograd.grad(out, student)
    assert grad.dtype == dtype
    assert grad.abs().sum() > 0


def test_repr():
    assert str(KDLoss(0.5)) == 'KDLoss(temperature=0.5)'
    want = 'KDLoss(temperature=1, multi_label=True)'
    assert str(KDLoss(1, multi_label=True)) == want


@pytest.mark.parametrize('value', [0, None, 'a', float('inf'), float('nan')])
def test_bad_temperature(value):
    with pytest.raises(ValueError, match="'temperature' must be a finite"):
        KDLoss(value)


@pytest.mark.parametrize(
    ('teacher', 'student', 'match'),
    [
        (X, X[:4], r'one shape \[N, C\] \(got \[6, 3\] and \[4, 3\]'),
        (X[None], X[None], 'one shape'),
        (X[0], X[0], 'two classes or more.*multi_label=True'),
        (X.clone().requires_grad_(), X, "'teacher' must not require grad"),
        (X[:0], X[:0], 'at least one row'),
        (X[:, :0], X[:, :0], 'at least one row and class'),
        (X[:, :1], X[:, :1], 'two classes or more'),
    ],
)
def test_bad_logits(teacher, student, match):
    with pytest.raises(ValueError, match=match):
        KDLoss()(teacher, student)
