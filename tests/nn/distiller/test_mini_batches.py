"""A teacher whose outputs are found by node: mini-batches, files, loaders."""

from types import SimpleNamespace

import fsspec
import pytest
import torch
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader import CachedLoader, NodeLoader, PrefetchLoader
from torch_geometric.nn import (
    GraphNorm,
    InstanceNorm,
    LayerNorm,
    PairNorm,
    SAGEConv,
)
from torch_geometric.sampler.base import NumNeighbors

from pyg_distill.nn import ABKDLoss, Distiller, KDLoss, TeacherCache
from pyg_distill.nn.distiller.loaders import check_loader
from tests.conftest import with_torch_sparse
from tests.nn.distiller.models import (
    BATCHES,
    RELATIONS,
    Hetero,
    batch_of,
    batch_step,
    batches,
    big,
    graph,
    hetero_graph,
    make_loader,
    recorded,
    sage,
)


def make_cache(source, teacher=None, num_hops=2):
    teacher = sage(16) if teacher is None else teacher
    if source == 'inputs':
        return TeacherCache.from_inputs(teacher, graph())
    return TeacherCache.from_loader(teacher, batches(num_hops))


def assert_same(cache, whole):
    rows = slice(None) if cache.n_id is None else cache.n_id
    torch.testing.assert_close(cache.outputs, whole.outputs[rows])
    for x, y in zip(cache.layers, whole.layers, strict=True):
        torch.testing.assert_close(x, y[rows])


def test_loader_and_inputs_agree():
    whole, cache = make_cache('inputs'), make_cache('loader')
    assert_same(cache, whole)
    assert cache.n_id.tolist() == [n for seeds in BATCHES for n in seeds]
    assert cache.num_nodes == 14
    torch.testing.assert_close(whole.row_sums[cache.n_id], cache.row_sums)
    nodes = torch.tensor([5, 0, 13, 5])
    assert whole.rows(nodes).tolist() == nodes.tolist()
    torch.testing.assert_close(
        cache.outputs[cache.rows(nodes)], whole.outputs[nodes]
    )


OPTIONS = {
    'node': {},
    'uniform': {'attention': 'uniform'},
    'learned': {'attention': 'learned'},
    'group': {'granularity': 'group', 'num_groups': 2},
    'pooled': {'granularity': 'pooled', 'center': False},
    'both': {'projection': 'both'},
}


@pytest.mark.parametrize('source', ['inputs', 'loader'])
@pytest.mark.parametrize('name', OPTIONS)
@pytest.mark.parametrize('seeds_alone', [True, False])
def test_rows_by_hand(name, source, seeds_alone):
    teacher, student = sage(16, num_layers=3), sage(8)
    cache = make_cache(source, teacher, num_hops=3)
    losses = {
        'abkd': lambda t, s: ABKDLoss(t, s, **OPTIONS[name]),
        'kd': KDLoss(),
    }
    distiller = Distiller.from_example(student, cache, graph(), losses).train()
    whole = recorded(teacher, graph())
    for batch in batches():
        size = batch.batch_size if seeds_alone else batch.num_nodes
        n_id = batch.n_id[:size]
        distiller(batch.x, batch.edge_index)
        kwargs = {'batch_size': size} if seeds_alone else {}
        distiller.loss(n_id=batch.n_id, **kwargs).backward()
        layers = [
            x[:size] for x in recorded(student, (batch.x, batch.edge_index))
        ]
        module = distiller.losses['abkd']
        target = [x[n_id] for x in whole]
        # Rows of nodes are centred over all that is cached.
        if name not in ('group', 'pooled'):
            order = slice(None) if source == 'inputs' else cache.n_id
            stored = module.prepare([x[order] for x in whole])
            target = stored.select(cache.rows(n_id))
        parts = distiller.loss_dict()
        want = module(target, layers)
        torch.testing.assert_close(parts['abkd'], want.detach())
        kd = KDLoss()(whole[-1][n_id], layers[-1])
        torch.testing.assert_close(parts['kd'], kd)


