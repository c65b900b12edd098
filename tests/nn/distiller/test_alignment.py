"""Which rows of teacher and student are compared."""

from itertools import pairwise

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GIN, SAGEConv, global_add_pool, to_hetero
from torch_geometric.nn.models import GraphSAGE
from torch_geometric.utils import trim_to_layer

from pyg_distill.nn import ABKDLoss, Distiller, KDLoss
from tests.conftest import with_to_hetero
from tests.nn.distiller.models import Hetero, hetero_graph, recorded


def build(student, teacher, args, losses=None, **kwargs):
    torch.manual_seed(0)
    make = Distiller.from_example
    return make(student, teacher, args, losses, **kwargs).train()


def check(distiller, abkd, teacher, student):
    """The terms of the last loss are those of layers and pairs of logits."""
    parts = distiller.loss_dict()
    torch.testing.assert_close(parts['abkd'], abkd.detach())
    kd = [KDLoss()(t, s) for t, s in zip(teacher, student, strict=True)]
    torch.testing.assert_close(parts['kd'], sum(kd).detach() / len(kd))


class Trimmed(torch.nn.Module):
    """Leaves out more and more of a sampled neighborhood."""

    def __init__(self, channels, num_layers):
        super().__init__()
        widths = [4, *[channels] * (num_layers - 1), 5]
        convs = [SAGEConv(a, b) for a, b in pairwise(widths)]
        self.convs = torch.nn.ModuleList(convs)

    def forward(self, x, edge_index, num_nodes, num_edges):
        for i, conv in enumerate(self.convs):
            x, edge_index, _ = trim_to_layer(
                i, num_nodes, num_edges, x, edge_index
            )
            x = conv(x, edge_index)
        return x


def test_trimmed_batches():
    # Three seed nodes, and three hops around them.
    num_nodes, num_edges = [3, 4, 5, 6], [4, 5, 6]
    edges, start = [], 0
    for i, count in enumerate(num_edges):
        end = start + num_nodes[i]
        target = torch.randint(start, end, (count,))
        source = torch.arange(count) % num_nodes[i + 1] + end
        edges.append(torch.stack([source, target]))
        start = end
    args = torch.randn(18, 4), torch.cat(edges, dim=1), num_nodes, num_edges
    # Of different depth, they trim to different rows.
    student, teacher = Trimmed(8, 2), Trimmed(16, 3)
    distiller = build(student, teacher, args)
    t, s = recorded(teacher, args), recorded(student, args)
    assert len({x.size(0) for x in [*t, *s]}) > 2
    distiller(*args)
    distiller.loss(batch_size=3).backward()
    t, s = ([x[:3] for x in layers] for layers in (t, s))
    check(distiller, distiller.losses['abkd'](t, s), t[-1:], s[-1:])
    distiller(*args)
    with pytest.raises(ValueError, match=r'batch_size=data\.batch_size'):
        distiller.loss()


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
    distiller = build(student, teacher, args)
    t, s = recorded(teacher, args), recorded(student, args)
    everything = {'paper': 8, 'author': 6}
    for number in (size, everything):
        distiller(*args)
        kwargs = {} if number is everything else {'batch_size': number}
        distiller.loss(**kwargs).backward()
        t_cut, s_cut = (
            [{k: x[k][:n] for k, n in number.items()} for x in layers]
            for layers in (t, s)
        )
        abkd = distiller.losses['abkd'](t_cut, s_cut)
        pairs = [[x[-1][k] for k in number] for x in (t_cut, s_cut)]
        check(distiller, abkd, *pairs)
    distiller(*args)
    match = r"must name the node type .*got 4.*try \{'.*': 4\}"
    with pytest.raises(ValueError, match=match):
        distiller.loss(batch_size=4)


def test_a_type_without_nodes():
    class Typed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = torch.nn.Linear(4, 3)

        def forward(self, x):
            return {key: self.lin(value) for key, value in x.items()}

    x = {'a': torch.randn(6, 4), 'b': torch.randn(5, 4)}
    distiller = build(Typed(), Typed(), (x,), KDLoss())
    distiller({'a': x['a'], 'b': x['b'][:0]})
    few = distiller.loss()
    distiller({'a': x['a']})
    torch.testing.assert_close(few, distiller.loss())
    distiller({'a': x['a'][:0], 'b': x['b'][:0]})
    with pytest.raises(ValueError, match='skip empty batches'):
        distiller.loss()


class OfGraphs(torch.nn.Module):
    def __init__(self, channels, num_layers):
        super().__init__()
        self.gnn = GIN(4, channels, num_layers)
        self.lin = torch.nn.Linear(channels, 3)

    def forward(self, data):
        x = self.gnn(data.x, data.edge_index)
        return self.lin(global_add_pool(x, data.batch, data.num_graphs))


def graph_loss(teacher, student):
    return ABKDLoss(teacher, student, granularity='graph')


def graphs():
    # The third is empty, and so is the last.
    sizes, data_list = [3, 8, 0, 5, 0], []
    for size in sizes:
        edge_index = torch.randint(0, max(size, 1), (2, 3 * size))
        data_list.append(Data(x=torch.randn(size, 4), edge_index=edge_index))
    return Batch.from_data_list(data_list), sizes


def test_graphs():
    data, sizes = graphs()
    student, teacher = OfGraphs(8, 2), OfGraphs(16, 3)
    losses = {'abkd': graph_loss, 'kd': KDLoss()}
    distiller = build(student, teacher, data, losses)
    flat = ABKDLoss([16] * 3, [8] * 2)
    flat.load_state_dict(distiller.losses['abkd'].state_dict())
    pooled = [
        [
            torch.stack([p.mean(0) for p in x.split(sizes) if len(p)])
            for x in recorded(model, [data])
        ]
        for model in (teacher, student)
    ]
    # Graphs without nodes do not count, whether they are known or not.
    for kwargs in ({'size': 5}, {}):
        out = distiller(data)
        distiller.loss(batch=data.batch, **kwargs).backward()
        with torch.no_grad():
            check(distiller, flat(*pooled), [teacher(data)], [out])
    distiller(data)
    with pytest.raises(ValueError, match=r"'batch' must .* data\.batch"):
        distiller.loss()
    match = 'leave the teacher of a task on graphs uncached'
    with pytest.raises(ValueError, match=match):
        build(student, teacher, data, cache=True)
