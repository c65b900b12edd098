"""One line each: what was got, what is needed, what to try."""

import copy

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from pyg_distill.nn import ABKDLoss, Distiller, KDLoss, TeacherCache
from tests.nn.distiller.models import Hetero, big, graph, hetero_graph, small


def raises(error, message):
    return pytest.raises(error, match=message)


def one_line(info):
    assert '\n' not in str(info.value)


class Wrapped(DistributedDataParallel):
    def __init__(self, module):
        torch.nn.Module.__init__(self)
        self.module = module


def test_models():
    student, teacher = small(), big()
    inside = torch.nn.Sequential(student, teacher)
    cases = [
        (
            (student, student),
            ValueError,
            r"'teacher' must not be the student .*copy\.deepcopy\(student\)",
        ),
        (
            (student, inside),
            ValueError,
            r"'teacher' must not share parameters .*copy\.deepcopy\(teacher\)",
        ),
        (
            (print, teacher),
            TypeError,
            r"'student' must be a torch.nn.Module \(got builtin_function",
        ),
        (
            (student, 'teacher.pt'),
            TypeError,
            r"'teacher' must be a torch.nn.Module or a TeacherCache \(got str",
        ),
        (
            (Wrapped(student), teacher),
            ValueError,
            r"'student' must not be wrapped .*got Wrapped.*wrap the Distiller",
        ),
    ]
    for models, error, message in cases:
        with raises(error, message) as info:
            Distiller(*models, {'kd': KDLoss()})
        one_line(info)
        with raises(error, message) as info:
            Distiller.from_example(*models, graph())
        one_line(info)
    # The remedies work.
    Distiller.from_example(student, copy.deepcopy(student), graph())
    Distiller.from_example(student, copy.deepcopy(inside)[1], graph())


@pytest.mark.parametrize(
    'name', ['task', 'total', '', 'a.b', 'keys', 'type', 3]
)
def test_names(name):
    with raises(ValueError, r"'losses' must have names without dots") as info:
        Distiller(small(), big(), {name: KDLoss()})
    one_line(info)
    with raises(ValueError, r"'losses' must have names without dots"):
        Distiller.from_example(small(), big(), graph(), {name: KDLoss()})


def test_losses():
    for losses, message in [
        ({'a': 3}, r"'losses' must hold modules .*got int for 'a'"),
        ('kd', r"'losses' must hold modules .*got str"),
        ([KDLoss(), None], r'got NoneType'),
    ]:
        with raises(TypeError, message) as info:
            Distiller(small(), big(), losses)
        one_line(info)
    with raises(TypeError, r'from_example, which calls it') as info:
        Distiller(small(), big(), {'abkd': ABKDLoss})
    one_line(info)
    with raises(TypeError, r"'losses' must hold modules .*got int for 'a'"):
        Distiller.from_example(small(), big(), graph(), {'a': lambda t, s: 3})
    for losses in ([], {}):
        with raises(ValueError, r'at least one loss .*leave it out') as info:
            Distiller.from_example(small(), big(), graph(), losses)
        one_line(info)


@pytest.mark.parametrize(
    ('weights', 'error', 'message'),
    [
        ({'abdk': 1.0}, ValueError, r"got 'abdk'\); pass some of abkd, kd"),
        ({'kd': -1}, ValueError, r"finite and at least 0 \(got -1 for 'kd'"),
        ({'kd': float('nan')}, ValueError, r"got nan for 'kd'"),
        ([1.0, float('inf')], ValueError, r"got inf for 'kd'"),
        ({'kd': '2'}, ValueError, r"got '2' for 'kd'"),
        ({'kd': None}, ValueError, r"got None for 'kd'"),
        ([1.0], ValueError, r'one entry a loss \(got 1 for abkd, kd\)'),
        (4.0, TypeError, r'list or a dictionary of numbers \(got 4\.0\)'),
        ('12', TypeError, r"list or a dictionary of numbers \(got '12'\)"),
    ],
)
def test_weights(weights, error, message):
    student, teacher = small(), big()
    with raises(error, message) as info:
        Distiller.from_example(student, teacher, graph(), weights=weights)
    one_line(info)
    losses = {'abkd': ABKDLoss([16, 16, 5], [8, 5]), 'kd': KDLoss()}
    with raises(error, message):
        Distiller(student, teacher, losses, weights)


