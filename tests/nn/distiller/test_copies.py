"""Optimizers, checkpoints, copies, and the student that is left."""

import copy
import gc
import subprocess
import sys

import pytest
import torch
from torch.optim.swa_utils import AveragedModel
from torch_geometric.nn import GCN

from pyg_distill.nn.losses import DistillationLoss
from pyg_distill.nn import Distiller, KDLoss, TeacherCache
from tests.nn.distiller.models import big, calls, graph, num_hooks, small, task

CODE = """
import sys
sys.modules['pyg_distill'] = None
import torch
for name in sys.argv[1:]:
    model, args, out = torch.load(name, weights_only=False)
    assert torch.equal(model.eval()(*args), out)
    model.train()(*args).sum().backward()
"""


def build(**kwargs):
    return Distiller.from_example(small(), big(), graph(), **kwargs).train()


def step(distiller, lr=0.1):
    optimizer = torch.optim.SGD(distiller.parameter_groups(lr=lr))
    optimizer.zero_grad()
    loss = distiller.loss(task(distiller(*graph())))
    loss.backward()
    optimizer.step()
    return loss.detach()


def test_parameter_groups():
    distiller = build()
    student, losses = distiller.parameter_groups()
    assert student == {'params': list(distiller.student.parameters())}
    assert losses['params'] == list(distiller.losses.parameters())
    assert losses['weight_decay'] == 0
    assert 'lr' not in losses
    student, losses = distiller.parameter_groups(0.1, 0.2, 0.3)
    assert (student['lr'], student['weight_decay']) == (0.1, 0.2)
    assert (losses['lr'], losses['weight_decay']) == (0.3, 0.0)
    student, losses = distiller.parameter_groups(lr=0.1)
    assert losses['lr'] == student['lr'] == 0.1
    student, losses = distiller.parameter_groups(loss_lr=0.3)
    assert losses['lr'] == 0.3
    assert 'lr' not in student

    groups = distiller.parameter_groups(loss_lr=0.3)
    adam = torch.optim.Adam(groups, lr=0.5, weight_decay=0.7)
    assert [g['lr'] for g in adam.param_groups] == [0.5, 0.3]
    assert [g['weight_decay'] for g in adam.param_groups] == [0.7, 0]
    count = sum(len(g['params']) for g in adam.param_groups)
    assert count == len(list(distiller.parameters()))