def test_unknown_nodes():
    part = TeacherCache.from_loader(sage(16), batches()[1:])
    match = "nodes of the teacher's cache .*got 3, it holds 11 nodes.*build"
    with pytest.raises(ValueError, match=match):
        batch_step(part, batch_of(BATCHES[0]))
    for source in ('inputs', 'loader'):
        for node in (14, -1):
            with pytest.raises(ValueError, match=f'got {node}, it holds 14'):
                make_cache(source).rows(torch.tensor([2, node]))
    none = TeacherCache(torch.zeros(0, 5), [], torch.zeros(0).long())
    with pytest.raises(ValueError, match='got 3, it holds 0'):
        none.rows(torch.tensor([3]))


@pytest.mark.parametrize('source', ['inputs', 'loader'])
def test_mini_batch_without_nodes(source):
    batch = batch_of(BATCHES[0])
    args = batch.x, batch.edge_index
    cache = make_cache(source)
    distiller = Distiller.from_example(sage(8), cache, graph()).train()
    cases = [(args, {'batch_size': 3})]
    if source == 'loader':
        # All nodes, but not in the order of the loader.
        cases.append((graph(), {}))
    for inputs, kwargs in cases:
        distiller(*inputs)
        with pytest.raises(ValueError, match=r'pass n_id=data\.n_id'):
            distiller.loss(**kwargs)
    # The remedy works.
    distiller(*args)
    distiller.loss(batch_size=3, n_id=batch.n_id)


def test_rows_that_differ():
    x, y, nodes = torch.zeros(4, 5), torch.zeros(3, 5), torch.arange(3)
    for args in [
        (x, [y]),
        (x, [x, y]),
        (x, [x], nodes),
        ({'a': x}, [{'a': y}]),
        ({'a': x}, [{'a': x}], {'a': nodes}),
        (x, [{'a': x}], {'a': nodes}),
        ({'a': x}, [{'b': x}, {'b': y}]),
    ]:
        with pytest.raises(ValueError, match=r'a row for each node .*3 and 4'):
            TeacherCache(*args)


# Files.


@pytest.mark.parametrize('memory', [False, True])
@pytest.mark.parametrize('source', ['inputs', 'loader'])
def test_files(memory, source, tmp_path):
    folder = 'memory://caches' if memory else str(tmp_path)
    path, cache = f'{folder}/cache.pt', make_cache(source)
    for _ in range(2):
        cache.save(path)
    other = TeacherCache.load(path)
    assert str(other) == str(cache)
    for batch in batches():
        losses = [batch_step(x, batch)[0] for x in (cache, other)]
        assert torch.equal(*losses)
    fs, name = fsspec.core.url_to_fs(folder)
    assert len(fs.ls(name)) == 1
    fs.rm(name, recursive=True)


# Node types.


def hetero_batch(num_papers=4):
    """The whole graph with its papers renumbered."""
    data = hetero_graph()
    order = torch.tensor([5, 2, 7, 0, 1, 3, 4, 6])
    position = order.argsort()
    out = HeteroData()
    out['paper'].x = data['paper'].x[order]
    out['paper'].n_id = order
    out['paper'].batch_size = num_papers
    out['author'].x = data['author'].x
    out['author'].n_id = torch.arange(6)
    for relation in RELATIONS:
        edge_index = data[relation].edge_index.clone()
        row = 0 if relation[0] == 'paper' else 1
        edge_index[row] = position[edge_index[row]]
        out[relation].edge_index = edge_index
    return out


class OfData(Hetero):
    def forward(self, data):
        return super().forward(data.x_dict, data.edge_index_dict)


