"""A teacher that runs once, in full-batch training."""

import copy
import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch_geometric import EdgeIndex
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv, SAGEConv

from pyg_distill.nn import ABKDLoss, Distiller, KDLoss, StrideLoss, TeacherCache
from pyg_distill.nn.distiller.inputs import Fingerprint
from tests.conftest import with_torch_sparse
from tests.nn.distiller.models import (
    NUM_NODES,
    LastLayer,
    PreparedLastLayer,
    big,
    calls,
    distil,
    grads,
    graph,
    small,
    step,
)

LOSSES = {
    'abkd': ABKDLoss,
    'learned': lambda t, s: ABKDLoss(t, s, 'learned'),
    'group': lambda t, s: ABKDLoss(t, s, granularity='group', num_groups=3),
    'paper': ABKDLoss.paper,
    'stride': lambda t, s: StrideLoss(t, s, num_samples=99),
    'both': {'abkd': ABKDLoss, 'kd': KDLoss()},
}


@pytest.mark.parametrize('name', LOSSES)
def test_same_as_uncached(name):
    results = []
    for cache in (True, False):
        teacher = big()
        asked = calls(teacher)
        torch.manual_seed(7)
        distiller = Distiller.from_example(
            small(), teacher, graph(), LOSSES[name], cache=cache
        ).train()
        optimizer = torch.optim.Adam(distiller.parameter_groups(lr=0.01))
        for _ in range(3):
            loss = step(distiller, optimizer=optimizer)
            results.append([loss, *grads(distiller)])
        assert len(asked) == (1 if cache else 4)
    torch.testing.assert_close(results[:3], results[3:], rtol=1e-3, atol=1e-4)


def accepted(distiller, *args, **kwargs):
    distiller(*args, **kwargs)
    distiller.loss()


def refused(distiller, *args, batch_size=None, **kwargs):
    distiller(*args, **kwargs)
    match = r'cached for other inputs .*n_id=data\.n_id'
    with pytest.raises(ValueError, match=match):
        distiller.loss(batch_size=batch_size)


def test_other_inputs():
    x, edge_index = graph()
    distiller = distil(cache=True)
    order, weight = torch.randperm(NUM_NODES), torch.ones(edge_index.size(1))
    for other in [
        (x + 1e-6, edge_index),
        (F.dropout(x, 0.1), edge_index),
        (x[order], edge_index),
        (x[:, [1, 0, 2, 3]], edge_index),
        (x, edge_index[:, 1:]),
        (x, edge_index.flip(0)),
        (x, edge_index, weight),
    ]:
        refused(distiller, *other)
    for other in (x.clone(), x, x.t().contiguous().t()):
        accepted(distiller, other, edge_index=edge_index.clone())


def test_inputs_of_inference_mode():
    # Such tensors do not count their changes.
    x, edge_index = graph()
    with torch.inference_mode():
        frozen = x.clone()
        cache = TeacherCache.from_inputs(big(), (frozen, edge_index))
        for _ in range(2):
            assert cache.fingerprint.matches((frozen, edge_index), {})
        frozen.mul_(2)
        assert not cache.fingerprint.matches((frozen, edge_index), {})


@pytest.mark.parametrize(
    'dtype',
    [torch.half, torch.bfloat16, torch.double, torch.bool, torch.uint8,
     torch.long, torch.cfloat],
)  # fmt: skip
def test_types_of_inputs(dtype):
    x = torch.randn(5, 3).mul(9).to(dtype)
    for value in (x, x.t(), x[:0], x[0, 0]):
        mark = Fingerprint((value,), {})
        assert mark.matches((value.clone(),), {})
    other = x.clone()
    other[0, 0] = other[0, 0].logical_not()
    assert not Fingerprint((x,), {}).matches((other,), {})
    # The same bits, but another meaning.
    zero, other = torch.zeros(3), torch.zeros(3).int()
    assert not Fingerprint((zero,), {}).matches((other,), {})
    nan = torch.tensor([float('nan')])
    assert Fingerprint((nan,), {}).matches((nan.clone(),), {})


