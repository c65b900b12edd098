"""One line each: what was got, what is needed, what to try."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from pyg_distill.nn import ABKDLoss, Distiller, KDLoss, LSPLoss, TeacherCache
from tests.nn.distiller.models import big, distil, graph, small, step


def refused(call, *args, error=ValueError, match, **kwargs):
    with pytest.raises(error, match=match) as info:
        call(*args, **kwargs)
    assert '\n' not in str(info.value)


class Wrapped(DistributedDataParallel):
    def __init__(self, module):
        torch.nn.Module.__init__(self)
        self.module = module


def test_models():
    student, teacher = small(), big()
    inside = torch.nn.Sequential(student, teacher)
    for models, error, match in [
        ((student, student), ValueError, r'copy\.deepcopy\(teacher\)'),
        ((student, inside), ValueError, r'share parameters .*copy\.deepcopy'),
        ((print, teacher), TypeError, r"'student' must .*got builtin_function"),
        (
            (student, 'teacher.pt'),
            TypeError,
            r"'teacher' must .*got str.*Cache",
        ),
        ((Wrapped(student), teacher), ValueError, r'got Wrapped.*wrap the Dis'),
    ]:
        refused(Distiller, *models, KDLoss(), error=error, match=match)
        make = Distiller.from_example
        refused(make, *models, graph(), error=error, match=match)
    # The remedies work.
    Distiller.from_example(student, copy.deepcopy(student), graph())
    Distiller.from_example(student, copy.deepcopy(inside)[1], graph())


@pytest.mark.parametrize(
    'name', ['task', 'total', '', 'a.b', 'keys', 'type', 3]
)
def test_names(name):
    losses, match = {name: KDLoss()}, "'losses' must have names without dots"
    refused(Distiller, small(), big(), losses, match=match)
    refused(distil, losses=losses, match=match)


@pytest.mark.parametrize(
    ('losses', 'error', 'match'),
    [
        ({'a': 3}, TypeError, "got int for 'a'.*subclass DistillationLoss"),
        ('kd', TypeError, 'got str'),
        ([KDLoss(), None], TypeError, 'got NoneType'),
        ({'a': lambda t, s: 3}, TypeError, "got int for 'a'"),
        ([torch.nn.Linear(2, 2)], TypeError, 'subclass DistillationLoss'),
        ([torch.nn.MSELoss], TypeError, 'subclass DistillationLoss'),
        ([torch.nn.MSELoss()], TypeError, 'subclass DistillationLoss'),
        ([F.mse_loss], TypeError, 'subclass DistillationLoss'),
        ([], ValueError, 'at least one loss .*leave it out'),
        ({}, ValueError, 'at least one loss'),
    ],
)
def test_losses(losses, error, match):
    refused(distil, losses=losses, error=error, match=match)
    match, error = 'ABKDLoss to Distiller.from_example', TypeError
    refused(Distiller, small(), big(), ABKDLoss, error=error, match=match)


@pytest.mark.parametrize(
    ('weights', 'match'),
    [
        ({'abdk': 1.0}, "dictionary.* losses abkd, kd .*got .*'abdk'"),
        ({'kd': -1}, "finite and at least 0 .*got -1 for 'kd'"),
        ({'kd': float('nan')}, "got nan for 'kd'"),
        ([1.0, float('inf')], "got inf for 'kd'"),
        ({'kd': '2'}, "got '2' for 'kd'"),
        ({'kd': None}, "got None for 'kd'"),
        ([1.0], r'list of 2 numbers.*got \[1\.0\]'),
        (4.0, r'dictionary, or a list .*got 4\.0'),
        ('12', "dictionary, or a list .*got '12'"),
    ],
)
def test_weights(weights, match):
    refused(distil, weights=weights, match=match)
    losses = {'abkd': ABKDLoss([16, 16, 5], [8, 5]), 'kd': KDLoss()}
    refused(Distiller, small(), big(), losses, weights, match=match)


@pytest.mark.parametrize(
    ('kwargs', 'match'),
    [
        ({'batch_size': 15}, r'must not exceed .*15 for 14 rows.*batch_size'),
        ({'batch_size': -2}, 'got -2 for 14 rows'),
        ({'batch_size': 0}, 'at least one row'),
        ({'batch_size': {'a': 4, 'b': 1}}, 'name a single node type'),
        ({'task_loss': 0.5}, "'task_loss' must .*got float"),
        ({'task_loss': torch.zeros(3)}, r"'task_loss' must .*got shape \[3"),
    ],
)
def test_arguments_of_loss(kwargs, match):
    distiller = distil()
    distiller(*graph())
    refused(distiller.loss, **kwargs, match=match)
    # And goes on.
    step(distiller)


def test_edges():
    distiller = distil(losses=LSPLoss)
    edge_index = graph()[1]
    match = "'edge_index' must be given without batch_size for 'lsp'"
    for kwargs in ({}, {'edge_index': edge_index, 'batch_size': 5}):
        distiller(*graph())
        refused(distiller.loss, **kwargs, match=match)
    step(distiller, edge_index=edge_index)


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
        match = f"'{name}' must return a tensor, .*got str.*wrap it"
        refused(Distiller.from_example, *models, graph(), match=match)
        distiller = Distiller(*models, KDLoss()).train()
        refused(distiller, *graph(), match=match)
    models = small(), big(out_channels=7)
    match = 'as many columns .*got 7 and 5.*leave it out'
    for losses in (None, KDLoss):
        make = Distiller.from_example
        refused(make, *models, graph(), losses, match=match)
    assert all(module.training for module in models[1].modules())
    # The remedy works.
    step(Distiller.from_example(*models, graph(), {'abkd': ABKDLoss}).train())


def test_layers_of_a_cache_are_those_of_the_cache():
    cache = TeacherCache.from_inputs(big(), graph())
    layers = {'teacher_layers': ['convs.0']}
    match = "'teacher_layers' must be left out"
    make = Distiller.from_example
    refused(make, small(), cache, graph(), **layers, match=match)
    refused(Distiller, small(), cache, KDLoss(), **layers, match=match)
    # The remedy works, and so does choosing while the cache is made.
    cache = TeacherCache.from_inputs(big(), graph(), layers=['convs.0'])
    for kwargs in ({}, {'cache': True, **layers}):
        source = big() if kwargs else cache
        distiller = make(small(), source, graph(), **kwargs)
        assert distiller.losses['abkd'].num_layers == (1, 2)
