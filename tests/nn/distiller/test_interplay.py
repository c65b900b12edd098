"""What models, graphs and loops do that concerns both teacher and student."""

import contextlib
import copy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.data import Data
from torch_geometric.nn import GCN, MLP, GCNConv, SAGEConv

from pyg_distill.nn.losses import DistillationLoss
from pyg_distill.nn import ABKDLoss, Distiller, KDLoss, TeacherCache
from tests.nn.distiller.models import big, graph, small, task


class Writer(torch.nn.Module):
    """Puts other tensors into what it is given, as many models do."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.lin = torch.nn.Linear(4, 4)
        self.conv1 = SAGEConv(4, 4)
        self.conv2 = SAGEConv(4, 5)

    def forward(self, data, edge_index=None):
        if self.kind == 'data':
            data.x = self.lin(data.x).relu()
            x, edge_index = data.x, data.edge_index
        else:
            data['v'] = self.lin(data['v']).relu()
            x = data['v']
        return self.conv2(self.conv1(x, edge_index).relu(), edge_index)


@pytest.mark.parametrize('cache', [False, True])
@pytest.mark.parametrize('kind', ['data', 'dict'])
def test_models_that_write_into_their_inputs(kind, cache):
    x, edge_index = graph()

    def args():
        if kind == 'data':
            return (Data(x, edge_index),)
        return {'v': x}, edge_index

    student, teacher = Writer(kind), Writer(kind)
    want = copy.deepcopy(student)(*args())
    distiller = Distiller.from_example(student, teacher, args(), cache=cache)
    for _ in range(2):
        torch.testing.assert_close(distiller(*args()), want)
        distiller.loss(task(want))
    given = args()
    TeacherCache.from_inputs(teacher, given)
    seen = given[0].x if kind == 'data' else given[0]['v']
    assert seen is x


def test_an_example_is_not_what_layers_cache():
    x, edge_index = graph()
    student = GCN(4, 8, 2, 5, cached=True)
    teacher = GCN(4, 16, 3, 5, cached=True)
    wants = [copy.deepcopy(m).eval()(x, edge_index) for m in (student, teacher)]
    example = (x, edge_index[:, :5])
    Distiller.from_example(student, teacher, example)
    for model, want in zip((student, teacher), wants, strict=True):
        torch.testing.assert_close(model.eval()(x, edge_index), want)


def test_students_that_teach_each_other():
    args = graph()
    a = GCN(4, 8, 2, 5, dropout=0.5)
    b = GCN(4, 8, 2, 5, dropout=0.5)
    first = Distiller.from_example(a, b, args)
    second = Distiller.from_example(b, a, args)
    # Both are in training mode, as new modules are.
    for _ in range(2):
        for distiller in (first, second):
            out = distiller(*args)
            # Dropout is on.
            assert not torch.equal(out, distiller.student.eval()(*args))
            distiller.student.train()
            distiller.loss(task(out)).backward()
        assert a.training
        assert b.training


def test_a_student_becomes_a_teacher():
    # Compiled code is far slower if the mode changes in every call.
    args = graph()
    first = Distiller.from_example(small(), big(), args).train()
    student = first.export()
    assert student.training
    Distiller.from_example(small(), student, args)
    assert not any(module.training for module in student.modules())
    # And learns again, as it did before.
    Distiller.from_example(student, big(), args)
    assert all(module.training for module in student.modules())


@pytest.mark.parametrize('fails', [False, True])
@pytest.mark.parametrize('of', ['inputs', 'loader'])
def test_a_cache_leaves_modes_as_they_are(of, fails):
    x, edge_index = graph()
    model = GCN(4, 8, 2, 5, dropout=0.5, norm='batch_norm').train()
    model.convs[0].eval()
    modes = [module.training for module in model.modules()]
    mean = model.norms[0].module.running_mean.clone()
    wrong = {'inputs': (x[:, :2], edge_index)} if fails else {}
    if of == 'inputs':
        call = partial(
            TeacherCache.from_inputs, model, wrong.get('inputs', graph())
        )
    else:
        n_id = torch.arange(len(x))
        loader = [Data(x, edge_index, n_id=n_id, batch_size=5)]
        inputs = (lambda batch: wrong['inputs']) if fails else None
        call = partial(TeacherCache.from_loader, model, loader, inputs)
    with pytest.raises(RuntimeError) if fails else contextlib.nullcontext():
        call()
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(model.norms[0].module.running_mean, mean)


def test_a_call_without_its_loss():
    args = graph()
    distiller = Distiller.from_example(small(), big(), args)
    distiller(*args)
    with pytest.raises(RuntimeError, match=r'called twice .* clear'):
        distiller(*args)
    distiller.clear()
    out = distiller(*args)
    distiller.loss(task(out)).backward()
    # Calls that only evaluate are no steps.
    distiller.eval()
    distiller(*args)
    distiller(*args)


def test_inputs_that_are_no_tensors_are_part_of_what_is_cached():
    class Scaled(torch.nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.conv = GCNConv(4, 5)

        def forward(self, x, edge_index, scale=1.0, other=None):
            return self.conv(scale * x, edge_index)

    x, edge_index = graph()
    example = {'x': x, 'edge_index': edge_index, 'scale': 1.0}
    distiller = Distiller.from_example(
        Scaled(4), Scaled(8), example, cache=True
    )
    # The order of arguments does not matter.
    out = distiller(scale=1.0, edge_index=edge_index, x=x)
    distiller.loss(task(out))
    out = distiller(**{**example, 'scale': 50.0})
    with pytest.raises(ValueError, match='cached for other inputs'):
        distiller.loss(task(out))


def test_inputs_in_an_object_of_any_kind():
    class Inputs:
        def __init__(self, x, edge_index):
            self.x = x
            self.edge_index = edge_index

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = GCNConv(4, 5)

        def forward(self, inputs):
            return self.conv(inputs.x, inputs.edge_index)

    x, edge_index = graph()
    distiller = Distiller.from_example(
        Net(), Net(), (Inputs(x, edge_index),), cache=True
    )
    distiller.loss(task(distiller(Inputs(x.clone(), edge_index))))
    out = distiller(Inputs(2 * x, edge_index))
    with pytest.raises(ValueError, match='cached for other inputs'):
        distiller.loss(task(out))


@pytest.mark.parametrize('cache', [False, True])
def test_models_that_change_layers_in_place(cache):
    args = graph()

    def build(channels):
        act = torch.nn.ReLU(inplace=True)
        return GCN(4, channels, 2, 5, act=act)

    make = Distiller.from_example
    student, teacher = build(8), build(16)
    message = r'changed in-place .* clone=True'
    with pytest.raises(RuntimeError, match=message):
        make(student, teacher, args, cache=cache)(*args)
    distiller = make(student, teacher, args, cache=cache, clone=True)
    out = distiller(*args)
    loss = distiller.loss()
    with torch.no_grad():
        x = teacher.convs[0](*args)
        taught = [x, teacher.convs[1](x.relu(), args[1])]
        x = student.convs[0](*args)
        learned = [x, student.convs[1](x.relu(), args[1])]
        want = distiller.losses['abkd'](taught, learned)
        want = want + 4 * KDLoss()(taught[1], out)
    torch.testing.assert_close(loss, want)


def test_a_student_that_sees_no_edges():
    x, edge_index = graph()
    cache = TeacherCache.from_inputs(big(), (x, edge_index))
    student = MLP([4, 8, 5], norm=None)
    distiller = Distiller.from_example(
        student, cache, (x,), student_layers=['lins.*']
    )
    everyone = torch.arange(x.size(0))
    out = distiller(x)
    distiller.loss(task(out), n_id=everyone).backward()
    assert all(p.grad is not None for p in student.parameters())


def test_losses_get_what_they_take():
    class Last(DistillationLoss):
        def forward(self, teacher, student):
            return (teacher[-1] - student[-1]).square().mean()

    args = graph()
    losses = [Last(), lambda t, s: ABKDLoss(t, s, granularity='graph')]
    distiller = Distiller.from_example(small(), big(), args, losses)
    batch = torch.arange(args[0].size(0)) % 3
    out = distiller(*args)
    distiller.loss(task(out), batch=batch, size=3)
    assert set(distiller.loss_dict()) == {'task', 'last', 'loss', 'total'}


@pytest.mark.parametrize('loss', [torch.nn.MSELoss(), F.mse_loss])
def test_losses_that_do_not_say_what_they_compare(loss):
    with pytest.raises(TypeError, match="needs = 'logits'"):
        Distiller.from_example(small(), big(), graph(), [loss])

    class OutputLoss(torch.nn.MSELoss):
        needs = 'logits'

    distiller = Distiller.from_example(small(), big(), graph(), [OutputLoss()])
    distiller.loss(task(distiller(*graph())))
