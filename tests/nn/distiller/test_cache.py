"""A teacher that is asked once, in full-batch training."""

import copy
import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch_geometric import EdgeIndex
from torch_geometric.data import Data
from torch_geometric.datasets import Planetoid
from torch_geometric.nn import GCN, SAGEConv

from pyg_distill.nn import (
    ABKDLoss,
    Distiller,
    KDLoss,
    StrideLoss,
    TeacherCache,
)
from tests.conftest import with_torch_sparse
from tests.nn.distiller.models import (
    NUM_NODES,
    RELATIONS,
    Hetero,
    big,
    calls,
    graph,
    hetero_graph,
    small,
    task,
)

MESSAGE = (
    r'the teacher was cached for other inputs .* pass n_id=data\.n_id .* or '
    r'the teacher itself where inputs are augmented'
)
LOSSES = {
    'abkd': ABKDLoss,
    'learned': lambda t, s: ABKDLoss(t, s, 'learned'),
    'group': lambda t, s: ABKDLoss(t, s, granularity='group', num_groups=3),
    'paper': ABKDLoss.paper,
    'stride': lambda t, s: StrideLoss(t, s, num_samples=99),
    'both': {'abkd': ABKDLoss, 'kd': KDLoss()},
}


def train(cache, losses=None, num_steps=3, args=None):
    args = graph() if args is None else args
    teacher = big()
    asked = calls(teacher)
    student = small()
    torch.manual_seed(7)
    distiller = Distiller.from_example(
        student, teacher, args, losses, cache=cache
    ).train()
    optimizer = torch.optim.Adam(distiller.parameter_groups(lr=0.01))
    history = []
    for _ in range(num_steps):
        optimizer.zero_grad()
        loss = distiller.loss(task(distiller(*args)))
        loss.backward()
        grads = [p.grad.clone() for p in distiller.parameters()]
        history.append((loss.detach(), grads))
        optimizer.step()
    return history, len(asked)


@pytest.mark.parametrize('name', LOSSES)
def test_same_as_uncached(name):
    cached, once = train(True, LOSSES[name])
    plain, often = train(False, LOSSES[name])
    assert (once, often) == (1, 4)
    for (loss, grads), (want, want_grads) in zip(cached, plain, strict=True):
        torch.testing.assert_close(loss, want, rtol=1e-4, atol=1e-5)
        for grad, want_grad in zip(grads, want_grads, strict=True):
            torch.testing.assert_close(grad, want_grad, rtol=1e-3, atol=1e-4)


def build(args=None, **kwargs):
    args = graph() if args is None else args
    distiller = Distiller.from_example(
        small(), big(), args, cache=True, **kwargs
    )
    return distiller.train()


def refused(distiller, *args, **kwargs):
    distiller(*args)
    with pytest.raises(ValueError, match=MESSAGE) as info:
        distiller.loss(**kwargs)
    assert '\n' not in str(info.value)


def test_changed_inputs():
    x, edge_index = graph()
    distiller = build((x, edge_index))
    distiller(x, edge_index)
    distiller.loss()
    order = torch.randperm(NUM_NODES)
    swapped = edge_index.flip(0)
    for other in [
        (x + 1e-6, edge_index),
        (F.dropout(x, 0.1), edge_index),
        (x[order], edge_index),
        (x[:, [1, 0, 2, 3]], edge_index),
        (x.double(), edge_index),
        (x.half(), edge_index),
        (x, edge_index[:, 1:]),
        (x, swapped),
        (x, edge_index, torch.ones(edge_index.size(1))),
    ]:
        if other[0].dtype == torch.float:
            refused(distiller, *other)
        else:
            # Not the student's type either, so look at the inputs alone.
            seen = distiller._teacher(*other)
            assert seen.as_cached is False
    distiller(x, edge_index)
    distiller.loss()


def test_changed_in_place():
    x, edge_index = graph()
    distiller = build((x, edge_index))
    for _ in range(2):
        distiller(x, edge_index)
        distiller.loss()
    x.mul_(2)
    refused(distiller, x, edge_index)
    refused(distiller, x, edge_index)
    x.div_(2)
    distiller(x, edge_index)
    distiller.loss()
    edge_index[0, 0] = (edge_index[0, 0] + 1) % NUM_NODES
    refused(distiller, x, edge_index)


