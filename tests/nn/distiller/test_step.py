"""A step of a distiller is the step that one would write by hand."""

import copy

import pytest
import torch

from pyg_distill.nn.losses import DistillationLoss
from pyg_distill.nn import ABKDLoss, Distiller, KDLoss, LayerRecorder
from tests.nn.distiller.models import (
    WEIGHTS,
    big,
    by_hand,
    graph,
    new_losses,
    num_hooks,
    small,
    task,
)


def pair(cache):
    """A distiller, and copies of all that it consists of."""
    # What is added to all nodes is taken away by the batch norm.
    student, teacher = small(bias=False), big()
    losses = new_losses()
    copies = [copy.deepcopy(m) for m in (student, teacher)]
    args = graph()
    distiller = Distiller.from_example(
        student, teacher, args, losses, WEIGHTS, cache=cache
    )
    return distiller.train(), *copies, copy.deepcopy(losses)


@pytest.mark.parametrize('cache', [False, True])
def test_one_step(cache):
    distiller, student, teacher, losses = pair(cache)
    args = graph()
    out = distiller(*args)
    loss = distiller.loss(task(out))
    loss.backward()

    want = by_hand(student, teacher, losses, WEIGHTS, *args)
    want.backward()
    torch.testing.assert_close(loss, want)
    expected = {
        **{f'student.{k}': p for k, p in student.named_parameters()},
        **{
            f'losses.{name}.{k}': p
            for name, module in losses.items()
            for k, p in module.named_parameters()
        },
    }
    found = dict(distiller.named_parameters())
    assert found.keys() == expected.keys()
    assert len(found) > 5
    for key, parameter in found.items():
        torch.testing.assert_close(parameter.grad, expected[key].grad)
        assert parameter.grad.abs().sum() > 0


@pytest.mark.parametrize('cache', [False, True])
def test_several_steps(cache):
    distiller, student, teacher, losses = pair(cache)
    args = graph()
    groups = distiller.parameter_groups(lr=0.01, weight_decay=0.1)
    optimizer = torch.optim.Adam(groups)
    by_itself = torch.optim.Adam(
        [
            {'params': student.parameters(), 'weight_decay': 0.1},
            {'params': [*losses['abkd'].parameters()], 'weight_decay': 0.0},
        ],
        lr=0.01,
    )
    student.train()
    start = copy.deepcopy(student.state_dict())
    for _ in range(4):
        optimizer.zero_grad()
        loss = distiller.loss(task(distiller(*args)))
        loss.backward()
        optimizer.step()
        by_itself.zero_grad()
        want = by_hand(student, teacher, losses, WEIGHTS, *args)
        want.backward()
        by_itself.step()
        torch.testing.assert_close(loss, want, rtol=1e-4, atol=1e-5)
    state = distiller.student.state_dict()
    for key, value in student.state_dict().items():
        torch.testing.assert_close(state[key], value, rtol=1e-3, atol=1e-4)
        assert not torch.equal(value, start[key])


def test_parts():
    distiller, student, teacher, losses = pair(False)
    assert distiller.loss_dict() == {}
    args = graph()
    own = task(distiller(*args))
    loss = distiller.loss(own)
    parts = distiller.loss_dict()
    assert list(parts) == ['task', 'abkd', 'kd', 'total']
    assert not any(value.requires_grad for value in parts.values())
    torch.testing.assert_close(parts['task'], own.detach())
    torch.testing.assert_close(parts['total'], loss.detach())
    total = parts['task'] + 0.5 * parts['abkd'] + 3.0 * parts['kd']
    torch.testing.assert_close(total, loss.detach())
    with torch.no_grad():
        kd = losses['kd'](teacher.eval()(*args), student(*args))
    torch.testing.assert_close(parts['kd'], kd)
    parts.clear()
    assert len(distiller.loss_dict()) == 4


def test_no_task():
    distiller, *_ = pair(False)
    args = graph()
    distiller(*args)
    loss = distiller.loss()
    parts = distiller.loss_dict()
    assert list(parts) == ['abkd', 'kd', 'total']
    torch.testing.assert_close(
        loss.detach(), 0.5 * parts['abkd'] + 3.0 * parts['kd']
    )
    assert loss.requires_grad


def test_layers_that_are_named():
    args = graph()
    student, teacher = small(), big()
    distiller = Distiller.from_example(
        student,
        teacher,
        args,
        {'abkd': ABKDLoss},
        student_layers='convs.0',
        teacher_layers=['convs.0', teacher.convs[1]],
    )
    assert distiller.losses['abkd'].num_layers == (2, 1)
    distiller.train()(*args)
    loss = distiller.loss()
    names = {'t': ['convs.0', 'convs.1'], 's': ['convs.0']}
    teacher, student = copy.deepcopy(teacher), copy.deepcopy(student)
    with (
        LayerRecorder(teacher, names['t'], detach=True) as taught,
        LayerRecorder(student, names['s']) as learned,
    ):
        teacher(*args)
        student(*args)
        want = distiller.losses['abkd'](taught.features(), learned.features())
    torch.testing.assert_close(loss, want)


@pytest.mark.parametrize('cache', [False, True])
def test_logits_alone_need_no_hooks(cache):
    args = graph()
    student, teacher = small(), big()
    distiller = Distiller.from_example(
        student, teacher, args, KDLoss(), cache=cache
    ).train()
    assert num_hooks(student) == num_hooks(teacher) == 0
    out = distiller(*args)
    loss = distiller.loss()
    with torch.no_grad():
        want = KDLoss()(teacher.eval()(*args), out)
    torch.testing.assert_close(loss.detach(), want)
    (group,) = distiller.parameter_groups()
    assert len(group['params']) == len(list(student.parameters()))


def test_losses_of_ones_own():
    class Last(DistillationLoss):
        def forward(self, teacher, student):
            return (teacher[-1] - student[-1]).square().mean()

    class Outputs(DistillationLoss):
        needs = 'logits'

        def forward(self, teacher, student):
            return (teacher - student).abs().mean()

    args = graph()
    student, teacher = small(), big()
    for cache in (False, True):
        distiller = Distiller.from_example(
            student, teacher, args, [Last(), Outputs()], [2.0, 0], cache=cache
        ).train()
        out = distiller(*args)
        loss = distiller.loss()
        with torch.no_grad():
            gap = teacher(*args) - out
        torch.testing.assert_close(loss.detach(), 2 * gap.square().mean())
        torch.testing.assert_close(
            distiller.loss_dict()['outputs'], gap.abs().mean()
        )
        distiller.export()
