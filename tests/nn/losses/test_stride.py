"""The loss per node with its contrastive term."""

import pytest
import torch
from torch import Tensor

from pyg_distill.nn import ABKDLoss, StrideLoss
from tests.nn.losses import oracles
from tests.nn.losses.helpers import WIDTHS, both, grads

OPTIONS = {
    'attention_kind': 'learned',
    'projection': 'both',
    'center': False,
    'subspace': True,
    'hidden_channels': 3,
}


def check(
    loss: StrideLoss,
    structure: tuple[float, float],
    nodes: list[int] | None = None,
    **options: object,
) -> None:
    teacher, student = both(WIDTHS, 7)
    options = {**OPTIONS, **options}

    def value(loss: StrideLoss, student: list[Tensor]) -> float:
        return oracles.abkd(
            loss,
            teacher,
            student,
            structure=structure,
            nodes=nodes,
            **options,
        )

    leaves = [x.clone().requires_grad_() for x in student]
    torch.manual_seed(5)
    out = loss(teacher, leaves)
    assert out.item() == pytest.approx(value(loss, student), rel=1e-7)
    parameters = list(loss.parameters())
    slopes = grads(out, [*parameters, *leaves])
    direction = [torch.randn_like(grad) for grad in slopes]
    pairs = zip(slopes, direction, strict=True)
    got = sum((grad * d).sum().item() for grad, d in pairs)
    count = len(parameters)
    want = oracles.slope(
        value, loss, student, (direction[:count], direction[count:]), 1e-6
    )
    assert got == pytest.approx(want, rel=1e-4)


@pytest.mark.parametrize('num_samples', [7, 8, 128])
@pytest.mark.parametrize('structure', [(1.0, 0.075), (0.3, 0.5)])
def test_all_rows(structure, num_samples):
    loss = StrideLoss(
        *WIDTHS,
        structure_weight=structure[0],
        structure_temperature=structure[1],
        num_samples=num_samples,
        hidden_channels=3,
    )
    check(loss.double(), structure)


@pytest.mark.parametrize('num_samples', [1, 4, 6])
def test_sampled_rows(num_samples):
    loss = StrideLoss(
        *WIDTHS,
        structure_weight=0.5,
        structure_temperature=0.2,
        num_samples=num_samples,
        hidden_channels=3,
    )
    torch.manual_seed(5)
    nodes = torch.randperm(7)[:num_samples].tolist()
    check(loss.double(), (0.5, 0.2), nodes)


@pytest.mark.parametrize(
    'options',
    [
        {'attention': 'uniform', 'subspace': False},
        {'attention': 'diagonal', 'center': True},
        {'attention': 'learned', 'normalize': False},
    ],
)
def test_other_options(options):
    loss = StrideLoss(*WIDTHS, hidden_channels=3, **options).double()
    options = dict(options)
    options['attention_kind'] = options.pop('attention')
    check(loss, (1.0, 0.075), **options)


def test_without_structure():
    loss = StrideLoss(*WIDTHS, structure_weight=0, hidden_channels=3)
    first = ABKDLoss.paper(*WIDTHS, granularity='node', hidden_channels=3)
    first.load_state_dict(loss.state_dict(), strict=False)
    teacher, student = both(WIDTHS, 7, torch.float)
    assert torch.equal(loss(teacher, student), first(teacher, student))
    full = StrideLoss(*WIDTHS, hidden_channels=3)
    full.load_state_dict(loss.state_dict())
    assert full(teacher, student) > loss(teacher, student)


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        ({'projection': 'student'}, 'projects both sides'),
        ({'structure_weight': -1}, "'structure_weight' must be at least 0"),
        ({'structure_temperature': 0}, "'structure_temperature' .*above 0"),
        ({'num_samples': 0}, "'num_samples' .*1 or more"),
        ({'granularity': 'edge'}, "'granularity' must be"),
    ],
)
def test_bad_options(options, match):
    with pytest.raises(ValueError, match=match):
        StrideLoss(*WIDTHS, **options)