def test_changed_in_inference_mode():
    # Such tensors do not count their changes.
    x, edge_index = graph()
    with torch.inference_mode():
        frozen = x.clone()
        cache = TeacherCache.from_inputs(big(), (frozen, edge_index))
        assert cache.fingerprint.matches((frozen, edge_index), {})
        assert cache.fingerprint.matches((frozen, edge_index), {})
        frozen.mul_(2)
        assert not cache.fingerprint.matches((frozen, edge_index), {})


def test_equal_inputs():
    x, edge_index = graph()
    distiller = build((x, edge_index))
    for other in [(x.clone(), edge_index.clone()), (x, edge_index)] * 2:
        distiller(*other)
        distiller.loss()
    distiller(x, edge_index=edge_index)
    distiller.loss()
    # Another layout in memory, with the same content.
    distiller(x.t().contiguous().t(), edge_index)
    distiller.loss()
    # Where the task leaves values out, not-a-numbers may remain.
    x[0, 0] = float('nan')
    cache = TeacherCache.from_inputs(big(), (x, edge_index))
    assert cache.fingerprint.matches((x.clone(), edge_index), {})


def test_content_is_read_once(monkeypatch):
    from pyg_distill.nn.distiller import inputs

    x, edge_index = graph()
    distiller = build((x, edge_index))
    count = []
    read = inputs._content
    monkeypatch.setattr(
        inputs, '_content', lambda x: count.append(1) or read(x)
    )
    for _ in range(4):
        distiller(x, edge_index)
        distiller.loss()
    assert len(count) == 2


@pytest.mark.parametrize(
    'dtype',
    [
        torch.half,
        torch.bfloat16,
        torch.double,
        torch.bool,
        torch.uint8,
        torch.long,
        torch.cfloat,
    ],
)
def test_types_of_inputs(dtype):
    from pyg_distill.nn.distiller.inputs import Fingerprint

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


class Net(torch.nn.Module):
    """Takes any form of an adjacency matrix."""

    def __init__(self, channels):
        super().__init__()
        torch.manual_seed(channels)
        self.conv1 = SAGEConv(4, channels)
        self.conv2 = SAGEConv(channels, 5)

    def forward(self, x, adj):
        return self.conv2(self.conv1(x, adj).relu(), adj)


def adjacency(form):
    _, edge_index = graph()
    edge_index = torch.unique(edge_index, dim=1)
    if form == 'EdgeIndex':
        order = edge_index[1].argsort(stable=True)
        edge_index = edge_index[:, order].contiguous()

        def edges(edge_index):
            return EdgeIndex(
                edge_index.contiguous(),
                sparse_size=(NUM_NODES, NUM_NODES),
                sort_order='col',
            )

        return edges(edge_index), lambda _: edges(edge_index[:, 1:])
    value = torch.ones(edge_index.size(1))
    size = (NUM_NODES, NUM_NODES)
    if form == 'SparseTensor':
        from torch_sparse import SparseTensor

        adj = SparseTensor.from_edge_index(edge_index.flip(0), value, size)
        return adj, lambda a: a.set_value(a.storage.value() * 2)
    adj = torch.sparse_coo_tensor(edge_index.flip(0), value, size)
    if form == 'csr':
        adj = adj.to_sparse_csr()
    return adj, lambda a: a * 2


@pytest.mark.parametrize(
    'form',
    [
        'coo',
        'csr',
        'EdgeIndex',
        pytest.param('SparseTensor', marks=with_torch_sparse),
    ],
)
def test_sparse_inputs(form):
    x, _ = graph()
    adj, change = adjacency(form)
    student, teacher = Net(8), Net(16)
    distiller = Distiller.from_example(
        student, teacher, (x, adj), cache=True
    ).train()
    for _ in range(2):
        out = distiller(x, adj)
        distiller.loss().backward()
    with torch.no_grad():
        want = KDLoss()(teacher(x, adj), out)
    torch.testing.assert_close(distiller.loss_dict()['kd'], want)
    distiller(x, copy.copy(adj))
    distiller.loss()
    refused(distiller, x, change(adj))


def test_data_objects():
    class OfData(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, data):
            return self.model(data.x, data.edge_index)

    x, edge_index = graph()
    data = Data(x=x, edge_index=edge_index)
    distiller = Distiller.from_example(
        OfData(small()), OfData(big()), data, cache=True
    ).train()
    distiller(data)
    distiller.loss()
    distiller(data.clone())
    distiller.loss()
    other = data.clone()
    other.x = x * 2
    refused(distiller, other)


