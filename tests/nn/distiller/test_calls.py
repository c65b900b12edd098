"""Calling a distiller is calling its student."""

import pytest
import torch
from torch_geometric.data import Data

from pyg_distill.nn.losses import DistillationLoss
from pyg_distill.nn import Distiller, KDLoss
from tests.nn.distiller.models import big, calls, graph, small, task


class Returns(torch.nn.Module):
    """Wraps a model, and returns something else."""

    def __init__(self, model, form):
        super().__init__()
        self.model = model
        self.form = form

    def forward(self, *args, **kwargs):
        out = self.model(*args, **kwargs)
        self.out = self.form(out)
        return self.out


class OfData(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, data, scale=1.0):
        return self.model(data.x, data.edge_index) * scale


def test_keywords():
    x, edge_index = graph()
    edge_weight = torch.rand(edge_index.size(1))
    student, teacher = small(), big()
    distiller = Distiller.from_example(
        student, teacher, {'x': x, 'edge_index': edge_index}
    ).train()
    out = distiller(x, edge_index, edge_weight=edge_weight)
    torch.testing.assert_close(out, student(x, edge_index, edge_weight))
    distiller.loss()
    # The teacher was given them, too.
    with torch.no_grad():
        want = KDLoss()(teacher(x, edge_index, edge_weight), out)
        other = KDLoss()(teacher(x, edge_index), out)
    torch.testing.assert_close(distiller.loss_dict()['kd'], want)
    assert not torch.allclose(want, other)


def test_data_object():
    x, edge_index = graph()
    data = Data(x=x, edge_index=edge_index)
    student, teacher = OfData(small()), OfData(big())
    for cache in (False, True):
        distiller = Distiller.from_example(student, teacher, data, cache=cache)
        distiller.train()
        assert torch.equal(distiller(data), student(data))
        distiller.loss().backward()
        distiller(data, scale=2.0) if not cache else distiller(data)
        distiller.loss()
        distiller.export()


@pytest.mark.parametrize(
    'form',
    [
        lambda out: (out, {'more': 1}),
        lambda out: [None, out],
        lambda out: {'nodes': out},
        lambda out: ({'nodes': out}, 3),
    ],
)
def test_forms_of_output(form):
    args = graph()
    student, teacher = Returns(small(), form), Returns(big(), form)
    distiller = Distiller.from_example(student, teacher, args).train()
    out = distiller(*args)
    assert out is student.out
    loss = distiller.loss()
    logits = student.out
    while not isinstance(logits, torch.Tensor):
        values = logits.values() if isinstance(logits, dict) else logits
        logits = next(v for v in values if isinstance(v, torch.Tensor | dict))
    with torch.no_grad():
        want = KDLoss()(teacher.model(*args), logits)
    torch.testing.assert_close(distiller.loss_dict()['kd'], want)
    assert loss.requires_grad
    distiller.eval()
    assert distiller(*args) is student.out


def test_evaluation_is_the_student_alone():
    args = graph()
    student, teacher = small(), big()
    distiller = Distiller.from_example(student, teacher, args)
    asked = calls(teacher)
    want = student.eval()(*args)
    distiller.eval()
    assert torch.equal(distiller(*args), want)
    # Nothing of the graph is held back.
    assert distiller._recorder._store.captures == []
    distiller.train()
    with torch.no_grad():
        distiller(*args)
    assert not asked
    with pytest.raises(RuntimeError, match='nothing to compare'):
        distiller.loss()
    distiller(*args)
    assert len(asked) == 1
    assert distiller._recorder._store.captures == []
    assert distiller._teacher.recorder._store.captures == []


def test_evaluation_before_the_loss():
    args = graph()
    student, teacher = small(), big()
    distiller = Distiller.from_example(student, teacher, args).train()
    distiller(*args)
    want = distiller.loss()
    want.backward()
    grads = [p.grad.clone() for p in distiller.parameters()]
    distiller.zero_grad()

    distiller(*args)
    distiller.eval()
    with torch.no_grad():
        distiller(*graph(seed=5))
    distiller(*graph(seed=5))
    student(*graph(seed=6))
    distiller.train()
    loss = distiller.loss()
    torch.testing.assert_close(loss, want)
    loss.backward()
    for parameter, grad in zip(distiller.parameters(), grads, strict=True):
        torch.testing.assert_close(parameter.grad, grad)


