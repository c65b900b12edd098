"""Which rows of teacher and student are compared."""

from itertools import pairwise

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GIN, SAGEConv, global_add_pool, to_hetero
from torch_geometric.nn.models import GraphSAGE
from torch_geometric.utils import trim_to_layer

from pyg_distill.nn import ABKDLoss, Distiller, KDLoss, LayerRecorder
from tests.conftest import with_to_hetero
from tests.nn.distiller.models import Hetero, graph, hetero_graph


class Trimmed(torch.nn.Module):
    """Leaves out more and more of a sampled neighborhood."""

    def __init__(self, channels, num_layers):
        super().__init__()
        torch.manual_seed(channels)
        widths = [4, *[channels] * (num_layers - 1), 5]
        self.convs = torch.nn.ModuleList(
            SAGEConv(a, b) for a, b in pairwise(widths)
        )

    def forward(self, x, edge_index, num_nodes, num_edges):
        for i, conv in enumerate(self.convs):
            x, edge_index, _ = trim_to_layer(
                i, num_nodes, num_edges, x, edge_index
            )
            x = conv(x, edge_index)
        return x


def sampled():
    """Three seed nodes, and three hops around them."""
    num_nodes, num_edges = [3, 4, 5, 6], [4, 5, 6]
    generator = torch.Generator().manual_seed(0)
    edges, start = [], 0
    for i, count in enumerate(num_edges):
        end = start + num_nodes[i]
        target = torch.randint(start, end, (count,), generator=generator)
        source = torch.arange(count) % num_nodes[i + 1] + end
        edges.append(torch.stack([source, target]))
        start = end
    x = torch.randn(sum(num_nodes), 4, generator=generator)
    return x, torch.cat(edges, dim=1), num_nodes, num_edges


def recorded(model, args):
    with LayerRecorder(model, detach=True) as recorder, torch.no_grad():
        model.eval()(*args)
    return recorder.features()


def test_trimmed_batches():
    args = sampled()
    # Of its own depth each trims to other rows.
    student, teacher = Trimmed(8, 2), Trimmed(16, 3)
    distiller = Distiller.from_example(student, teacher, args).train()
    taught, learned = recorded(teacher, args), recorded(student, args)
    rows = [x.size(0) for x in [*taught, *learned]]
    assert len(set(rows)) > 2
    distiller(*args)
    distiller.loss(batch_size=3).backward()
    want = distiller.losses['abkd'](
        [x[:3] for x in taught], [x[:3] for x in learned]
    )
    parts = distiller.loss_dict()
    torch.testing.assert_close(parts['abkd'], want.detach())
    kd = KDLoss()(taught[-1][:3], learned[-1][:3])
    torch.testing.assert_close(parts['kd'], kd)

    distiller(*args)
    with pytest.raises(
        ValueError, match=r'batch_size=data\.batch_size'
    ) as info:
        distiller.loss()
    assert '\n' not in str(info.value)


def test_seeds_of_whole_batches():
    # Both see all rows, but only those of the seeds are right.
    x, edge_index = graph()
    student = GraphSAGE(4, 8, 2, 5)
    teacher = GraphSAGE(4, 16, 4, 5)
    distiller = Distiller.from_example(student, teacher, graph()).train()
    values = []
    for size in (None, 5, 14):
        out = distiller(x, edge_index)
        distiller.loss(batch_size=size)
        values.append(distiller.loss_dict())
        with torch.no_grad():
            taught = teacher(x, edge_index)[:size]
        want = KDLoss()(taught, out[:size]).detach()
        torch.testing.assert_close(values[-1]['kd'], want)
    assert values[0]['abkd'] == values[2]['abkd'] != values[1]['abkd']


@pytest.mark.parametrize(
    'split', [False, pytest.param(True, marks=with_to_hetero)]
)
@pytest.mark.parametrize('size', [{'paper': 4}, {'author': 3, 'paper': 5}])
def test_node_types(split, size):
    data = hetero_graph()
    args = (data.x_dict, data.edge_index_dict)
    student, teacher = Hetero(8, 2), Hetero(16, 3)
    if split:
        student = to_hetero(GraphSAGE(4, 8, 2, 5), data.metadata())
        teacher = to_hetero(GraphSAGE(4, 16, 3, 5), data.metadata())
    distiller = Distiller.from_example(student, teacher, args).train()
    out = distiller(*args)
    distiller.loss(batch_size=size).backward()
    taught, learned = recorded(teacher, args), recorded(student, args)

    def cut(layers):
        return [{key: x[key][:n] for key, n in size.items()} for x in layers]

    want = distiller.losses['abkd'](cut(taught), cut(learned))
    parts = distiller.loss_dict()
    torch.testing.assert_close(parts['abkd'], want.detach())
    with torch.no_grad():
        logits = teacher(*args)
    kd = [KDLoss()(logits[k][:n], out[k][:n]) for k, n in size.items()]
    torch.testing.assert_close(parts['kd'], sum(kd).detach() / len(kd))

    # All nodes of all types.
    out = distiller(*args)
    distiller.loss().backward()
    want = distiller.losses['abkd'](taught, learned)
    parts = distiller.loss_dict()
    torch.testing.assert_close(parts['abkd'], want.detach())
    kd = [KDLoss()(logits[key], out[key]) for key in ('paper', 'author')]
    torch.testing.assert_close(parts['kd'], sum(kd).detach() / 2)

    distiller(*args)
    message = r"must name the node type .*got 4\); pass for example \{'.*': 4\}"
    with pytest.raises(ValueError, match=message):
        distiller.loss(batch_size=4)


