"""Is the loss what its equation says? Against plain loops."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from pyg_distill.nn import ABKDLoss
from tests.nn.losses import oracles

NUM_NODES = 6
BATCH = torch.tensor([0, 0, 1, 2, 2, 2])
MATRIX = [[0.5, 0.0], [1.5, 0.25], [0.0, 2.0]]
ATTENTION = ['learned', 'uniform', 'diagonal', 'last', MATRIX]
# 'pooled' has a single row, and cannot be centred.
ROWS = [
    *itertools.product(['node', 'group', 'graph'], [True, False]),
    ('pooled', False),
]
PROJECTION = [
    ('student', False),
    ('both', False),
    ('both', True),
    (None, False),
]
UNEQUAL = [4, 3, 4], [2, 3]
EQUAL = [3, 3, 3], [3, 3]
SMALL = {'hidden_channels': 3, 'num_groups': 4}


def layers(
    widths: list[int], num_nodes: int = NUM_NODES, dtype: Any = torch.double
) -> list[Tensor]:
    # Not centred, unlike what comes out of randn alone.
    return [
        torch.randn(num_nodes, width, dtype=dtype) + 0.5 for width in widths
    ]


def check(
    teacher_widths: list[int],
    student_widths: list[int],
    attention: Any,
    reduction: str = 'mean',
    **options: Any,
) -> None:
    loss = ABKDLoss(
        teacher_widths,
        student_widths,
        attention,
        reduction=reduction,
        **options,
    ).double()
    teacher, student = layers(teacher_widths), layers(student_widths)
    batch = BATCH if options['granularity'] == 'graph' else None

    def value(loss: ABKDLoss, student: list[Tensor]) -> float:
        return oracles.abkd(
            loss,
            teacher,
            student,
            batch,
            reduction=reduction,
            attention_kind=attention,
            **options,
        )

    leaves = [x.clone().requires_grad_() for x in student]
    out = loss(teacher, leaves, batch)
    assert out.dim() == 0
    assert out.item() == pytest.approx(value(loss, student), rel=1e-7)

    # One direction through everything that has a gradient, so that a term
    # that is missing anywhere shows.
    parameters = list(loss.parameters())
    # Layers that are given no weight have no gradient.
    grads = torch.autograd.grad(
        out, [*parameters, *leaves], allow_unused=True, materialize_grads=True
    )
    direction = [torch.randn_like(grad) for grad in grads]
    got = sum(
        (grad * d).sum().item()
        for grad, d in zip(grads, direction, strict=True)
    )
    count = len(parameters)
    want = oracles.slope(
        value, loss, student, (direction[:count], direction[count:])
    )
    assert got == pytest.approx(want, rel=2e-4, abs=1e-5)


@pytest.mark.parametrize('reduction', ['mean', 'sum'])
@pytest.mark.parametrize('normalize', [True, False])
@pytest.mark.parametrize('projection', PROJECTION)
@pytest.mark.parametrize('rows', ROWS)
def test_every_combination(rows, projection, normalize, reduction):
    granularity, center = rows
    projection, subspace = projection
    widths = EQUAL if projection is None else UNEQUAL
    for attention in ATTENTION:
        learned = attention == 'learned'
        for over in ['student', 'teacher'] if learned else ['student']:
            check(
                *widths,
                attention,
                reduction,
                granularity=granularity,
                center=center,
                projection=projection,
                subspace=subspace,
                normalize=normalize,
                softmax_over=over,
                temperature=0.5 if learned else 1.0,
                **SMALL,
            )


@pytest.mark.parametrize('attention', ['learned', 'diagonal'])
@pytest.mark.parametrize('projection', ['student', 'both'])
@pytest.mark.parametrize(
    'widths',
    [([5, 2, 3, 2, 5], [3, 1, 3]), ([1, 2], [4, 4, 2, 1]), ([2], [3, 3])],
)
def test_more_widths(attention, projection, widths):
    for granularity in ['node', 'group']:
        check(
            *widths,
            attention,
            granularity=granularity,
            projection=projection,
            **SMALL,
        )


@pytest.mark.parametrize('attention', ATTENTION)
@pytest.mark.parametrize('granularity', ['node', 'group', 'graph', 'pooled'])
def test_gradcheck(attention, granularity):
    options = {'granularity': granularity, 'center': granularity != 'pooled'}
    for projection in ['student', 'both']:
        loss = ABKDLoss(
            [2, 3], [2, 2], [[1, 2], [0, 1]], projection=projection, **options
        )
        if not isinstance(attention, list):
            loss = ABKDLoss(
                [2, 3],
                [2, 2],
                attention,
                projection=projection,
                hidden_channels=2,
                **options,
            )
        loss = loss.double()
        names = [name for name, _ in loss.named_parameters()]
        weights = [p.detach().requires_grad_() for p in loss.parameters()]
        teacher = layers([2, 3], 4)
        student = [x.requires_grad_() for x in layers([2, 2], 4)]
        batch = torch.tensor([0, 0, 1, 1])

        def run(
            *values: Tensor,
            loss: ABKDLoss = loss,
            names: list[str] = names,
            teacher: list[Tensor] = teacher,
            batch: Tensor = batch,
        ) -> Tensor:
            state = dict(zip(names, values, strict=False))
            args = (teacher, list(values[len(names) :]), batch)
            return torch.func.functional_call(loss, state, args)

        assert torch.autograd.gradcheck(
            run, (*weights, *student), fast_mode=True
        )


@pytest.mark.parametrize('attention', ['learned', 'diagonal'])
@pytest.mark.parametrize('granularity', ['node', 'group', 'graph', 'pooled'])
def test_single_precision(attention, granularity):
    options: dict[str, Any] = {
        'granularity': granularity,
        'center': granularity != 'pooled',
        **SMALL,
    }
    loss = ABKDLoss(*UNEQUAL, attention, **options)
    teacher = layers(UNEQUAL[0], dtype=torch.float)
    student = layers(UNEQUAL[1], dtype=torch.float)
    out = loss(teacher, student, BATCH)
    want = oracles.abkd(
        loss, teacher, student, BATCH, attention_kind=attention, **options
    )
    assert out.dtype == torch.float
    assert out.item() == pytest.approx(want, rel=1e-5)
    # What the parameters are, not what the features are, is decisive.
    wide = [x.double() for x in teacher], [x.double() for x in student]
    assert torch.equal(loss(*wide, BATCH), out)
    out = loss.double()(teacher, student, BATCH)
    assert out.dtype == torch.double
    assert out.item() == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize('dtype', [torch.half, torch.bfloat16])
@pytest.mark.parametrize('attention', ['learned', 'diagonal'])
@pytest.mark.parametrize('projection', ['student', 'both', None])
def test_half_precision(dtype, attention, projection):
    widths = EQUAL if projection is None else UNEQUAL
    loss = ABKDLoss(*widths, attention, projection=projection)
    teacher = layers(widths[0], dtype=dtype)
    student = [x.requires_grad_() for x in layers(widths[1], dtype=dtype)]
    out = loss(teacher, student)
    wide = [x.float() for x in teacher], [x.float() for x in student]
    assert out.dtype == torch.float
    assert torch.equal(out, loss(*wide))
    for grad in torch.autograd.grad(out, student):
        assert grad.dtype == dtype
        assert grad.abs().sum() > 0


def test_sums_beyond_half():
    # 2000 * 60 is beyond the range of a half.
    teacher = [torch.full((2000, 2), 60.0, dtype=torch.half)]
    student = [torch.full((2000, 2), 40.0, dtype=torch.half)]
    loss = ABKDLoss(
        [2],
        [2],
        granularity='pooled',
        projection=None,
        center=False,
        normalize=False,
    )
    assert loss(teacher, student).item() == pytest.approx(800.0)


@pytest.mark.parametrize('attention', ['learned', 'uniform'])
@pytest.mark.parametrize('projection', ['student', 'both'])
@pytest.mark.parametrize('prepare', [False, True])
def test_autocast(attention, projection, prepare):
    loss = ABKDLoss(*UNEQUAL, attention, projection=projection)
    teacher = layers(UNEQUAL[0], dtype=torch.float)
    student = [
        x.requires_grad_() for x in layers(UNEQUAL[1], dtype=torch.float)
    ]
    want = loss(teacher, student)
    compared = loss.compare(teacher, student)
    with torch.autocast('cpu', torch.bfloat16):
        # Or else all of this would show nothing.
        assert (student[0] @ student[0].t()).dtype == torch.bfloat16
        target = loss.prepare(teacher) if prepare else teacher
        out = loss(target, student)
        again = loss.compare(teacher, student)
    assert torch.equal(out, want)
    for x, y in zip(compared, again, strict=True):
        assert torch.equal(x, y)
    grads = torch.autograd.grad(out, student)
    for x, y in zip(grads, torch.autograd.grad(want, student), strict=True):
        assert torch.equal(x, y)


def test_groups():
    from pyg_distill.nn.losses.rows import groups

    for num_nodes, num_groups in [(1, 1), (7, 3), (50, 50), (1000, 7)]:
        out = groups(num_nodes, num_groups, torch.device('cpu'))
        assert out.tolist() == oracles.groups_of(num_nodes, num_groups)
        count = out.bincount(minlength=num_groups)
        assert count.max() - count.min() <= 1
    # Neighbours in the order of nodes do not share a group more than others.
    out = groups(1000, 10, torch.device('cpu'))
    assert 60 < int((out[1:] == out[:-1]).sum()) < 140


def test_by_hand():
    teacher = [torch.tensor([[1.0], [3.0], [-1.0]])]
    student = [torch.tensor([[0.0], [-2.0], [2.0]])]
    options: dict[str, Any] = {'projection': None}
    # Centred: (0, 2, -2) and (0, -2, 2); of length 1: (0, 1, -1), (0, -1, 1).
    loss = ABKDLoss([1], [1], **options)
    assert loss(teacher, student).item() == pytest.approx(8 / 3)
    loss = ABKDLoss([1], [1], **options, normalize=False)
    assert loss(teacher, student).item() == pytest.approx(32 / 3)
    loss = ABKDLoss([1], [1], **options, normalize=False, center=False)
    assert loss(teacher, student).item() == pytest.approx(35 / 3)
    loss = ABKDLoss(
        [1],
        [1],
        **options,
        granularity='pooled',
        normalize=False,
        center=False,
    )
    assert loss(teacher, student).item() == pytest.approx(1.0)


def test_defaults():
    loss = ABKDLoss([3, 3], [2, 2])
    teacher, student = layers([3, 3]), layers([2, 2])
    spelled = ABKDLoss(
        [3, 3],
        [2, 2],
        'uniform',
        'node',
        'student',
        True,
        1.0,
        'mean',
        center=True,
        softmax_over='student',
        subspace=False,
        hidden_channels=64,
        num_groups=512,
    )
    spelled.load_state_dict(loss.state_dict())
    assert torch.equal(loss(teacher, student), spelled(teacher, student))
    want = oracles.abkd(loss, teacher, student)
    assert loss(teacher, student).item() == pytest.approx(want, rel=1e-5)


def test_paper():
    loss = ABKDLoss.paper([4, 3], [2, 2], hidden_channels=3).double()
    teacher, student = layers([4, 3]), layers([2, 2])
    want = oracles.abkd(
        loss,
        teacher,
        student,
        attention_kind='learned',
        granularity='pooled',
        projection='both',
        center=False,
        subspace=True,
        hidden_channels=3,
    )
    assert loss(teacher, student).item() == pytest.approx(want, rel=1e-6)
    assert ABKDLoss.paper([4], [2], attention='uniform').attention == 'uniform'


def test_inference_tensors():
    for attention, projection in itertools.product(
        ['learned', 'diagonal'], ['student', 'both']
    ):
        loss = ABKDLoss(*UNEQUAL, attention, projection=projection)
        with torch.inference_mode():
            teacher = layers(UNEQUAL[0], dtype=torch.float)
        student = [
            x.requires_grad_() for x in layers(UNEQUAL[1], dtype=torch.float)
        ]
        loss(teacher, student).backward()
        assert all(x.grad.abs().sum() > 0 for x in student)
