"""Rows are compared through their map as if they were mapped."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from pyg_distill.nn.losses.folded import folded_distance
from pyg_distill.nn.losses.mapped import MappedDistance
from pyg_distill.nn.losses.projection import LayerProjection


def plainly(x: Tensor, weight: Tensor, target: Tensor, center: bool) -> Tensor:
    """By autograd, of mapped rows, one layer and then one row at a time."""
    out = []
    for rows, w, m in zip(x, weight, target, strict=True):
        y = (rows / rows.detach().abs().max()) @ (w / w.detach().abs().max())
        mean = y.mean(dim=0)
        y = y - mean if center else y
        floor = 1e-6 * (y * y).sum(dim=1).mean()
        if center:
            floor = floor + 1e-8 * (mean * mean).sum()
        total = 0.0
        for row, goal in zip(y, m, strict=True):
            unit = row / ((row * row).sum() + floor).sqrt()
            total = total + (unit * unit).sum() - 2 * (unit * goal).sum()
        out.append(total / rows.size(0))
    return torch.stack(out)


def problem(num_layers, num_rows, width, wide, seed=0, offset=0.5):
    generator = torch.Generator().manual_seed(seed)
    options = {'dtype': torch.double, 'generator': generator}
    x = torch.randn(num_layers, num_rows, width, **options) + offset
    weight = torch.randn(num_layers, width, wide, **options)
    target = torch.randn(num_layers, num_rows, wide, **options)
    return x, weight, target / target.norm(dim=-1, keepdim=True)


@settings(max_examples=40, deadline=None)
@given(
    num_layers=st.integers(1, 3),
    num_rows=st.integers(2, 12),
    width=st.integers(1, 5),
    more=st.integers(1, 4),
    seed=st.integers(0, 1000),
    center=st.booleans(),
    offset=st.sampled_from([0.0, 1.0, 100.0]),
)
def test_value_and_gradient(
    num_layers, num_rows, width, more, seed, center, offset
):
    x, weight, target = problem(
        num_layers, num_rows, width, width + more, seed, offset
    )
    x, weight = x.requires_grad_(), weight.requires_grad_()
    factor = torch.arange(1.0, num_layers + 1, dtype=torch.double)
    want = plainly(x, weight, target, center)
    out = MappedDistance.apply(x, weight, target, center)
    assert_close(out, want, rtol=1e-9, atol=1e-9)
    wants = torch.autograd.grad(want @ factor, (x, weight))
    outs = torch.autograd.grad(out @ factor, (x, weight))
    for a, b in zip(outs, wants, strict=True):
        assert_close(a, b, rtol=1e-6, atol=1e-8 * float(b.abs().max()))


@pytest.mark.parametrize('center', [True, False])
def test_numerical_gradient(center):
    # Also of the floor, which counts where one row is far shorter.
    x, weight, target = problem(2, 6, 3, 5)
    x[:, 0] = x.mean(dim=1) + 1e-4 if center else 1e-4
    inputs = x.requires_grad_(), weight.requires_grad_(), target, center
    assert torch.autograd.gradcheck(MappedDistance.apply, inputs, rtol=1e-4)


@pytest.mark.parametrize('needs', [(True, False), (False, True)])
def test_one_gradient_alone(needs):
    x, weight, target = problem(2, 9, 3, 5)
    both = x.clone().requires_grad_(), weight.clone().requires_grad_()
    MappedDistance.apply(*both, target, True).sum().backward()
    x, weight = x.requires_grad_(needs[0]), weight.requires_grad_(needs[1])
    MappedDistance.apply(x, weight, target, True).sum().backward()
    for a, b, needed in zip((x, weight), both, needs, strict=True):
        assert torch.equal(a.grad, b.grad) if needed else a.grad is None


def test_inputs_stay_as_they_are():
    for center in (True, False):
        x, weight, target = problem(2, 9, 3, 5)
        copies = x.clone(), weight.clone(), target.clone()
        x, weight = x.requires_grad_(), weight.requires_grad_()
        MappedDistance.apply(x, weight, target, center).sum().backward()
        for a, b in zip((x, weight, target), copies, strict=True):
            assert torch.equal(a.detach(), b)


def test_twice():
    x, weight, target = problem(1, 9, 3, 5)
    x = x.requires_grad_()
    out = MappedDistance.apply(x, weight, target, True).sum()
    with pytest.raises(RuntimeError, match='cannot be differentiated again'):
        torch.autograd.grad(out, x, create_graph=True)


@pytest.mark.parametrize('ratio', [1e-1, 1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize('center', [True, False])
def test_a_map_that_is_nearly_singular(ratio, center):
    # As it is once a student's layer has collapsed to one direction.
    x, weight, target = problem(1, 500, 8, 32)
    u, _, v = torch.linalg.svd(weight, full_matrices=False)
    values = torch.full((8,), ratio, dtype=torch.double)
    values[0] = 1.0
    weight = u @ torch.diag(values) @ v
    single = [z.float() for z in (x, weight, target)]
    inputs = [z.double() for z in single]
    grads = []
    for call, (a, b, c) in (
        (plainly, inputs),
        (MappedDistance.apply, single),
    ):
        a, b = a.requires_grad_(), b.requires_grad_()
        out = call(a, b, c, center).sum()
        grads.append([z.double() for z in torch.autograd.grad(out, (a, b))])
    for want, fast in zip(*grads, strict=True):
        # The digits of single precision that such a map leaves.
        error = float((fast - want).norm() / want.norm())
        assert error < 1e-7 / ratio + 5e-6


def test_a_map_of_zeros():
    x, weight, target = problem(2, 9, 3, 5)
    weight[0], x[1] = 0.0, 0.0
    x, weight = x.requires_grad_(), weight.requires_grad_()
    out = MappedDistance.apply(x, weight, target, True)
    out.sum().backward()
    assert out.tolist() == [0.0, 0.0]
    assert x.grad.isfinite().all()
    assert weight.grad.isfinite().all()


WIDTHS = [[3], [3, 3], [3, 8, 3], [8, 7, 8, 8, 8], [2, 2, 2, 9, 9, 1], [6, 5]]


@pytest.mark.parametrize('widths', WIDTHS)
@pytest.mark.parametrize('wide', [4, 8, 16])
def test_layers_of_any_width(widths, wide):
    # Those about as wide are compared together, with columns of zeros.
    projection = LayerProjection(widths, wide).double()
    rows = [torch.randn(7, w, dtype=torch.double) + 1 for w in widths]
    rows = [x.requires_grad_() for x in rows]
    target = torch.randn(len(widths), 7, wide, dtype=torch.double)
    through = [*rows, *projection.parameters()]
    out = folded_distance(target, rows, projection, True)
    want = torch.cat(
        [
            plainly(x[None], w[None], m[None], True)
            for x, w, m in zip(rows, projection.maps(), target, strict=True)
        ]
    )
    factor = torch.arange(1.0, len(widths) + 1, dtype=torch.double)
    assert_close(out, want)
    for a, b in zip(
        torch.autograd.grad(out @ factor, through),
        torch.autograd.grad(want @ factor, through),
        strict=True,
    ):
        assert_close(a, b)
