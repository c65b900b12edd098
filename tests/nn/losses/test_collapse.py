"""The projections alone should not minimise a loss."""

import pytest
import torch

from pyg_distill.nn import ABKDLoss
from tests.nn.losses.helpers import both

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


@pytest.mark.slow
def test_paper_collapses():
    teacher, student = both(WIDTHS, 300, torch.float)
    loss = ABKDLoss.paper(*WIDTHS)
    assert remaining(loss, teacher, student) < 1e-3
    # Then the student gets no gradient.
    leaves = [x.clone().requires_grad_() for x in student]
    grads = torch.autograd.grad(loss(teacher, leaves), leaves)
    assert max(grad.norm() for grad in grads) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize('attention', ['uniform', 'learned', 'last'])
@pytest.mark.parametrize('granularity', ['node', 'group'])
def test_others_do_not(attention, granularity):
    teacher, student = both(WIDTHS, 150, torch.float)
    loss = ABKDLoss(*WIDTHS, attention, granularity=granularity, num_groups=75)
    assert remaining(loss, teacher, student, 150) > 0.5
    leaves = [x.clone().requires_grad_() for x in student]
    grads = torch.autograd.grad(
        loss(teacher, leaves), leaves, allow_unused=True
    )
    assert max(g.norm() for g in grads if g is not None) > 1e-3