@pytest.mark.parametrize('only', [None, 'paper'])
def test_dictionaries(only):
    data = hetero_graph()
    args = (data.x_dict, data.edge_index_dict)
    found = []
    for cache in (True, False):
        student = Hetero(8, 2, only, seed=1)
        teacher = Hetero(16, 3, only, seed=2)
        torch.manual_seed(0)
        distiller = Distiller.from_example(student, teacher, args, cache=cache)
        distiller.train()(*args)
        found.append(distiller.loss())
        if cache:
            stored = distiller._teacher.cache
            rows = 8 if only else 14
            assert str(stored).startswith(f'TeacherCache({rows} nodes, ')
            relations = data.edge_index_dict
            relations[RELATIONS[0]] = relations[RELATIONS[0]][:, 1:]
            refused(distiller, data.x_dict, relations)
    torch.testing.assert_close(*found)


def test_first_rows():
    # A single mini-batch, which comes again in every step.
    x, edge_index = graph()
    distiller = build((x, edge_index))
    out = distiller(x, edge_index)
    distiller.loss(batch_size=6)
    teacher = big().eval()
    with torch.no_grad():
        want = KDLoss()(teacher(x, edge_index)[:6], out[:6])
    torch.testing.assert_close(distiller.loss_dict()['kd'], want)
    data = hetero_graph()
    args = (data.x_dict, data.edge_index_dict)
    for only in (None, 'paper'):
        student, teacher = Hetero(8, 2, only), Hetero(16, 3, only)
        distiller = Distiller.from_example(student, teacher, args, cache=True)
        out = distiller.train()(*args)
        distiller.loss(batch_size={'paper': 4})
        out = out if only else out['paper']
        with torch.no_grad():
            taught = teacher(*args)
        taught = taught if only else taught['paper']
        torch.testing.assert_close(
            distiller.loss_dict()['kd'], KDLoss()(taught[:4], out[:4]).detach()
        )


def test_cache_of_ones_own():
    # Nothing is known of its inputs.
    args = graph()
    with torch.no_grad():
        out = big().eval()(*args)
    distiller = Distiller(small(), TeacherCache(out, []), [KDLoss()]).train()
    logits = distiller(*graph(seed=5))
    torch.testing.assert_close(
        distiller.loss().detach(), KDLoss()(out, logits.detach())
    )
    refused(distiller, *args, batch_size=3)


def test_compressed_layers():
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
        student = small()
        distiller = Distiller.from_example(student, source, graph()).train()
        distiller(*graph())
        losses.append(distiller.loss())
    torch.testing.assert_close(*losses, rtol=1e-3, atol=1e-3)


def test_outputs_alone():
    cache = TeacherCache.from_inputs(big(), graph(), layers=None)
    assert cache.layers == cache.channels == []
    distiller = Distiller.from_example(small(), cache, graph(), KDLoss)
    distiller.train()(*graph())
    distiller.loss().backward()
    with pytest.raises(ValueError, match="'teacher_channels' must list"):
        Distiller.from_example(small(), cache, graph())


@pytest.mark.skipif(
    'PYG_DISTILL_DATA' not in os.environ, reason='needs PYG_DISTILL_DATA'
)
def test_on_cora():
    root = Path(os.environ['PYG_DISTILL_DATA'], 'Planetoid')
    if not (root / 'Cora' / 'raw').is_dir():
        pytest.skip('needs the raw files of Cora')
    data = Planetoid(str(root), 'Cora')[0]
    args = (data.x, data.edge_index)
    histories = []
    for cache in (True, False):
        torch.manual_seed(0)
        teacher, student = GCN(1433, 32, 3, 7), GCN(1433, 8, 2, 7)
        distiller = Distiller.from_example(student, teacher, args, cache=cache)
        distiller.train()
        optimizer = torch.optim.Adam(distiller.parameter_groups(lr=0.01))
        history = []
        for _ in range(3):
            optimizer.zero_grad()
            out = distiller(*args)[data.train_mask]
            own = F.cross_entropy(out, data.y[data.train_mask])
            distiller.loss(own).backward()
            optimizer.step()
            history.append(distiller.loss_dict()['total'])
        histories.append(torch.stack(history))
    torch.testing.assert_close(*histories, rtol=1e-4, atol=1e-4)
    assert histories[0][-1] < histories[0][0]
