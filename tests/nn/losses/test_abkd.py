"""Is the loss what its equation says? Against plain loops."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torch_geometric.nn import GCN

from pyg_distill.nn import ABKDLoss, LayerRecorder, StrideLoss
from pyg_distill.nn.losses.functional import node_groups, normalize_rows
from tests.nn.losses import oracles
from tests.nn.losses.helpers import both, cora, grads, layers

BATCH = torch.tensor([0, 0, 1, 2, 2, 2])
MATRIX = [[0.5, 0.0], [1.5, 0.25], [0.0, 2.0]]
GRANULARITY = ['node', 'group', 'graph', 'pooled']
# 'pooled' has a single row, and cannot be centered.
ROWS = [
    *itertools.product(['node', 'group', 'graph'], [True, False]),
    ('pooled', False),
]
UNEQUAL = [4, 3, 4], [2, 3]
EQUAL = [3, 3, 3], [3, 3]
SMALL: dict[str, Any] = {'hidden_channels': 3, 'num_groups': 4}
two_kinds = pytest.mark.parametrize('attention', ['learned', 'diagonal'])


def check(widths: Any, attention: Any, **options: Any) -> None:
    loss = ABKDLoss(*widths, attention, **options).double()
    teacher, student = both(widths)
    batch = BATCH if options['granularity'] == 'graph' else None

    def value(loss: ABKDLoss, student: list[Tensor]) -> float:
        return oracles.abkd(
            loss,
            teacher,
            student,
            batch,
            attention_kind=attention,
            **options,
        )

    leaves = [x.clone().requires_grad_() for x in student]
    out = loss(teacher, leaves, batch)
    assert out.dim() == 0
    assert out.item() == pytest.approx(value(loss, student), rel=1e-7)
    # One direction through everything that has a gradient.
    parameters = list(loss.parameters())
    got = grads(out, [*parameters, *leaves])
    direction = [torch.randn_like(grad) for grad in got]
    count = len(parameters)
    want = oracles.slope(
        value, loss, student, (direction[:count], direction[count:])
    )
    slope = sum((g * d).sum() for g, d in zip(got, direction, strict=True))
    assert float(slope) == pytest.approx(want, rel=2e-4, abs=1e-5)


@pytest.mark.parametrize('normalize', [True, False])
@pytest.mark.parametrize(
    ('projection', 'subspace'),
    [('student', False), ('both', False), ('both', True), (None, False)],
)
@pytest.mark.parametrize(('granularity', 'center'), ROWS)
def test_every_combination(
    granularity, center, projection, subspace, normalize
):
    widths = EQUAL if projection is None else UNEQUAL
    for attention in ['learned', 'diagonal', MATRIX]:
        check(
            widths,
            attention,
            granularity=granularity,
            center=center,
            projection=projection,
            subspace=subspace,
            normalize=normalize,
            **SMALL,
        )


@two_kinds
@pytest.mark.parametrize('granularity', GRANULARITY)
def test_single_precision(attention, granularity):
    options = {'granularity': granularity, 'center': granularity != 'pooled'}
    loss = ABKDLoss(*UNEQUAL, attention, **options, **SMALL)
    teacher, student = both(UNEQUAL, dtype=torch.float)
    out = loss(teacher, student, BATCH)
    want = oracles.abkd(
        loss,
        teacher,
        student,
        BATCH,
        attention_kind=attention,
        **options,
        **SMALL,
    )
    assert out.dtype == torch.float
    assert out.item() == pytest.approx(want, rel=1e-5)
    # The type of the parameters counts, not that of the features.
    wide = [x.double() for x in teacher], [x.double() for x in student]
    assert torch.equal(loss(*wide, BATCH), out)
    out = loss.double()(teacher, student, BATCH)
    assert out.dtype == torch.double
    assert out.item() == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize('cls', [ABKDLoss, StrideLoss])
@pytest.mark.parametrize('attention', ['learned', 'uniform'])
@pytest.mark.parametrize('prepare', [False, True])
def test_autocast(cls, attention, prepare):
    loss = cls(*UNEQUAL, attention=attention)
    teacher, student = both(UNEQUAL, dtype=torch.float)
    student = [x.requires_grad_() for x in student]
    want = loss(teacher, student)
    compared = loss.compare(teacher, student)
    with torch.autocast('cpu', torch.bfloat16):
        assert (student[0] @ student[0].t()).dtype == torch.bfloat16
        target = loss.prepare(teacher) if prepare else teacher
        out = loss(target, student)
        again = loss.compare(teacher, student)
    pairs = zip(
        [out, *compared, *torch.autograd.grad(out, student)],
        [want, *again, *torch.autograd.grad(want, student)],
        strict=True,
    )
    assert all(torch.equal(x, y) for x, y in pairs)


def test_groups():
    for num_nodes, num_groups in [(1, 1), (7, 3), (50, 50), (1000, 7)]:
        out = node_groups(num_nodes, num_groups)
        assert out.tolist() == oracles.groups_of(num_nodes, num_groups)
        count = out.bincount(minlength=num_groups)
        assert count.max() - count.min() <= 1
    # Neighbors in the order of nodes share a group as often as others.
    out = node_groups(1000, 10)
    assert 60 < int((out[1:] == out[:-1]).sum()) < 140


@pytest.mark.parametrize(
    ('options', 'want'),
    [
        # Centered: (0, 2, -2) and (0, -2, 2). Of length 1: (0, 1, -1), ...
        ({}, 8 / 3),
        ({'normalize': False}, 32 / 3),
        ({'normalize': False, 'center': False}, 35 / 3),
        (
            {'normalize': False, 'center': False, 'granularity': 'pooled'},
            1.0,
        ),
    ],
)
def test_by_hand(options, want):
    teacher = [torch.tensor([[1.0], [3.0], [-1.0]])]
    student = [torch.tensor([[0.0], [-2.0], [2.0]])]
    loss = ABKDLoss([1], [1], projection=None, **options)
    assert loss(teacher, student).item() == pytest.approx(want)


def test_defaults_and_paper():
    teacher, student = both(UNEQUAL)
    loss = ABKDLoss(*UNEQUAL).double()
    want = oracles.abkd(loss, teacher, student)
    assert loss(teacher, student).item() == pytest.approx(want, rel=1e-6)
    loss = ABKDLoss.paper(*UNEQUAL, hidden_channels=3).double()
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


@pytest.mark.parametrize('attention', ['learned', 'diagonal'])
@pytest.mark.parametrize('projection', ['student', 'both'])
def test_inference_tensors(attention, projection):
    loss = ABKDLoss(*UNEQUAL, attention, projection=projection)
    with torch.inference_mode():
        teacher = layers(UNEQUAL[0], dtype=torch.float)
    student = layers(UNEQUAL[1], dtype=torch.float)
    student = [x.requires_grad_() for x in student]
    loss(teacher, student).backward()
    assert all(x.grad.abs().sum() > 0 for x in student)


# Identities between choices of rows.


def test_shift_and_scale():
    loss = ABKDLoss([3, 3], [3, 3], projection=None)
    teacher, student = both(([3, 3], [3, 3]), 9)
    out = loss(teacher, student)
    moved = [5 * x + 2 for x in teacher], [x / 3 - 1 for x in student]
    assert_close(loss(*moved), out, rtol=1e-6, atol=0.0)
    teacher[0][0] += 1
    assert abs(loss(teacher, student) - out) > 1e-3


# Of two, so that nothing is rounded, and far beyond what can be squared.
SCALES = [2.0**-100, 2.0**-60, 2.0**60, 2.0**100]


@pytest.mark.parametrize('scale', SCALES)
@two_kinds
@pytest.mark.parametrize('widths', [([4, 4], [2, 3]), ([2, 2], [3, 4])])
@pytest.mark.parametrize('side', ['teacher', 'student', 'maps'])
def test_scale(scale, attention, widths, side):
    loss = ABKDLoss(*widths, attention)
    if attention == 'learned':
        # Scores are of means, which are not scaled.
        for p in loss.matchings[0].learned.parameters():
            p.data.zero_()
    teacher, student = both(widths, 9, torch.float)
    want = loss(teacher, student)
    if side == 'teacher':
        teacher = [scale * x for x in teacher]
    elif side == 'student':
        student = [scale * x for x in student]
    else:
        for weight in loss.matchings[0].student_projections.parameters():
            weight.data *= scale
    student = [x.requires_grad_() for x in student]
    out = loss(teacher, student)
    out.backward()
    assert_close(out, want, rtol=1e-5, atol=0.0)
    assert all(x.grad.abs().max() > 0 for x in student)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
@pytest.mark.parametrize('attention', ['learned', 'diagonal', 'last'])
@pytest.mark.parametrize('widths', [([4, 4], [2, 3]), ([2, 2], [3, 4])])
@pytest.mark.parametrize('side', [0, 1])
def test_non_finite_features_show(value, attention, widths, side):
    sides = both(widths, 9, torch.float)
    sides[side][1][3, 1] = value
    assert ABKDLoss(*widths, attention)(*sides).isnan()


# Degenerate layers must not spoil a training run.


def run(loss, teacher, student, *args):
    leaves = [x.clone().requires_grad_() for x in student]
    out = loss(teacher, leaves, *args)
    out.backward()
    got = [x.grad for x in leaves]
    for grad in [out, *got, *(p.grad for p in loss.parameters())]:
        assert grad is None or grad.isfinite().all()
    return out.detach(), got


@two_kinds
@pytest.mark.parametrize('projection', ['student', 'both', None])
@pytest.mark.parametrize(('granularity', 'center'), ROWS)
def test_dead_layers(attention, projection, granularity, center):
    widths = [4, 4, 4], [4, 4]
    loss = ABKDLoss(
        *widths,
        attention,
        granularity=granularity,
        projection=projection,
        center=center,
        num_groups=5,
    )
    for t_dead, s_dead in itertools.product([True, False], repeat=2):
        teacher, student = both(widths, 40, torch.float)
        if t_dead:
            teacher[1].zero_()
        if s_dead:
            student[1].zero_()
        _, got = run(loss, teacher, student, torch.arange(40) % 4)
        # A row of length 0 is scaled by 1e5, and differs by 2 at most.
        norms = [
            float(torch.linalg.matrix_norm(p.detach(), ord=2).prod())
            for p in loss.parameters()
        ]
        assert max(grad.norm() for grad in got) <= 4e5 * max([1.0, *norms])


@two_kinds
@pytest.mark.parametrize(
    ('projection', 'width'), [('student', 2), ('both', 2), (None, 4)]
)
@pytest.mark.parametrize('center', [True, False])
def test_layers_that_vanish(attention, projection, width, center):
    # The inverse of a number below 1.2e-38 is infinite in single precision.
    widths = [4, 4, 4], [width, width]
    loss = ABKDLoss(*widths, attention, projection=projection, center=center)
    teacher, student = both(widths, 40, torch.float)
    for k in (0, 1):
        run(loss, teacher, [student[k] * 1e-37, student[1 - k]])
        want, _ = run(loss, teacher, [student[k] * 0, student[1 - k]])
        for scale in (1e-40, 1e-45):
            small = [student[k] * scale, student[1 - k]]
            assert torch.equal(run(loss, teacher, small)[0], want)
            small = [x * scale if i == k else x for i, x in enumerate(teacher)]
            run(loss, small, student)


def test_normalize_rows():
    x = torch.randn(30, 5) + 0.5
    want = normalize_rows(x, center=True)
    assert want.norm(dim=-1).allclose(torch.ones(30), atol=1e-4)
    for scale in [1e-9, *SCALES]:
        assert_close(normalize_rows(scale * x, center=True), want)
    centered = normalize_rows(x, center=True, normalize=False)
    assert centered.mean(dim=0).abs().max() < 1e-6
    assert normalize_rows(x, normalize=False) is x
    # Layers do not mix.
    stack = normalize_rows(torch.stack([x, 3 * x + 1]), center=True)
    assert_close(stack[0], want)
    assert_close(stack[1], want)
    # A hundredth of the mean is still told from noise.
    x = 0.01 * torch.randn(30, 5, dtype=torch.double) + 1.0
    for center in [True, False]:
        out = normalize_rows(x, center=center)
        assert out.norm(dim=-1).allclose(torch.ones(30).double(), rtol=1e-2)
        want = torch.tensor(oracles.nu(x.tolist(), center, True)).double()
        assert_close(out, want)


@pytest.mark.parametrize('projection', ['student', 'both', None])
@pytest.mark.parametrize('num_nodes', [3, 1000])
def test_constant_layers(projection, num_nodes):
    row = 1e3 * torch.tensor([1.1234567, -0.3333333, 0.7654321, 1.9])
    constant = row.repeat(num_nodes, 1)
    if num_nodes == 1000:
        # There is rounding noise that must not be scaled up.
        assert (constant - constant.mean(dim=0)).abs().max() > 0
    assert normalize_rows(constant, center=True).norm(dim=-1).max() < 0.02
    loss = ABKDLoss([4], [4], projection=projection)
    out, got = run(loss, [constant], [constant])
    assert out < 1e-3
    assert got[0].norm() < 1.0
    # A constant student is as far from any teacher as zero is.
    out, _ = run(loss, [torch.randn(num_nodes, 4)], [constant])
    assert out.item() == pytest.approx(1.0, abs=0.05)
    run(loss, [constant], [torch.randn(num_nodes, 4)])


@two_kinds
@pytest.mark.parametrize('center', [True, False])
def test_small_and_empty_graphs(attention, center):
    # Graphs of 1, 0, 3, 0 and 2 nodes.
    batch = torch.tensor([0, 2, 2, 2, 4, 4])
    widths, options = ([4, 3], [2, 2]), {'center': center}
    loss = ABKDLoss(*widths, attention, granularity='graph', **options)
    teacher, student = both(widths, dtype=torch.float)
    for size in [None, 5, 7]:
        out, _ = run(loss, teacher, student, batch, size)
        want = oracles.abkd(
            loss,
            teacher,
            student,
            batch,
            size,
            attention_kind=attention,
            granularity='graph',
            **options,
        )
        assert out.item() == pytest.approx(want, rel=1e-4)
    # With one node a graph, graphs are compared as nodes are.
    out, _ = run(loss, teacher, student, torch.arange(6))
    node = ABKDLoss(*widths, attention, **options)
    node.load_state_dict(loss.state_dict())
    assert_close(out, node(teacher, student))


# The same on features of models on a real graph.


@pytest.fixture(scope='module')
def features():
    data = cora()
    torch.manual_seed(0)
    out = []
    for width, num_layers in [(32, 4), (8, 2)]:
        model = GCN(data.num_features, width, num_layers).eval()
        with LayerRecorder(model, detach=True) as recorder, torch.no_grad():
            model(data.x, data.edge_index)
            out.append(recorder.features())
    return out


@pytest.mark.parametrize('attention', ['learned', 'diagonal', 'uniform'])
@pytest.mark.parametrize('granularity', ['node', 'group'])
def test_real_features(features, attention, granularity):
    teacher, student = features
    loss = ABKDLoss([32] * 4, [8] * 2, attention, granularity=granularity)
    out = loss(teacher, student)
    assert torch.equal(loss(loss.prepare(teacher), student), out)
    assert 0.1 < out < 4.0
    pair = loss.compare(teacher, student)
    total = (pair.attention * pair.distance).sum() / pair.attention.sum()
    assert_close(total, out, rtol=1e-4, atol=0.0)
    # A part that loops can compare.
    part = [x[:60] for x in teacher], [x[:60] for x in student]
    want = oracles.abkd(
        loss, *part, attention_kind=attention, granularity=granularity
    )
    assert loss(*part).item() == pytest.approx(want, rel=1e-4)
    wide = loss.double()(teacher, student)
    assert_close(out.double(), wide, rtol=1e-4, atol=0.0)
