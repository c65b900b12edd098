"""A teacher whose answers are found by node, in mini-batches and files."""

import fsspec
import pytest
import torch
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader import NeighborLoader
from torch_geometric.nn import HeteroConv, SAGEConv, to_hetero
from torch_geometric.nn.models import GraphSAGE
from torch_geometric.utils import k_hop_subgraph

from pyg_distill.nn import ABKDLoss, Distiller, KDLoss, TeacherCache
from pyg_distill.nn.distiller.loaders import answers, batch_inputs
from pyg_distill.nn.distiller.teacher import Teacher
from tests.conftest import with_to_hetero, with_torch_sparse
from tests.nn.distiller.models import (
    RELATIONS,
    Hetero,
    big,
    graph,
    hetero_graph,
    num_hooks,
    small,
    task,
)


def sage(channels, num_layers=2):
    torch.manual_seed(channels)
    return GraphSAGE(4, channels, num_layers, 5)


def batch_of(seeds, num_hops=2):
    """A mini-batch of whole neighborhoods, seed nodes first."""
    x, edge_index = graph()
    seeds = torch.tensor(seeds)
    subset, edge_index, mapping, _ = k_hop_subgraph(
        seeds, num_hops, edge_index, num_nodes=x.size(0)
    )
    others = torch.ones(subset.numel(), dtype=torch.bool)
    others[mapping] = False
    order = torch.cat([mapping, torch.arange(subset.numel())[others]])
    position = torch.full((x.size(0),), -1)
    n_id = subset[order]
    position[n_id] = torch.arange(n_id.numel())
    return Data(
        x=x[n_id],
        edge_index=position[edge_index],
        n_id=n_id,
        batch_size=seeds.numel(),
    )


BATCHES = [[3, 7, 1], [0, 2, 4, 5], [13, 6, 8, 9, 10, 11, 12]]


def loader():
    return [batch_of(seeds) for seeds in BATCHES]


def test_mini_batches_are_exact():
    model = sage(16).eval()
    for batch in loader():
        size = batch.batch_size
        torch.testing.assert_close(
            model(batch.x, batch.edge_index)[:size],
            model(*graph())[batch.n_id[:size]],
        )


def caches(teacher):
    return {
        'inputs': TeacherCache.from_inputs(teacher, graph()),
        'loader': TeacherCache.from_loader(teacher, loader()),
    }


def test_loader_and_inputs_agree():
    found = caches(sage(16))
    nodes = torch.tensor([5, 0, 13, 5])
    a, b = (found[key].take(nodes) for key in ('inputs', 'loader'))
    torch.testing.assert_close(a.outputs, b.outputs)
    for x, y in zip(a.layers, b.layers, strict=True):
        torch.testing.assert_close(x, y)
    assert torch.equal(a.outputs[0], a.outputs[3])
    stored = found['loader']
    assert stored.n_id.tolist() == [n for seeds in BATCHES for n in seeds]
    assert stored.num_nodes == 14
    # Nothing else of the mini-batches is kept.
    for x in [stored.outputs, *stored.layers]:
        assert x.untyped_storage().nbytes() == x.numel() * 4
    sums = found['inputs'].row_sums
    torch.testing.assert_close(sums[stored.n_id], stored.row_sums)


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
def test_rows_by_hand(name, source):
    teacher, student = sage(16, num_layers=3), sage(8)
    cache = TeacherCache.from_inputs(teacher, graph())
    if source == 'loader':
        batches = [batch_of(seeds, 3) for seeds in BATCHES]
        cache = TeacherCache.from_loader(teacher, batches)
    losses = {
        'abkd': lambda t, s: ABKDLoss(t, s, **OPTIONS[name]),
        'kd': KDLoss(),
    }
    distiller = Distiller.from_example(student, cache, graph(), losses)
    distiller.train()
    for batch in loader():
        size = batch.batch_size
        n_id = batch.n_id[:size]
        out = distiller(batch.x, batch.edge_index)
        loss = distiller.loss(n_id=batch.n_id, batch_size=size)
        loss.backward()

        layers = []
        x = batch.x
        for i, conv in enumerate(student.convs):
            x = conv(x, batch.edge_index)
            layers.append(x[:size])
            x = x.relu() if i == 0 else x
        module = distiller.losses['abkd']
        with torch.no_grad():
            whole = _layers(teacher, *graph())
            logits = whole[-1]
        if name in ('group', 'pooled'):
            want = module([x[n_id] for x in whole], layers)
        elif name == 'node':
            want = _default(module, whole, layers, n_id)
        else:
            want = module(module.prepare(whole).select(n_id), layers)
        parts = distiller.parts()
        torch.testing.assert_close(parts['abkd'], want.detach())
        torch.testing.assert_close(
            parts['kd'], KDLoss()(logits[n_id], out[:size]).detach()
        )


