"""Does the report tell losses that teach from others?"""

import copy
import dataclasses
import math

import pytest
import torch

from pyg_distill.evaluation import CollapseReport, collapse_report
from pyg_distill.nn import ABKDLoss, KDLoss, StrideLoss

WIDTHS = [6] * 3, [3] * 2
CONTEXTS = {
    'grad': torch.enable_grad,
    'no_grad': torch.no_grad,
    'inference': torch.inference_mode,
}


def layers(widths: list[int], num_nodes: int = 120) -> list[torch.Tensor]:
    return [torch.randn(num_nodes, width) for width in widths]


@pytest.fixture
def sides() -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    return layers(WIDTHS[0]), layers(WIDTHS[1])


def state_by_hand(loss, teacher, student, context) -> dict[str, float]:
    loss = copy.deepcopy(loss)
    loss.zero_grad()
    student = [x.clone().requires_grad_() for x in student]
    out = loss(teacher, student, **context)
    out.backward()
    own = sum(
        p.grad.double().square().sum().item()
        for p in loss.parameters()
        if p.grad is not None
    )
    values = {'loss': out.item()}
    for j, x in enumerate(student):
        values[f'gradient, student layer {j}'] = x.grad.norm().item()
    return values | {'gradient, own parameters': math.sqrt(own)}


