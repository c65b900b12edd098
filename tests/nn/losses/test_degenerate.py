"""Layers with nothing in them must not spoil a training run."""

import itertools

import pytest
import torch
from torch import Tensor

from pyg_distill.nn import ABKDLoss, KDLoss, StrideLoss
from pyg_distill.nn.losses.rows import normalize_rows
from tests.nn.losses import oracles

ATTENTION = ['learned', 'diagonal']
PROJECTION = ['student', 'both', None]


def run(loss: ABKDLoss, teacher: list[Tensor], student: list[Tensor], *args):
    leaves = [x.clone().requires_grad_() for x in student]
    out = loss(teacher, leaves, *args)
    out.backward()
    assert out.isfinite()
    grads = [x.grad for x in leaves]
    grads += [p.grad for p in loss.parameters() if p.grad is not None]
    assert all(grad.isfinite().all() for grad in grads)
    return out, [x.grad for x in leaves]


@pytest.mark.parametrize('attention', ATTENTION)
@pytest.mark.parametrize('projection', PROJECTION)
@pytest.mark.parametrize('granularity', ['node', 'group', 'graph', 'pooled'])
@pytest.mark.parametrize('center', [True, False])
def test_dead_layers(attention, projection, granularity, center):
    if granularity == 'pooled' and center:
        pytest.skip('refused')
    loss = ABKDLoss(
        [4, 4, 4],
        [4, 4],
        attention,
        granularity,
        projection,
        center=center,
        num_groups=5,
    )
    batch = torch.arange(40) % 4
    for t_dead, s_dead in itertools.product([True, False], repeat=2):
        teacher = [torch.randn(40, 4) for _ in range(3)]
        student = [torch.randn(40, 4) for _ in range(2)]
        if t_dead:
            teacher[1].zero_()
        if s_dead:
            student[1].zero_()
        _, grads = run(loss, teacher, student, batch)
        # A row of length 0 is scaled by 1e5, and differs by 2 at most.
        bound = 4e5 * max(
            [1.0]
            + [
                torch.linalg.matrix_norm(p, ord=2).prod().item()
                for p in loss.parameters()
            ]
        )
        assert max(grad.norm().item() for grad in grads) <= bound


@pytest.mark.parametrize('attention', ATTENTION)
@pytest.mark.parametrize('projection', PROJECTION)
@pytest.mark.parametrize('width', [2, 4])
@pytest.mark.parametrize('center', [True, False])
def test_layers_that_vanish(attention, projection, width, center):
    # Below 1.2e-38, the inverse of a number in single precision is infinite.
    if projection is None and width == 2:
        pytest.skip('refused')
    loss = ABKDLoss(
        [4, 4, 4],
        [width, width],
        attention,
        projection=projection,
        center=center,
    )
    teacher = [torch.randn(40, 4) for _ in range(3)]
    student = [torch.randn(40, width) for _ in range(2)]
    for k in (0, 1):
        run(loss, teacher, [student[k] * 1e-37, student[1 - k]])
        want, _ = run(loss, teacher, [student[k] * 0, student[1 - k]])
        for scale in (1e-40, 1e-45):
            layers = [student[k] * scale, student[1 - k]]
            assert torch.equal(run(loss, teacher, layers)[0], want)
            layers = [x * scale if i == k else x for i, x in enumerate(teacher)]
            run(loss, layers, student)


@pytest.mark.parametrize('center', [True, False])
@pytest.mark.parametrize('attention', ATTENTION)
def test_bound_of_the_gradient(center, attention):
    loss = ABKDLoss([4, 4], [4, 4], 'uniform', projection=None, center=center)
    num_nodes = 50
    teacher = [torch.randn(num_nodes, 4) for _ in range(2)]
    dead = [torch.zeros(num_nodes, 4) for _ in range(2)]
    _, grads = run(loss, teacher, dead)
    assert all(grad.abs().max() == 0 for grad in grads)
    one_dead = [torch.randn(num_nodes, 4) for _ in range(2)]
    one_dead[0][7] = 0.0
    _, grads = run(loss, teacher, one_dead)
    # A row of N adds 2 / N * |difference| <= 4 / N, times the inverse of its
    # length, which counts as a thousandth of the typical one, 2, or more.
    assert grads[0].norm(dim=1).max() <= 4 / num_nodes * 1e3 / 2 * 1.5


def test_small_layers_are_scaled_up():
    x = torch.randn(30, 5)
    small = normalize_rows(1e-9 * x, True, True)
    torch.testing.assert_close(small, normalize_rows(x, True, True))


