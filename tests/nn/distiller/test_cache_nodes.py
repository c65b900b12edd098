"""A teacher whose answers are found by node, in mini-batches and files."""

import fsspec
import pytest
import torch
from torch_geometric.data import HeteroData

from pyg_distill.nn import ABKDLoss, Distiller, KDLoss, TeacherCache
from pyg_distill.nn.distiller.loaders import run_teacher
from pyg_distill.nn.distiller.teacher import Teacher
from tests.nn.distiller.batches import BATCHES, batch_of, loader, sage, step
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
        parts = distiller.loss_dict()
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
    torch.testing.assert_close(distiller.loss_dict()['kd'], want)


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
    torch.testing.assert_close(distiller.loss_dict()['kd'], want.detach())

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
    for part in run_teacher(holder, loader(), None, None, None):
        for x in [part.outputs, *part.layers]:
            assert x.untyped_storage().nbytes() == x.numel() * 4


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


def test_types_that_only_layers_hold():
    class Some(torch.nn.Module):
        def __init__(self, width):
            super().__init__()
            torch.manual_seed(width)
            self.lin = torch.nn.ModuleDict(
                {t: torch.nn.Linear(4, width) for t in 'ab'}
            )
            self.head = torch.nn.Linear(width, 3)

        def forward(self, x):
            x = {t: self.lin[t](x[t]) for t in x}
            self.layers = x
            return {'a': self.head(x['a'])}

    x = {'a': torch.randn(6, 4), 'b': torch.randn(5, 4)}
    teacher = Some(8)
    cache = TeacherCache({'a': teacher(x)['a'].detach()}, [teacher.layers])
    n_id = {'a': torch.tensor([4, 0]), 'b': torch.tensor([1, 3, 2])}
    taken = cache.take(n_id)
    for t in 'ab':
        want = teacher.layers[t][n_id[t]]
        torch.testing.assert_close(taken.layers[0][t], want)
    assert set(taken.outputs) == {'a'}
    with pytest.raises(ValueError, match='must have a row for each node'):
        TeacherCache(
            {'a': torch.randn(6, 3)},
            [{'b': torch.randn(5, 2)}, {'b': torch.randn(4, 2)}],
        )