@pytest.mark.parametrize('only', [None, 'paper'])
@pytest.mark.parametrize('source', ['inputs', 'loader', 'data'])
def test_node_types(only, source, tmp_path):
    def args(batch):
        if source == 'data':
            return (batch,)
        return batch.x_dict, batch.edge_index_dict

    data, batch = hetero_graph(), hetero_batch()
    kind = OfData if source == 'data' else Hetero
    teacher, student = kind(16, 3, only), kind(8, 2, only)
    cache = TeacherCache.from_inputs(teacher, args(data))
    if source == 'loader':
        loader = [hetero_batch(6), hetero_batch(8)]
        cache = TeacherCache.from_loader(teacher, loader)
    cache.save(str(tmp_path / 'cache.pt'))
    cache = TeacherCache.load(str(tmp_path / 'cache.pt'))
    distiller = Distiller.from_example(student, cache, args(data)).train()
    out = distiller(*args(batch))
    n_id = {key: batch[key].n_id for key in batch.node_types}
    size = {'paper': 4}
    distiller.loss(n_id=n_id, batch_size=size).backward()
    with torch.no_grad():
        logits = teacher(*args(data))
    if only is None:
        logits, out = logits['paper'], out['paper']
    want = KDLoss()(logits[n_id['paper'][:4]], out[:4])
    torch.testing.assert_close(distiller.loss_dict()['kd'], want.detach())

    def refused(match, **kwargs):
        distiller(*args(batch))
        with pytest.raises(ValueError, match=match):
            distiller.loss(**kwargs)

    refused("'n_id' must be a dict .*Tensor", n_id=n_id['paper'])
    if only:
        refused('name the one node type .*author', n_id=n_id)
    batch['paper'].x = batch['paper'].x * 2
    refused('other node features', n_id=n_id, batch_size=size)


# Features of nodes that are not those that the teacher saw.


def features_refused(cache, batch):
    with pytest.raises(ValueError, match=r'other node features .*transform'):
        batch_step(cache, batch)


@pytest.mark.parametrize('source', ['inputs', 'loader'])
@pytest.mark.parametrize('scaled', [False, True])
def test_other_features(source, scaled):
    def change(x):
        # As `NormalizeFeatures` does, so that all rows have one sum.
        return x.abs() / x.abs().sum(1, keepdim=True) if scaled else x

    x, edge_index = graph()
    cache = TeacherCache.from_inputs(sage(16), (change(x), edge_index))
    if source == 'loader':
        loader = batches()
        for batch in loader:
            batch.x = change(batch.x)
        cache = TeacherCache.from_loader(sage(16), loader)
    batch = batch_of(BATCHES[1])
    batch.x = change(batch.x)
    batch_step(cache, batch)
    wrong = [batch.clone() for _ in range(3)]
    wrong[0].x[2, 1] = 0.0
    wrong[1].n_id[:2] = batch.n_id[:2].flip(0)
    wrong[2].x = batch.x * 1.01
    for each in wrong:
        features_refused(cache, each)
    # Scaled down, a difference is not overlooked.
    tiny = TeacherCache.from_inputs(sage(16), (x * 1e-6, edge_index))
    batch.x = x[batch.n_id] * 2e-6
    features_refused(tiny, batch)
    batch.x = x[batch.n_id] * 1e-6
    batch_step(tiny, batch)


# Loaders that show a teacher all that it reads, and others.


class Tied(torch.nn.Module):
    """Calls one layer three times."""

    def __init__(self):
        super().__init__()
        self.conv = SAGEConv(4, 4)

    def forward(self, x, edge_index):
        for _ in range(3):
            x = self.conv(x, edge_index)
        return x


@with_torch_sparse
def test_neighbor_loader():
    whole, load = make_cache('inputs'), TeacherCache.from_loader
    device = torch.device('cpu')
    for wrap in (
        lambda x: x,
        CachedLoader,
        lambda x: PrefetchLoader(x, device),
    ):
        assert_same(load(sage(16), wrap(make_loader([-1, -1]))), whole)
        with pytest.raises(ValueError, match='must sample all neighbors'):
            load(sage(16), wrap(make_loader([-1, 3])))
    for batch in make_loader([2, 2], shuffle=True):
        _, distiller = batch_step(whole, batch)
        out = distiller.student(batch.x, batch.edge_index)
        size = batch.batch_size
        want = KDLoss()(whole.outputs[batch.n_id[:size]], out[:size])
        torch.testing.assert_close(distiller.loss_dict()['kd'], want.detach())
    # Normalisation reads the degrees of neighbors.
    cache = load(big(), make_loader([-1] * 4))
    assert_same(cache, TeacherCache.from_inputs(big(), graph()))
    load(Tied(), make_loader([-1] * 3))
    for teacher, hops, match in [
        (sage(16), [-1, 3], r'got num_neighbors=\[-1, 3\].*=\[-1, -1\]'),
        (sage(16), [-1], r'the 2 hops .*got 1.*num_neighbors=\[-1, -1\]'),
        (big(), [-1, -1, -1], 'sample the 4 hops'),
        (Tied(), [-1, -1], 'sample the 3 hops'),
    ]:
        with pytest.raises(ValueError, match=match):
            load(teacher, make_loader(hops))
    loader = make_loader([-1, -1], transform=lambda batch: batch)
    with pytest.raises(ValueError, match='must not transform mini-batches'):
        load(sage(16), loader)