@pytest.mark.parametrize(
    ('kwargs', 'error', 'message'),
    [
        (
            {'batch_size': 15},
            ValueError,
            r'must not exceed .*got 15 for 14 rows\); pass data\.batch_size',
        ),
        ({'batch_size': -2}, ValueError, r'got -2 for 14 rows'),
        ({'batch_size': 0}, ValueError, 'at least one row'),
        (
            {'batch_size': {'paper': 4, 'author': 1}},
            ValueError,
            r'must be a number, or name a single node type',
        ),
        ({'size': 3, 'batch': None}, None, ''),
        ({'task_loss': 0.5}, ValueError, r"'task_loss' must .*got float"),
        (
            {'task_loss': torch.zeros(3)},
            ValueError,
            r"'task_loss' must be a tensor with a single value \(got shape \[3",
        ),
    ],
)
def test_arguments_of_loss(kwargs, error, message):
    distiller = Distiller.from_example(small(), big(), graph()).train()
    distiller(*graph())
    if error is None:
        distiller.loss(**kwargs)
        return
    with raises(error, message) as info:
        distiller.loss(**kwargs)
    one_line(info)
    # And goes on.
    distiller(*graph())
    distiller.loss().backward()


def test_nodes():
    cache = TeacherCache.from_inputs(big(), graph())
    distiller = Distiller.from_example(small(), cache, graph()).train()
    for n_id, error, message in [
        ([1, 2], TypeError, r"'n_id' must be a tensor of node .*got list"),
        (torch.ones(14).bool(), TypeError, r'got torch\.bool'),
        (torch.ones(14), TypeError, r'got torch\.float32'),
        ({'a': torch.arange(2)}, ValueError, r"'n_id' must be a tensor .*dict"),
    ]:
        distiller(*graph())
        with raises(error, message) as info:
            distiller.loss(n_id=n_id)
        one_line(info)


def test_outputs():
    class Text(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, *args):
            self.model(*args)
            return 'text'

    for models, name in [
        ((Text(small()), big()), 'student'),
        ((small(), Text(big())), 'teacher'),
    ]:
        message = rf"'{name}' must return a tensor, .*got str\); wrap it"
        with raises(ValueError, message) as info:
            Distiller.from_example(*models, graph())
        one_line(info)
        distiller = Distiller(*models, KDLoss()).train()
        with raises(ValueError, message):
            distiller(*graph())


def test_node_types():
    data = hetero_graph()
    args = (data.x_dict, data.edge_index_dict)
    student, teacher = Hetero(8, 2), Hetero(16, 3, 'paper')
    message = r"outputs for the same node types \(got \[''\] and \['author', 'p"
    with raises(ValueError, message) as info:
        Distiller.from_example(student, teacher, args)
    one_line(info)
    distiller = Distiller(student, teacher, KDLoss()).train()
    distiller(*args)
    with raises(ValueError, message) as info:
        distiller.loss()
    one_line(info)


def test_layers():
    with raises(ValueError, r"'layers' must name submodules .*got 'nothing'"):
        Distiller.from_example(
            small(), big(), graph(), teacher_layers='nothing'
        )
    losses = {'abkd': ABKDLoss([16, 16], [8, 5])}
    distiller = Distiller(small(), big(), losses).train()
    distiller(*graph())
    with raises(ValueError, r"'teacher' must hold the 2 layers that were decl"):
        distiller.loss()
    student = torch.compile(small(), backend='eager')
    with raises(ValueError, r'attach the recorder first, then compile'):
        Distiller.from_example(student, big(), graph())
