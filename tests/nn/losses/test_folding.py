"""Teacher layers are merged ahead, without changing the result."""

import copy
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from pyg_distill.nn import ABKDLoss, TeacherTarget
from pyg_distill.nn.losses.folding import MappedDistance, folded_distance
from pyg_distill.nn.losses.matching import LayerProjection
from tests.nn.losses import oracles
from tests.nn.losses.helpers import both, grads, layers

FIXED = ['uniform', 'diagonal', 'last', [[0.5, 0.0], [1.5, 0.25], [0.0, 2.0]]]
ROWS = ['node', 'group', 'graph', 'pooled']
BATCH = torch.tensor([0, 0, 1, 1, 3, 3, 3])
MIXED = [4, 3, 4], [2, 3]
# Narrower and wider than the teacher, equals in width apart.
MANY = [6, 4, 6, 4], [3, 5, 3, 7, 2]


def unfolded_value(loss, teacher, student, batch=None):
    """The definition: the weighted sum over all pairs, with gradients."""
    target = loss._prepare(0, teacher, fold=False, batch=batch, size=None)
    rows = loss._pool(0, student, batch, None)
    weights = loss._weights(0, target, student)
    distance = loss._distances(0, target, rows)
    total = (loss._scale(weights) * distance.nan_to_num()).sum()
    return total, (weights, distance)


