import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from pyg_distill.nn import GSPLoss
from tests.nn.losses import peer_oracles

KERNELS = ['cosine', 'poly', 'l2', 'rbf']


def layers(num_nodes, *widths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(num_nodes, width, dtype=torch.double, generator=generator)
        for width in widths
    ]


@settings(max_examples=60)
@given(
    kernel=st.sampled_from(KERNELS),
    projection=st.sampled_from(['both', None]),
    # The kernel of one column, or of few, is worked out in another way.
    widths=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    num_nodes=st.integers(2, 9),
    max_nodes=st.none() | st.integers(1, 9),
    seed=st.integers(0, 100),
)
def test_against_loops(kernel, projection, widths, num_nodes, max_nodes, seed):
    t, s = layers(num_nodes, *widths, seed=seed)
    loss = GSPLoss([widths[0]], [widths[1]], kernel, max_nodes, projection, 3)
    loss = loss.double()
    torch.manual_seed(seed)
    drawn = None
    if max_nodes is not None and num_nodes > max_nodes:
        drawn = torch.randperm(num_nodes)[:max_nodes].tolist()
    want = peer_oracles.gsp(loss, t, s, drawn)
    torch.manual_seed(seed)
    out = loss([t], [s]).item()
    assert out == pytest.approx(want, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize('kernel', KERNELS)
@pytest.mark.parametrize('num_nodes', [4, 9])
def test_gradient(kernel, num_nodes):
    t, s = layers(num_nodes, 3, 2)
    loss = GSPLoss([3], [2], kernel)
    assert torch.autograd.gradcheck(
        lambda s: loss([t], [s]), (s.requires_grad_(),), atol=1e-4
    )


@settings(max_examples=30)
@given(kernel=st.sampled_from(KERNELS), seed=st.integers(0, 100))
def test_what_does_not_matter(kernel, seed):
    t, s = layers(9, 4, 3, seed=seed)
    loss = GSPLoss([4], [3], kernel)
    want = loss([t], [s])
    assert want > 0
    # The order of the nodes, a rotation, empty channels.
    order = torch.randperm(9)
    assert_close(loss([t[order]], [s[order]]), want)
    rotation = torch.linalg.qr(layers(3, 3, seed=seed + 1)[0])[0]
    assert_close(loss([t], [s @ rotation]), want)
    wide = torch.cat([s, 0 * s], dim=1)
    assert_close(GSPLoss([4], [6], kernel)([t], [wide]), want)
    assert GSPLoss([4], [4], kernel)([t], [t.clone()]) == 0
    if kernel in ('cosine', 'poly'):
        assert_close(loss([7 * t], [s / 9]), want)


def test_close_to_the_teacher():
    """What is left is not lost in the sums of squares."""
    (t,) = layers(300, 8)
    move = 1e-4 * layers(300, 8, seed=1)[0]
    t, s = t.float(), (t + move).float().requires_grad_()
    loss = GSPLoss([8], [8])
    x, y = (z.double() / z.double().norm(dim=1, keepdim=True) for z in (t, s))
    want = (x @ x.t() - y @ y.t()).square().mean()
    out = loss([t], [s])
    assert out.item() == pytest.approx(want.item(), rel=1e-3)
    (grad,) = torch.autograd.grad(out, s)
    (expected,) = torch.autograd.grad(want, s)
    assert_close(grad, expected, rtol=1e-2, atol=1e-3 * expected.abs().max())


def test_needs_no_matrix_of_all_pairs():
    t, s = (x.float() for x in layers(200_000, 4, 2))
    # Which would take 160 GB.
    out = GSPLoss([4], [2], max_nodes=None)([t], [s.requires_grad_()])
    out.backward()
    part = GSPLoss([4], [2], max_nodes=20_000)([t], [s])
    assert_close(out, part, rtol=0.05, atol=0.0)


def test_drawn_anew_and_by_seed():
    t, s = layers(9, 4, 3)
    loss = GSPLoss([4], [3], 'rbf', 4)
    values = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        values.append((loss([t], [s]).item(), loss([t], [s]).item()))
    assert values[0] == values[1] != values[2]
    assert values[0][0] != values[0][1]
