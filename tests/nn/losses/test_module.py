"""Losses as modules: compiled, copied, saved, printed and asked."""

import copy
import io
import pickle

import pytest
import torch
from torch.testing import assert_close

from pyg_distill.nn import ABKDLoss, LayerComparison, StrideLoss

WIDTHS = [4, 3, 4], [2, 3]
BATCH = torch.tensor([0, 0, 1, 1, 2, 2])
LOSSES = {
    'default': ABKDLoss,
    'learned': lambda *args: ABKDLoss(*args, 'learned'),
    'paper': ABKDLoss.paper,
    'stride': StrideLoss,
}


def layers(widths):
    return [torch.randn(6, width) + 0.5 for width in widths]


@pytest.fixture(autouse=True)
def _fresh():
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ('attention', 'granularity'),
    [
        ('learned', 'node'),
        ('learned', 'graph'),
        ('diagonal', 'node'),
        ('diagonal', 'group'),
        ('uniform', 'pooled'),
        ('last', 'group'),
        ([[0.5, 0.0], [1.5, 0.25]], 'graph'),
    ],
)
def test_compile(attention, granularity):
    loss = ABKDLoss(
        [4, 4],
        [2, 2],
        attention,
        granularity,
        center=granularity != 'pooled',
        num_groups=4,
    )
    teacher = layers([4, 4])
    student = [x.requires_grad_() for x in layers([2, 2])]
    compiled = torch.compile(loss, fullgraph=True, backend='aot_eager')
    through = [*loss.parameters(), *student]
    given = teacher
    if granularity == 'node':
        given = loss.prepare(teacher)
    want = loss(teacher, student, BATCH, 3)
    out = compiled(given, student, BATCH, 3)
    assert_close(out, want)
    for x, y in zip(
        torch.autograd.grad(out, through, allow_unused=True),
        torch.autograd.grad(want, through, allow_unused=True),
        strict=True,
    ):
        if y is None:
            assert x is None or x.abs().max() == 0
        else:
            assert_close(x, y)
    assert_close(compiled.last_attention, loss.last_attention)


def test_compiled_code_leaves_no_graph_out():
    loss = ABKDLoss([4], [2], granularity='graph')
    compiled = torch.compile(loss, fullgraph=True, backend='aot_eager')
    with pytest.raises(RuntimeError, match='must have nodes in compiled'):
        compiled(layers([4]), layers([2]), BATCH, 4)


@pytest.mark.parametrize('name', ['paper', 'stride'])
def test_compile_others(name):
    loss = LOSSES[name](*WIDTHS)
    teacher, student = layers(WIDTHS[0]), layers(WIDTHS[1])
    compiled = torch.compile(loss, fullgraph=True, backend='aot_eager')
    assert_close(compiled(teacher, student), loss(teacher, student))


def test_compile_by_type():
    loss = ABKDLoss([{'a': 4, 'b': 3}], [{'a': 2, 'b': 2}])
    teacher = [{'a': torch.randn(6, 4), 'b': torch.randn(5, 3)}]
    student = [{'a': torch.randn(6, 2), 'b': torch.randn(5, 2)}]
    compiled = torch.compile(loss, fullgraph=True, backend='aot_eager')
    assert_close(compiled(teacher, student), loss(teacher, student))


@pytest.mark.parametrize('name', LOSSES)
def test_copies(name):
    loss = LOSSES[name](*WIDTHS)
    teacher = layers(WIDTHS[0])
    student = [(2 * x.requires_grad_()) for x in layers(WIDTHS[1])]
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


@pytest.mark.parametrize('name', LOSSES)
def test_state_dict(name):
    loss, other = LOSSES[name](*WIDTHS), LOSSES[name](*WIDTHS)
    teacher, student = layers(WIDTHS[0]), layers(WIDTHS[1])
    want = loss(teacher, student)
    assert not torch.equal(other(teacher, student), want)
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other(teacher, student), want)
    # What a target holds is not saved, nor what the last call left.
    assert set(loss.state_dict()) == {n for n, _ in loss.named_parameters()}


def test_reset_parameters():
    loss = StrideLoss(*WIDTHS)
    before = copy.deepcopy(list(loss.parameters()))
    loss.reset_parameters()
    for old, new in zip(before, loss.parameters(), strict=True):
        assert (old != new).all()
        # As torch.nn.Linear: uniform within one by the root of the width.
        bound = new.size(1) ** -0.5
        assert new.abs().max() <= bound
        assert new.abs().max() > 0.8 * bound
        assert new.std().item() == pytest.approx(bound / 3**0.5, rel=0.2)