def _layers(model, x, edge_index):
    out = []
    for conv in model.eval().convs:
        x = conv(x, edge_index)
        out.append(x)
        x = x.relu()
    return out


def _default(module, teacher, student, n_id):
    """Centred over all that is cached, and over the mini-batch."""
    matching = module.matchings[0]
    total, weight = 0.0, matching.attention
    maps = list(zip(matching.groups, matching.student_projections, strict=True))
    for i, t in enumerate(teacher):
        z = t - t.mean(0)
        z = (z / z.norm(dim=1, keepdim=True))[n_id]
        for j, s in enumerate(student):
            if weight[i, j] == 0:
                continue
            ((_, column), projection) = next(m for m in maps if i in m[0][0])
            y = projection([student[k] for k in column])[column.index(j)]
            assert y.size() == (s.size(0), t.size(1))
            y = y - y.mean(0)
            y = y / y.norm(dim=1, keepdim=True)
            total += weight[i, j] * (z - y).square().sum(1).mean()
    return total / weight.sum()


def test_without_batch_size():
    # All nodes of the mini-batch are compared.
    distiller = Distiller.from_example(
        sage(8), TeacherCache.from_inputs(sage(16), graph()), graph()
    ).train()
    batch = batch_of(BATCHES[0])
    out = distiller(batch.x, batch.edge_index)
    distiller.loss(n_id=batch.n_id)
    with torch.no_grad():
        want = KDLoss()(sage(16).eval()(*graph())[batch.n_id], out)
    torch.testing.assert_close(distiller.parts()['kd'], want)


def step(cache, batch, **kwargs):
    distiller = Distiller.from_example(sage(8), cache, graph()).train()
    distiller(batch.x, batch.edge_index)
    size = kwargs.pop('batch_size', batch.batch_size)
    return distiller.loss(n_id=batch.n_id, batch_size=size, **kwargs)


def test_unknown_nodes():
    teacher = sage(16)
    part = TeacherCache.from_loader(teacher, loader()[1:])
    batch = batch_of(BATCHES[0])
    message = (
        r"'n_id' must hold nodes that the teacher's cache knows \(got 3, it "
        r'holds 11 nodes\); build the cache'
    )
    with pytest.raises(ValueError, match=message):
        step(part, batch)
    for cache in caches(teacher).values():
        for node in (14, -1):
            with pytest.raises(ValueError, match=f'got {node}, it holds 14'):
                cache.rows(torch.tensor([2, node]))
    none = TeacherCache(torch.zeros(0, 5), [], torch.zeros(0).long())
    with pytest.raises(ValueError, match='got 3, it holds 0'):
        none.rows(torch.tensor([3]))


