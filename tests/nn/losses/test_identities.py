"""What one choice of rows has to do with another."""

import pytest
import torch
from torch.testing import assert_close

from pyg_distill.nn import ABKDLoss

PLAIN = {'projection': None, 'normalize': False, 'center': False}


def features(num_layers=2, width=3, num_nodes=9):
    return [
        torch.randn(num_nodes, width, dtype=torch.double) + i
        for i in range(num_layers)
    ]


def test_covariance():
    teacher, student = features(3), features(2)
    widths = [3] * 3, [3] * 2
    node = ABKDLoss(*widths, granularity='node', **PLAIN)
    pooled = ABKDLoss(*widths, granularity='pooled', **PLAIN)
    node = node.compare(teacher, student).distance
    pooled = pooled.compare(teacher, student).distance
    for i in range(3):
        for j in range(2):
            trace = 0.0
            for c in range(3):
                difference = [
                    teacher[i][v, c].item() - student[j][v, c].item()
                    for v in range(9)
                ]
                mean = sum(difference) / 9
                trace += sum((d - mean) ** 2 for d in difference) / 9
            assert trace > 0.1
            got = (node[i, j] - pooled[i, j]).item()
            assert got == pytest.approx(trace, rel=1e-9)


@pytest.mark.parametrize('attention', ['learned', 'diagonal'])
@pytest.mark.parametrize('projection', ['student', 'both'])
@pytest.mark.parametrize('normalize', [True, False])
def test_limits(attention, projection, normalize):
    widths = [3, 3, 3], [2, 2]
    teacher, student = features(3), features(2, width=2)
    options = {
        'attention': attention,
        'projection': projection,
        'normalize': normalize,
    }

    def value(**more):
        loss = ABKDLoss(*widths, **options, **more).double()
        torch.manual_seed(1)
        loss.reset_parameters()
        batch = torch.zeros(9, dtype=torch.long)
        return loss(teacher, student, batch)

    def close(x, y):
        return assert_close(x, y, rtol=1e-9, atol=0.0)

    for center in [True, False]:
        node = value(granularity='node', center=center)
        for num_groups in [9, 10, 512]:
            close(
                value(
                    granularity='group', num_groups=num_groups, center=center
                ),
                node,
            )
    pooled = value(granularity='pooled', center=False)
    assert abs(pooled - node) > 1e-3
    close(value(granularity='group', num_groups=1, center=False), pooled)
    close(value(granularity='graph', center=False), pooled)


@pytest.mark.parametrize('granularity', ['node', 'pooled'])
@pytest.mark.parametrize('attention', ['learned', 'diagonal', 'uniform'])
def test_permutation(granularity, attention):
    loss = ABKDLoss(
        [3, 3, 3],
        [2, 2],
        attention,
        granularity,
        center=granularity == 'node',
    ).double()
    teacher, student = features(3), features(2, width=2)
    out = loss(teacher, student)
    order = torch.tensor([3, 1, 8, 0, 2, 7, 5, 6, 4])
    both = [x[order] for x in teacher], [x[order] for x in student]
    assert_close(loss(*both), out, rtol=1e-9, atol=0.0)
    alone = loss(teacher, [x[order] for x in student])
    if granularity == 'pooled':
        assert_close(alone, out, rtol=1e-9, atol=0.0)
    else:
        assert abs(alone - out) > 1e-2


def test_graphs_in_any_order():
    loss = ABKDLoss([3], [2], granularity='graph').double()
    teacher, student = features(1), features(1, width=2)
    batch = torch.tensor([0, 0, 1, 1, 1, 2, 3, 3, 3])
    out = loss(teacher, student, batch)
    assert_close(loss(teacher, student, 3 - batch), out)
    assert_close(loss(teacher, student, batch, 4), out)
    order = torch.randperm(9)
    out = loss(
        [x[order] for x in teacher],
        [x[order] for x in student],
        batch[order],
    )
    assert_close(out, loss(teacher, student, batch))


def test_shift_and_scale():
    # What all nodes share, and how long rows are, tells nothing apart.
    loss = ABKDLoss([3, 3], [3, 3], projection=None)
    teacher, student = features(2), features(2)
    out = loss(teacher, student)
    moved = [5 * x + 2 for x in teacher], [x / 3 - 1 for x in student]
    assert_close(loss(*moved), out, rtol=1e-6, atol=0.0)
    moved = [x.clone() for x in teacher]
    moved[0][0] += 1
    assert abs(loss(moved, student) - out) > 1e-3