@pytest.mark.parametrize('steps', [1, 20])
@pytest.mark.parametrize(
    ('build', 'context'),
    [
        (lambda: ABKDLoss.paper(*WIDTHS), {}),
        (lambda: ABKDLoss(*WIDTHS, attention='learned'), {}),
        (lambda: ABKDLoss(*WIDTHS, attention='uniform'), {}),
        (lambda: StrideLoss(*WIDTHS), {}),
        (
            lambda: ABKDLoss(*WIDTHS, granularity='graph'),
            {'batch': torch.arange(120) // 4},
        ),
    ],
)
def test_against_training_by_hand(sides, build, context, steps: int) -> None:
    loss = build()
    report = collapse_report(loss, *sides, steps=steps, lr=0.02, **context)
    trained = copy.deepcopy(loss)
    optimizer = torch.optim.Adam(trained.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        trained(*sides, **context).backward()
        optimizer.step()
    for state, module in [(report.before, loss), (report.after, trained)]:
        want = state_by_hand(module, *sides, context)
        assert state == pytest.approx(want, rel=1e-3)
    assert report.steps == steps
    assert report.num_parameters == sum(p.numel() for p in loss.parameters())
    share = report.after['loss'] / report.before['loss']
    assert report.remaining == pytest.approx(share)


def test_verdicts(sides) -> None:
    report = collapse_report(ABKDLoss.paper(*WIDTHS), *sides)
    assert report.collapsed
    assert report.remaining < 1e-3
    assert str(report).splitlines()[-1].startswith('COLLAPSED: 0.0% of the')
    for attention in ['learned', 'diagonal']:
        loss = ABKDLoss(*WIDTHS, attention=attention)
        report = collapse_report(loss, *sides, steps=50)
        assert not report.collapsed
        assert report.remaining > 0.5
        assert str(report).splitlines()[-1].startswith('HOLDS: ')


def test_printed() -> None:
    keys = 'loss', *(f'gradient, student layer {j}' for j in range(2))
    keys = *keys, 'gradient, own parameters'
    before = dict(zip(keys, (2.0, 0.5, 0.25, 1.0), strict=True))
    after = dict(zip(keys, (0.02, 1e-7, 0.0, 1e-5), strict=True))
    report = CollapseReport('SomeLoss', before, after, 12345, 300)
    *lines, last = str(report).splitlines()
    assert lines == [
        'SomeLoss: 12345 parameters of its own, 300 steps with the student '
        'frozen',
        '                                 before      after',
        'loss                                  2       0.02',
        'gradient, student layer 0           0.5      1e-07',
        'gradient, student layer 1          0.25          0',
        'gradient, own parameters              1      1e-05',
    ]
    assert last.startswith('COLLAPSED: 1.0% of the loss and 0.0% of its grad')
    for loss, verdict in [
        (0.0999, 'COLLAPSED: 5.0%'),
        (0.1, 'PARTLY: 5.0%'),
        (0.8, 'PARTLY: 40.0%'),
        (1.0, 'HOLDS: 50.0%'),
    ]:
        after = before | {'loss': loss}
        text = str(dataclasses.replace(report, after=after))
        assert text.splitlines()[-1].startswith(verdict)


def test_without_parameters(sides) -> None:
    frozen = ABKDLoss.paper(*WIDTHS).requires_grad_(False)
    plain = ABKDLoss([6] * 3, [6] * 2, projection=None)
    for loss, *args in [
        (KDLoss(), sides[0][0], torch.randn(120, 6)),
        (plain, sides[0], layers([6] * 2)),
        (frozen, *sides),
    ]:
        report = collapse_report(loss, *args)
        assert not report.collapsed
        assert report.remaining == report.remaining_gradient == 1.0
        assert report.steps == report.num_parameters == 0
        assert report.before == report.after
        assert report.before['gradient, student layer 0'] > 0
        assert str(report).splitlines()[-1].startswith('NOT COLLAPSIBLE: ')


@pytest.mark.parametrize('context', CONTEXTS)
@pytest.mark.parametrize('sampled', [False, True])
def test_nothing_else_changes(sides, context: str, sampled: bool) -> None:
    loss = ABKDLoss.paper(*WIDTHS)
    if sampled:
        loss = StrideLoss(*WIDTHS, num_samples=20)
    teacher, student = sides
    student = [x.requires_grad_() for x in student]
    loss(teacher, student).backward()
    weights = copy.deepcopy(loss.state_dict())
    grads = [x.grad.clone() for x in [*loss.parameters(), *student]]
    last = loss.last_attention
    state = torch.get_rng_state()
    expected = collapse_report(loss, teacher, student, steps=5)
    with CONTEXTS[context]():
        if context == 'inference':
            teacher, student = ([x.clone() for x in s] for s in sides)
        report = collapse_report(loss, teacher, student, steps=5)
        assert torch.is_grad_enabled() == (context == 'grad')
    # Also if the loss draws samples: they are the same ones.
    assert torch.equal(torch.get_rng_state(), state)
    assert report == expected
    assert report.before['gradient, student layer 0'] > 0
    for key, value in loss.state_dict().items():
        assert torch.equal(value, weights[key])
    for x, grad in zip([*loss.parameters(), *sides[1]], grads, strict=True):
        assert torch.equal(x.grad, grad)
        assert x.requires_grad
    assert loss.last_attention is last


class Scaled(torch.nn.Module):
    """A loss of somebody else, without attention."""

    def __init__(self, function=None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.function = function or (lambda x: x)

    def forward(self, teacher, student):
        out = (teacher[0] - self.weight * student[0]).square().mean()
        return self.function(out)


def test_any_loss() -> None:
    teacher, student = layers([3]), layers([3, 2])
    report = collapse_report(Scaled(), teacher, student, steps=500)
    # Least squares: what of the teacher the student does not explain.
    x, y = student[0].flatten(), teacher[0].flatten()
    best = (y - (x @ y) / (x @ x) * x).square().mean().item()
    assert report.after['loss'] == pytest.approx(best, rel=1e-3)
    assert report.before['gradient, student layer 1'] == 0.0


@pytest.mark.parametrize(
    ('change', 'error', 'message'),
    [
        ({'loss': layers}, TypeError, r"'loss' must be a torch.nn.Module"),
        ({'steps': 0}, ValueError, "'steps' must be a whole number"),
        ({'lr': -1.0}, ValueError, 'learning rate'),
        *(
            ({'student': bad}, ValueError, "'student' must hold the features")
            for bad in (None, [], [None], [{}], torch.ones(3).long())
        ),
        ({'student': layers([3, 3], 4)}, ValueError, 'teacher and student'),
        *(
            ({'loss': Scaled(function)}, ValueError, f"'Scaled' {message}")
            for function, message in [
                (lambda x: torch.stack([x, x]), 'must return'),
                (lambda x: x.item(), 'must return'),
                (lambda x: x * math.nan, 'must return.*nan'),
                (lambda x: x.detach(), 'must return.*gradient'),
            ]
        ),
    ],
)
def test_bad_arguments(sides, change, error, message) -> None:
    options = {'loss': ABKDLoss(*WIDTHS), 'teacher': sides[0]}
    options |= {'student': sides[1], 'steps': 2, 'lr': 0.01} | change
    if isinstance(options['loss'], Scaled):
        options['student'] = layers([6])
    with pytest.raises(error, match=message) as found:
        collapse_report(**options)
    assert '\n' not in str(found.value)
