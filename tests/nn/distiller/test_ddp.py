"""Two processes train one student."""

import copy

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from pyg_distill.nn import Distiller
from tests.nn.distiller.models import (
    Hetero,
    big,
    graph,
    hetero_graph,
    small,
    task,
)


def build():
    student = small(norm=None)
    torch.manual_seed(7)
    return Distiller.from_example(student, big(), graph()).train()


def work(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/init', rank=rank, world_size=2
    )
    train(rank, folder)
    dist.destroy_process_group()


def train(rank, folder):
    distiller = build()
    # Whatever is not the first process's, is broadcast from there.
    with torch.no_grad():
        for parameter in distiller.parameters():
            parameter.add_(float(rank))
    teacher = distiller._teacher.model
    marker = teacher.convs[0].bias
    want = copy.deepcopy(teacher.state_dict())
    model = DistributedDataParallel(distiller)
    optimizer = torch.optim.SGD(distiller.parameter_groups(lr=0.1))
    grads = []
    for step in range(3):
        optimizer.zero_grad()
        args = graph(seed=10 * step + rank)
        model.module.loss(task(model(*args))).backward()
        grads.append([p.grad.clone() for p in distiller.parameters()])
        optimizer.step()
    for key, value in want.items():
        assert torch.equal(teacher.state_dict()[key], value)
    assert marker.grad is None
    names = [name for name, _ in model.named_parameters()]
    assert all(n.split('.')[1] in ('student', 'losses') for n in names)
    torch.save((distiller.state_dict(), grads), f'{folder}/{rank}.pt')
    # Wrapping broadcasts all that is registered, but no teacher.
    with torch.no_grad():
        marker.fill_(float(rank))
    DistributedDataParallel(distiller)(*graph())
    assert float(marker[0]) == rank


def test_two_processes(tmp_path):
    mp.spawn(work, args=(str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f'{i}.pt') for i in range(2))
    for key, value in first[0].items():
        assert torch.equal(value, second[0][key]), key
    for a, b in zip(first[1], second[1], strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))

    distiller = build()
    optimizer = torch.optim.SGD(distiller.parameter_groups(lr=0.1))
    for step, grads in enumerate(first[1]):
        optimizer.zero_grad()
        for rank in range(2):
            args = graph(seed=10 * step + rank)
            (distiller.loss(task(distiller(*args))) / 2).backward()
        for parameter, grad in zip(distiller.parameters(), grads, strict=True):
            torch.testing.assert_close(
                parameter.grad, grad, rtol=1e-3, atol=1e-5
            )
        optimizer.step()
    for key, value in distiller.state_dict().items():
        torch.testing.assert_close(value, first[0][key], rtol=1e-4, atol=1e-5)


def test_parameters_that_a_step_does_not_need(process_group):
    # The last layer of authors has no part in a loss on papers.
    data = hetero_graph()
    args = (data.x_dict, data.edge_index_dict)
    distiller = Distiller.from_example(Hetero(8, 2), Hetero(16, 3), args)
    model = DistributedDataParallel(distiller)
    for _ in range(2):
        out = model(*args)['paper'][:4]
        loss = distiller.loss(task(out), batch_size={'paper': 4})
        loss.backward()
    grads = [p.grad for p in distiller.parameters()]
    assert all(grad is not None for grad in grads)
    assert any(grad.abs().max() == 0 for grad in grads)


def test_parameters_of_any_kind(process_group):
    class Embedded(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = torch.nn.Embedding(14, 4, sparse=True)
            self.mask = torch.nn.Parameter(torch.tensor([0.0, -torch.inf]))
            self.fixed = torch.nn.Parameter(
                torch.full((3,), torch.nan), requires_grad=False
            )
            self.gnn = small()

        def forward(self, x, edge_index):
            return self.gnn(x + self.emb(torch.arange(len(x))), edge_index)

    distiller = Distiller.from_example(Embedded(), big(), graph()).train()
    loss = distiller.loss(task(distiller(*graph())))
    assert loss.isfinite()
    loss.backward()
    model = distiller.student
    assert model.emb.weight.grad.layout == torch.sparse_coo
    assert not model.mask.grad.any()
    assert model.fixed.grad is None
