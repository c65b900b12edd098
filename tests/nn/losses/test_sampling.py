"""A part of the nodes is compared in the place of all."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from pyg_distill.nn import ABKDLoss, Distiller, StrideLoss, TeacherCache
from tests.nn.distiller.models import big, graph, small
from tests.nn.losses import oracles

WIDTHS = [4, 4, 5], [3, 2]


def layers(num_nodes=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        [
            torch.randn(
                num_nodes, width, dtype=torch.double, generator=generator
            )
            + 0.5
            for width in widths
        ]
        for widths in WIDTHS
    ]


@settings(max_examples=40, deadline=None)
@given(
    attention=st.sampled_from(['diagonal', 'uniform', 'last', 'learned']),
    projection=st.sampled_from(['student', 'both']),
    normalize=st.booleans(),
    center=st.booleans(),
    num_nodes=st.integers(2, 12),
    max_nodes=st.integers(2, 12),
    seed=st.integers(0, 100),
)
def test_against_loops(
    attention, projection, normalize, center, num_nodes, max_nodes, seed
):
    teacher, student = layers(num_nodes, seed)
    options = {
        'projection': projection,
        'normalize': normalize,
        'center': center,
        'hidden_channels': 3,
    }
    loss = ABKDLoss(*WIDTHS, attention, max_nodes=max_nodes, **options).double()
    torch.manual_seed(seed)
    drawn = None
    if num_nodes > max_nodes:
        drawn = torch.randperm(num_nodes)[:max_nodes].tolist()
    want = oracles.abkd(
        loss,
        teacher,
        student,
        attention_kind=attention,
        drawn=drawn,
        **options,
    )
    for target in (teacher, loss.prepare(teacher)):
        torch.manual_seed(seed)
        out = loss(target, student).item()
        assert out == pytest.approx(want, rel=1e-6, abs=1e-9)
    oracle = oracles.abkd(
        loss, teacher, student, attention_kind=attention, **options
    )
    out = loss.eval()(teacher, student).item()
    assert out == pytest.approx(oracle, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize('attention', ['diagonal', 'learned'])
def test_gradient(attention):
    teacher, student = layers()
    loss = ABKDLoss(*WIDTHS, attention, max_nodes=4, hidden_channels=3)
    loss = loss.double()
    leaves = [x.requires_grad_() for x in student]
    generator = torch.Generator().manual_seed(0)
    directions = [
        [torch.randn(x.size(), dtype=x.dtype, generator=generator) for x in xs]
        for xs in (list(loss.parameters()), leaves)
    ]
    torch.manual_seed(1)
    loss(teacher, leaves).backward()

    def value(moved, x):
        torch.manual_seed(1)
        return moved(teacher, x).item()

    slope = oracles.slope(value, loss, student, directions)
    inputs = [*loss.parameters(), *leaves]
    got = sum(
        (x.grad * d).sum().item()
        for x, d in zip(inputs, itertools.chain(*directions), strict=True)
    )
    assert got == pytest.approx(slope, rel=1e-5)
    if attention == 'diagonal':
        touched = [int((x.grad != 0).any(dim=1).sum()) for x in leaves]
        assert touched == [4, 4]


@pytest.mark.parametrize('attention', ['uniform', 'learned'])
def test_mean_over_all_draws(monkeypatch, attention):
    teacher, student = layers(8)
    loss = ABKDLoss(
        *WIDTHS, attention, center=False, max_nodes=2, hidden_channels=3
    ).double()
    parts = []
    for k in range(4):
        monkeypatch.setattr(
            torch, 'randperm', lambda n, k=k, **_: torch.arange(n).roll(2 * k)
        )
        parts.append(loss(teacher, student))
    want = loss.eval()(teacher, student)
    # Up to what keeps short rows short.
    assert_close(torch.stack(parts).mean(), want, rtol=1e-4, atol=0.0)


def test_drawn_once_and_anew(monkeypatch):
    teacher, student = layers()
    loss = ABKDLoss(*WIDTHS, 'uniform', max_nodes=3).double()
    found = [loss(teacher, student).item() for _ in range(2)]
    assert found[0] != found[1]
    drawn = []
    randperm = torch.randperm

    def count(*args, **kwargs):
        drawn.append(args)
        return randperm(*args, **kwargs)

    monkeypatch.setattr(torch, 'randperm', count)
    loss(teacher, student)
    assert drawn == [(9,)]
    # With all nodes there is nothing to draw.
    loss.compare(teacher, student)
    loss.eval()(teacher, student)
    loss = ABKDLoss(*WIDTHS, 'uniform', max_nodes=9).double()
    loss(teacher, student)
    assert drawn == [(9,)]


def test_node_types():
    widths = [{'a': 4, 'b': 3}], [{'a': 2, 'b': 2}]
    num_nodes = {'a': 7, 'b': 5}
    teacher, student = (
        [{k: torch.randn(num_nodes[k], w) for k, w in layer[0].items()}]
        for layer in widths
    )
    loss = ABKDLoss(*widths, max_nodes=3)
    torch.manual_seed(0)
    out = loss(loss.prepare(teacher), student)
    torch.manual_seed(0)
    want = []
    for k, matching in zip('ab', loss.matchings, strict=True):
        drawn = torch.randperm(num_nodes[k])[:3].tolist()
        sides = [teacher[0][k]], [student[0][k]]
        weights, distances = oracles.pairs(matching, *sides, drawn=drawn)
        want.append(oracles.combine(weights, distances, 'mean'))
    assert out.item() == pytest.approx(sum(want) / 2, rel=1e-4)


def test_stride():
    teacher, student = layers()
    loss = StrideLoss(*WIDTHS, num_samples=3, max_nodes=5).double()
    part = StrideLoss(*WIDTHS, num_samples=3).double()
    part.load_state_dict(loss.state_dict())
    torch.manual_seed(0)
    out = loss(teacher, student)
    attention = loss.last_attention
    torch.manual_seed(0)
    index = torch.randperm(9)[:5]
    part([x[index] for x in teacher], [x[index] for x in student])
    distance = part.last_distance
    want = (attention * distance).sum() / attention.sum()
    assert_close(out, want)


@pytest.mark.parametrize('rows', [None, 'n_id', 'batch_size'])
def test_distiller(rows):
    x, edge_index = graph()
    cache = TeacherCache.from_inputs(big(), (x, edge_index))
    distiller = Distiller.from_example(
        small(norm=None),
        cache,
        (x, edge_index),
        [lambda *widths: ABKDLoss(*widths, max_nodes=4)],
    ).train()
    kwargs = {
        None: {},
        'n_id': {'n_id': torch.arange(x.size(0))},
        'batch_size': {'batch_size': 6},
    }[rows]
    found = []
    for seed in (0, 0, 1):
        distiller(x, edge_index)
        torch.manual_seed(seed)
        found.append(distiller.loss(**kwargs).item())
    assert found[0] == found[1] != found[2]
    # The seed nodes are drawn from where there are any.
    (loss,) = distiller.losses.values()
    distiller(x, edge_index)
    student = [y[: kwargs.get('batch_size')] for y in distiller._step.layers]
    target = loss.prepare(cache.layers).select(slice(len(student[0])))
    torch.manual_seed(1)
    assert loss(target, student).item() == pytest.approx(found[2], rel=1e-5)


@pytest.mark.parametrize('attention', ['diagonal', 'learned'])
def test_compile(attention):
    torch.compiler.reset()
    teacher, student = layers()
    loss = ABKDLoss(*WIDTHS, attention, max_nodes=4).double()
    target = loss.prepare(teacher)
    call = torch.compile(loss, fullgraph=True, backend='aot_eager')
    found = []
    for run in (loss, call, call):
        leaves = [x.clone().requires_grad_() for x in student]
        torch.manual_seed(3)
        out = run(target, leaves)
        out.backward()
        found.append([out.detach(), *(x.grad for x in leaves)])
    assert_close(found[1], found[0])
    assert_close(found[2], found[0])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'max_nodes': 0}, r"^'max_nodes' must be a whole number above 0"),
        ({'max_nodes': 1}, r"^'max_nodes' must be 2 or more to centre \(got 1"),
        (
            {'max_nodes': 5, 'granularity': 'group'},
            r"^'max_nodes' draws from nodes \(got granularity='group'\)",
        ),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        ABKDLoss(*WIDTHS, **options)


def test_repr():
    assert 'max_nodes' not in repr(ABKDLoss(*WIDTHS))
    assert 'max_nodes=8192' in repr(ABKDLoss(*WIDTHS, max_nodes=8192))
