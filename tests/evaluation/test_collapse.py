"""Does the report tell losses that teach from others?"""

import copy
import dataclasses
import math

import pytest
import torch

from pyg_distill.evaluation import CollapseReport, LossState, collapse_report
from pyg_distill.nn import ABKDLoss, KDLoss, StrideLoss

WIDTHS = [6] * 3, [3] * 2


def layers(widths, num_nodes=120):
    return [torch.randn(num_nodes, width) for width in widths]


@pytest.fixture
def given():
    return layers(WIDTHS[0]), layers(WIDTHS[1])


def train(loss, teacher, student, steps, lr):
    """The same by hand, on a copy."""
    loss = copy.deepcopy(loss)
    optimizer = torch.optim.Adam(loss.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(teacher, student).backward()
        optimizer.step()
    return loss


def gradients(loss, teacher, student):
    loss = copy.deepcopy(loss)
    loss.zero_grad()
    student = [x.clone().requires_grad_() for x in student]
    out = loss(teacher, student)
    out.backward()
    own = sum(
        p.grad.double().square().sum().item()
        for p in loss.parameters()
        if p.grad is not None
    )
    return out.item(), [x.grad.norm().item() for x in student], math.sqrt(own)


@pytest.mark.parametrize('steps', [1, 20])
@pytest.mark.parametrize('name', ['paper', 'learned', 'uniform', 'stride'])
def test_against_training_by_hand(given, name, steps):
    loss = {
        'paper': lambda: ABKDLoss.paper(*WIDTHS),
        'learned': lambda: ABKDLoss(*WIDTHS, 'learned'),
        'uniform': lambda: ABKDLoss(*WIDTHS, 'uniform'),
        'stride': lambda: StrideLoss(*WIDTHS),
    }[name]()
    report = collapse_report(loss, *given, steps=steps, lr=0.02)
    trained = train(loss, *given, steps, 0.02)
    for state, module in [(report.before, loss), (report.after, trained)]:
        value, layers_, own = gradients(module, *given)
        assert state.loss == pytest.approx(value, rel=1e-4)
        assert state.student_gradient == pytest.approx(layers_, rel=1e-3)
        assert state.parameter_gradient == pytest.approx(own, rel=1e-3)
        attention = module.compare(*given).attention.tolist()
        mass, entropy = [0.0, 0.0], 0.0
        for row in attention:
            for j, a in enumerate(row):
                mass[j] += a / 3
                entropy -= a * math.log(a) / math.log(2) / 3
        assert state.mass[''] == pytest.approx(mass, rel=1e-3)
        assert state.entropy[''] == pytest.approx(entropy, rel=1e-3)
    assert report.steps == steps
    assert report.num_parameters == sum(p.numel() for p in loss.parameters())
    share = report.after.loss / report.before.loss
    assert report.remaining == pytest.approx(share)


def test_verdicts(given):
    report = collapse_report(ABKDLoss.paper(*WIDTHS), *given)
    assert report.collapsed
    assert report.remaining < 1e-3
    assert report.before.student_gradient > report.after.student_gradient
    assert str(report).splitlines()[-1].startswith('COLLAPSED: 0.0% of the')
    for attention in ['learned', 'uniform', 'diagonal']:
        report = collapse_report(
            ABKDLoss(*WIDTHS, attention), *given, steps=100
        )
        assert not report.collapsed
        assert report.collapsible
        assert report.remaining > 0.5
        assert str(report).splitlines()[-1].startswith('HOLDS: ')


def test_loss_that_nothing_lowers(given):
    # Pooled teacher layers differ, which leaves a loss, but no gradient.
    loss = ABKDLoss(*WIDTHS, granularity='pooled', center=False)
    report = collapse_report(loss, *given)
    assert report.remaining > 0.1
    assert report.remaining_gradient < 0.01
    assert report.collapsed
    last = str(report).splitlines()[-1]
    assert f'{report.remaining:.1%} of the loss and 0.0% of its' in last


def test_printed():
    def state(loss, gradient, own, entropy, mass):
        return LossState(loss, gradient, own, {'': entropy}, {'': mass})

    before = state(2.0, (0.5, 0.25), 1.0, 1.0, (0.5, 0.5))
    after = state(0.02, (1e-7, 0.0), 1e-5, 0.125, (0.01, 0.99))
    report = CollapseReport('SomeLoss', before, after, 12345, 300)
    assert str(report) == '\n'.join(
        [
            'SomeLoss: 12345 parameters of its own, 300 steps with the '
            'student frozen',
            '                                 before      after',
            'loss                                  2       0.02',
            'gradient, student layer 0           0.5      1e-07',
            'gradient, student layer 1          0.25          0',
            'gradient, own parameters              1      1e-05',
            'attention, entropy                    1      0.125',
            'attention, layer 0                  0.5       0.01',
            'attention, layer 1                  0.5       0.99',
            'COLLAPSED: 1.0% of the loss and 0.0% of its gradient remain, the '
            "student need not learn; use projection='student' with "
            "granularity='node' or 'group', and more rows than channels",
        ]
    )
    partly = dataclasses.replace(before, loss=0.8)
    last = str(dataclasses.replace(report, after=partly)).splitlines()[-1]
    assert last == (
        'PARTLY: 40.0% remains for the student, the rest is met without it; '
        "compare with projection='student' and more rows"
    )
    holds = dataclasses.replace(before, loss=1.0)
    last = str(dataclasses.replace(report, after=holds)).splitlines()[-1]
    assert last == (
        'HOLDS: 50.0% remains, which only the student can lower; nothing to do'
    )
    for loss, collapsed in [(0.0999, True), (0.1, False)]:
        other = dataclasses.replace(before, loss=loss)
        other = dataclasses.replace(report, after=other)
        assert other.collapsed == collapsed
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.steps = 3


def test_width_is_fixed():
    types = ['a', 'a_node_type_with_a_rather_long_name']
    loss = ABKDLoss(
        [dict.fromkeys(types, 6)] * 2, [dict.fromkeys(types, 3)] * 2, 'learned'
    )
    teacher = [{t: torch.randn(20, 6) for t in types} for _ in range(2)]
    student = [{t: torch.randn(20, 3) for t in types} for _ in range(2)]
    report = collapse_report(loss, teacher, student, steps=2)
    lines = str(report).splitlines()[1:-1]
    assert {len(line) for line in lines} == {50}
    assert len(lines) == 2 + 2 + 1 + 2 + 4


def test_without_parameters(given):
    teacher, _ = given
    losses = [
        (KDLoss(), teacher[0], torch.randn(120, 6)),
        (
            ABKDLoss([6] * 3, [6] * 2, projection=None),
            teacher,
            layers([6] * 2),
        ),
    ]
    frozen = ABKDLoss.paper(*WIDTHS)
    frozen.requires_grad_(False)
    losses.append((frozen, *given))
    for loss, *args in losses:
        report = collapse_report(loss, *args)
        assert not report.collapsible
        assert not report.collapsed
        assert report.remaining == 1.0
        assert report.remaining_gradient == 1.0
        assert report.steps == report.num_parameters == 0
        assert report.before == report.after
        assert min(report.before.student_gradient) > 0
        text = str(report)
        assert 'own parameters' not in text
        assert text.splitlines()[-1] == (
            'NOT COLLAPSIBLE: it has no trainable parameters, so that only '
            'the student can lower it; nothing to do'
        )


def test_frozen_parameters_stay(given):
    # Of the paper's form with a fixed subspace, only the rest is trained.
    loss = ABKDLoss.paper(*WIDTHS)
    loss.matchings[0].subspace.requires_grad_(False)
    report = collapse_report(loss, *given, steps=3)
    assert report.num_parameters == sum(
        p.numel() for p in loss.parameters() if p.requires_grad
    )


@pytest.mark.parametrize('mode', ['grad', 'no_grad', 'inference'])
@pytest.mark.parametrize('name', ['paper', 'stride'])
def test_nothing_changes(mode, name):
    modes = {
        'grad': torch.enable_grad,
        'no_grad': torch.no_grad,
        'inference': torch.inference_mode,
    }
    loss = ABKDLoss.paper(*WIDTHS)
    if name == 'stride':
        loss = StrideLoss(*WIDTHS, num_samples=20)
    teacher = layers(WIDTHS[0])
    student = [x.requires_grad_() for x in layers(WIDTHS[1])]
    loss(teacher, student).backward()
    state = copy.deepcopy(loss.state_dict())
    grads = [p.grad.clone() for p in loss.parameters()]
    last = loss.last_attention
    features = [x.grad.clone() for x in student]
    want = collapse_report(loss, teacher, student, steps=5)
    generator = torch.get_rng_state()
    with modes[mode]():
        if mode == 'inference':
            teacher = [x.clone() for x in teacher]
            # These require no gradient, which does not matter.
            given = [x.clone() for x in student]
            torch.set_rng_state(generator)
        else:
            given = student
        assert torch.is_grad_enabled() == (mode == 'grad')
        torch.manual_seed(3)
        generator = torch.get_rng_state()
        report = collapse_report(loss, teacher, given, steps=5)
        assert torch.equal(torch.get_rng_state(), generator)
        assert torch.is_grad_enabled() == (mode == 'grad')
    if name == 'paper':
        assert str(report) == str(want)
    assert report.before.student_gradient[0] > 0
    for key, value in loss.state_dict().items():
        assert torch.equal(value, state[key])
    for p, grad in zip(loss.parameters(), grads, strict=True):
        assert torch.equal(p.grad, grad)
        assert p.requires_grad
    for x, grad in zip(student, features, strict=True):
        assert torch.equal(x.grad, grad)
        assert x.requires_grad
    assert loss.last_attention is last


def test_same_samples_before_and_after(given):
    # Or else the share would be one of two draws.
    loss = StrideLoss(*WIDTHS, num_samples=3)
    report = collapse_report(loss, *given, steps=1, lr=1e-12)
    assert report.remaining == pytest.approx(1.0, abs=1e-5)
    torch.manual_seed(4)
    first = str(collapse_report(loss, *given, steps=3))
    torch.manual_seed(4)
    assert str(collapse_report(loss, *given, steps=3)) == first


def test_by_type():
    teacher = [{'a': 6, 'b': 5}, {'a': 6}]
    student = [{'b': 3}, {'a': 3, 'b': 3}, {'a': 3}]
    loss = ABKDLoss(teacher, student, 'learned')

    def features(channels):
        return [
            {t: torch.randn(40, width) for t, width in layer.items()}
            for layer in channels
        ]

    given = features(teacher), features(student)
    report = collapse_report(loss, *given, steps=5)
    assert len(report.before.student_gradient) == 3
    assert min(report.before.student_gradient) > 0
    loss(*given)
    columns = loss.last_attention['a'].mean(dim=0).tolist()
    assert report.before.mass['a'] == pytest.approx([0.0, *columns])
    columns = loss.last_attention['b'].mean(dim=0).tolist()
    assert report.before.mass['b'] == pytest.approx([*columns, 0.0])
    text = str(report)
    assert 'attention, layer 0, b' in text
    assert 'attention, entropy, a' in text


def test_batch():
    loss = ABKDLoss(*WIDTHS, granularity='graph')
    batch = torch.arange(120) // 4
    given = layers(WIDTHS[0]), layers(WIDTHS[1])
    report = collapse_report(loss, *given, batch, steps=5)
    want = loss(*given, batch).item()
    assert report.before.loss == pytest.approx(want)
    with torch.inference_mode():
        batch = batch.clone()
        collapse_report(loss, *given, batch, steps=1)


def test_prepared_teacher(given):
    teacher, student = given
    loss = ABKDLoss(*WIDTHS)
    want = collapse_report(loss, teacher, student, steps=5)
    report = collapse_report(loss, loss.prepare(teacher), student, steps=5)
    assert report == want


class Mean(torch.nn.Module):
    """A loss of somebody else, without attention."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, teacher, student):
        return (teacher[0] - self.weight * student[0]).square().mean()


class Returning(Mean):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, teacher, student):
        return self.function(super().forward(teacher, student))


def test_any_loss():
    teacher, student = layers([3]), layers([3, 2])
    report = collapse_report(Mean(), teacher, student, steps=500)
    # Least squares: what of the teacher the student does not explain.
    x, y = student[0].flatten(), teacher[0].flatten()
    best = (y - (x @ y) / (x @ x) * x).square().mean().item()
    assert report.after.loss == pytest.approx(best, rel=1e-3)
    assert report.before.student_gradient[1] == 0.0
    assert report.before.mass == {}
    assert 'attention' not in str(report)
    # Nothing to lower.
    report = collapse_report(Mean(), student, student, steps=2)
    assert report.remaining == 1.0


def test_columns_without_choice():
    teacher, student = layers([6, 6]), layers([3])
    loss = ABKDLoss([6, 6], [3], [[0], [1]])
    report = collapse_report(loss, teacher, student, steps=1)
    assert report.before.entropy == {}
    assert report.before.mass[''] == (1.0,)
    loss = ABKDLoss([6, 6], [3, 3], [[0, 0], [1, 3]])
    report = collapse_report(loss, teacher, student * 2, steps=1)
    want = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)) / math.log(2)
    assert report.before.entropy[''] == pytest.approx(want)
    assert report.before.mass[''] == (0.25, 0.75)
    # Relative to all three, of which two are attended to.
    loss = ABKDLoss([6, 6], [3] * 3, [[0, 1, 1], [2, 2, 0]])
    report = collapse_report(loss, teacher, student * 3, steps=1)
    want = math.log(2) / math.log(3)
    assert report.before.entropy[''] == pytest.approx(want)
    assert report.before.mass[''] == pytest.approx((2 / 6, 3 / 6, 1 / 6))


def test_bad_input(given):
    teacher, student = given
    loss = ABKDLoss(*WIDTHS)
    with pytest.raises(
        TypeError, match=r"^'loss' must be a torch.nn.Module \(got function\)"
    ):
        collapse_report(train, teacher, student)
    for steps in [0, -1, 2.5, True]:
        with pytest.raises(ValueError, match=r"^'steps' must be a whole numb"):
            collapse_report(loss, teacher, student, steps=steps)
    for lr in [0, -1.0, float('nan'), float('inf'), 'fast']:
        with pytest.raises(ValueError, match=r"^'lr' must be a finite number"):
            collapse_report(loss, teacher, student, lr=lr)
    for bad in [None, [], [None], [{}], torch.ones(3).long()]:
        with pytest.raises(
            ValueError, match=r"^'student' must hold the features of its lay"
        ):
            collapse_report(loss, teacher, bad)
    with pytest.raises(ValueError, match=r'^teacher and student layers must'):
        collapse_report(loss, teacher, [x[:4] for x in student])
    with pytest.raises(
        ValueError,
        match=r"^'Returning' must return a scalar \(got a tensor of shape "
        r'\[2\]\); sum or average it$',
    ):
        collapse_report(
            Returning(lambda x: torch.stack([x, x])), teacher, layers([6])
        )
    with pytest.raises(ValueError, match=r'must return a scalar \(got float'):
        collapse_report(Returning(lambda x: x.item()), teacher, layers([6]))
    with pytest.raises(
        ValueError,
        match=r"^'Returning' must return a finite scalar \(got nan\); check "
        r'the layers, or lower lr$',
    ):
        collapse_report(
            Returning(lambda x: x * x.new_tensor(float('nan'))),
            teacher,
            layers([6]),
        )
    with pytest.raises(
        ValueError,
        match=r"^'Returning' must depend on the student \(got a value without "
        r'gradient\); do not detach it$',
    ):
        collapse_report(Returning(lambda x: x.detach()), teacher, layers([6]))
