"""Layers that are dictionaries by node type."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from pyg_distill.nn import ABKDLoss, LayerComparison

TEACHER = [{'a': 4, 'b': 3}, {'a': 3, 'b': 3, 'only_teacher': 5}, {'a': 4}]
STUDENT = [{'a': 2, 'b': 2, 'only_student': 2}, {'a': 2, 'b': 3}]
NUM_NODES = {'a': 6, 'b': 4, 'only_teacher': 3, 'only_student': 3}


def features(
    channels: list[dict[str, int]], without: tuple[str, ...] = ()
) -> list[dict[str, Tensor]]:
    return [
        {
            t: torch.randn(NUM_NODES[t], width)
            for t, width in layer.items()
            if t not in without
        }
        for layer in channels
    ]


def of_type(layers: list[dict], node_type: str) -> list:
    return [layer[node_type] for layer in layers if node_type in layer]


def homogeneous(
    loss: ABKDLoss, node_type: str, attention: object, **options: object
) -> ABKDLoss:
    out = type(loss)(
        of_type(TEACHER, node_type),
        of_type(STUDENT, node_type),
        attention=attention,
        **options,
    )
    place = f'matchings.{loss.node_types.index(node_type)}.'
    out.load_state_dict(
        {
            key.replace(place, 'matchings.0.'): value
            for key, value in loss.state_dict().items()
            if key.startswith(place)
        }
    )
    return out


@pytest.mark.parametrize('attention', ['learned', 'diagonal'])
@pytest.mark.parametrize('granularity', ['node', 'group', 'graph', 'pooled'])
def test_mean_over_types(attention, granularity):
    for projection in ['student', 'both']:
        options = {
            'granularity': granularity,
            'projection': projection,
            'center': granularity != 'pooled',
            'num_groups': 3,
            'hidden_channels': 3,
        }
        loss = ABKDLoss(TEACHER, STUDENT, attention, **options)
        assert loss.node_types == ['a', 'b']
        batch = {
            'a': torch.tensor([0, 0, 1, 1, 1, 2]),
            'b': torch.tensor([0, 1, 2, 2]),
        }
        teacher, student = features(TEACHER), features(STUDENT)
        out = loss(teacher, student, batch)
        want = []
        for t in ['a', 'b']:
            plain = homogeneous(loss, t, attention, **options)
            args = of_type(teacher, t), of_type(student, t)
            want.append(plain(*args, batch[t]))
            assert_close(loss.last_attention[t], plain.last_attention)
            got = loss.compare(teacher, student, batch)[t]
            assert isinstance(got, LayerComparison)
            for x, y in zip(got, plain.compare(*args, batch[t]), strict=True):
                assert_close(x, y, equal_nan=True)
        assert_close(out, (want[0] + want[1]) / 2)
        target = loss.prepare(teacher, batch)
        assert set(target) == {'a', 'b'}
        assert_close(loss(target, student, batch), out)


@pytest.mark.parametrize('empty', [True, False])
@pytest.mark.parametrize('attention', ['learned', 'diagonal'])
def test_absent_types(attention, empty):
    loss = ABKDLoss(TEACHER, STUDENT, attention)
    for t in ['a', 'b']:
        other = 'b' if t == 'a' else 'a'
        teacher, student = features(TEACHER), features(STUDENT)
        plain = homogeneous(loss, t, attention)
        want = plain(of_type(teacher, t), of_type(student, t))
        sides = itertools.product([True, False], repeat=2)
        for in_teacher, in_student in sides:
            if in_teacher and in_student:
                continue
            # A loader gives a type without nodes as an empty matrix.
            for layers, there in [(teacher, in_teacher), (student, in_student)]:
                for layer in layers:
                    if other in layer and not there:
                        if empty:
                            layer[other] = layer[other][:0]
                        else:
                            del layer[other]
            assert_close(loss(teacher, student), want)
            assert set(loss.last_attention) == {t}
            assert_close(loss(loss.prepare(teacher), student), want)
            assert set(loss.compare(teacher, student)) == {t}
            teacher, student = features(TEACHER), features(STUDENT)
            want = plain(of_type(teacher, t), of_type(student, t))


@pytest.mark.parametrize('center', [True, False])
def test_a_type_of_one_node(center):
    # Centring leaves nothing of it, whatever the other types are.
    loss = ABKDLoss(TEACHER, STUDENT, 'uniform', center=center)
    sides = features(TEACHER), features(STUDENT)
    for layer in itertools.chain(*sides):
        if 'b' in layer:
            layer['b'] = layer['b'][:1]
    types = ['a'] if center else ['a', 'b']
    want = [
        homogeneous(loss, t, 'uniform', center=center)(
            *(of_type(layers, t) for layers in sides)
        )
        for t in types
    ]
    assert_close(loss(*sides), torch.stack(want).mean())
    assert_close(loss(loss.prepare(sides[0]), sides[1]), loss(*sides))
    assert list(loss.last_attention) == types
    assert list(loss.compare(*sides)) == types


def test_nothing_in_common():
    with pytest.raises(
        ValueError,
        match=r"'student_channels' must share .* \(got \['b'\] and \['a'\]",
    ):
        ABKDLoss([{'a': 3}], [{'b': 3}])
    with pytest.raises(ValueError, match=r"\(got \[''\] and \['a'\]\)"):
        ABKDLoss([{'a': 3}], [3])
    loss = ABKDLoss(TEACHER, STUDENT)
    with pytest.raises(
        ValueError,
        match=r"'student' must hold .* a, b .*only_student and only_teacher",
    ):
        loss(features(TEACHER, ('a', 'b')), features(STUDENT, ('a', 'b')))
    with pytest.raises(ValueError, match=r'\(got a and b, only_teacher\)'):
        loss(
            features(TEACHER, ('a',)),
            features(STUDENT, ('b', 'only_student')),
        )
    with pytest.raises(ValueError, match=r'\(got none and a, b'):
        loss(features(TEACHER), [{}, {}])


def test_layers_that_are_not_as_declared():
    loss = ABKDLoss(TEACHER, STUDENT)
    teacher, student = features(TEACHER), features(STUDENT)
    with pytest.raises(
        TypeError,
        match=r"'student' must be a list of dictionaries .*\(got list\)",
    ):
        loss(teacher, [x['a'] for x in student])
    with pytest.raises(TypeError, match=r"'teacher' must be .*\(got Tensor\)"):
        loss(torch.ones(3, 2), student)
    del student[1]['b']
    with pytest.raises(
        ValueError, match=r"'student' must hold the 2 layers .*\(got 1\)"
    ):
        loss(teacher, student)
    plain = ABKDLoss([4, 3], [2, 2])
    with pytest.raises(
        TypeError,
        match=r"'student' layer 0 must be a tensor \(got dict\)",
    ):
        plain([torch.randn(6, 4), torch.randn(6, 3)], features(STUDENT))
    with pytest.raises(TypeError, match=r"'teacher' layer 0 .*\(got dict\)"):
        plain(features(TEACHER)[:2], [torch.randn(6, 2)] * 2)


def test_a_type_in_a_single_graph():
    # Centring leaves nothing of its mean.
    loss = ABKDLoss([{'a': 4, 'b': 3}], [{'a': 2, 'b': 2}], granularity='graph')
    teacher = {'a': torch.randn(4, 4), 'b': torch.randn(3, 3)}
    student = {'a': torch.randn(4, 2), 'b': torch.randn(3, 2)}
    batch = {'a': torch.tensor([0, 0, 1, 1]), 'b': torch.tensor([1, 1, 1])}
    out = loss([teacher], [student], batch, 2)
    assert list(loss.last_attention) == ['a']
    only = [{'a': teacher['a']}], [{'a': student['a']}]
    assert_close(out, loss(*only, batch, 2))