@pytest.mark.parametrize('source', ['inputs', 'loader'])
@pytest.mark.parametrize('scaled', [False, True])
def test_other_features(source, scaled):
    x, edge_index = graph()
    teacher = sage(16)
    message = r"'teacher' was cached for other node features .* transform"

    def change(x):
        # As `NormalizeFeatures` does, so that all rows have one sum.
        x = x.abs()
        return x / x.sum(1, keepdim=True) if scaled else x

    if source == 'inputs':
        cache = TeacherCache.from_inputs(teacher, (change(x), edge_index))
    else:
        batches = loader()
        for batch in batches:
            batch.x = change(batch.x)
        cache = TeacherCache.from_loader(teacher, batches)
    batch = batch_of(BATCHES[1])
    batch.x = change(batch.x)
    step(cache, batch)
    dropped = batch.clone()
    dropped.x = batch.x.clone()
    dropped.x[2, 1] = 0.0
    with pytest.raises(ValueError, match=message):
        step(cache, dropped)
    swapped = batch.clone()
    swapped.n_id = batch.n_id[[1, 0, *range(2, batch.num_nodes)]]
    with pytest.raises(ValueError, match=message):
        step(cache, swapped)
    scaled_up = batch.clone()
    scaled_up.x = batch.x * 1.01
    with pytest.raises(ValueError, match=message):
        step(cache, scaled_up)
    # Scaled down, a difference is not overlooked.
    small_cache = TeacherCache.from_inputs(teacher, (x * 1e-6, edge_index))
    batch.x = x[batch.n_id] * 2e-6
    with pytest.raises(ValueError, match=message):
        step(small_cache, batch)
    batch.x = x[batch.n_id] * 1e-6
    step(small_cache, batch)


def test_other_inputs_than_features():
    # Edge features come first here, and are no node features.
    class Net(torch.nn.Module):
        def __init__(self, channels):
            super().__init__()
            torch.manual_seed(channels)
            self.conv1 = SAGEConv(4, channels)
            self.conv2 = SAGEConv(channels, 5)

        def forward(self, edge_attr, edge_index, x):
            x = self.conv1(x, edge_index).relu()
            return self.conv2(x, edge_index)

    x, edge_index = graph()
    attr = torch.randn(edge_index.size(1), 3)
    args = (attr, edge_index, x)
    cache = TeacherCache.from_inputs(Net(16), args)
    assert cache.row_sums is None
    distiller = Distiller.from_example(Net(8), cache, args).train()
    distiller(*args)
    distiller.loss(n_id=torch.arange(14))


def test_mini_batch_without_nodes():
    message = r'pass n_id=data\.n_id of a mini-batch to loss\(\)'
    for cache in caches(sage(16)).values():
        distiller = Distiller.from_example(sage(8), cache, graph()).train()
        batch = batch_of(BATCHES[0])
        distiller(batch.x, batch.edge_index)
        with pytest.raises(ValueError, match=message):
            distiller.loss(batch_size=3)
        # The remedy works.
        distiller(batch.x, batch.edge_index)
        distiller.loss(batch_size=3, n_id=batch.n_id)
    # All nodes, but not in the order of the loader.
    distiller(*graph())
    with pytest.raises(ValueError, match=message):
        distiller.loss()


@pytest.mark.parametrize('memory', [False, True])
def test_files(memory, tmp_path):
    path = 'memory://caches/cache.pt' if memory else str(tmp_path / 'a.pt')
    for cache in caches(sage(16)).values():
        cache.save(path)
        other = TeacherCache.load(path)
        assert str(other) == str(cache)
        nodes = torch.tensor([4, 1])
        assert torch.equal(other.take(nodes).outputs, cache.take(nodes).outputs)
        for batch in loader():
            torch.manual_seed(0)
            want = step(cache, batch)
            torch.manual_seed(0)
            assert torch.equal(step(other, batch), want)
    fs, _ = fsspec.core.url_to_fs(path)
    folder = '/caches' if memory else str(tmp_path)
    assert len(fs.ls(folder)) == 1
    if memory:
        fs.rm(folder, recursive=True)


def test_files_know_their_inputs(tmp_path):
    path = str(tmp_path / 'cache.pt')
    TeacherCache.from_inputs(big(), graph(), dtype=torch.half).save(path)
    cache = TeacherCache.load(path, map_location='cpu')
    assert cache.layers[0].dtype == torch.half
    distiller = Distiller.from_example(small(), cache, graph()).train()
    distiller.loss(task(distiller(*graph())))
    distiller(*graph(seed=5))
    with pytest.raises(ValueError, match='cached for other inputs'):
        distiller.loss()


