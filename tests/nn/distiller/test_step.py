"""A step of a distiller is the step that one would write by hand."""

import copy
import sys
from functools import partial
from pathlib import Path
from types import FrameType

import pytest
import torch
from torch_geometric.nn import GCN

import pyg_distill
from pyg_distill.nn import (
    ABKDLoss,
    DistillationLoss,
    Distiller,
    KDLoss,
    StrideLoss,
    TeacherCache,
)
from tests.nn.distiller.models import (
    LastLayer,
    Logits,
    PreparedLastLayer,
    big,
    calls,
    distil,
    graph,
    num_hooks,
    recorded,
    small,
    step,
    task,
)

WEIGHTS = {'abkd': 0.5, 'kd': 3.0}


def build(cache):
    """A distiller, and copies of all that it consists of."""
    torch.manual_seed(3)
    losses = {
        'abkd': ABKDLoss([16, 16, 5], [8, 5], 'uniform'),
        'kd': KDLoss(4.0),
    }
    # What is added to all nodes is taken away by the batch norm.
    student, teacher = small(bias=False), big()
    copies = copy.deepcopy([student, teacher, losses])
    distiller = Distiller.from_example(
        student, teacher, graph(), losses, WEIGHTS, cache=cache
    )
    return distiller.train(), *copies


def by_hand(student, teacher, losses, *args):
    """The loss of one step, as it is without a distiller."""
    x, edge_index = args
    layers = []
    for i, conv in enumerate(student.convs):
        x = conv(x, edge_index)
        layers.append(x)
        x = student.norms[i](x).relu() if i == 0 else x
    with torch.no_grad():
        logits = teacher.eval()(*args)
    abkd = losses['abkd'](recorded(teacher, args), layers)
    kd = losses['kd'](logits, x)
    return task(x) + WEIGHTS['abkd'] * abkd + WEIGHTS['kd'] * kd


@pytest.mark.parametrize('cache', [False, True])
def test_steps(cache):
    distiller, student, teacher, losses = build(cache)
    groups = distiller.parameter_groups(lr=0.01, weight_decay=0.1)
    optimizer = torch.optim.Adam(groups)
    own = [
        {'params': student.parameters(), 'weight_decay': 0.1},
        {'params': [*losses['abkd'].parameters()], 'weight_decay': 0.0},
    ]
    by_itself = torch.optim.Adam(own, lr=0.01)
    expected = {
        **{f'student.{k}': p for k, p in student.named_parameters()},
        **{
            f'losses.{name}.{k}': p
            for name, module in losses.items()
            for k, p in module.named_parameters()
        },
    }
    start = copy.deepcopy(student.state_dict())
    found = dict(distiller.named_parameters())
    assert found.keys() == expected.keys()
    for number in range(4):
        loss = step(distiller, optimizer=optimizer)
        by_itself.zero_grad()
        want = by_hand(student, teacher, losses, *graph())
        want.backward()
        by_itself.step()
        torch.testing.assert_close(loss, want.detach(), rtol=1e-4, atol=1e-5)
        if number == 0:
            for key, parameter in found.items():
                torch.testing.assert_close(parameter.grad, expected[key].grad)
                assert parameter.grad.abs().sum() > 0
    state = distiller.student.state_dict()
    for key, value in student.state_dict().items():
        torch.testing.assert_close(state[key], value, rtol=1e-3, atol=1e-4)
        assert not torch.equal(value, start[key])