@pytest.mark.parametrize('granularity', ROWS)
@pytest.mark.parametrize('attention', ['learned', *FIXED])
@pytest.mark.parametrize(
    ('widths', 'projection', 'normalize'),
    [
        (MIXED, 'student', True),
        (MIXED, 'student', False),
        (MIXED, 'both', True),
        (([3, 3, 3], [3, 3]), None, True),
    ],
)
def test_prepared_is_the_same(
    attention, granularity, widths, projection, normalize
):
    loss = ABKDLoss(
        *widths,
        attention,
        granularity=granularity,
        projection=projection,
        normalize=normalize,
        center=granularity != 'pooled',
        hidden_channels=4,
        num_groups=4,
    ).double()
    teacher, student = both(widths, 7)
    student = [x.requires_grad_() for x in student]
    through = [*loss.parameters(), *student]
    want = loss(teacher, student, BATCH)
    target = loss.prepare(teacher, BATCH)
    out = loss(target, student, BATCH)
    assert out.item() == want.item()
    assert loss(target, student, BATCH).item() == want.item()

    slow, pair = unfolded_value(loss, teacher, student, BATCH)
    assert out.item() == pytest.approx(slow.item(), rel=1e-9)
    compared = loss.compare(teacher, student, BATCH)
    for x, y in zip(compared, pair, strict=True):
        assert_close(x, y.detach(), equal_nan=True)
    for a, b, c in zip(
        *(grads(value, through) for value in (want, out, slow)), strict=True
    ):
        assert torch.equal(a, b)
        assert_close(a, c, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize('center', [True, False])
@pytest.mark.parametrize('granularity', ['node', 'group'])
@pytest.mark.parametrize('attention', ['uniform', 'diagonal', 'last'])
def test_many_widths(attention, granularity, center):
    options = {'granularity': granularity, 'center': center, 'num_groups': 12}
    loss = ABKDLoss(*MANY, attention, **options).double()
    teacher, student = both(MANY, 30)
    student = [x.requires_grad_() for x in student]
    out = loss(teacher, student)
    # A fifth is not the same in single precision.
    kind = loss.matchings[0].attention.tolist()
    want = oracles.abkd(loss, teacher, student, attention_kind=kind, **options)
    assert out.item() == pytest.approx(want, rel=1e-12)
    slow, _ = unfolded_value(loss, teacher, student)
    assert_close(out, slow, rtol=1e-12, atol=0.0)
    through = [*loss.parameters(), *student]
    for a, b in zip(grads(out, through), grads(slow, through), strict=True):
        assert_close(a, b, rtol=1e-9, atol=1e-12)
    single = copy.deepcopy(loss).float()
    out = single([x.float() for x in teacher], [x.float() for x in student])
    assert out.item() == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize(
    ('num_layers', 'attention', 'widths', 'want'),
    [
        # Nothing for a layer without weight.
        (2, 'last', [4], 1 * 4),
        (60, 'last', [4, 3], 1 * 3),
        (60, 'diagonal', [4] * 30 + [3] * 30, 4 + 3),
        (2, 'uniform', [4], 2 * 4),
        (60, 'uniform', [4], 2 * 4),
        (60, 'diagonal', [4, 3], 2 * 4 + 2 * 3),
    ],
)
def test_size_of_a_target(num_layers, attention, widths, want):
    widths = [widths[i % len(widths)] for i in range(num_layers)]
    loss = ABKDLoss(widths, [2, 2], attention)
    target = loss.prepare(layers(widths, 7, torch.float))
    assert isinstance(target, TeacherTarget)
    assert target.num_rows == 7
    assert target.num_bytes == 4 * 7 * (want + 1)
    assert not any(x.requires_grad for x in target.layers)


def test_select_averages_what_rows_contribute():
    # Without centering, rows are compared on their own, except for the floor
    # of their length, a millionth of the typical one.
    loss = ABKDLoss([4, 4], [2], 'uniform', center=False).double()
    teacher, student = both(([4, 4], [2]), 7)
    target = loss.prepare(teacher)

    def part(first, last):
        some = [x[first:last] for x in student]
        return loss(target.select(slice(first, last)), some).item()

    mean = sum(part(v, v + 1) for v in range(7)) / 7
    want = loss(target, student).item()
    assert mean == pytest.approx(want, rel=1e-5)
    alone = loss([x[2:5] for x in teacher], [x[2:5] for x in student])
    assert part(2, 5) == pytest.approx(alone.item(), rel=1e-5)


@pytest.mark.parametrize('dtype', [torch.float, torch.double])
@pytest.mark.parametrize('num_layers', [1, 2, 5])
def test_zero_where_equal(num_layers, dtype):
    widths = [7] * num_layers
    x, batch = layers(widths, 50, dtype), torch.arange(50) % 6
    for granularity, normalize in itertools.product(ROWS, [True, False]):
        loss = ABKDLoss(
            widths,
            widths,
            'diagonal',
            granularity=granularity,
            projection=None,
            normalize=normalize,
            center=granularity != 'pooled',
        )
        # Rows of length 1 are compared by an expanded square.
        bound = 10 * torch.finfo(dtype).eps if normalize else 0.0
        assert 0.0 <= loss(x, x, batch).item() <= bound


@pytest.mark.parametrize('num_rows', [2, 50, 2000])
@pytest.mark.parametrize('offset', [0.0, 100.0])
def test_agreement_is_never_negative(num_rows, offset):
    loss = ABKDLoss([8, 8], [8, 8], 'diagonal', projection=None)
    mapped = ABKDLoss([8, 8], [4, 4], 'diagonal')
    for _ in range(5):
        x = [torch.randn(num_rows, 8) + offset for _ in range(2)]
        assert 0.0 <= loss(x, x).item() <= 1e-6
        # Through the map that the teacher is made with.
        y = [torch.randn(num_rows, 4) for _ in range(2)]
        teacher = mapped.matchings[0].student_projections[0](y)
        leaves = [z.requires_grad_() for z in y]
        out = mapped([z.detach() for z in teacher], leaves)
        assert 0.0 <= out.item() <= 1e-6
        out.backward()
        assert all(z.grad.abs().max() <= 1e-5 for z in leaves)


def test_distances_of_pairs_without_a_map():
    widths = [8, 8, 3], [4, 4, 2]
    loss = ABKDLoss(*widths, 'diagonal').double()
    teacher, student = both(widths, 30)
    pair = loss.compare(teacher, student)
    f, t = False, True
    assert pair.distance.isnan().tolist() == [[f, f, t], [f, f, t], [t, t, f]]
    total = (pair.attention * pair.distance).nansum() / 3
    assert_close(total, loss(teacher, student).detach(), check_dtype=False)


@pytest.mark.parametrize(
    ('attention', 'size'),
    [
        ('diagonal', 3 * 4 * 8 + 2 * 3),
        ('last', 2 * 3),
        ('uniform', 3 * 4 * (8 + 3) + 2 * (8 + 3)),
    ],
)
def test_every_parameter_has_a_gradient(attention, size):
    widths = [8, 8, 8, 3], [4, 4, 4, 2]
    loss = ABKDLoss(*widths, attention)
    teacher, student = both(widths, dtype=torch.float)
    loss(teacher, [x.requires_grad_() for x in student]).backward()
    for p in loss.parameters():
        # Each layer of a stack.
        assert (p.grad.flatten(1).abs().amax(dim=1) > 0).all()
    assert sum(p.numel() for p in loss.parameters()) == size


# Rows are compared through their map as if they were mapped.


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


@settings(max_examples=40)
@given(
    num_layers=st.integers(1, 3),
    num_rows=st.integers(2, 12),
    width=st.integers(1, 5),
    more=st.integers(1, 4),
    seed=st.integers(0, 1000),
    center=st.booleans(),
    offset=st.sampled_from([0.0, 1.0, 100.0]),
)
def test_mapped_distance(
    num_layers, num_rows, width, more, seed, center, offset
):
    x, weight, target = problem(
        num_layers, num_rows, width, width + more, seed, offset
    )
    copies = x.clone(), weight.clone(), target.clone()
    x, weight = x.requires_grad_(), weight.requires_grad_()
    factor = torch.arange(1.0, num_layers + 1, dtype=torch.double)
    want = plainly(x, weight, target, center)
    out = MappedDistance.apply(x, weight, target, center)
    assert_close(out, want, rtol=1e-9, atol=1e-9)
    wants = torch.autograd.grad(want @ factor, (x, weight))
    outs = torch.autograd.grad(out @ factor, (x, weight))
    for a, b in zip(outs, wants, strict=True):
        assert_close(a, b, rtol=1e-6, atol=1e-8 * float(b.abs().max()))
    # Inputs stay as they are.
    assert all(map(torch.equal, (x, weight, target), copies))


@pytest.mark.parametrize('center', [True, False])
def test_numerical_gradient(center):
    # One row is far shorter, so that its floor counts.
    x, weight, target = problem(2, 6, 3, 5)
    x[:, 0] = x.mean(dim=1) + 1e-4 if center else 1e-4
    inputs = x.requires_grad_(), weight.requires_grad_(), target, center
    assert torch.autograd.gradcheck(MappedDistance.apply, inputs, rtol=1e-4)
    out = MappedDistance.apply(*inputs).sum()
    with pytest.raises(RuntimeError, match='differentiated again'):
        torch.autograd.grad(out, x, create_graph=True)


@pytest.mark.parametrize('ratio', [1e-1, 1e-4])
@pytest.mark.parametrize('center', [True, False])
def test_a_map_that_is_nearly_singular(ratio, center):
    # As it is once a student's layer has collapsed to one direction.
    x, weight, target = problem(1, 500, 8, 32)
    u, _, v = torch.linalg.svd(weight, full_matrices=False)
    values = torch.full((8,), ratio, dtype=torch.double)
    values[0] = 1.0
    weight = u @ torch.diag(values) @ v
    single = [z.float() for z in (x, weight, target)]
    found = []
    for call, (a, b, c) in (
        (plainly, [z.double() for z in single]),
        (MappedDistance.apply, single),
    ):
        a, b = a.requires_grad_(), b.requires_grad_()
        out = call(a, b, c, center).sum()
        found.append([z.double() for z in torch.autograd.grad(out, (a, b))])
    for want, fast in zip(*found, strict=True):
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


@pytest.mark.parametrize(
    'widths',
    [[3], [3, 3], [3, 8, 3], [8, 7, 8, 8, 8], [2, 2, 2, 9, 9, 1], [6, 5]],
)
@pytest.mark.parametrize('wide', [4, 8, 16])
def test_layers_of_any_width(widths, wide):
    # Those about as wide are compared together, with columns of zeros.
    projection = LayerProjection(widths, wide).double()
    rows = [x.requires_grad_() for x in layers(widths, 7)]
    target = torch.randn(len(widths), 7, wide, dtype=torch.double)
    through = [*rows, *projection.parameters()]
    maps = list(projection.weights)
    out = folded_distance(target, rows, maps, True)
    triples = zip(rows, maps, target, strict=True)
    want = torch.cat(
        [plainly(x[None], w[None], m[None], True) for x, w, m in triples]
    )
    assert_close(out, want)
    factor = torch.arange(1.0, len(widths) + 1, dtype=torch.double)
    pairs = (grads(value @ factor, through) for value in (out, want))
    for a, b in zip(*pairs, strict=True):
        assert_close(a, b)


# A comparison costs no more than it needs.


def products(widths, wide=64, num_rows=200, grad=True, frozen=False):
    """The multiplications and additions in the products of a call."""
    projection = LayerProjection(widths, wide).requires_grad_(not frozen)
    rows = [torch.randn(num_rows, w, requires_grad=True) for w in widths]
    target = torch.randn(len(widths), num_rows, wide)
    counter = FlopCounterMode(display=False)
    with counter, torch.set_grad_enabled(grad):
        folded_distance(target, rows, list(projection.weights), True)
    return counter.get_total_flops()


def test_no_gradient_that_nobody_needs():
    # A row in the target's basis, and one in the space of the student.
    least = 2 * 200 * (16 * 64 + 16 * 16)
    without, frozen = products([16], grad=False), products([16], frozen=True)
    assert least <= without < 1.1 * least
    assert without < frozen < without + 1.1 * 2 * 200 * 16 * 16
    assert products([16]) > frozen + 2 * 200 * 16 * 64


def test_only_the_gradient_is_kept():
    widths = [16] * 64, [4, 4, 4]
    loss = ABKDLoss(*widths)
    teacher, student = both(widths, 200, torch.float)
    target = loss.prepare(teacher)
    student = [x.requires_grad_() for x in student]
    sizes = {}

    def pack(x: Tensor) -> Tensor:
        sizes[x.untyped_storage().data_ptr()] = x.numel()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        loss(target, student)
    assert sum(sizes.values()) < 1.2 * 200 * 3 * 4
