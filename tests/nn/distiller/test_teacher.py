"""The teacher is out of reach of whatever trains or stores the student."""

import copy

import pytest
import torch

from pyg_distill.nn import Distiller
from tests.nn.distiller.models import big, graph, small, task


def build(teacher=None, **kwargs):
    args = graph()
    teacher = big() if teacher is None else teacher
    return Distiller.from_example(small(), teacher, args, **kwargs), teacher


def step(distiller, args):
    loss = distiller.loss(task(distiller(*args)))
    loss.backward()
    return loss.detach()


def test_is_no_submodule():
    distiller, teacher = build()
    assert teacher not in list(distiller.modules())
    own = {id(p) for p in teacher.parameters()}
    assert not own & {id(p) for p in distiller.parameters()}
    names = {name.split('.')[0] for name, _ in distiller.named_modules()}
    assert names == {'', 'student', 'losses'}
    tops = {key.split('.')[0] for key in distiller.state_dict()}
    assert tops == {'student', 'losses'}
    shared = {b.data_ptr() for b in teacher.buffers()}
    assert not shared & {b.data_ptr() for b in distiller.buffers()}


@pytest.mark.parametrize('by', ['distiller', 'teacher', 'submodule'])
def test_always_evaluates(by):
    distiller, teacher = build()
    args = graph()
    state = copy.deepcopy(teacher.state_dict())
    distiller.train()
    assert not any(module.training for module in teacher.modules())
    want = step(distiller, args)
    if by == 'teacher':
        teacher.train()
    elif by == 'submodule':
        teacher.norms[0].train()
    else:
        distiller.eval().train()
    modes = [module.training for module in teacher.modules()]
    for _ in range(2):
        # With dropout or batch statistics, these would differ.
        torch.testing.assert_close(step(distiller, args), want)
        # It may itself be trained elsewhere.
        assert [module.training for module in teacher.modules()] == modes
    for key, value in teacher.state_dict().items():
        assert torch.equal(value, state[key]), key


def test_gets_no_gradient():
    distiller, teacher = build()
    assert all(p.requires_grad for p in teacher.parameters())
    distiller.train()
    step(distiller, graph())
    assert all(p.grad is None for p in teacher.parameters())
    assert all(p.requires_grad for p in teacher.parameters())
    optimizer = torch.optim.SGD(distiller.parameters(), lr=1.0)
    before = copy.deepcopy(teacher.state_dict())
    optimizer.step()
    for key, value in teacher.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize('cache', [False, True])
def test_moves_along(cache):
    distiller, teacher = build(cache=cache)
    x, edge_index = graph()
    assert distiller.double() is distiller
    if not cache:
        assert all(p.dtype == torch.double for p in teacher.parameters())
        distiller.train()
        assert step(distiller, (x.double(), edge_index)).dtype == torch.double
        distiller.to(torch.float)
        assert all(p.dtype == torch.float for p in teacher.parameters())
    else:
        stored = distiller._teacher.cache
        assert stored.outputs.dtype == torch.double
        assert all(y.dtype == torch.double for y in stored.layers)
        target = distiller._teacher.prepared['abkd']
        assert target.layers[0].dtype == target.spread.dtype == torch.double
        distiller.to('meta')
        assert stored.outputs.device.type == 'meta'
        assert stored.row_sums.device.type == 'meta'
        assert target.layers[0].device.type == 'meta'


def test_moves_to_a_device():
    distiller, teacher = build()
    distiller.to('meta')
    tensors = [*teacher.parameters(), *teacher.buffers()]
    assert all(x.device.type == 'meta' for x in tensors)


def test_sums_of_features_stay_exact():
    distiller, _ = build(cache=True)
    sums = distiller._teacher.cache.row_sums.clone()
    distiller.half()
    assert torch.equal(distiller._teacher.cache.row_sums, sums)


def test_is_shared_by_copies():
    distiller, teacher = build()
    other = copy.deepcopy(distiller)
    assert other._teacher.model is teacher
    assert other.student is not distiller.student
    cached, _ = build(cache=True)
    other = copy.deepcopy(cached)
    assert other._teacher.cache is cached._teacher.cache


def test_failure_to_build_leaves_all_as_it_was():
    student, teacher = small(), big()
    for names in (
        {'student_layers': 'unknown'},
        {'teacher_layers': 'unknown'},
    ):
        with pytest.raises(ValueError, match="got 'unknown'"):
            Distiller.from_example(student, teacher, graph(), **names)
        assert all(module.training for module in student.modules())
        assert all(module.training for module in teacher.modules())