@pytest.mark.parametrize('old', [False, True])
@pytest.mark.parametrize('error', [OSError, KeyboardInterrupt])
def test_files_that_fail(old, error, tmp_path, monkeypatch):
    from torch_geometric.io import fs

    path = tmp_path / 'cache.pt'
    cache = TeacherCache.from_inputs(big(), graph())
    if old:
        cache.save(str(path))
        content = path.read_bytes()

    def fail(state, name):
        with open(name, 'wb') as file:
            file.write(b'half')
        raise error('disk full')

    monkeypatch.setattr(fs, 'torch_save', fail)
    with pytest.raises(error, match='disk full'):
        cache.save(str(path))
    assert [p.name for p in tmp_path.iterdir()] == ['cache.pt'] * old
    if old:
        assert path.read_bytes() == content


def test_rows_that_differ():
    x, y = torch.zeros(4, 5), torch.zeros(3, 5)
    message = r"'outputs', 'layers' and 'n_id' must have a row .*3 and 4 rows"
    for args in [
        (x, [y]),
        (x, [x, y]),
        (x, [x], torch.arange(3)),
        ({'a': x}, [{'a': y}]),
        ({'a': x}, [{'a': x}], {'a': torch.arange(3)}),
        (x, [{'a': x}], {'a': torch.arange(3)}),
    ]:
        with pytest.raises(ValueError, match=message):
            TeacherCache(*args)


def hetero_batch(num_papers=4):
    """The whole graph with its papers renumbered."""
    data = hetero_graph()
    order = torch.tensor([5, 2, 7, 0, 1, 3, 4, 6])
    position = torch.empty_like(order)
    position[order] = torch.arange(8)
    out = HeteroData()
    out['paper'].x = data['paper'].x[order]
    out['paper'].n_id = order
    out['paper'].batch_size = num_papers
    out['author'].x = data['author'].x
    out['author'].n_id = torch.arange(6)
    (_, first, _), (_, second, _) = RELATIONS
    writes, by = (data[r].edge_index for r in RELATIONS)
    out['author', first, 'paper'].edge_index = torch.stack(
        [writes[0], position[writes[1]]]
    )
    out['paper', second, 'author'].edge_index = torch.stack(
        [position[by[0]], by[1]]
    )
    return out


@pytest.mark.parametrize('only', [None, 'paper'])
@pytest.mark.parametrize('source', ['inputs', 'loader'])
def test_node_types(only, source, tmp_path):
    data, batch = hetero_graph(), hetero_batch()
    args = (data.x_dict, data.edge_index_dict)
    teacher, student = Hetero(16, 3, only), Hetero(8, 2, only)
    cache = TeacherCache.from_inputs(teacher, args)
    if source == 'loader':
        batches = [hetero_batch(6), hetero_batch(8)]
        cache = TeacherCache.from_loader(teacher, batches)
    cache.save(str(tmp_path / 'cache.pt'))
    cache = TeacherCache.load(str(tmp_path / 'cache.pt'))
    distiller = Distiller.from_example(student, cache, args).train()
    out = distiller(batch.x_dict, batch.edge_index_dict)
    n_id = {key: batch[key].n_id for key in batch.node_types}
    size = {'paper': 4}
    distiller.loss(n_id=n_id, batch_size=size).backward()
    with torch.no_grad():
        taught = teacher(*args)
    if only is None:
        taught, out = taught['paper'], out['paper']
    want = KDLoss()(taught[n_id['paper'][:4]], out[:4])
    torch.testing.assert_close(distiller.parts()['kd'], want.detach())

    changed = {'paper': batch['paper'].x * 2, 'author': batch['author'].x}
    distiller(changed, batch.edge_index_dict)
    with pytest.raises(ValueError, match='other node features'):
        distiller.loss(n_id=n_id, batch_size=size)
    distiller(batch.x_dict, batch.edge_index_dict)
    with pytest.raises(ValueError, match=r"'n_id' must be a dict .*Tensor"):
        distiller.loss(n_id=n_id['paper'])
    if only:
        distiller(batch.x_dict, batch.edge_index_dict)
        with pytest.raises(
            ValueError, match=r'name the one node type .*author'
        ):
            distiller.loss(n_id=n_id)


