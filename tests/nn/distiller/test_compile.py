"""Whole steps in one graph, and in half precision."""

import pytest
import torch
import torch.nn.functional as F

from pyg_distill.nn import Distiller, TeacherCache
from tests.nn.distiller.models import big, graph, labels, small


def build(cache):
    student = small()
    torch.manual_seed(7)
    return Distiller.from_example(student, big(), graph(), cache=cache).train()


def steps(run, distiller, num_steps=2):
    optimizer = torch.optim.SGD(distiller.parameter_groups(lr=0.1))
    out = []
    for _ in range(num_steps):
        optimizer.zero_grad()
        loss = run(*graph(), labels())
        loss.backward()
        grads = [p.grad.clone() for p in distiller.parameters()]
        out.append((loss.detach(), grads))
        optimizer.step()
    return out


@pytest.mark.parametrize(
    ('cache', 'whole'), [(False, True), (True, True), (False, False)]
)
def test_compile(cache, whole):
    torch.compiler.reset()
    options = {'fullgraph': True, 'backend': 'aot_eager'}
    results = []
    for compiled in (True, False):
        distiller = build(cache)
        call = distiller
        if compiled and not whole:
            call = torch.compile(distiller, **options)

        def step(x, edge_index, y, call=call, distiller=distiller):
            out = call(x, edge_index)
            return distiller.loss(F.cross_entropy(out, y))

        if compiled and whole:
            step = torch.compile(step, **options)
        results.append(steps(step, distiller))
    for (loss, grads), (want, want_grads) in zip(*results, strict=True):
        torch.testing.assert_close(loss, want, rtol=1e-4, atol=1e-5)
        for grad, expected in zip(grads, want_grads, strict=True):
            torch.testing.assert_close(grad, expected, rtol=1e-3, atol=1e-5)


def test_compiled_mini_batches():
    torch.compiler.reset()
    x, edge_index = graph()
    n_id = torch.arange(13, -1, -1)
    args = x.flip(0), 13 - edge_index
    values = []
    for compiled in (True, False):
        cache = TeacherCache.from_inputs(big(), graph())
        student = small()
        torch.manual_seed(7)
        distiller = Distiller.from_example(student, cache, graph()).train()

        def step(n_id, *args, distiller=distiller):
            distiller(*args)
            return distiller.loss(n_id=n_id, batch_size=4)

        if compiled:
            step = torch.compile(step, fullgraph=True, backend='aot_eager')
        loss = step(n_id, *args)
        loss.backward()
        values.append((loss.detach(), [p.grad for p in student.parameters()]))
    torch.testing.assert_close(*values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('cache', [False, True])
def test_autocast(cache):
    distiller = build(cache)
    with torch.autocast('cpu', torch.bfloat16):
        out = distiller(*graph())
        loss = distiller.loss(F.cross_entropy(out.float(), labels()))
    assert loss.isfinite()
    loss.backward()
    for parameter in distiller.parameters():
        assert parameter.grad.isfinite().all()
    plain = build(cache)
    out = plain(*graph())
    want = plain.loss(F.cross_entropy(out, labels()))
    torch.testing.assert_close(loss, want, rtol=0.05, atol=0.05)
