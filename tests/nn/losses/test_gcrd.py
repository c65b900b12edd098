import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from pyg_distill.nn import GCRDLoss
from tests.nn.losses import peer_oracles


def layers(num_nodes, *widths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(num_nodes, width, dtype=torch.double, generator=generator)
        for width in widths
    ]


@settings(max_examples=40)
@given(
    temperature=st.floats(0.05, 2.0),
    projection=st.sampled_from(['both', None]),
    num_nodes=st.integers(2, 8),
    max_nodes=st.none() | st.integers(2, 8),
    seed=st.integers(0, 100),
)
def test_against_loops(temperature, projection, num_nodes, max_nodes, seed):
    t, s = layers(num_nodes, 4, 4 if projection is None else 3, seed=seed)
    loss = GCRDLoss(
        [4], [s.size(1)], temperature, max_nodes, projection, 3
    ).double()
    torch.manual_seed(seed)
    drawn = None
    if max_nodes is not None and num_nodes > max_nodes:
        drawn = torch.randperm(num_nodes)[:max_nodes].tolist()
    # Statistics of the heads are those of all nodes, drawn or not.
    want = peer_oracles.gcrd(loss, t, s, drawn)
    torch.manual_seed(seed)
    out = loss([t], [s]).item()
    assert out == pytest.approx(want, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize('projection', ['both', None])
def test_gradient(projection):
    t, s = layers(6, 3, 3)
    loss = GCRDLoss([3], [3], 0.5, None, projection, 4).double()
    loss([t], [s])
    parameters = [p.detach().requires_grad_() for p in loss.parameters()]
    names = [name for name, _ in loss.named_parameters()]

    def value(s, *parameters):
        state = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(loss, state, ([t], [s]))

    loss.eval()
    assert torch.autograd.gradcheck(value, (s.requires_grad_(), *parameters))


@settings(max_examples=20)
@given(seed=st.integers(0, 100))
def test_least_and_most(seed):
    # Teachers at right angles, each found or all alike.
    t = torch.eye(5, dtype=torch.double)
    loss = GCRDLoss([5], [5], 0.01, projection=None)
    assert loss([t], [3 * t]) < 1e-9
    assert loss([t], [t.roll(1, 0)]).item() == pytest.approx(100, rel=1e-4)
    same = loss([t.new_ones(5, 5)], [t])
    assert same.item() == pytest.approx(math.log(5))
    # The order of the nodes, a common rotation.
    t, s = layers(5, 4, 4, seed=seed)
    loss = GCRDLoss([4], [4], projection=None)
    order = torch.randperm(5)
    want = loss([t], [s])
    assert_close(loss([t[order]], [s[order]]), want)
    rotation = torch.linalg.qr(layers(4, 4, seed=seed + 1)[0])[0]
    assert_close(loss([t @ rotation], [s @ rotation]), want)


def test_contrast_is_with_teachers():
    """Each student chooses among teachers, not each teacher among students."""
    t = torch.eye(3, dtype=torch.double)
    s = t[[0, 0, 0]]
    loss = GCRDLoss([3], [3], 0.5, projection=None)
    right = math.log(1 + 2 * math.exp(-2))
    want = (right + 2 * (right + 2)) / 3
    assert loss([t], [s]).item() == pytest.approx(want, rel=1e-5)


def test_drawn_anew_and_by_seed():
    t, s = layers(9, 4, 3)
    loss = GCRDLoss([4], [3], max_nodes=4).double()
    values = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        values.append((loss([t], [s]).item(), loss([t], [s]).item()))
    assert values[0] == values[1] != values[2]
    assert values[0][0] != values[0][1]


def test_training_finds_what_can_be_found():
    t, _ = (x.float() for x in layers(60, 8, 3))
    torch.manual_seed(0)
    loss = GCRDLoss([8], [3], hidden_channels=16)
    s = torch.randn(60, 3, requires_grad=True)
    optimizer = torch.optim.Adam([s, *loss.parameters()], lr=0.02)
    values = []
    for _ in range(60):
        optimizer.zero_grad()
        out = loss([t], [s])
        out.backward()
        optimizer.step()
        values.append(out.item())
    assert values[-1] < 0.5 * values[0]


def test_a_single_node_has_no_others():
    t, s = layers(1, 4, 3)
    with pytest.raises(ValueError, match=r'2 rows or more \(got 1\)'):
        GCRDLoss([4], [3]).double()([t], [s])
    with pytest.raises(ValueError, match=r"^'max_nodes' must be 2 or more"):
        GCRDLoss([4], [3], max_nodes=1)
