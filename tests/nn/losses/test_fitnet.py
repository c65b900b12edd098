import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from pyg_distill.evaluation import collapse_report
from pyg_distill.nn import FitNetLoss
from tests.nn.losses import peer_oracles


def layers(num_nodes, *widths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(num_nodes, width, dtype=torch.double, generator=generator)
        for width in widths
    ]


@settings(max_examples=30)
@given(
    projection=st.sampled_from(['both', 'student', None]),
    normalize=st.booleans(),
    reduction=st.sampled_from(['sum', 'mean']),
    num_nodes=st.integers(2, 7),
    hidden_channels=st.integers(2, 5),
    seed=st.integers(0, 100),
)
def test_against_loops(
    projection, normalize, reduction, num_nodes, hidden_channels, seed
):
    t, s = layers(num_nodes, 4, 4 if projection is None else 3, seed=seed)
    loss = FitNetLoss(
        [4], [s.size(1)], projection, hidden_channels, normalize, reduction
    ).double()
    want = peer_oracles.fitnet(loss, t, s)
    assert loss([t], [s]).item() == pytest.approx(want, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize('projection', ['both', 'student', None])
@pytest.mark.parametrize('normalize', [True, False])
def test_gradient(projection, normalize):
    t, s = layers(6, 3, 3)
    loss = FitNetLoss([3], [3], projection, 4, normalize).double()
    loss([t], [s])
    parameters = [p.detach().requires_grad_() for p in loss.parameters()]
    names = [name for name, _ in loss.named_parameters()]

    def value(s, *parameters):
        state = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(loss, state, ([t], [s]))

    # In evaluation mode, where statistics stay.
    loss.eval()
    assert torch.autograd.gradcheck(value, (s.requires_grad_(), *parameters))


@given(seed=st.integers(0, 100), scale=st.floats(1e-3, 1e3))
@settings(max_examples=20)
def test_zero_when_equal(seed, scale):
    (x,) = layers(5, 3, seed=seed)
    loss = FitNetLoss([3], [3], None)
    assert loss([x], [x.clone()]).item() == 0
    # Scales of layers do not matter, those of rows beside others hardly.
    assert loss([x], [scale * x]).item() < 1e-9
    (y,) = layers(5, 3, seed=seed + 1)
    assert_close(loss([x], [scale * y]), loss([x], [y]))
    assert loss([x], [y]) > 0


def test_divisors():
    t, s = layers(6, 5, 5)
    value = FitNetLoss([5], [5], None)([t], [s])
    mean = FitNetLoss([5], [5], None, reduction='mean')([t], [s])
    assert_close(mean * 5 / 2, value)
    raw = FitNetLoss([5], [5], None, normalize=False)([t], [s])
    assert_close(raw, 0.5 * (t - s).square().sum() / 6)


def test_paper_regresses_on_raw_features():
    t, s = layers(50, 4, 3)
    loss = FitNetLoss.paper([4], [3]).double()
    assert [tuple(p.size()) for p in loss.parameters()] == [(4, 3), (4,)]
    assert_close(loss([10 * t], [0 * s]), _of_bias(loss, 10 * t))
    # The regressor finds what is linear in the student.
    weight = torch.randn(3, 4, dtype=torch.double)
    with torch.no_grad():
        loss.regressors[0].weight.copy_(weight.t())
        loss.regressors[0].bias.fill_(2.0)
    assert loss([s @ weight + 2.0], [s]).item() == pytest.approx(0, abs=1e-20)


def _of_bias(loss, t):
    return 0.5 * (t - loss.regressors[0].bias).square().sum(dim=1).mean()


def test_collapse():
    t, s = (x.float() for x in layers(400, 16, 4))
    both, student = (
        collapse_report(loss, [t], [s], steps=60, lr=0.05)
        for loss in (
            FitNetLoss([16], [4], hidden_channels=32),
            FitNetLoss([16], [4], 'student'),
        )
    )
    ratios = [
        report.after.loss / report.before.loss for report in (both, student)
    ]
    assert ratios[0] < 0.1 < 0.5 < ratios[1]