def test_length_of_rows():
    x = 0.01 * torch.randn(30, 5, dtype=torch.double) + 1.0
    for center in [True, False]:
        out = normalize_rows(x, center, True)
        # A hundredth of the mean is still told from noise.
        assert out.norm(dim=-1).allclose(torch.ones(30).double(), rtol=1e-2)
        want = oracles.nu(x.tolist(), center, True)
        torch.testing.assert_close(out, torch.tensor(want).double())
    x = torch.randn(30, 5)
    lengths = normalize_rows(x, True, True).norm(dim=-1)
    assert lengths.allclose(torch.ones(30), atol=1e-4)
    assert normalize_rows(x, True, False).mean(dim=0).abs().max() < 1e-6
    assert normalize_rows(x, False, False) is x
    # Layers do not mix.
    both = normalize_rows(torch.stack([x, 3 * x + 1]), True, True)
    torch.testing.assert_close(both[0], both[1])
    torch.testing.assert_close(both[0], normalize_rows(x, True, True))


@pytest.mark.parametrize('projection', PROJECTION)
@pytest.mark.parametrize('num_nodes', [3, 1000])
def test_constant_layers(projection, num_nodes):
    row = 1e3 * torch.tensor([1.1234567, -0.3333333, 0.7654321, 1.9])
    constant = row.repeat(num_nodes, 1)
    if num_nodes == 1000:
        # There is something that must not be scaled up.
        assert (constant - constant.mean(dim=0)).abs().max() > 0
    assert normalize_rows(constant, True, True).norm(dim=-1).max() < 0.02
    loss = ABKDLoss([4], [4], projection=projection)
    out, grads = run(loss, [constant], [constant])
    assert out < 1e-3
    assert grads[0].norm() < 1.0
    # A constant student is as far from any teacher as zero is.
    out, _ = run(loss, [torch.randn(num_nodes, 4)], [constant])
    assert out.item() == pytest.approx(1.0, abs=0.05)
    run(loss, [constant], [torch.randn(num_nodes, 4)])


@pytest.mark.parametrize('attention', ATTENTION)
@pytest.mark.parametrize('center', [True, False])
def test_small_and_empty_graphs(attention, center):
    # Graphs of 1, 0, 3, 0 and 2 nodes.
    batch = torch.tensor([0, 2, 2, 2, 4, 4])
    loss = ABKDLoss([4, 3], [2, 2], attention, 'graph', center=center)
    teacher = [torch.randn(6, 4), torch.randn(6, 3)]
    student = [torch.randn(6, 2), torch.randn(6, 2)]
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
            center=center,
        )
        assert out.item() == pytest.approx(want, rel=1e-4)
    # Every graph a node: nothing to average.
    out, _ = run(loss, teacher, student, torch.arange(6))
    node = ABKDLoss([4, 3], [2, 2], attention, center=center)
    node.load_state_dict(loss.state_dict())
    torch.testing.assert_close(out, node(teacher, student))


@pytest.mark.parametrize('attention', ATTENTION)
def test_single_node(attention):
    teacher, student = [torch.randn(1, 4)] * 2, [torch.randn(1, 2)] * 2
    for granularity in ['node', 'group', 'graph', 'pooled']:
        loss = ABKDLoss([4, 4], [2, 2], attention, granularity, center=False)
        batch = torch.zeros(1, dtype=torch.long)
        out, _ = run(loss, teacher, student, batch)
        want = oracles.abkd(
            loss,
            teacher,
            student,
            batch,
            attention_kind=attention,
            granularity=granularity,
            center=False,
        )
        assert out.item() == pytest.approx(want, rel=1e-4)


def test_dead_rows_of_stride():
    loss = StrideLoss([4, 4], [3, 3], hidden_channels=5)
    teacher = [torch.randn(8, 4), torch.zeros(8, 4)]
    student = [torch.zeros(8, 3), torch.randn(8, 3)]
    student[1][3] = 0.0
    run(loss, teacher, student)


def test_extreme_logits():
    teacher = torch.tensor([[1e4, -1e4], [0.0, 0.0]])
    student = torch.tensor([[-1e4, 1e4], [1e4, -1e4]], requires_grad=True)
    for multi_label in [False, True]:
        loss = KDLoss(multi_label=multi_label)(teacher, student)
        (grad,) = torch.autograd.grad(loss, student)
        assert loss.isfinite()
        assert grad.isfinite().all()