class Net(torch.nn.Module):
    """Takes any form of an adjacency matrix."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = SAGEConv(4, channels)
        self.conv2 = SAGEConv(channels, 5)

    def forward(self, x, adj):
        return self.conv2(self.conv1(x, adj).relu(), adj)


def adjacency(form):
    """An adjacency matrix, and a function that changes it."""
    edge_index = torch.unique(graph()[1], dim=1)
    size = (NUM_NODES, NUM_NODES)
    if form == 'EdgeIndex':
        edge_index = edge_index[:, edge_index[1].argsort(stable=True)]

        def edges(start):
            index = edge_index[:, start:].contiguous()
            return EdgeIndex(index, sparse_size=size, sort_order='col')

        return edges(0), lambda _: edges(1)
    value = torch.ones(edge_index.size(1))
    if form == 'SparseTensor':
        from torch_sparse import SparseTensor

        adj = SparseTensor.from_edge_index(edge_index.flip(0), value, size)
        return adj, lambda a: a.set_value(a.storage.value() * 2)
    adj = torch.sparse_coo_tensor(edge_index.flip(0), value, size)
    return adj.to_sparse_csr() if form == 'csr' else adj, lambda a: a * 2


@pytest.mark.parametrize(
    'form',
    ['coo', 'csr', 'EdgeIndex',
     pytest.param('SparseTensor', marks=with_torch_sparse)],
)  # fmt: skip
def test_sparse_inputs(form):
    x, _ = graph()
    adj, change = adjacency(form)
    student, teacher = Net(8), Net(16)
    distiller = Distiller.from_example(student, teacher, (x, adj), cache=True)
    for _ in range(2):
        out = distiller.train()(x, adj)
        distiller.loss().backward()
    with torch.no_grad():
        want = KDLoss()(teacher(x, adj), out)
    torch.testing.assert_close(distiller.loss_dict()['kd'], want)
    accepted(distiller, x, copy.copy(adj))
    refused(distiller, x, change(adj))


class Inputs:
    def __init__(self, x, edge_index):
        self.x = x
        self.edge_index = edge_index


@pytest.mark.parametrize('kind', [Data, Inputs])
def test_inputs_in_an_object(kind):
    class OfData(GCNConv):
        def forward(self, data, scale=1.0):
            x = data.x * scale
            return super().forward(x, data.edge_index)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = OfData(4, 5)

        def forward(self, *args, **kwargs):
            return self.conv(*args, **kwargs)

    x, edge_index = graph()
    make = Distiller.from_example
    data = kind(x, edge_index)
    distiller = make(Model(), Model(), (data,), cache=True).train()
    accepted(distiller, data)
    accepted(distiller, kind(x.clone(), edge_index))
    refused(distiller, kind(2 * x, edge_index))
    # Numbers are part of the inputs, and the order of keywords is not.
    kwargs = {'data': data, 'scale': 1.0}
    distiller = make(Model(), Model(), kwargs, cache=True).train()
    accepted(distiller, scale=1.0, data=data)
    refused(distiller, data=data, scale=50.0)


def test_what_is_stored():
    cache = TeacherCache.from_inputs(big(), graph(), dtype=torch.half)
    full = TeacherCache.from_inputs(big(), graph())
    assert [x.dtype for x in cache.layers] == [torch.half] * 3
    assert cache.outputs.dtype == torch.float
    assert full.num_bytes == NUM_NODES * (5 + 16 + 16 + 5) * 4
    assert cache.num_bytes == NUM_NODES * (5 * 4 + (16 + 16 + 5) * 2)
    assert full.channels == cache.channels == [16, 16, 5]
    losses = []
    for source in (cache, full):
        torch.manual_seed(0)
        distiller = Distiller.from_example(small(), source, graph())
        losses.append(step(distiller))
    torch.testing.assert_close(*losses, rtol=1e-3, atol=1e-3)
    alone = TeacherCache.from_inputs(big(), graph(), layers=None)
    assert alone.layers == alone.channels == []
    step(Distiller.from_example(small(), alone, graph(), KDLoss))
    with pytest.raises(ValueError, match="'teacher_channels' must list"):
        Distiller.from_example(small(), alone, graph())


# A cached teacher holds what losses need, and no layer twice.


def large(*losses, num_layers=6, nodes=None):
    """A cache of 2,000 nodes, and its distiller."""
    cache = TeacherCache(
        torch.randn(2000, 5),
        [torch.randn(2000, 256) for _ in range(num_layers)],
        nodes,
    )
    channels = [256] * num_layers, [5, 3]
    made = [x(*channels) for x in losses]
    return Distiller(small(norm=None), cache, made), cache


@pytest.mark.parametrize(
    ('losses', 'kept'),
    [
        ([ABKDLoss], False),
        ([LOSSES['learned']], False),
        ([lambda *_: KDLoss()], False),
        ([lambda *_: PreparedLastLayer()], False),
        ([lambda *x: ABKDLoss(*x, granularity='group')], True),
        ([lambda *x: ABKDLoss(*x, granularity='graph')], True),
        ([lambda *_: LastLayer()], True),
        ([ABKDLoss, lambda *_: LastLayer()], True),
    ],
)
def test_layers_that_no_loss_reads(losses, kept):
    distiller, cache = large(*losses)
    layers = [weakref.ref(x) for x in cache.layers]
    # The cache of the user stays whole.
    assert len(cache.layers) == 6
    del cache
    gc.collect()
    assert [layer() is not None for layer in layers] == [kept] * 6
    assert distiller.training
