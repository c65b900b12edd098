"""What is found out from an example, and what is left alone."""

import copy
from functools import partial

import pytest
import torch
from torch_geometric.nn import GCN, SAGEConv
from torch_geometric.nn.models import MLP

from pyg_distill.nn import (
    ABKDLoss,
    Distiller,
    KDLoss,
    StrideLoss,
    TeacherCache,
)
from tests.nn.distiller.models import big, graph, num_hooks, small, task


def test_widths():
    distiller = Distiller.from_example(small(), big(), graph())
    (matching,) = distiller.losses['abkd'].matchings
    assert matching.teacher_channels == [16, 16, 5]
    assert matching.student_channels == [8, 5]
    assert distiller.weights == {'abkd': 1.0, 'kd': 4.0}
    assert distiller.losses['kd'].temperature == 2.0
    widths = matching.teacher_channels, matching.student_channels
    assert str(distiller.losses['abkd']) == str(ABKDLoss(*widths))


def test_weights_beside_the_defaults():
    args = (small(), big(), graph())
    distiller = Distiller.from_example(*args, weights={'abkd': 2.0})
    assert distiller.weights == {'abkd': 2.0, 'kd': 4.0}
    distiller = Distiller.from_example(*args, weights=[2.0, 0])
    assert distiller.weights == {'abkd': 2.0, 'kd': 0.0}
    distiller = Distiller.from_example(*args, {'a': ABKDLoss, 'b': ABKDLoss})
    assert distiller.weights == {'a': 1.0, 'b': 1.0}


def test_lazy_student():
    torch.manual_seed(0)
    student = GCN(-1, 8, 2, 5)
    assert isinstance(
        student.convs[0].lin.weight, torch.nn.UninitializedParameter
    )
    plain = Distiller(student, big(), {'kd': KDLoss()})
    assert 'student=GCN with' in str(plain)
    distiller = Distiller.from_example(student, big(), graph()).train()
    assert student.convs[0].lin.weight.size() == (8, 4)
    distiller.loss(task(distiller(*graph()))).backward()
    assert student.convs[0].lin.weight.grad.abs().sum() > 0


@pytest.mark.parametrize('cache', [False, True])
def test_student_is_left_as_it_was(cache):
    student = small(dropout=0.5)
    student.norms[0].eval()
    modes = [module.training for module in student.modules()]
    assert len(set(modes)) == 2
    state = copy.deepcopy(student.state_dict())
    Distiller.from_example(student, big(), graph(), cache=cache)
    assert [module.training for module in student.modules()] == modes
    for key, value in student.state_dict().items():
        assert torch.equal(value, state[key]), key
    assert all(p.grad is None for p in student.parameters())


FORMS = {
    'class': (ABKDLoss, ['abkd']),
    'preset': (ABKDLoss.paper, ['paper']),
    'stride': (StrideLoss, ['stride']),
    'partial': (partial(ABKDLoss, attention='diagonal'), ['abkd']),
    'function': (lambda t, s: ABKDLoss(t, s), ['loss']),
    'module': (ABKDLoss([16, 16, 5], [8, 5]), ['abkd']),
    'list': ([ABKDLoss, KDLoss()], ['abkd', 'kd']),
    'classes': ((ABKDLoss, KDLoss), ['abkd', 'kd']),
    'kd partial': ([partial(KDLoss, temperature=7.0)], ['kd']),
    'twice': ([ABKDLoss, ABKDLoss, StrideLoss], ['abkd', 'abkd2', 'stride']),
    'dict': ({'x': ABKDLoss, 'y': KDLoss()}, ['x', 'y']),
    'ModuleDict': (torch.nn.ModuleDict({'x': KDLoss()}), ['x']),
    'ModuleList': (torch.nn.ModuleList([KDLoss(), KDLoss()]), ['kd', 'kd2']),
    'none': (None, ['abkd', 'kd']),
}


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('cache', [False, True])
def test_forms_of_losses(form, cache):
    losses, names = FORMS[form]
    distiller = Distiller.from_example(
        small(), big(), graph(), losses, cache=cache
    ).train()
    assert list(distiller.losses) == names
    distiller.loss(task(distiller(*graph()))).backward()
    grads = [p.grad for p in distiller.parameters()]
    assert all(grad is not None for grad in grads)
    if form == 'partial':
        assert distiller.losses['abkd'].attention == 'diagonal'
    elif form == 'kd partial':
        assert distiller.losses['kd'].temperature == 7.0
    elif form == 'preset':
        assert distiller.losses['paper'].granularity == 'pooled'


