"""What a comparison takes no more of than it needs."""

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pyg_distill.nn import ABKDLoss
from pyg_distill.nn.losses.folded import folded_distance
from pyg_distill.nn.losses.projection import LayerProjection


def products(widths, wide=64, num_rows=200, grad=True, frozen=False):
    """The multiplications and additions in the products of a call."""
    projection = LayerProjection(widths, wide).requires_grad_(not frozen)
    rows = [torch.randn(num_rows, w, requires_grad=True) for w in widths]
    target = torch.randn(len(widths), num_rows, wide)
    counter = FlopCounterMode(display=False)
    with counter, torch.set_grad_enabled(grad):
        folded_distance(target, rows, projection, True)
    return counter.get_total_flops()


def test_no_gradient_that_is_not_asked_for():
    # A row in the target's basis, and one in the space of the student.
    least = 2 * 200 * (16 * 64 + 16 * 16)
    without, frozen = products([16], grad=False), products([16], frozen=True)
    assert least <= without < 1.1 * least
    assert without < frozen < without + 1.1 * 2 * 200 * 16 * 16
    assert products([16]) > frozen + 2 * 200 * 16 * 64


@pytest.mark.parametrize(
    'widths', [[2, 40], [2, 2, 2, 40, 2, 2], [30, 31, 29, 2], [2, 40, 2]]
)
def test_narrow_layers_are_not_widened(widths):
    alone = sum(products([width]) for width in widths)
    assert products(widths) < 1.25 * alone


def test_nothing_but_the_gradient_is_kept():
    widths = [16] * 64, [4, 4, 4]
    loss = ABKDLoss(*widths)
    target = loss.prepare([torch.randn(200, 16) for _ in widths[0]])
    student = [torch.randn(200, 4, requires_grad=True) for _ in widths[1]]
    sizes = {}

    def pack(x: Tensor) -> Tensor:
        sizes[x.untyped_storage().data_ptr()] = x.numel()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        loss(target, student)
    assert sum(sizes.values()) < 1.2 * 200 * 3 * 4
