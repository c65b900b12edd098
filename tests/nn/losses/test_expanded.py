"""The expanded square is the distance, of what is attended to only."""

import copy
import io

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from pyg_distill.nn import ABKDLoss
from tests.nn.losses import oracles

# Narrower and wider than the teacher, equals in width apart.
WIDTHS = [6, 4, 6, 4], [3, 5, 3, 7, 2]


def layers(widths, num_rows=30, dtype=torch.double):
    return [torch.randn(num_rows, c, dtype=dtype) + 0.5 for c in widths]


@pytest.mark.parametrize('center', [True, False])
@pytest.mark.parametrize('granularity', ['node', 'group'])
@pytest.mark.parametrize('attention', ['uniform', 'diagonal', 'last'])
def test_value_and_gradient(attention, granularity, center):
    options = {'granularity': granularity, 'center': center, 'num_groups': 12}
    loss = ABKDLoss(*WIDTHS, attention, **options).double()
    teacher, student = layers(WIDTHS[0]), layers(WIDTHS[1])
    student = [x.requires_grad_() for x in student]
    out = loss(teacher, student)
    # A fifth is not the same in single precision.
    matching = loss.matchings[0]
    kind = matching.attention.tolist()
    want = oracles.abkd(loss, teacher, student, attention_kind=kind, **options)
    assert out.item() == pytest.approx(want, rel=1e-12)

    direct = matching.prepare(teacher, None, None, fold=False)
    slow = loss(direct, student)
    assert_close(out, slow, rtol=1e-12, atol=0.0)
    through = [*loss.parameters(), *student]
    for a, b in zip(
        torch.autograd.grad(out, through, materialize_grads=True, **UNUSED),
        torch.autograd.grad(slow, through, materialize_grads=True, **UNUSED),
        strict=True,
    ):
        assert_close(a, b, rtol=1e-9, atol=1e-12)

    single = copy.deepcopy(loss).float()
    out = single([x.float() for x in teacher], [x.float() for x in student])
    assert out.item() == pytest.approx(want, rel=1e-6)


UNUSED = {'allow_unused': True}


@pytest.mark.parametrize('num_rows', [2, 50, 2000])
@pytest.mark.parametrize('offset', [0.0, 100.0])
def test_agreement_is_not_less_than_nothing(num_rows, offset):
    loss = ABKDLoss([8, 8], [8, 8], 'diagonal', projection=None)
    mapped = ABKDLoss([8, 8], [4, 4], 'diagonal')
    for _ in range(5):
        x = [torch.randn(num_rows, 8) + offset for _ in range(2)]
        assert 0.0 <= loss(x, x).item() <= 1e-6
        # Through a map, which the teacher is made with.
        y = [torch.randn(num_rows, 4) for _ in range(2)]
        weights = mapped.matchings[0].student_projections[0]
        teacher = [z.detach() for z in weights(y)]
        leaves = [z.requires_grad_() for z in y]
        out = mapped(teacher, leaves)
        assert 0.0 <= out.item() <= 1e-6
        out.backward()
        assert all(z.grad.abs().max() <= 1e-5 for z in leaves)


def test_gradient_where_less_than_nothing_is_left():
    # The bound at zero is not one of the gradient.
    loss = ABKDLoss([3], [3], projection=None).double()
    x = torch.randn(20, 3, dtype=torch.double)
    target = loss.prepare([x])
    target.spread = target.spread - 3.0
    y = torch.randn_like(x).requires_grad_()
    out = loss(target, [y])
    out.backward()
    assert out.item() == 0.0
    assert y.grad.abs().max() > 1e-3


class Widest(TorchDispatchMode):
    """Counts results as large as a student layer in the teacher's width."""

    def __init__(self, numel: int) -> None:
        super().__init__()
        self.numel, self.count = numel, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and out.numel() >= self.numel:
            own = out.untyped_storage().data_ptr()
            given = {
                x.untyped_storage().data_ptr()
                for x in args
                if isinstance(x, Tensor)
            }
            self.count += own not in given
        return out


@pytest.mark.parametrize('student', [[3, 3], [3, 5], [3, 5, 3]])
def test_a_narrow_student_is_never_as_wide_as_the_teacher(student):
    loss = ABKDLoss([64] * 3, student)
    target = loss.prepare(layers([64] * 3, 40, torch.float))
    x = [x.requires_grad_() for x in layers(student, 40, torch.float)]
    with Widest(40 * 64) as widest:
        loss(target, x).backward()
    assert widest.count == 0


@pytest.mark.parametrize('attention', ['diagonal', 'last', 'uniform'])
def test_every_parameter_has_a_gradient(attention):
    widths = [8, 8, 8, 3], [4, 4, 4, 2]
    loss = ABKDLoss(*widths, attention)
    student = [x.float().requires_grad_() for x in layers(widths[1])]
    loss([x.float() for x in layers(widths[0])], student).backward()
    for p in loss.parameters():
        # Each layer of a stack.
        assert (p.grad.flatten(1).abs().amax(dim=1) > 0).all()
    sizes = {
        'diagonal': 3 * 4 * 8 + 2 * 3,
        'last': 2 * 3,
        'uniform': 3 * 4 * (8 + 3) + 2 * (8 + 3),
    }
    assert sum(p.numel() for p in loss.parameters()) == sizes[attention]

    buffer = io.BytesIO()
    torch.save(loss.state_dict(), buffer)
    buffer.seek(0)
    other = ABKDLoss(*widths, attention)
    other.load_state_dict(torch.load(buffer))
    teacher = [x.float() for x in layers(widths[0])]
    assert torch.equal(other(teacher, student), loss(teacher, student))


def test_distances_of_pairs_without_a_map():
    loss = ABKDLoss([8, 8, 3], [4, 4, 2], 'diagonal')
    teacher, student = layers([8, 8, 3]), layers([4, 4, 2])
    pair = loss.compare(teacher, student)
    assert pair.distance.isnan().tolist() == [
        [False, False, True],
        [False, False, True],
        [True, True, False],
    ]
    total = (pair.attention * pair.distance).nansum() / 3
    assert_close(total, loss(teacher, student).detach(), check_dtype=False)