def fake_loader(**sampler):
    """A loader with the attributes that are read."""

    class Loader(NodeLoader):
        def __init__(self):
            self.transform = None
            self.node_sampler = SimpleNamespace(**sampler)

        def __setattr__(self, name, value):
            self.__dict__[name] = value

        def __iter__(self):
            return iter(batches())

    return Loader()


def test_loaders_that_leave_out_neighbors():
    # Edge types that are not named have neighbors left out, too.
    default = NumNeighbors({RELATIONS[0]: [-1, -1]}, [2, 2])
    few, enough = NumNeighbors([-1, 3]), NumNeighbors([-1, -1])
    for sampler, match in [
        ({'num_neighbors': default}, r'got num_neighbors=\[2, 2\]'),
        ({'num_neighbors': few}, r'\[-1, 3\].*num_neighbors=\[-1, -1\]'),
        ({'num_samples': (4, 4)}, r'all neighbors.*got SimpleNamespace'),
    ]:
        with pytest.raises(ValueError, match=match):
            check_loader(fake_loader(**sampler), sage(16))
    loader = fake_loader(num_neighbors=enough)
    assert check_loader(loader, sage(16)) == 2
    assert_same(
        TeacherCache.from_loader(sage(16), loader), make_cache('inputs')
    )
    for teacher in (Tied(), sage(16, 3)):
        with pytest.raises(ValueError, match=r'sample the 3 hops .*got 2'):
            TeacherCache.from_loader(teacher, loader)
        assert not any(m._forward_pre_hooks for m in teacher.modules())


def test_loaders_of_something_else():
    x, edge_index = graph()
    match = "must give mini-batches with 'n_id' and 'batch_size'"
    with pytest.raises(ValueError, match=match):
        TeacherCache.from_loader(sage(16), [Data(x=x, edge_index=edge_index)])
    with pytest.raises(ValueError, match='at least one mini-batch'):
        TeacherCache.from_loader(sage(16), [])
    # Models that take something else.
    cache = TeacherCache.from_loader(
        sage(16), batches(), dtype=torch.half,
        inputs=lambda b: {'x': b.x, 'edge_index': b.edge_index},
    )  # fmt: skip
    assert cache.layers[0].dtype == torch.half
    outputs = make_cache('inputs').outputs
    torch.testing.assert_close(cache.outputs, outputs[cache.n_id])


@pytest.mark.parametrize(
    ('norm', 'exact'),
    [
        (torch.nn.BatchNorm1d(16), True),
        (LayerNorm(16, mode='node'), True),
        (LayerNorm(16), False),
        (GraphNorm(16), False),
        (PairNorm(), False),
        (InstanceNorm(16), False),
        (InstanceNorm(16, track_running_stats=True), True),
    ],
)
def test_layers_that_read_the_mini_batch(norm, exact):
    teacher = sage(16)
    teacher.norms = torch.nn.ModuleList([norm, torch.nn.Identity()])
    if exact:
        cache = make_cache('loader', teacher)
        assert_same(cache, make_cache('inputs', teacher))
        return
    with pytest.raises(ValueError, match=r"got 'norms\.0', a .*; use Teach"):
        make_cache('loader', teacher)
