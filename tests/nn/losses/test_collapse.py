"""Can a loss be met while the student stands still? It should not."""

import pytest
import torch

from pyg_distill.nn import ABKDLoss

WIDTHS = [16] * 4, [4] * 2


def remaining(loss, teacher, student, steps=300):
    """The share of the loss that its own parameters cannot remove."""
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.01)
    values = []
    for _ in range(steps):
        optimizer.zero_grad()
        out = loss(teacher, student)
        out.backward()
        optimizer.step()
        values.append(out.item())
    return loss(teacher, student).item() / values[0]


def layers(widths, num_nodes):
    return [torch.randn(num_nodes, width) for width in widths]


def test_paper_collapses():
    teacher, student = layers(WIDTHS[0], 300), layers(WIDTHS[1], 300)
    loss = ABKDLoss.paper(*WIDTHS)
    assert remaining(loss, teacher, student) < 1e-3
    # And then has nothing to tell the student.
    leaves = [x.clone().requires_grad_() for x in student]
    grads = torch.autograd.grad(loss(teacher, leaves), leaves)
    assert max(grad.norm() for grad in grads) < 1e-4


@pytest.mark.parametrize(
    'attention', ['diagonal', 'uniform', 'learned', 'last']
)
@pytest.mark.parametrize('granularity', ['node', 'group'])
def test_others_do_not(attention, granularity):
    teacher, student = layers(WIDTHS[0], 150), layers(WIDTHS[1], 150)
    loss = ABKDLoss(*WIDTHS, attention, granularity, num_groups=75)
    assert remaining(loss, teacher, student, 150) > 0.5
    leaves = [x.clone().requires_grad_() for x in student]
    grads = torch.autograd.grad(
        loss(teacher, leaves), leaves, allow_unused=True
    )
    assert max(g.norm() for g in grads if g is not None) > 1e-3


def test_a_student_that_can_learn_does():
    # The guard must not stand in the way of what the loss is for.
    teacher = layers(WIDTHS[0], 100)
    student = [x.requires_grad_() for x in layers(WIDTHS[1], 100)]
    loss = ABKDLoss(*WIDTHS, 'last')
    optimizer = torch.optim.Adam([*loss.parameters(), *student], lr=0.05)
    before = loss(teacher, student).item()
    for _ in range(200):
        optimizer.zero_grad()
        loss(teacher, student).backward()
        optimizer.step()
    assert loss(teacher, student).item() < 0.6 * before