def test_hetero_data_objects():
    class OfData(Hetero):
        def forward(self, data):
            return super().forward(data.x_dict, data.edge_index_dict)

    cache = TeacherCache.from_inputs(OfData(16, 3), hetero_graph())
    distiller = Distiller.from_example(OfData(8, 2), cache, hetero_graph())
    batch = hetero_batch()
    n_id = {key: batch[key].n_id for key in batch.node_types}
    distiller.train()(batch)
    distiller.loss(n_id=n_id, batch_size={'paper': 4})
    batch['paper'].x = batch['paper'].x * 2
    distiller(batch)
    with pytest.raises(ValueError, match='other node features'):
        distiller.loss(n_id=n_id, batch_size={'paper': 4})


def test_mini_batches_are_not_held():
    # Not even until all of them have been seen.
    holder = Teacher(sage(16), 'auto')
    for part in answers(holder, loader(), batch_inputs, None):
        for x in [part.outputs, *part.layers]:
            assert x.untyped_storage().nbytes() == x.numel() * 4


def make_loader(num_neighbors, data=None, **kwargs):
    if data is None:
        x, edge_index = graph()
        data = Data(x=x, edge_index=edge_index)
    kwargs.setdefault('batch_size', 5)
    return NeighborLoader(data, num_neighbors, **kwargs)


@with_torch_sparse
def test_neighbor_loader():
    teacher, student = sage(16), sage(8)
    whole = TeacherCache.from_inputs(teacher, graph())
    cache = TeacherCache.from_loader(teacher, make_loader([-1, -1]))
    torch.testing.assert_close(cache.outputs, whole.outputs)
    for x, y in zip(cache.layers, whole.layers, strict=True):
        torch.testing.assert_close(x, y)
    losses = []
    for source in (cache, whole):
        torch.manual_seed(0)
        distiller = Distiller.from_example(student, source, graph()).train()
        torch.manual_seed(0)
        for batch in make_loader([2, 2], shuffle=True):
            out = distiller(batch.x, batch.edge_index)
            size = batch.batch_size
            loss = distiller.loss(batch_size=size, n_id=batch.n_id)
            losses.append(loss.detach())
            n_id = batch.n_id[:size]
            want = KDLoss()(whole.outputs[n_id], out[:size])
            torch.testing.assert_close(distiller.parts()['kd'], want.detach())
    torch.testing.assert_close(losses[:3], losses[3:])


@with_torch_sparse
def test_loaders_that_tell_half_the_truth():
    teacher = sage(16)
    message = r"'loader' must sample all neighbors.*got num_neighbors=\[-1, 3\]"
    with pytest.raises(
        ValueError, match=message + r'.*pass num_neighbors=\[-1, -1\]'
    ):
        TeacherCache.from_loader(teacher, make_loader([-1, 3]))
    message = r'must sample the 2 hops .*got 1\); pass num_neighbors=\[-1, -1\]'
    with pytest.raises(ValueError, match=message):
        TeacherCache.from_loader(teacher, make_loader([-1]))
    # Normalisation reads the neighbors' degrees.
    with pytest.raises(ValueError, match='sample the 4 hops'):
        TeacherCache.from_loader(big(), make_loader([-1, -1, -1]))
    loader = make_loader([-1, -1], transform=lambda batch: batch)
    with pytest.raises(ValueError, match='must not transform mini-batches'):
        TeacherCache.from_loader(teacher, loader)
    # The remedies work.
    whole = TeacherCache.from_inputs(big(), graph())
    cache = TeacherCache.from_loader(big(), make_loader([-1] * 4))
    torch.testing.assert_close(cache.outputs, whole.outputs)


