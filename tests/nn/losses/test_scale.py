"""A loss of rows of length 1 does not know how large features are."""

import pytest
import torch
from torch.testing import assert_close

from pyg_distill.nn import ABKDLoss
from pyg_distill.nn.losses.rows import normalize_rows

# Of two, so that nothing is rounded, and far beyond what can be squared.
SCALES = [2.0**-100, 2.0**-60, 2.0**60, 2.0**100]


@pytest.mark.parametrize('scale', SCALES)
@pytest.mark.parametrize('attention', ['learned', 'diagonal'])
@pytest.mark.parametrize('widths', [([4, 4], [2, 3]), ([2, 2], [3, 4])])
@pytest.mark.parametrize('side', [0, 1, 2])
def test_scale(scale, attention, widths, side):
    loss = ABKDLoss(*widths, attention)
    if attention == 'learned':
        # Scores are of means, which are not scaled.
        for p in loss.matchings[0].learned.parameters():
            p.data.zero_()
    teacher = [torch.randn(9, c) + 0.5 for c in widths[0]]
    student = [torch.randn(9, c) + 0.5 for c in widths[1]]
    want = loss(teacher, student)
    if side == 0:
        teacher = [scale * x for x in teacher]
    elif side == 1:
        student = [scale * x for x in student]
    else:
        for weight in loss.matchings[0].student_projections.parameters():
            weight.data *= scale
    student = [x.requires_grad_() for x in student]
    out = loss(teacher, student)
    out.backward()
    assert_close(out, want, rtol=1e-5, atol=0.0)
    assert all(x.grad.abs().max() > 0 for x in student)


def test_rows_of_any_scale():
    x = torch.randn(9, 4) + 0.5
    want = normalize_rows(x, True, True)
    for scale in SCALES:
        assert_close(normalize_rows(scale * x, True, True), want)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
@pytest.mark.parametrize('attention', ['learned', 'diagonal', 'last'])
def test_what_is_not_a_number_shows(value, attention):
    for widths in [([4, 4], [2, 3]), ([2, 2], [3, 4])]:
        loss = ABKDLoss(*widths, attention)
        for side in [0, 1]:
            layers = [[torch.randn(9, c) for c in widths[i]] for i in range(2)]
            layers[side][1][3, 1] = value
            assert loss(*layers).isnan()