@pytest.mark.parametrize('with_task', [False, True])
def test_loss_dict(with_task):
    distiller, student, teacher, losses = build(False)
    assert distiller.loss_dict() == {}
    out = distiller(*graph())
    loss = distiller.loss(task(out) if with_task else None)
    assert loss.requires_grad
    parts = distiller.loss_dict()
    names = ['task'] * with_task + ['abkd', 'kd', 'total']
    assert list(parts) == names
    assert not any(value.requires_grad for value in parts.values())
    torch.testing.assert_close(parts['total'], loss.detach())
    total = 0.5 * parts['abkd'] + 3.0 * parts['kd']
    if with_task:
        torch.testing.assert_close(parts['task'], task(out).detach())
        total += parts['task']
    torch.testing.assert_close(total, loss.detach())
    with torch.no_grad():
        kd = losses['kd'](teacher.eval()(*graph()), student(*graph()))
    torch.testing.assert_close(parts['kd'], kd)
    parts.clear()
    assert len(distiller.loss_dict()) == len(names)


@pytest.mark.parametrize('loss', [LastLayer, PreparedLastLayer, Logits])
@pytest.mark.parametrize('source', ['teacher', 'cache', 'cache of rows'])
def test_losses_of_ones_own(loss, source):
    student, teacher = small(), big()
    args, kwargs, rows = graph(), {}, slice(None)
    side = teacher
    if source == 'cache of rows':
        side = TeacherCache.from_inputs(teacher, args)
        rows = torch.tensor([4, 1, 9])
        args = (args[0][rows], torch.tensor([[0, 1, 2], [1, 2, 0]]))
        kwargs = {'n_id': rows}
    distiller = Distiller.from_example(
        student, side, graph(), [loss(), Logits()], [2.0, 0.0],
        cache=source == 'cache',
    ).train()  # fmt: skip
    out = distiller(*args)
    value = distiller.loss(**kwargs)
    with torch.no_grad():
        gap = teacher.eval()(*graph())[rows] - out
    want = gap.abs().mean() if loss is Logits else gap.square().mean()
    torch.testing.assert_close(value.detach(), 2 * want.detach())
    assert value.requires_grad
    name = 'logits2' if loss is Logits else 'logits'
    torch.testing.assert_close(distiller.loss_dict()[name], gap.abs().mean())


def test_losses_get_exactly_what_they_declare():
    seen = {}

    def make(name, **declared):
        def forward(self, teacher, student, **context):
            seen[name] = context
            return student[-1].sum() * 0

        body = {'forward': forward, **declared}
        return type(name, (DistillationLoss,), body)()

    losses = {
        'plain': make('plain'),
        'edges': make('edges', needs_edges=True),
        'batch': make('batch', needs_batch=True),
        'logits': make('logits', needs='logits', needs_batch=True),
    }
    x, edge_index = graph()
    batch = torch.arange(len(x)) % 3
    distiller = distil(losses=losses)
    step(distiller, batch=batch, size=3, edge_index=edge_index)
    assert seen['plain'] == {}
    assert list(seen['edges']) == ['edge_index']
    assert seen['edges']['edge_index'] is edge_index
    assert list(seen['batch']) == list(seen['logits']) == ['batch', 'size']
    assert seen['batch']['batch'] is batch
    assert seen['batch']['size'] == 3


def test_a_loss_without_weight_is_left_out():
    class Broken(Logits):
        def forward(self, teacher, student):
            return (teacher - student).sum() * torch.nan

    losses, weights = {'kd': KDLoss(), 'broken': Broken()}, [2.0, 0]
    distiller = distil(losses=losses, weights=weights)
    total = step(distiller)
    parts = distiller.loss_dict()
    assert parts['broken'].isnan()
    torch.testing.assert_close(total, parts['task'] + 2 * parts['kd'])
    assert all(p.grad.isfinite().all() for p in distiller.parameters())
    # Unless there is nothing else.
    alone = distil(losses=KDLoss(), weights=[0])
    alone(*graph())
    alone.loss().backward()


# What `from_example` infers, and what it leaves alone.