def test_one_loss_for_each_call():
    args = graph()
    distiller = Distiller.from_example(small(), big(), args).train()
    message = r"'Distiller' has nothing to compare; call it .* training mode"
    with pytest.raises(RuntimeError, match=message):
        distiller.loss()
    distiller(*args)
    distiller.loss()
    with pytest.raises(RuntimeError, match=message):
        distiller.loss()


@pytest.mark.parametrize('who', ['student', 'teacher'])
@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt])
def test_exception_in_mid_forward(who, error):
    args = graph()
    models = {'student': small(), 'teacher': big()}
    distiller = Distiller.from_example(**models, example=args).train()
    want = distiller.loss(task(distiller(*args)))

    def fail(module, args):
        raise error('broken')

    hook = models[who].convs[1].register_forward_pre_hook(fail)
    with pytest.raises(error, match='broken'):
        distiller(*args)
    with pytest.raises(RuntimeError, match='nothing to compare'):
        distiller.loss()
    hook.remove()
    loss = distiller.loss(task(distiller(*args)))
    torch.testing.assert_close(loss, want)
    loss.backward()


def test_gradient_accumulation():
    distiller = Distiller.from_example(small(), big(), graph()).train()
    total = []
    for seed in range(2):
        args = graph(seed=seed)
        total.append(distiller.loss(task(distiller(*args))))
    # Both graphs are still there.
    sum(total).backward()


@pytest.mark.parametrize('clone', [False, True])
@pytest.mark.parametrize('change', ['relu_', 'sigmoid_', 'zero_'])
def test_outputs_that_are_changed_in_place(clone, change):
    distiller = Distiller.from_example(small(), big(), graph(), clone=clone)
    out = distiller.train()(*graph())
    with torch.no_grad():
        getattr(out, change)()
    with pytest.raises(RuntimeError, match='changed in-place before loss'):
        distiller.loss()
    # The next step is as good as ever.
    distiller(*graph())
    distiller.loss().backward()


def test_a_loss_without_weight_is_left_out():
    class Broken(DistillationLoss):
        needs = 'logits'

        def forward(self, teacher, student):
            return (teacher - student).sum() * torch.nan

    losses = {'kd': KDLoss(), 'broken': Broken()}
    distiller = Distiller.from_example(
        small(), big(), graph(), losses, {'kd': 2.0, 'broken': 0}
    ).train()
    total = distiller.loss(task(distiller(*graph())))
    parts = distiller.loss_dict()
    assert parts['broken'].isnan()
    torch.testing.assert_close(total, parts['task'] + 2 * parts['kd'])
    total.backward()
    assert all(p.grad.isfinite().all() for p in distiller.parameters())
    # Unless there is nothing else.
    alone = Distiller.from_example(
        small(), big(), graph(), {'kd': KDLoss()}, {'kd': 0}
    ).train()
    alone(*graph())
    alone.loss().backward()


def test_a_type_without_nodes():
    class Typed(torch.nn.Module):
        def __init__(self, width):
            super().__init__()
            self.lin = torch.nn.Linear(4, width)
            self.head = torch.nn.Linear(width, 3)

        def forward(self, x):
            return {key: self.head(self.lin(v)) for key, v in x.items()}

    x = {'a': torch.randn(6, 4), 'b': torch.randn(5, 4)}
    distiller = Distiller.from_example(
        Typed(2), Typed(8), (x,), {'kd': KDLoss()}
    ).train()
    distiller({'a': x['a'], 'b': x['b'][:0]})
    few = distiller.loss()
    distiller({'a': x['a']})
    torch.testing.assert_close(few, distiller.loss())
    distiller({'a': x['a'][:0], 'b': x['b'][:0]})
    with pytest.raises(ValueError, match='skip empty batches'):
        distiller.loss()
