"""Teachers out of reach, copies, checkpoints, processes and compiled steps."""

import copy
import subprocess
import sys

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel
from torch_geometric.nn import GCN

from pyg_distill.nn import Distiller, KDLoss, TeacherCache
from tests.nn.distiller.models import (
    Hetero,
    Logits,
    big,
    distil,
    grads,
    graph,
    hetero_graph,
    labels,
    num_hooks,
    small,
    step,
    task,
)

CODE = """
import sys
sys.modules['pyg_distill'] = None
import torch
for name in sys.argv[1:]:
    model, args, out = torch.load(name, weights_only=False)
    assert torch.equal(model.eval()(*args), out)
    model.train()(*args).sum().backward()
"""


def sgd(distiller):
    return torch.optim.SGD(distiller.parameter_groups(lr=0.1))


def test_the_teacher_is_no_submodule():
    distiller = distil()
    teacher = distiller._teacher.model
    assert teacher not in list(distiller.modules())
    own = {id(x) for x in [*teacher.parameters(), *teacher.buffers()]}
    assert not own & {id(x) for x in distiller.parameters()}
    assert not own & {id(x) for x in distiller.buffers()}
    for names in (
        [name for name, _ in distiller.named_children()],
        {key.split('.')[0]: 0 for key in distiller.state_dict()},
    ):
        assert list(names) == ['student', 'losses']


@pytest.mark.parametrize('by', ['distiller', 'teacher', 'submodule'])
def test_the_teacher_always_evaluates_and_never_learns(by):
    distiller = distil()
    teacher = distiller._teacher.model
    state = copy.deepcopy(teacher.state_dict())
    assert not any(module.training for module in teacher.modules())
    want = step(distiller)
    if by == 'teacher':
        teacher.train()
    elif by == 'submodule':
        teacher.norms[0].train()
    else:
        distiller.eval().train()
    modes = [module.training for module in teacher.modules()]
    for _ in range(2):
        # With dropout or batch statistics, these would differ.
        torch.testing.assert_close(step(distiller), want)
        # It may itself be trained elsewhere.
        assert [module.training for module in teacher.modules()] == modes
    torch.optim.SGD(distiller.parameters(), lr=1.0).step()
    for key, value in teacher.state_dict().items():
        assert torch.equal(value, state[key]), key
    assert all(p.requires_grad for p in teacher.parameters())
    assert all(p.grad is None for p in teacher.parameters())


@pytest.mark.parametrize('cache', [False, True])
def test_moves_along(cache):
    distiller = distil(cache=cache)
    x, edge_index = graph()
    assert distiller.double() is distiller
    if cache:
        stored = distiller._teacher.cache
        target = distiller._teacher.prepared['abkd']
        sums = stored.row_sums.clone()
        tensors = [stored.outputs, *target.layers, target.spread]
    else:
        teacher = distiller._teacher.model
        tensors = list(teacher.parameters())
        args = x.double(), edge_index
        assert step(distiller, args).dtype == torch.double
    assert all(x.dtype == torch.double for x in tensors)
    distiller.half()
    if cache:
        assert torch.equal(stored.row_sums, sums)
    distiller.to('meta')
    if cache:
        tensors = [stored.outputs, *target.layers, stored.row_sums]
    else:
        tensors = [*teacher.parameters(), *teacher.buffers()]
    assert all(x.device.type == 'meta' for x in tensors)


def test_students_that_teach_each_other():
    a, b = (GCN(4, 8, 2, 5, dropout=0.5) for _ in range(2))
    first = Distiller.from_example(a, b, graph())
    second = Distiller.from_example(b, a, graph())
    # Both are in training mode, as new modules are.
    for distiller in (first, second) * 2:
        out = distiller(*graph())
        # Dropout is on.
        assert not torch.equal(out, distiller.student.eval()(*graph()))
        distiller.student.train()
        distiller.loss(task(out)).backward()
        assert a.training
        assert b.training


def test_a_student_becomes_a_teacher():
    student = distil().export()
    assert student.training
    Distiller.from_example(small(), student, graph())
    assert not any(module.training for module in student.modules())
    # And learns again, as before.
    Distiller.from_example(student, big(), graph())
    assert all(module.training for module in student.modules())


# Optimizers, checkpoints and copies.


@pytest.mark.slow
def test_export(tmp_path):
    distiller = distil()
    step(distiller)
    files = []
    for name, each in [('a', distiller), ('b', copy.deepcopy(distiller))]:
        student = each.export()
        assert student is each.student
        out = student.eval()(*graph()).detach()
        files.append(str(tmp_path / name))
        torch.save((student, graph(), out), files[-1])
        # What is left calls the student, and says that it is no more.
        assert torch.equal(each.eval()(*graph()), out)
        each.train()(*graph())
        with pytest.raises(RuntimeError, match=r'after export\(\); make a new'):
            each.loss()
        assert 'teacher=none' in str(each)
    assert num_hooks(distiller.student) == 0
    command = [sys.executable, '-c', CODE, *files]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize('cache', [False, True])
@pytest.mark.parametrize('make', [copy.deepcopy, AveragedModel])
def test_copies_train_by_themselves(make, cache):
    distiller = distil(cache=cache)
    # In the middle of a step, which is not copied.
    distiller(*graph())
    other = make(distiller)
    twin = other.module if make is AveragedModel else other
    with pytest.raises(RuntimeError, match='nothing to compare'):
        twin.loss()
    distiller.loss()
    name = 'cache' if cache else 'model'
    # One teacher serves both.
    teachers = [getattr(x._teacher, name) for x in (twin, distiller)]
    assert teachers[0] is teachers[1]
    before = copy.deepcopy(distiller.state_dict())
    first = step(twin, optimizer=sgd(twin))
    step(twin, optimizer=sgd(twin))
    for key, value in distiller.state_dict().items():
        assert torch.equal(value, before[key]), key
    state = copy.deepcopy(twin.state_dict())
    torch.testing.assert_close(step(distiller), first)
    for key, value in twin.state_dict().items():
        assert torch.equal(value, state[key]), key
    # Each records its own student.
    distiller(*graph())
    twin(*(graph() if cache else graph(seed=5)))
    distiller.zero_grad()
    distiller.loss().backward()
    assert all(p.grad is not None for p in distiller.parameters())