def test_forms_of_examples():
    x, edge_index = graph()
    for example in [
        (x, edge_index),
        {'x': x, 'edge_index': edge_index},
    ]:
        distiller = Distiller.from_example(small(), big(), example)
        assert distiller.losses['abkd'].num_layers == (3, 2)


def test_a_single_argument():
    distiller = Distiller.from_example(
        MLP([4, 8, 5], norm=None),
        MLP([4, 16, 16, 5], norm=None),
        graph()[0],
        student_layers='lins.*',
        teacher_layers='lins.*',
    )
    assert distiller.losses['abkd'].num_layers == (3, 2)


def test_other_columns():
    message = (
        r"'teacher' and 'student' must return as many columns .*got 7 and 5.*"
        r'leave it out'
    )
    teacher = big(out_channels=7)
    with pytest.raises(ValueError, match=message) as info:
        Distiller.from_example(small(), teacher, graph())
    assert '\n' not in str(info.value)
    assert all(module.training for module in teacher.modules())
    with pytest.raises(ValueError, match=message):
        Distiller.from_example(small(), big(out_channels=7), graph(), KDLoss)
    # The remedy works.
    distiller = Distiller.from_example(
        small(), big(out_channels=7), graph(), losses={'abkd': ABKDLoss}
    ).train()
    distiller.loss(task(distiller(*graph()))).backward()


def test_hooks_are_those_of_the_distiller():
    student, teacher = small(), big()
    assert num_hooks(student) == 0
    distiller = Distiller.from_example(student, teacher, graph())
    # Before and after the model, and after each layer.
    assert num_hooks(student) == 4
    assert num_hooks(teacher) == 5
    distiller.export()
    assert num_hooks(student) == num_hooks(teacher) == 0
    Distiller.from_example(student, teacher, graph(), cache=True)
    assert num_hooks(teacher) == 0


def test_one_model_of_layers_called_twice():
    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = SAGEConv(4, 4)
            self.lin = torch.nn.Linear(4, 5)

        def forward(self, x, edge_index):
            for _ in range(2):
                x = self.conv(x, edge_index).tanh()
            return self.lin(x)

    distiller = Distiller.from_example(Tied(), big(), graph()).train()
    assert distiller.losses['abkd'].num_layers == (3, 2)
    distiller.loss(task(distiller(*graph()))).backward()


def test_example_that_fails():
    student, teacher = small(), big()
    x, edge_index = graph()
    # Held by the exception, nothing would be removed by itself.
    error = (IndexError, RuntimeError)
    with pytest.raises(error, match=r'size|larger') as info:
        Distiller.from_example(student, teacher, (x[:3], edge_index))
    assert num_hooks(student) == num_hooks(teacher) == 0
    assert all(module.training for module in student.modules())
    del info


def test_layers_of_a_cache_are_those_of_the_cache():
    cache = TeacherCache.from_inputs(big(), graph())
    layers = {'teacher_layers': ['convs.0']}
    with pytest.raises(ValueError, match="'teacher_layers' must be left out"):
        Distiller.from_example(small(), cache, graph(), [KDLoss()], **layers)
    with pytest.raises(ValueError, match="'teacher_layers' must be left out"):
        Distiller(small(), cache, [KDLoss()], **layers)
    # The remedy works, and so does choosing as the cache is made.
    cache = TeacherCache.from_inputs(big(), graph(), layers=['convs.0'])
    assert Distiller.from_example(small(), cache, graph()).train() is not None
    Distiller.from_example(small(), big(), graph(), cache=True, **layers)
