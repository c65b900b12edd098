"""The teacher's layers, reduced to what their rows differ in most."""

import copy
import math
from functools import partial

import pytest
import torch
from torch import Tensor
from torch_geometric.nn import GCN

from pyg_distill.nn import ABKDLoss, Distiller, LayerRecorder, StrideLoss
from tests.nn.losses import oracles

BATCH = torch.tensor([0, 0, 1, 1, 1, 2, 2, 2, 2])
WIDTHS = [5, 3, 6], [2, 3]


def layers(widths: list[int], num_nodes: int = 9) -> list[Tensor]:
    # Of unequal spread, so that components are told apart.
    return [
        torch.randn(num_nodes, w, dtype=torch.double)
        * (1.0 + torch.arange(w, dtype=torch.double))
        + 0.5
        for w in widths
    ]


def principal(rows: oracles.Matrix, number: int) -> oracles.Matrix:
    """The first components as columns, by powers of the matrix of products."""
    width = len(rows[0])
    gram = [
        [math.fsum(row[a] * row[b] for row in rows) for b in range(width)]
        for a in range(width)
    ]
    found: list[list[float]] = []
    for k in range(number):
        vector = [1.0 + 0.1 * ((7 * c + k) % 5) for c in range(width)]
        old = [0.0] * width
        while max(abs(a - b) for a, b in zip(vector, old, strict=True)) > 1e-10:
            old = vector
            vector = [
                sum(gram[a][b] * vector[b] for b in range(width))
                for a in range(width)
            ]
            for other in found:
                along = sum(a * b for a, b in zip(other, vector, strict=True))
                vector = [
                    v - along * o for v, o in zip(vector, other, strict=True)
                ]
            length = math.sqrt(sum(v * v for v in vector))
            vector = [v / length for v in vector]
        found.append(vector)
    return [[vector[c] for vector in found] for c in range(width)]


@pytest.mark.parametrize('granularity', ['node', 'group', 'graph'])
@pytest.mark.parametrize('normalize', [True, False])
@pytest.mark.parametrize('attention', ['uniform', 'diagonal', 'last'])
def test_equals_loops(attention, normalize, granularity):
    loss = ABKDLoss(
        *WIDTHS,
        attention,
        granularity,
        normalize=normalize,
        num_groups=4,
        num_components=3,
    ).double()
    teacher, student = layers(WIDTHS[0]), layers(WIDTHS[1])
    batch = BATCH if granularity == 'graph' else None
    leaves = [x.requires_grad_() for x in student]
    out = loss(teacher, leaves, batch)

    # Distances do not depend on the signs of components, but the map that is
    # learned for them does: those that were found are checked, then used.
    reduced = []
    found_maps = loss.matchings[0].components.buffers()
    for x, found in zip(teacher, found_maps, strict=True):
        rows = oracles.nu(x.tolist(), True, normalize)
        want = torch.eye(3, dtype=torch.double)
        if x.size(1) > 3:
            want = torch.tensor(principal(rows, 3), dtype=torch.double)
        torch.testing.assert_close(
            found @ found.t(), want @ want.t(), rtol=1e-6, atol=1e-6
        )
        product = oracles.product(x.tolist(), found.tolist())
        reduced.append(torch.tensor(product, dtype=torch.double))
    want = oracles.abkd(
        loss,
        reduced,
        [x.detach() for x in student],
        batch,
        attention_kind=attention,
        granularity=granularity,
        normalize=normalize,
        num_groups=4,
    )
    assert out.item() == pytest.approx(want, rel=1e-7)
    gradient = torch.autograd.grad(out, leaves, allow_unused=True)
    plain = ABKDLoss(
        [3, 3, 3],
        WIDTHS[1],
        attention,
        granularity,
        normalize=normalize,
        num_groups=4,
    ).double()
    with torch.no_grad():
        for a, b in zip(plain.parameters(), loss.parameters(), strict=True):
            a.copy_(b)
    same = plain(reduced, leaves, batch)
    same = torch.autograd.grad(same, leaves, allow_unused=True)
    for a, b in zip(gradient, same, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b)


def test_learned_attention_reads_whole_layers():
    loss = ABKDLoss(*WIDTHS, 'learned', num_components=2).double()
    plain = ABKDLoss(*WIDTHS, 'learned').double()
    plain.matchings[0].learned.load_state_dict(
        loss.matchings[0].learned.state_dict()
    )
    teacher, student = layers(WIDTHS[0]), layers(WIDTHS[1])
    loss(teacher, student)
    plain(teacher, student)
    assert torch.equal(loss.last_attention, plain.last_attention)
    assert loss.last_distance.size() == (3, 2)
    assert bool(loss.last_distance.isfinite().all())


