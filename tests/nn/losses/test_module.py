"""Losses as modules: declared, compiled, copied, saved and printed."""

import copy
import io
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from pyg_distill.nn import (
    ABKDLoss,
    ATLoss,
    DistillationLoss,
    GSPLoss,
    KDLoss,
    LayerComparison,
    LSPLoss,
    StrideLoss,
)
from tests.nn.losses.helpers import ABKD, WIDTHS, both, each_abkd, grads

BATCH = torch.tensor([0, 0, 1, 1, 2, 2])


def sides(widths=WIDTHS):
    return both(widths, dtype=torch.float)


class LastLayerMSE(DistillationLoss):
    needs = 'layers'

    def forward(self, teacher, student):
        return F.mse_loss(student[-1], teacher[-1])


class LogitsMSE(DistillationLoss):
    needs = 'logits'

    def forward(self, teacher, student):
        return F.mse_loss(student, teacher)


@pytest.mark.parametrize(
    ('loss', 'want'),
    [
        (DistillationLoss(), ('layers', False, False, False, 'node')),
        (KDLoss(), ('logits', False, False, False, 'node')),
        (ABKDLoss(*WIDTHS), ('layers', False, False, True, 'node')),
        (
            ABKDLoss(*WIDTHS, granularity='group'),
            ('layers', False, False, True, 'all'),
        ),
        (
            ABKDLoss(*WIDTHS, granularity='graph'),
            ('layers', False, True, False, 'all'),
        ),
        (StrideLoss(*WIDTHS), ('layers', False, False, True, 'node')),
        (LSPLoss(*WIDTHS), ('layers', True, False, True, 'node')),
        (GSPLoss(*WIDTHS), ('layers', False, False, True, 'node')),
        (
            ATLoss(*WIDTHS, per_graph=True),
            ('layers', False, True, True, 'node'),
        ),
    ],
)
def test_declared_needs(loss, want):
    assert want == (
        loss.needs,
        loss.needs_edges,
        loss.needs_batch,
        loss.can_prepare,
        loss.target_level,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ('attention', 'granularity'),
    [('learned', 'graph'), ('diagonal', 'node'), ('last', 'group')],
)
def test_compile(attention, granularity):
    torch.compiler.reset()
    widths = [4, 4], [2, 2]
    loss = ABKDLoss(
        *widths,
        attention,
        granularity=granularity,
        center=granularity != 'pooled',
        num_groups=4,
    )
    teacher, student = sides(widths)
    student = [x.requires_grad_() for x in student]
    compiled = torch.compile(loss, fullgraph=True, backend='aot_eager')
    through = [*loss.parameters(), *student]
    target = loss.prepare(teacher) if granularity == 'node' else teacher
    want = loss(teacher, student, BATCH, 3)
    out = compiled(target, student, BATCH, 3)
    assert_close(out, want)
    assert_close(grads(out, through), grads(want, through))
    assert_close(compiled.last_attention, loss.last_attention)
    if granularity == 'graph':
        with pytest.raises(RuntimeError, match='must have nodes in compiled'):
            compiled(teacher, student, BATCH, 4)


@each_abkd
def test_copies(name):
    loss = ABKD[name](*WIDTHS)
    teacher, student = sides()
    student = [2 * x.requires_grad_() for x in student]
    want = loss(teacher, student)
    buffer = io.BytesIO()
    torch.save(loss, buffer)
    buffer.seek(0)
    for other in [
        copy.deepcopy(loss),
        pickle.loads(pickle.dumps(loss)),
        torch.load(buffer, weights_only=False),
    ]:
        assert torch.equal(other(teacher, student), want)
        assert torch.equal(other.last_attention, loss.last_attention)
        assert str(other) == str(loss)
        with torch.no_grad():
            for p in other.parameters():
                p.add_(1.0)
        assert not torch.equal(other(teacher, student), want)
    assert torch.equal(loss(teacher, student), want)
    other = ABKD[name](*WIDTHS)
    assert not torch.equal(other(teacher, student), want)
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other(teacher, student), want)
    # Neither targets nor the last call are saved.
    assert set(loss.state_dict()) == {n for n, _ in loss.named_parameters()}


def test_reset_parameters():
    loss = StrideLoss(*WIDTHS)
    before = copy.deepcopy(list(loss.parameters()))
    loss.reset_parameters()
    for old, new in zip(before, loss.parameters(), strict=True):
        assert (old != new).all()
        # As torch.nn.Linear: uniform within one by the root of the width.
        bound = new.size(0) ** -0.5
        assert 0.8 * bound < new.abs().max() <= bound
        assert new.std().item() == pytest.approx(bound / 3**0.5, rel=0.2)


@pytest.mark.parametrize(
    ('loss', 'want'),
    [
        (
            ABKDLoss(*WIDTHS),
            "ABKDLoss(attention='uniform', granularity='node', "
            "projection='student', normalize=True, center=True, "
            'subspace=False, hidden_channels=64, num_groups=512, '
            'max_nodes=None)',
        ),
        (
            ATLoss([{'a': 4}, {'a': 4}], [{'a': 2}]),
            'ATLoss(teacher_layer=-1, student_layer=-1, projection=None, '
            "hidden_channels=256, max_nodes=None, reduction='sum', "
            "per_graph=False, node_types=['a'])",
        ),
        (
            ABKDLoss([4], [4]).prepare([torch.randn(6, 4)]),
            'TeacherTarget(6 rows, widths=[4], 120 bytes)',
        ),
    ],
)
def test_repr(loss, want):
    assert str(loss) == want


@each_abkd
def test_last(name):
    loss = ABKD[name](*WIDTHS)
    for attribute in ['last_attention', 'last_distance']:
        with pytest.raises(RuntimeError, match='has not been called yet'):
            getattr(loss, attribute)
    teacher, student = sides()
    out = loss(teacher, [x.requires_grad_() for x in student])
    last = loss.last_attention
    pair = loss.compare(teacher, student)
    assert isinstance(pair, LayerComparison)
    assert pair.attention.size() == pair.distance.size() == (3, 2)
    assert not any(x.requires_grad for x in (*pair, last))
    assert torch.equal(last, pair.attention)
    if name == 'default':
        with pytest.raises(RuntimeError, match=r'folds .* call compare'):
            loss.last_distance  # noqa: B018
    else:
        assert_close(loss.last_distance, pair.distance)
        assert_close((last * loss.last_distance).sum() / 3, out.detach())
    # compare() leaves the last call as it is.
    loss.compare(*sides())
    assert loss.last_attention is last
    # A failed call leaves nothing of the one before.
    with pytest.raises(ValueError, match='must hold the 2 layers'):
        loss(teacher, student[:1])
    with pytest.raises(RuntimeError, match='has not been called yet'):
        loss.last_attention  # noqa: B018
