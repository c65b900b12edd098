"""A cached teacher holds what losses need, and no layer twice."""

import gc
import weakref

import pytest
import torch
from torch import Tensor

from pyg_distill.nn.losses import DistillationLoss
from pyg_distill.nn import ABKDLoss, Distiller, KDLoss, TeacherCache
from tests.nn.distiller.models import big, graph, small

NUM_NODES = 2000


class MeanDistance(DistillationLoss):
    """A loss of layers that knows nothing of prepared targets."""

    def forward(self, teacher: list[Tensor], student: list[Tensor]) -> Tensor:
        return (teacher[-1].mean() - student[-1].mean()).square()


def build(losses, num_layers=6, width=256):
    torch.manual_seed(0)
    cache = TeacherCache(
        torch.randn(NUM_NODES, 5),
        [torch.randn(NUM_NODES, width) for _ in range(num_layers)],
    )
    student = small(norm=None)
    named = losses([width] * num_layers)
    return Distiller(student, cache, named), cache


def abkd(**kwargs):
    return lambda widths: [ABKDLoss(widths, [5, 3], **kwargs)]


def held(distiller):
    return distiller._teacher.num_bytes


@pytest.mark.parametrize(
    ('losses', 'kept'),
    [
        (abkd(), False),
        (abkd(attention='uniform'), False),
        (abkd(attention='learned'), False),
        (lambda widths: [KDLoss()], False),
        (abkd(granularity='group'), True),
        (abkd(granularity='graph'), True),
        (lambda widths: [MeanDistance()], True),
        (lambda widths: [ABKDLoss(widths, [5, 3]), MeanDistance()], True),
    ],
)
def test_layers_that_no_loss_reads(losses, kept):
    distiller, cache = build(losses)
    assert distiller.training
    layers = [weakref.ref(x) for x in cache.layers]
    # The cache of the user stays whole.
    assert len(cache.layers) == 6
    cache.take(torch.tensor([3]))
    del cache
    gc.collect()
    assert [layer() is not None for layer in layers] == [kept] * 6


@pytest.mark.parametrize('attention', ['diagonal', 'uniform', 'last'])
def test_does_not_grow_with_the_teacher(attention):
    sizes = [
        held(build(abkd(attention=attention), num_layers)[0])
        for num_layers in (2, 4, 16)
    ]
    assert sizes[0] == sizes[1] == sizes[2]
    # One matrix for each of two layers, and a number and outputs for rows.
    count = 1 if attention == 'last' else 2
    assert sizes[0] == 4 * NUM_NODES * (count * 256 + 1 + 5)


def test_moves_alone():
    torch.manual_seed(0)
    node = torch.arange(NUM_NODES).flip(0)
    cache = TeacherCache(
        torch.randn(NUM_NODES, 5), [torch.randn(NUM_NODES, 8)], node
    )
    distiller = Distiller(small(norm=None), cache, [ABKDLoss([8], [3])])
    distiller.to('meta')
    assert distiller._teacher.cache.outputs.device.type == 'meta'
    # The cache of the user stays where it is, and so do its rows.
    taken = cache.take(torch.tensor([3])).outputs
    assert torch.equal(taken, cache.outputs[NUM_NODES - 4 : NUM_NODES - 3])


@pytest.mark.parametrize('rows', [None, 'n_id', 'batch_size'])
def test_the_same_loss(rows):
    x, edge_index = graph()
    teacher = big()
    found = []
    for losses in ([ABKDLoss], [ABKDLoss, lambda *_: MeanDistance()]):
        student = small(norm=None)
        torch.manual_seed(0)
        cache = TeacherCache.from_inputs(teacher, (x, edge_index))
        distiller = Distiller.from_example(
            student, cache, (x, edge_index), losses
        ).train()
        distiller(x, edge_index)
        kwargs = {}
        if rows == 'n_id':
            kwargs['n_id'] = torch.arange(x.size(0))
        if rows == 'batch_size':
            kwargs['batch_size'] = 5
        distiller.loss(**kwargs)
        found.append(distiller.loss_dict()['abkd'])
    assert torch.equal(*found)
