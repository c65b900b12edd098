"""The same on features of a model on a real graph."""

import os
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close
from torch_geometric.datasets import Planetoid
from torch_geometric.nn import GCN

from pyg_distill.nn import ABKDLoss, StrideLoss
from tests.nn.losses import oracles


@pytest.fixture(scope='module')
def features():
    """Layers of an untrained teacher and student, a row a paper."""
    if 'PYG_DISTILL_DATA' not in os.environ:
        pytest.skip('needs PYG_DISTILL_DATA')
    root = Path(os.environ['PYG_DISTILL_DATA'], 'Planetoid')
    if not (root / 'Cora' / 'raw').is_dir():
        pytest.skip('needs the raw files of Cora')
    data = Planetoid(str(root), 'Cora')[0]
    torch.manual_seed(0)
    out = []
    for width, num_layers in [(32, 4), (8, 2)]:
        model = GCN(data.num_features, width, num_layers).eval()
        layers: list[torch.Tensor] = []
        for conv in model.convs:
            conv.register_forward_hook(
                lambda *args, layers=layers: layers.append(args[2])
            )
        with torch.no_grad():
            model(data.x, data.edge_index)
        out.append(layers)
    return out


@pytest.mark.parametrize('attention', ['learned', 'diagonal', 'uniform'])
@pytest.mark.parametrize('granularity', ['node', 'group'])
def test_prepared(features, attention, granularity):
    teacher, student = features
    loss = ABKDLoss([32] * 4, [8] * 2, attention, granularity)
    out = loss(teacher, student)
    assert torch.equal(loss(loss.prepare(teacher), student), out)
    assert 0.1 < out < 4.0
    pair = loss.compare(teacher, student)
    total = (pair.attention * pair.distance).sum() / pair.attention.sum()
    assert_close(total, out, rtol=1e-4, atol=0.0)
    wide = loss.double()(teacher, student)
    assert_close(out.double(), wide, rtol=1e-4, atol=0.0)


def test_against_loops(features):
    teacher, student = features
    part = [x[:60] for x in teacher], [x[:60] for x in student]
    loss = ABKDLoss([32] * 4, [8] * 2)
    want = oracles.abkd(loss, *part)
    assert loss(*part).item() == pytest.approx(want, rel=1e-4)


def test_a_step_lowers_each_loss(features):
    teacher, student = [[x[:300] for x in layers] for layers in features]
    for loss in [
        ABKDLoss([32] * 4, [8] * 2),
        ABKDLoss([32] * 4, [8] * 2, 'learned', 'group'),
        StrideLoss([32] * 4, [8] * 2, num_samples=300),
    ]:
        leaves = [x.clone().requires_grad_() for x in student]
        before = loss(teacher, leaves)
        grads = torch.autograd.grad(before, leaves)
        assert all(grad.isfinite().all() for grad in grads)
        size = sum(grad.square().sum() for grad in grads)
        moved = [
            x - 1e-3 * before.detach() * grad / size
            for x, grad in zip(student, grads, strict=True)
        ]
        assert loss(teacher, moved) < before