@with_torch_sparse
@pytest.mark.parametrize(
    'split', [False, pytest.param(True, marks=with_to_hetero)]
)
def test_hops_of_node_types(split):
    data = hetero_graph()
    if split:
        teacher = to_hetero(sage(16), data.metadata()).eval()
    else:
        teacher = Hetero(16, 2)

    def load(num_neighbors):
        return make_loader(num_neighbors, data, input_nodes='paper')

    # Two layers of two relations are two hops, not four.
    cache = TeacherCache.from_loader(teacher, load([-1, -1]))
    whole = TeacherCache.from_inputs(
        teacher, (data.x_dict, data.edge_index_dict)
    )
    torch.testing.assert_close(cache.outputs['paper'], whole.outputs['paper'])
    assert set(cache.outputs) == {'paper'}
    with pytest.raises(ValueError, match='sample the 2 hops'):
        TeacherCache.from_loader(teacher, load([-1]))
    few = {RELATIONS[0]: [-1, -1], RELATIONS[1]: [-1, 1]}
    with pytest.raises(ValueError, match=r'got num_neighbors=\[-1, 1\]'):
        TeacherCache.from_loader(teacher, load(few))


def test_hops_of_relations():
    from pyg_distill.nn.distiller.loaders import _depth

    class Mixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = SAGEConv(4, 4)
            self.types = HeteroConv({r: SAGEConv(4, 4) for r in RELATIONS})
            self.more = torch.nn.ModuleDict(
                {'a': SAGEConv(4, 4), 'b': SAGEConv(4, 4)}
            )

    assert _depth(Mixed()) == 4
    assert _depth(big()) == 4
    assert _depth(sage(8, 3)) == 3
    assert _depth(torch.nn.Linear(2, 2)) == 0


def test_default_of_loaders():
    # Edge types that are not named have neighbors left out, too.
    from torch_geometric.sampler.base import NumNeighbors

    from pyg_distill.nn.distiller import loaders

    class Sampler:
        num_neighbors = NumNeighbors({RELATIONS[0]: [-1, -1]}, [2, 2])

    class Loader(loaders.NodeLoader):
        def __init__(self):
            self.__dict__ = {'node_sampler': Sampler(), 'transform': None}

    with pytest.raises(ValueError, match=r'got num_neighbors=\[2, 2\]'):
        loaders.check_loader(Loader(), Hetero(8, 2))


def test_loaders_of_something_else():
    x, edge_index = graph()
    data = Data(x=x, edge_index=edge_index)
    message = r"'loader' must give mini-batches with 'n_id' and 'batch_size'"
    with pytest.raises(ValueError, match=message):
        TeacherCache.from_loader(sage(16), [data])
    with pytest.raises(ValueError, match='at least one mini-batch'):
        TeacherCache.from_loader(sage(16), [])
    # Models that take something else.
    cache = TeacherCache.from_loader(
        sage(16),
        loader(),
        inputs=lambda b: {'x': b.x, 'edge_index': b.edge_index},
        dtype=torch.half,
    )
    assert cache.layers[0].dtype == torch.half
    want = TeacherCache.from_inputs(sage(16), graph())
    torch.testing.assert_close(cache.outputs, want.outputs[cache.n_id])


def test_no_hooks_are_left():
    teacher = sage(16)

    def fail():
        yield loader()[0]
        raise KeyboardInterrupt

    # Held by the exception, nothing would be removed by itself.
    with pytest.raises(KeyboardInterrupt) as first:
        TeacherCache.from_loader(teacher, fail())
    assert num_hooks(teacher) == 0
    with pytest.raises(IndexError, match='larger than 2') as second:
        TeacherCache.from_inputs(teacher, (torch.zeros(3, 9), graph()[1]))
    assert num_hooks(teacher) == 0
    del first, second