def test_channels_and_defaults():
    distiller = distil()
    channels = [16, 16, 5], [8, 5]
    teacher = [f'convs.{i}' for i in range(3)]
    assert distiller.layer_names == (teacher, teacher[:2])
    assert distil(cache=True).layer_names == (['0', '1', '2'], teacher[:2])
    assert distil(losses=KDLoss()).layer_names == ([], [])
    assert str(distiller.losses['abkd']) == str(ABKDLoss(*channels))
    assert str(distiller.losses['kd']) == str(KDLoss(2.0))
    assert distiller.weights == {'abkd': 1.0, 'kd': 4.0}
    for losses, weights, want in [
        (None, {'abkd': 2.0}, {'abkd': 2.0, 'kd': 4.0}),
        (None, [2.0, 0], {'abkd': 2.0, 'kd': 0.0}),
        ({'a': ABKDLoss, 'b': ABKDLoss}, None, {'a': 1.0, 'b': 1.0}),
    ]:
        assert distil(losses=losses, weights=weights).weights == want


FORMS = {
    'class': (ABKDLoss, ['abkd']),
    'preset': (ABKDLoss.paper, ['paper']),
    'partial': (partial(ABKDLoss, attention='diagonal'), ['abkd']),
    'function': (lambda t, s: ABKDLoss(t, s), ['loss']),
    'module': (ABKDLoss([16, 16, 5], [8, 5]), ['abkd']),
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
    distiller = distil(losses=losses, cache=cache)
    assert list(distiller.losses) == names
    step(distiller)
    assert all(p.grad is not None for p in distiller.parameters())
    loss = distiller.losses[names[0]]
    if form == 'partial':
        assert loss.attention == 'diagonal'
    elif form == 'kd partial':
        assert loss.temperature == 7.0
    elif form == 'preset':
        assert loss.granularity == 'pooled'


@pytest.mark.parametrize('cache', [False, True])
def test_models_are_left_as_they_were(cache):
    student, teacher = small(dropout=0.5), big()
    student.norms[0].eval()
    modes = [module.training for module in student.modules()]
    assert len(set(modes)) == 2
    state = copy.deepcopy(student.state_dict())
    distiller = Distiller.from_example(student, teacher, graph(), cache=cache)
    assert [module.training for module in student.modules()] == modes
    for key, value in student.state_dict().items():
        assert torch.equal(value, state[key]), key
    assert all(p.grad is None for p in student.parameters())
    # Before and after the model, and after each layer.
    assert num_hooks(student) == 4
    assert num_hooks(teacher) == (0 if cache else 5)
    distiller.export()
    assert num_hooks(student) == num_hooks(teacher) == 0


def test_an_example_is_not_what_layers_cache():
    x, edge_index = graph()
    models = GCN(4, 8, 2, 5, cached=True), GCN(4, 16, 3, 5, cached=True)
    wants = [copy.deepcopy(m).eval()(x, edge_index) for m in models]
    Distiller.from_example(*models, (x, edge_index[:, :5]))
    for model, want in zip(models, wants, strict=True):
        torch.testing.assert_close(model.eval()(x, edge_index), want)


def test_lazy_student():
    student = GCN(-1, 8, 2, 5)
    assert 'student=GCN with' in str(Distiller(student, big(), KDLoss()))
    distiller = Distiller.from_example(student, big(), graph()).train()
    assert student.convs[0].lin.weight.size() == (8, 4)
    step(distiller)
    assert student.convs[0].lin.weight.grad.abs().sum() > 0


# Calling a distiller is calling its student.


class Returns(torch.nn.Module):
    """Wraps a model, and returns its output in another form."""

    def __init__(self, model, form):
        super().__init__()
        self.model = model
        self.form = form

    def forward(self, *args, **kwargs):
        self.out = self.form(self.model(*args, **kwargs))
        return self.out


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
    assert distiller(*args) is student.out
    assert distiller.loss().requires_grad
    with torch.no_grad():
        # The batch norm has the same statistics again.
        want = KDLoss()(teacher.model(*args), student.model(*args))
    torch.testing.assert_close(distiller.loss_dict()['kd'], want)
    distiller.eval()
    assert distiller(*args) is student.out


def test_evaluation_is_the_student_alone():
    args = graph()
    student, teacher = small(), big()
    distiller = Distiller.from_example(student, teacher, args)
    asked = calls(teacher)
    want = student.eval()(*args)
    assert torch.equal(distiller.eval()(*args), want)
    distiller(*args)
    # No graph is held.
    store = distiller._recorder._store
    assert store.captures == []
    distiller.train()
    with torch.no_grad():
        distiller(*args)
    assert not asked
    with pytest.raises(RuntimeError, match='nothing to compare'):
        distiller.loss()
    distiller(*args)
    assert len(asked) == 1
    assert distiller._teacher.recorder._store.captures == store.captures == []


def test_one_loss_for_each_call():
    distiller = distil()
    want = step(distiller)
    expected = [p.grad.clone() for p in distiller.parameters()]
    message = 'nothing to compare; call it in training mode'
    with pytest.raises(RuntimeError, match=message):
        distiller.loss()
    distiller(*graph())
    with pytest.raises(RuntimeError, match=r'called twice .*clear'):
        distiller(*graph())
    distiller.clear()
    out = distiller(*graph())
    # Evaluation before the loss is no step.
    distiller.eval()
    for seed in (5, 6):
        distiller(*graph(seed=seed))
        with torch.no_grad():
            distiller.student(*graph(seed=seed))
    distiller.train().zero_grad()
    loss = distiller.loss(task(out))
    torch.testing.assert_close(loss.detach(), want)
    loss.backward()
    for p, grad in zip(distiller.parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad, grad)
    # The graphs of several steps remain until backward().
    total = []
    for seed in range(2):
        out = distiller(*graph(seed=seed))
        total.append(distiller.loss(task(out)))
    sum(total).backward()


@pytest.mark.parametrize('clone', [False, True])
@pytest.mark.parametrize('change', ['relu_', 'sigmoid_', 'zero_'])
def test_outputs_that_are_changed_in_place(clone, change):
    distiller = distil(clone=clone)
    out = distiller(*graph())
    with torch.no_grad():
        getattr(out, change)()
    with pytest.raises(RuntimeError, match='changed in-place before loss'):
        distiller.loss()
    step(distiller)


@pytest.mark.parametrize('cache', [False, True])
def test_models_that_change_layers_in_place(cache):
    args = graph()

    def build(channels):
        return GCN(4, channels, 2, 5, act=torch.nn.ReLU(inplace=True))

    make = partial(Distiller.from_example, cache=cache)
    student, teacher = build(8), build(16)
    with pytest.raises(RuntimeError, match=r'changed in-place .* clone=True'):
        make(student, teacher, args)(*args)
    distiller = make(student, teacher, args, clone=True)
    out = distiller(*args)
    loss = distiller.loss()

    def layers(model):
        x = model.convs[0](*args)
        return [x, model.convs[1](x.relu(), args[1])]

    with torch.no_grad():
        teacher_layers, student_layers = layers(teacher), layers(student)
        want = distiller.losses['abkd'](teacher_layers, student_layers)
        want = want + 4 * KDLoss()(teacher_layers[1], out)
    torch.testing.assert_close(loss.detach(), want)


def test_few_files_run_from_an_example() -> None:
    root = str(Path(pyg_distill.__file__).parent)
    files = set()

    def record(frame: FrameType, event: str, arg: object) -> None:
        if event == 'call' and frame.f_code.co_filename.startswith(root):
            files.add(frame.f_code.co_filename)

    x, edge_index = torch.randn(4, 8), torch.tensor([[0, 1], [1, 0]])
    student, teacher = GCN(8, 4, 2, 3), GCN(8, 16, 3, 3)
    sys.setprofile(record)
    try:
        Distiller.from_example(student, teacher, (x, edge_index))
    finally:
        sys.setprofile(None)
    assert 0 < len(files) <= 10, sorted(files)