def test_one_type_of_outputs():
    data = hetero_graph()
    args = (data.x_dict, data.edge_index_dict)
    student, teacher = Hetero(8, 2, 'paper'), Hetero(16, 3, 'paper')
    distiller = Distiller.from_example(student, teacher, args).train()
    out = distiller(*args)
    distiller.loss(batch_size={'paper': 4}).backward()
    with torch.no_grad():
        want = KDLoss()(teacher(*args)[:4], out[:4])
    torch.testing.assert_close(distiller.loss_dict()['kd'], want)
    distiller(*args)
    message = r'name a single node type, where outputs are tensors'
    with pytest.raises(ValueError, match=message):
        distiller.loss(batch_size={'paper': 4, 'author': 2})


def test_only_some_types_in_common():
    data = hetero_graph()
    args = (data.x_dict, data.edge_index_dict)

    class Papers(Hetero):
        def forward(self, *args):
            return {'paper': super().forward(*args)['paper']}

    student, teacher = Hetero(8, 2), Papers(16, 3)
    distiller = Distiller.from_example(student, teacher, args).train()
    out = distiller(*args)
    distiller.loss()
    with torch.no_grad():
        want = KDLoss()(teacher(*args)['paper'], out['paper'])
    torch.testing.assert_close(distiller.loss_dict()['kd'], want)


class OfGraphs(torch.nn.Module):
    def __init__(self, channels, num_layers):
        super().__init__()
        torch.manual_seed(channels)
        self.gnn = GIN(4, channels, num_layers)
        self.lin = torch.nn.Linear(channels, 3)

    def forward(self, data):
        x = self.gnn(data.x, data.edge_index)
        return self.lin(global_add_pool(x, data.batch, data.num_graphs))


def graphs():
    # The third is empty, and so is the last.
    sizes = [3, 8, 0, 5, 0]
    data_list = []
    for i, size in enumerate(sizes):
        torch.manual_seed(i)
        edge_index = torch.randint(0, max(size, 1), (2, 3 * size))
        data_list.append(Data(x=torch.randn(size, 4), edge_index=edge_index))
    return Batch.from_data_list(data_list), sizes


def test_graphs():
    data, sizes = graphs()
    student, teacher = OfGraphs(8, 2), OfGraphs(16, 3)
    losses = {
        'abkd': lambda t, s: ABKDLoss(t, s, granularity='graph'),
        'kd': KDLoss(),
    }
    distiller = Distiller.from_example(student, teacher, data, losses).train()
    taught, learned = (
        recorded(teacher, [data]),
        recorded(student.train(), [data]),
    )
    student.train()

    def pool(layers):
        return [
            torch.stack([p.mean(0) for p in x.split(sizes) if len(p)])
            for x in layers
        ]

    flat = ABKDLoss([16] * 3, [8] * 2)
    flat.load_state_dict(distiller.losses['abkd'].state_dict())
    out = distiller(data)
    distiller.loss(batch=data.batch, size=5).backward()
    parts = distiller.loss_dict()
    want = flat(pool(taught), pool(learned))
    torch.testing.assert_close(parts['abkd'], want.detach())
    with torch.no_grad():
        kd = KDLoss()(teacher(data), out)
    torch.testing.assert_close(parts['kd'], kd)

    # Graphs without nodes do not count, whether they are known or not.
    distiller(data)
    distiller.loss(batch=data.batch)
    torch.testing.assert_close(distiller.loss_dict()['abkd'], want.detach())
    distiller(data)
    with pytest.raises(
        ValueError, match=r"'batch' must be given .* data\.batch"
    ):
        distiller.loss()


def test_graphs_of_cached_nodes():
    # Layers of the cache are pooled anew, by the batch vector of each step.
    data, _ = graphs()
    student, teacher = GIN(4, 8, 2, 5), GIN(4, 16, 3, 5)
    losses = {'abkd': lambda t, s: ABKDLoss(t, s, granularity='graph')}
    args = (data.x, data.edge_index)
    values = []
    for cache in (True, False):
        torch.manual_seed(0)
        distiller = Distiller.from_example(
            student, teacher, args, losses, cache=cache
        ).train()
        for batch in (data.batch, data.batch.flip(0)):
            distiller(*args)
            values.append(distiller.loss(batch=batch).detach())
        distiller.export()
    torch.testing.assert_close(values[:2], values[2:])
    assert values[0] != values[1]
    message = 'leave the teacher of a task on graphs uncached'
    with pytest.raises(ValueError, match=message):
        Distiller.from_example(
            OfGraphs(8, 2), OfGraphs(16, 3), data, cache=True
        )


def test_graphs_of_seeds():
    # Seed nodes of several graphs.
    x, edge_index = graph()
    batch = torch.arange(14) % 4
    losses = {'abkd': lambda t, s: ABKDLoss(t, s, granularity='graph')}
    student, teacher = GIN(4, 8, 2, 5), GIN(4, 16, 3, 5)
    distiller = Distiller.from_example(
        student, teacher, (x, edge_index), losses
    ).train()
    taught, learned = (recorded(m, (x, edge_index)) for m in (teacher, student))
    student.train()
    distiller(x, edge_index)
    loss = distiller.loss(batch=batch, batch_size=8)
    want = distiller.losses['abkd'](
        [t[:8] for t in taught], [s[:8] for s in learned], batch[:8]
    )
    torch.testing.assert_close(loss, want)
