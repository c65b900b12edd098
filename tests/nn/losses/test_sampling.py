"""A random part of the nodes is compared instead of all of them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from pyg_distill.nn import ABKDLoss, StrideLoss
from tests.nn.losses import oracles
from tests.nn.losses.helpers import both

WIDTHS = [4, 4, 5], [3, 2]


def sides(num_nodes=9, seed=0):
    return both(WIDTHS, num_nodes, seed=seed)


@settings(max_examples=40)
@given(
    attention=st.sampled_from(['diagonal', 'uniform', 'last', 'learned']),
    projection=st.sampled_from(['student', 'both']),
    normalize=st.booleans(),
    center=st.booleans(),
    num_nodes=st.integers(2, 12),
    max_nodes=st.integers(2, 12),
    seed=st.integers(0, 100),
)
def test_against_loops(
    attention, projection, normalize, center, num_nodes, max_nodes, seed
):
    teacher, student = sides(num_nodes, seed)
    options = {
        'projection': projection,
        'normalize': normalize,
        'center': center,
        'hidden_channels': 3,
    }
    loss = ABKDLoss(*WIDTHS, attention, max_nodes=max_nodes, **options).double()
    torch.manual_seed(seed)
    drawn = None
    if num_nodes > max_nodes:
        drawn = torch.randperm(num_nodes)[:max_nodes].tolist()
    options['attention_kind'] = attention
    want = oracles.abkd(loss, teacher, student, drawn=drawn, **options)
    for target in (teacher, loss.prepare(teacher)):
        torch.manual_seed(seed)
        out = loss(target, student).item()
        assert out == pytest.approx(want, rel=1e-6, abs=1e-9)
    want = oracles.abkd(loss, teacher, student, **options)
    out = loss.eval()(teacher, student).item()
    assert out == pytest.approx(want, rel=1e-6, abs=1e-9)


def test_drawn_once_and_anew(monkeypatch):
    teacher, student = sides()
    loss = ABKDLoss(*WIDTHS, 'uniform', max_nodes=3).double()
    assert loss(teacher, student) != loss(teacher, student)
    calls = []
    randperm = torch.randperm

    def count(*args, **kwargs):
        calls.append(args)
        return randperm(*args, **kwargs)

    monkeypatch.setattr(torch, 'randperm', count)
    loss(teacher, student)
    assert calls == [(9,)]
    # All nodes need no draw.
    loss.compare(teacher, student)
    loss.eval()(teacher, student)
    ABKDLoss(*WIDTHS, 'uniform', max_nodes=9).double()(teacher, student)
    assert calls == [(9,)]


def test_stride():
    teacher, student = sides()
    loss = StrideLoss(*WIDTHS, num_samples=3, max_nodes=5).double()
    part = StrideLoss(*WIDTHS, num_samples=3).double()
    part.load_state_dict(loss.state_dict())
    torch.manual_seed(0)
    out = loss(teacher, student)
    attention = loss.last_attention
    torch.manual_seed(0)
    index = torch.randperm(9)[:5]
    part([x[index] for x in teacher], [x[index] for x in student])
    want = (attention * part.last_distance).sum() / attention.sum()
    assert_close(out, want)