def test_export(tmp_path):
    distiller = build()
    step(distiller)
    files = []
    for name, each in [('a', distiller), ('b', copy.deepcopy(distiller))]:
        student = each.export()
        assert student is each.student
        args = graph()
        out = student.eval()(*args).detach()
        files.append(str(tmp_path / name))
        torch.save((student, args, out), files[-1])
        # What is left calls the student, and says that it is no more.
        assert torch.equal(each.eval()(*args), out)
        each.train()(*args)
        with pytest.raises(RuntimeError, match=r'after export\(\); make a new'):
            each.loss()
        assert 'teacher=none' in str(each)
    assert num_hooks(distiller.student) == 0
    result = subprocess.run(
        [sys.executable, '-c', CODE, *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_export_of_one_copy():
    distiller = build()
    want = step(copy.deepcopy(distiller))
    copy.deepcopy(distiller).export()
    teacher = distiller._teacher.model
    torch.testing.assert_close(step(distiller), want)
    other = copy.deepcopy(distiller)
    distiller.export()
    step(other)
    assert num_hooks(teacher) > 0
    other.export()
    gc.collect()
    assert num_hooks(teacher) == 0


def test_state_dict():
    distiller = build()
    step(distiller)
    state = copy.deepcopy(distiller.state_dict())
    want = distiller.eval()(*graph())
    other = build()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    other.load_state_dict(state)
    assert torch.equal(other.eval()(*graph()), want)
    torch.testing.assert_close(
        step(other.train()), step(distiller.train()), rtol=0, atol=0
    )
    # Without a teacher or losses, the student's part is the student's.
    plain = small(seed=9)
    plain.load_state_dict(
        {
            key.removeprefix('student.'): value
            for key, value in state.items()
            if key.startswith('student.')
        }
    )
    assert torch.equal(plain.eval()(*graph()), want)


@pytest.mark.parametrize('cache', [False, True])
@pytest.mark.parametrize('make', [copy.deepcopy, AveragedModel])
def test_copies_train_by_themselves(make, cache):
    distiller = build(cache=cache)
    # In the middle of a step, which is not copied.
    distiller(*graph())
    other = make(distiller)
    twin = other.module if make is AveragedModel else other
    with pytest.raises(RuntimeError, match='nothing to compare'):
        twin.loss()
    distiller.loss()
    before = copy.deepcopy(distiller.state_dict())
    first = step(twin)
    step(twin)
    for key, value in distiller.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert distiller._teacher is not None
    if not cache:
        assert twin._teacher.model is distiller._teacher.model
    state = copy.deepcopy(twin.state_dict())
    torch.testing.assert_close(step(distiller), first)
    for key, value in twin.state_dict().items():
        assert torch.equal(value, state[key]), key
    # Each records its own student.
    distiller(*graph())
    twin(*graph(seed=5))
    loss = distiller.loss()
    loss.backward()
    assert all(p.grad is not None for p in distiller.parameters())


def test_averages():
    distiller = build()
    average = AveragedModel(distiller)
    average.update_parameters(distiller)
    start = distiller.student.convs[0].lin.weight.detach().clone()
    step(distiller)
    average.update_parameters(distiller)
    now = distiller.student.convs[0].lin.weight.detach()
    got = average.module.student.convs[0].lin.weight
    torch.testing.assert_close(got.detach(), (start + now) / 2)
    asked = calls(distiller._teacher.model)
    average.eval()(*graph())
    assert not asked


@pytest.mark.parametrize('cache', [False, True])
def test_saved_as_a_whole(cache, tmp_path):
    distiller = build(cache=cache)
    distiller(*graph())
    torch.save(distiller, tmp_path / 'distiller.pt')
    distiller.loss()
    other = torch.load(tmp_path / 'distiller.pt', weights_only=False)
    assert str(other) == str(distiller)
    with pytest.raises(RuntimeError, match='nothing to compare'):
        other.loss()
    torch.testing.assert_close(step(other), step(distiller), rtol=0, atol=0)
    if cache:
        other(*graph(seed=5))
        with pytest.raises(ValueError, match='cached for other inputs'):
            other.loss()


def test_print():
    distiller = Distiller.from_example(
        small(norm=None), big(), graph(), weights={'abkd': 0.5, 'kd': 10}
    )
    loss = distiller.losses['abkd']
    own = sum(p.numel() for p in loss.parameters())
    assert str(distiller) == (
        'Distiller(\n'
        '  teacher=GCN with 501 parameters, layers convs.0, convs.1, convs.2,\n'
        '  student=GCN with 85 parameters, 5.9 times fewer, layers convs.0, '
        'convs.1,\n'
        '  loss=task + 0.5 * abkd + 10 * kd,\n'
        f'  abkd={loss}, {own} parameters of its own,\n'
        '  kd=KDLoss(temperature=2),\n'
        ')'
    )
    assert repr(distiller) == str(distiller)
    distiller.export()
    assert '  teacher=none since export(),\n' in str(distiller)
    assert '  student=GCN with 85 parameters,\n' in str(distiller)
    cached = Distiller(
        small(norm=None),
        TeacherCache(torch.zeros(2000, 5), [torch.zeros(2000, 1024)]),
        [KDLoss()],
    )
    assert str(cached) == (
        'Distiller(\n'
        '  teacher=TeacherCache of 2,000 nodes in 39.1 KiB, the teacher itself '
        'never runs,\n'
        '  student=GCN with 85 parameters,\n'
        '  loss=task + 1 * kd,\n'
        '  kd=KDLoss(temperature=2),\n'
        ')'
    )


def test_print_of_losses_and_layers_that_are_many():
    class Deep(DistillationLoss):
        needs = 'logits'

        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Linear(2, 3)

        def forward(self, teacher, student):
            return (teacher - student).square().mean()

    deep = GCN(4, 8, 12, 5)
    text = str(Distiller(small(), deep, Deep()))
    assert '  deep=Deep, 9 parameters of its own,\n' in text
    text = str(Distiller.from_example(small(), deep, graph()))
    assert 'convs.5, ..., convs.11,\n' in text


def test_print_of_a_cache():
    outputs, layers = torch.zeros(3, 2), [torch.zeros(3, 4)] * 2
    cache = TeacherCache(outputs, layers)
    assert str(cache) == 'TeacherCache(3 nodes, layers=[4, 4], 120 bytes)'
    cache = TeacherCache(torch.zeros(2**20, 1), [])
    assert str(cache) == 'TeacherCache(1,048,576 nodes, layers=[], 4.0 MiB)'
    cache = TeacherCache({'a': outputs}, [{'a': layers[0]}])
    assert str(cache) == "TeacherCache(3 nodes, layers=[{'a': 4}], 72 bytes)"