@pytest.mark.parametrize('cache', [False, True])
def test_saved_as_a_whole(cache, tmp_path):
    distiller = distil(cache=cache)
    distiller(*graph())
    torch.save(distiller, tmp_path / 'distiller.pt')
    distiller.loss()
    other = torch.load(tmp_path / 'distiller.pt', weights_only=False)
    assert str(other) == str(distiller)
    with pytest.raises(RuntimeError, match='nothing to compare'):
        other.loss()
    assert torch.equal(step(other), step(distiller))
    if cache:
        other(*graph(seed=5))
        with pytest.raises(ValueError, match='cached for other inputs'):
            other.loss()


# Several processes, and compiled code.


def work(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/init', rank=rank, world_size=2
    )
    distiller = distil()
    # Wrapping broadcasts all parameters of the first process.
    with torch.no_grad():
        for parameter in distiller.parameters():
            parameter.add_(float(rank))
    teacher = distiller._teacher.model
    marker = teacher.convs[0].bias
    want = copy.deepcopy(teacher.state_dict())
    model = DistributedDataParallel(distiller)
    optimizer, history = sgd(distiller), []
    for number in range(3):
        optimizer.zero_grad()
        args = graph(seed=10 * number + rank)
        model.module.loss(task(model(*args))).backward()
        history.append(grads(distiller))
        optimizer.step()
    for key, value in want.items():
        assert torch.equal(teacher.state_dict()[key], value)
    assert marker.grad is None
    torch.save((distiller.state_dict(), history), f'{folder}/{rank}.pt')
    # The teacher is not broadcast.
    with torch.no_grad():
        marker.fill_(float(rank))
    DistributedDataParallel(distiller)(*graph())
    assert float(marker[0]) == rank
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes(tmp_path):
    mp.spawn(work, args=(str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f'{i}.pt') for i in range(2))
    torch.testing.assert_close(first[1], second[1], rtol=0, atol=0)
    for key, parameter in distil().named_parameters():
        assert torch.equal(first[0][key], second[0][key]), key
        assert not torch.equal(first[0][key], parameter)
    # Gradients are means over both processes.
    distiller = distil()
    for rank in range(2):
        (distiller.loss(task(distiller(*graph(seed=rank)))) / 2).backward()
    torch.testing.assert_close(
        grads(distiller), first[1][0], rtol=1e-3, atol=1e-5
    )


def test_parameters_that_a_step_does_not_need(process_group):
    # The last layer of authors has no part in a loss on papers.
    data = hetero_graph()
    args = (data.x_dict, data.edge_index_dict)
    distiller = Distiller.from_example(Hetero(8, 2), Hetero(16, 3), args)
    model = DistributedDataParallel(distiller)
    for _ in range(2):
        out = model(*args)['paper'][:4]
        distiller.loss(task(out), batch_size={'paper': 4}).backward()
    assert any(grad.abs().max() == 0 for grad in grads(distiller))


@pytest.mark.slow
@pytest.mark.parametrize('form', ['forward', 'rows'])
def test_compile(form):
    torch.compiler.reset()
    options = {'fullgraph': True, 'backend': 'aot_eager'}
    x, edge_index = graph()
    args, kwargs = (x, edge_index), {}
    if form == 'rows':
        args = x.flip(0), 13 - edge_index
        kwargs = {'n_id': torch.arange(13, -1, -1), 'batch_size': 4}
    results = []
    for compiled in (True, False):
        distiller = distil(cache=form == 'rows')
        call = distiller
        if compiled and form == 'forward':
            call = torch.compile(distiller, **options)

        def run(y, *args, call=call, distiller=distiller):
            out = call(*args)
            return distiller.loss(F.cross_entropy(out, y), **kwargs)

        if compiled and form != 'forward':
            run = torch.compile(run, **options)
        optimizer = sgd(distiller)
        for _ in range(2):
            optimizer.zero_grad()
            loss = run(labels(), *args)
            loss.backward()
            results.append((loss.detach(), grads(distiller)))
            optimizer.step()
    torch.testing.assert_close(results[:2], results[2:], rtol=1e-3, atol=1e-5)


def test_print():
    student, deep = small(norm=None), GCN(4, 8, 12, 5)
    losses = [KDLoss(), lambda t, s: Logits()]
    args = student, deep, graph(), losses, [0.5, 0]
    text = str(Distiller.from_example(*args))
    assert text == (
        'Distiller(\n'
        '  teacher=GCN with 805 parameters,\n'
        '  student=GCN with 85 parameters, 9.5 times fewer,\n'
        '  0.5 * kd=KDLoss(temperature=2),\n'
        '  0 * loss=Logits(),\n'
        ')'
    )
    text = str(Distiller.from_example(student, deep, graph()))
    assert 'layers convs.0, convs.1, 9.5' in text
    assert 'convs.5, ..., convs.11,\n' in text
    outputs, layers = torch.zeros(2**17, 2), [torch.zeros(2**17, 4)] * 2
    cache = TeacherCache(outputs, layers)
    want = 'TeacherCache(131,072 nodes, layers=[4, 4], 5.00 MiB)'
    assert str(cache) == want