def test_repr():
    assert str(ABKDLoss(*WIDTHS)) == (
        "ABKDLoss(3 -> 2 layers, attention='uniform', granularity='node', "
        "projection='student', normalize=True, reduction='mean', center=True)"
    )
    loss = ABKDLoss(
        [4] * 3, [4], [[1], [2], [3]], 'group', None, reduction='sum'
    )
    assert str(loss) == (
        "ABKDLoss(3 -> 1 layers, attention='fixed', granularity='group', "
        "projection=None, normalize=True, reduction='sum', center=True, "
        'num_groups=512)'
    )
    loss = ABKDLoss(*WIDTHS, 'learned', temperature=2.0, normalize=False)
    assert str(loss) == (
        "ABKDLoss(3 -> 2 layers, attention='learned', granularity='node', "
        "projection='student', normalize=False, temperature=2.0, "
        "softmax_over='student', reduction='mean', center=True, "
        'hidden_channels=64)'
    )
    loss = ABKDLoss.paper(*WIDTHS, attention='last', hidden_channels=8)
    assert str(loss) == (
        "ABKDLoss(3 -> 2 layers, attention='last', granularity='pooled', "
        "projection='both', normalize=True, reduction='mean', center=False, "
        'subspace=True, hidden_channels=8)'
    )
    assert str(StrideLoss(*WIDTHS, 0.5, num_samples=9)) == (
        "StrideLoss(3 -> 2 layers, attention='learned', "
        "granularity='node', projection='both', normalize=True, "
        "temperature=1.0, softmax_over='student', reduction='mean', "
        'center=False, subspace=True, hidden_channels=64, '
        'structure_weight=0.5, structure_temperature=0.075, num_samples=9)'
    )
    typed = ABKDLoss([{'a': 4}, {'a': 4}], [{'a': 2}])
    assert str(typed).startswith('ABKDLoss(2 -> 1 layers, attention=')
    assert str(typed).endswith(", node_types=['a'])")
    target = ABKDLoss(*WIDTHS).prepare(layers(WIDTHS[0]))
    assert str(target).startswith(f'TeacherTarget({target.num_rows} rows, wid')
    assert str(target).endswith(f', {target.num_bytes:,} bytes)')


@pytest.mark.parametrize('name', LOSSES)
def test_last(name):
    loss = LOSSES[name](*WIDTHS)
    teacher = layers(WIDTHS[0])
    student = [x.requires_grad_() for x in layers(WIDTHS[1])]
    out = loss(teacher, student)
    pair = loss.compare(teacher, student)
    assert isinstance(pair, LayerComparison)
    assert pair.attention.size() == pair.distance.size() == (3, 2)
    assert not pair.attention.requires_grad
    assert not pair.distance.requires_grad
    assert torch.equal(loss.last_attention, pair.attention)
    assert not loss.last_attention.requires_grad
    if name != 'default':
        assert_close(loss.last_distance, pair.distance)
        assert not loss.last_distance.requires_grad
        total = (loss.last_attention * loss.last_distance).sum() / 3
        assert_close(total, out.detach())
    # A failed call leaves nothing of the one before.
    with pytest.raises(ValueError, match='must hold the 2 layers'):
        loss(teacher, student[:1])
    with pytest.raises(RuntimeError, match='has not been called yet'):
        loss.last_attention  # noqa: B018


def test_compare_leaves_the_last_call():
    loss = ABKDLoss(*WIDTHS, 'learned')
    loss(layers(WIDTHS[0]), layers(WIDTHS[1]))
    last = loss.last_attention
    loss.compare(layers(WIDTHS[0]), layers(WIDTHS[1]))
    assert loss.last_attention is last


def test_same_precision_of_pairs():
    # Layers far from the origin, whose squares would cancel.
    loss = ABKDLoss(
        [4, 4],
        [4, 4],
        'learned',
        projection=None,
        normalize=False,
        center=False,
    )
    teacher = [torch.randn(50, 4) + 1000 for _ in range(2)]
    student = [x + 0.1 * torch.randn(50, 4) for x in teacher]
    wide = copy.deepcopy(loss).double()
    want = wide.compare(teacher, student).distance
    got = loss.compare(teacher, student).distance.double()
    assert_close(got, want, rtol=1e-3, atol=0.0)
