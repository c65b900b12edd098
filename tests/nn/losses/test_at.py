import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from pyg_distill.nn import ATLoss
from tests.nn.losses import peer_oracles

REDUCTIONS = ['sum', 'mean', 'norm']


def layers(num_nodes, *widths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(num_nodes, width, dtype=torch.double, generator=generator)
        for width in widths
    ]


@settings(max_examples=40)
@given(
    reduction=st.sampled_from(REDUCTIONS),
    batch=st.none() | st.lists(st.integers(0, 3), min_size=1, max_size=9),
    seed=st.integers(0, 100),
)
def test_against_loops(reduction, batch, seed):
    t, s = layers(5 if batch is None else len(batch), 4, 2, seed=seed)
    loss = ATLoss([4], [2], reduction, per_graph=batch is not None)
    args = () if batch is None else (torch.tensor(batch), 5)
    size = None if batch is None else 5
    want = peer_oracles.at(t, s, reduction, batch, size)
    out = loss([t], [s], *args)
    assert out.item() == pytest.approx(want, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize('reduction', REDUCTIONS)
def test_graphs_without_nodes_do_not_count(reduction):
    t, s = layers(6, 4, 2)
    loss = ATLoss([4], [2], reduction, per_graph=True)
    batch = torch.tensor([0, 0, 1, 1, 1, 2])
    want = loss([t], [s], batch)
    for size in (None, 9):
        assert_close(loss([t], [s], 2 * batch + 1, size), want)


@pytest.mark.parametrize('reduction', REDUCTIONS)
@pytest.mark.parametrize('batch', [None, torch.tensor([0, 0, 2, 2, 2, 3])])
def test_gradient(reduction, batch):
    t, s = layers(6, 3, 2)
    loss = ATLoss([3], [2], reduction, per_graph=batch is not None)
    assert torch.autograd.gradcheck(
        lambda s: loss([t], [s], batch, 5), (s.requires_grad_(),)
    )


@settings(max_examples=30)
@given(
    reduction=st.sampled_from(REDUCTIONS),
    scale=st.floats(1e-3, 1e3),
    seed=st.integers(0, 100),
)
def test_what_does_not_matter(reduction, scale, seed):
    t, s = layers(6, 4, 3, seed=seed)
    loss = ATLoss([4], [3], reduction)
    want = loss([t], [s])
    assert 0 < want.item() < 2
    # The sign, the order, a rotation and the scale of channels.
    rotation = torch.linalg.qr(layers(3, 3, seed=seed + 1)[0])[0]
    assert_close(loss([t], [s @ rotation]), want)
    assert_close(loss([-t], [s.flip(1)]), want)
    assert_close(loss([scale * t], [s / scale]), want)
    # The order of the nodes.
    order = torch.randperm(6)
    assert_close(loss([t[order]], [s[order]]), want)
    assert ATLoss([4], [4], reduction)([t], [-t]).item() == 0


@pytest.mark.parametrize('reduction', REDUCTIONS)
def test_equal_maps_have_a_gradient(reduction):
    (t,) = layers(6, 3)
    s = t.clone().requires_grad_()
    out = ATLoss([3], [3], reduction)([t], [s])
    out.backward()
    assert out.item() == 0
    assert (s.grad == 0).all()


def test_mean_vanishes_with_the_number_of_nodes():
    small, large = layers(10, 4, 3), layers(1000, 4, 3)
    values = [
        [ATLoss([4], [3], r)([t], [s]).item() for t, s in (small, large)]
        for r in ('sum', 'mean')
    ]
    assert values[0][1] > 0.5 * values[0][0]
    assert values[1][1] < 0.05 * values[1][0]


def test_graphs_apart():
    t, s = layers(7, 4, 3)
    batch = torch.tensor([0, 0, 0, 1, 1, 1, 1])
    loss = ATLoss([4], [3])
    each = [loss([t[i]], [s[i]]) for i in (slice(0, 3), slice(3, 7))]
    loss = ATLoss([4], [3], per_graph=True)
    assert_close(loss([t], [s], batch), torch.stack(each).mean())
    # One map over all of them is another loss, which needs no batch.
    assert ATLoss([4], [3])([t], [s], batch) != loss([t], [s], batch)
    with pytest.raises(ValueError, match=r"^'batch' must be given"):
        loss([t], [s])


def test_extreme_scales():
    t, s = layers(6, 4, 3)
    loss = ATLoss([4], [3])
    want = loss([t], [s]).float()
    for scale in (1e-12, 1e15):
        x = (scale * s).float().requires_grad_()
        out = loss([t.float() / scale], [x])
        assert_close(out, want)
        out.backward()
        assert x.grad.isfinite().all()
    assert (ATLoss.paper([4], [3])([t], [s]).square() - want).abs() < 1e-6