def test_all_components_change_nothing_but_the_basis():
    loss = ABKDLoss(*WIDTHS, num_components=6).double()
    plain = ABKDLoss(*WIDTHS).double()
    plain.load_state_dict(loss.state_dict(), strict=False)
    teacher, student = layers(WIDTHS[0]), layers(WIDTHS[1])
    assert loss(teacher, student).item() == plain(teacher, student).item()


def test_found_once_and_kept_with_the_state():
    loss = ABKDLoss(*WIDTHS, num_components=2).double()
    teacher, student = layers(WIDTHS[0]), layers(WIDTHS[1])
    value = loss(teacher, student)
    maps = [x.clone() for x in loss.matchings[0].components.buffers()]
    loss(layers(WIDTHS[0]), student)
    now = loss.matchings[0].components.buffers()
    for x, old in zip(now, maps, strict=True):
        assert torch.equal(x, old)
    assert torch.equal(loss(teacher, student), value)
    other = ABKDLoss(*WIDTHS, num_components=2).double()
    other(layers(WIDTHS[0]), student)
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other(teacher, student), value)
    assert torch.equal(copy.deepcopy(loss)(teacher, student), value)
    # A fresh one that is given a state does not look for components either.
    fresh = ABKDLoss(*WIDTHS, num_components=2).double()
    fresh.load_state_dict(loss.state_dict())
    fresh(layers(WIDTHS[0]), student)
    assert torch.equal(fresh(teacher, student), value)


def test_targets_are_as_narrow_as_components():
    loss = ABKDLoss([40, 50, 60], [4, 4], num_components=8)
    target = loss.prepare([torch.randn(30, w) for w in (40, 50, 60)])
    # One for each student layer, though the teacher has three widths.
    assert [tuple(x.size()) for x in target.layers] == [(2, 30, 8)]
    assert [tuple(p.size()) for p in loss.parameters()] == [(2, 4, 8)]
    some = target.select(torch.arange(5))
    loss(some, [torch.randn(5, 4), torch.randn(5, 4)])


@pytest.mark.parametrize('cache', [True, False])
def test_in_a_distiller(cache):
    torch.manual_seed(0)
    x, edge_index = torch.randn(30, 5), torch.randint(30, (2, 90))
    teacher, student = GCN(5, 16, 3).eval(), GCN(5, 4, 2, out_channels=16)
    recorded = []
    for model in (teacher, student):
        recorder = LayerRecorder(model, detach=True)
        model(x, edge_index)
        recorded.append(recorder.features())
        recorder.remove()

    make = partial(ABKDLoss, num_components=4)
    distiller = Distiller.from_example(
        student, teacher, (x, edge_index), {'abkd': make}, cache=cache
    )
    distiller.train()(x, edge_index)
    out = distiller.loss()
    assert distiller.losses['abkd'].matchings[0].components.fitted
    want = distiller.losses['abkd'](*recorded).item()
    assert out.item() == pytest.approx(want, rel=1e-5)


def test_layers_without_any_difference():
    loss = ABKDLoss([6], [2], num_components=2)
    student = [torch.randn(9, 2, requires_grad=True)]
    out = loss([torch.ones(9, 6)], student)
    out.backward()
    assert bool(out.isfinite())
    assert bool(student[0].grad.isfinite().all())


def test_errors():
    with pytest.raises(ValueError, match="'num_components' must be"):
        ABKDLoss([4], [2], num_components=0)
    with pytest.raises(ValueError, match="pass projection='student'"):
        ABKDLoss([4], [2], projection='both', num_components=2)
    with pytest.raises(ValueError, match="pass projection='student'"):
        ABKDLoss([4], [4], projection=None, num_components=2)
    with pytest.raises(ValueError, match='projection='):
        StrideLoss([4], [2], num_components=2)
    loss = ABKDLoss([8], [2], num_components=4)
    with pytest.raises(ValueError, match='got 4 rows for 4'):
        loss([torch.randn(4, 8)], [torch.randn(4, 2)])


def test_printed():
    assert 'num_components=4' in repr(ABKDLoss([8], [2], num_components=4))
    assert 'num_components' not in repr(ABKDLoss([8], [2]))
