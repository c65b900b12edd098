import copy
import pickle
import warnings
from functools import partial

import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader
from torch_geometric.nn import (
    GCN,
    GIN,
    BatchNorm,
    GraphNorm,
    JumpingKnowledge,
    Set2Set,
    SortAggregation,
    global_add_pool,
    global_mean_pool,
)
from torch_geometric.nn.aggr import MeanAggregation, MedianAggregation

from pyg_distill.loader import TreeSetLoader
from pyg_distill.nn import RootReadout, global_root_pool
from pyg_distill.transforms import ToComputationTrees
from tests.graphs import random_graph

READOUTS = {
    'sum': global_add_pool,
    'mean': global_mean_pool,
    'median': MedianAggregation(),
    'set2set': Set2Set(8, 2),
    'sort': SortAggregation(k=20),
}


class Net(torch.nn.Module):
    """Node embeddings, a head on nodes, a readout, a head on graphs."""

    def __init__(self, readout=global_mean_pool, num_layers=2):
        super().__init__()
        self.gnn = GIN(2, 8, num_layers)
        self.node_head = torch.nn.Linear(8, 8)
        self.norm = BatchNorm(8)
        self.readout = readout
        self.head = torch.nn.LazyLinear(3)

    def forward(self, x, edge_index, batch=None):
        x = self.gnn(x, edge_index)
        x = self.norm(self.node_head(x).relu())
        return self.head(self.readout(x, batch))


class DataNet(Net):
    def forward(self, data):
        return super().forward(data.x, data.edge_index, data.batch)


@pytest.fixture(scope='module')
def graph():
    return Batch.from_data_list([random_graph(seed=s) for s in range(4)])


@pytest.fixture(scope='module', params=[True, False])
def tree(request, graph):
    transform = ToComputationTrees(2, compact=request.param)
    return Batch.from_data_list(list(map(transform, graph.to_data_list())))


def call(model, data, **kwargs):
    return model(
        data.x,
        data.edge_index,
        data.batch,
        root_index=data.get('root_index'),
        root_count=data.get('root_count'),
        **kwargs,
    )


def assert_exact(out, want):
    assert out.size() == want.size()
    torch.testing.assert_close(out, want, rtol=1e-4, atol=1e-5)


def num_hooks(model):
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks)
        for m in model.modules()
    )


@pytest.mark.parametrize('name', READOUTS)
def test_root_readout(name, graph, tree):
    net = Net(READOUTS[name])
    model = RootReadout(net, encoder='gnn')
    assert str(model) == "RootReadout(Net, encoder='gnn')"
    net(graph.x, graph.edge_index, graph.batch)  # Statistics of `norm`.
    net.eval()
    want = net(graph.x, graph.edge_index, graph.batch)
    # On ordinary graphs it is the model itself.
    assert torch.equal(call(model, graph), want)
    assert_exact(call(model, tree), want)
    # The model itself, without the readout, is not exact.
    plain = net(tree.x, tree.edge_index, tree.batch)
    assert float((plain - want).detach().abs().max()) > 1e-3
    assert num_hooks(model) == 0


def test_forms_of_a_call(graph, tree):
    net = Net().eval()
    model = RootReadout(net, encoder='gnn')
    want = net(graph.x, graph.edge_index, graph.batch)
    roots = {'root_index': tree.root_index, 'root_count': tree.root_count}
    for out in (
        model(tree.x, tree.edge_index, batch=tree.batch, **roots),
        model(edge_index=tree.edge_index, batch=tree.batch, x=tree.x, **roots),
        # A root for each node instead of counts.
        model(
            tree.x,
            tree.edge_index,
            tree.batch,
            root_index=tree.root_index.repeat_interleave(tree.root_count),
        ),
    ):
        assert_exact(out, want)


def test_data_as_argument(graph, tree):
    net = DataNet().eval()
    model = RootReadout(net, encoder='gnn')
    batch = tree.batch
    want = net(graph)
    assert torch.equal(model(graph), want)
    assert_exact(model(tree), want)
    assert_exact(model(data=tree), want)
    assert tree.batch is batch


def test_one_graph(graph):
    data = graph[0]
    tree = ToComputationTrees(2)(data)
    net = Net(global_add_pool).eval()
    want = net(data.x, data.edge_index)
    model = RootReadout(net, encoder='gnn')
    assert_exact(call(model, tree), want)
    data_model = RootReadout(DataNet(global_add_pool), encoder='gnn').eval()
    data_model.model.load_state_dict(net.state_dict())
    assert_exact(data_model(tree), want)


def test_counts_matter(graph, tree):
    net = Net(global_add_pool).eval()
    model = RootReadout(net, encoder='gnn')
    want = net(graph.x, graph.edge_index, graph.batch)
    out = model(tree.x, tree.edge_index, tree.batch, root_index=tree.root_index)
    assert float((out - want).detach().abs().max()) > 1e-3


def test_norm_in_train_mode(graph, tree):
    # It sees as many nodes as in graphs, so even its statistics agree.
    a, b = Net(), Net()
    a(graph.x, graph.edge_index, graph.batch)
    b.load_state_dict(a.state_dict())
    for net in (a, b):
        net.train()
        net.gnn.eval()
    want = a(graph.x, graph.edge_index, graph.batch)
    assert_exact(call(RootReadout(b, encoder='gnn'), tree), want)
    torch.testing.assert_close(
        b.norm.module.running_var, a.norm.module.running_var
    )


def test_gradients(graph, tree):
    net = Net(MedianAggregation())
    net(graph.x, graph.edge_index, graph.batch)
    net.eval()
    model = RootReadout(net, encoder='gnn')
    weights = [p for p in net.parameters() if p.requires_grad]
    want = torch.autograd.grad(call(model, graph).tanh().sum(), weights)
    out = torch.autograd.grad(call(model, tree).tanh().sum(), weights)
    for a, b in zip(out, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_nested_encoder(graph, tree):
    class Outer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = Net()

        def forward(self, x, edge_index, which):
            return self.net(x, edge_index, which)

    model = RootReadout(Outer().eval(), 'net.gnn', batch='which')
    assert_exact(call(model, tree), call(model, graph))


class Recorder(torch.nn.Module):
    """An encoder that keeps the `batch` that it was given."""

    def __init__(self):
        super().__init__()
        self.gnn = GIN(2, 8, 2)

    def forward(self, x, edge_index, batch):
        self.seen = batch
        return self.gnn(x, edge_index)


@pytest.mark.parametrize('keyword', [True, False])
@pytest.mark.parametrize('as_data', [True, False])
def test_encoder_that_gets_batch(keyword, as_data, graph, tree):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = Recorder()

        def readout(self, x, edge_index, batch):
            if keyword:
                x = self.encoder(x, edge_index, batch=batch)
            else:
                x = self.encoder(x, edge_index, batch)
            return global_mean_pool(x, batch)

    class OfTensors(Model):
        def forward(self, x, edge_index, batch):
            return self.readout(x, edge_index, batch)

    class OfData(Model):
        def forward(self, data):
            return self.readout(data.x, data.edge_index, data.batch)

    net = OfData() if as_data else OfTensors()
    model = RootReadout(net.eval(), encoder='encoder')
    run = (lambda data: model(data)) if as_data else partial(call, model)
    out = run(tree)
    assert net.encoder.seen is tree.batch
    assert_exact(out, run(graph))


def test_encoder_that_gets_data(graph, tree):
    class Encoder(Recorder):
        def forward(self, data):
            return super().forward(data.x, data.edge_index, data.batch)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = Encoder()

        def forward(self, data):
            return global_mean_pool(self.encoder(data), data.batch)

    model = RootReadout(Model().eval(), encoder='encoder')
    out = model(tree)
    assert model.model.encoder.seen is tree.batch
    assert_exact(out, model(graph))


def test_wrong_encoder():
    with pytest.raises(
        ValueError, match=r"'encoder' must name .* 'Net' \(got 'gin'\).*gnn"
    ):
        RootReadout(Net(), encoder='gin')
    with pytest.raises(ValueError, match=r"got ''.*there are none"):
        RootReadout(torch.nn.Linear(2, 2), encoder='')


class Wrong(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gnn = GIN(2, 8, 2)
        self.unused = torch.nn.Linear(2, 2)
        self.pool = Pool()
        self.jump = JumpingKnowledge('cat')
        self.pair = Pair()

    def forward(self, x, edge_index, batch):
        x = self.gnn(x, edge_index)
        self.jump([x, x])
        x, _ = self.pair(x)
        return self.pool(x, batch)


class Pool(torch.nn.Module):
    def forward(self, x, batch):
        return global_mean_pool(x, batch)


class Pair(torch.nn.Module):
    def forward(self, x):
        return x, x


@pytest.mark.parametrize(
    ('encoder', 'message'),
    [
        ('unused', r"'unused' was not called by 'Wrong'.*name the submodule"),
        ('pair', r"'pair' must return a tensor .*got 'tuple'.*encoder="),
        ('pool', r"'pool' must return one row a node \(got 4 rows for"),
    ],
)
def test_encoder_that_is_none(encoder, message, tree):
    model = RootReadout(Wrong(), encoder=encoder)
    before = num_hooks(model)
    with pytest.raises(ValueError, match=message):
        call(model, tree)
    assert num_hooks(model) == before


def test_model_without_batch(tree):
    class NoBatch(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gnn = GIN(2, 8, 2)

        def forward(self, x, edge_index):
            return self.gnn(x, edge_index)

    model = RootReadout(NoBatch(), encoder='gnn')
    with pytest.raises(
        ValueError, match=r"'NoBatch' has no argument 'batch' .*batch=\.\.\."
    ):
        model(tree.x, tree.edge_index, root_index=tree.root_index)


def test_wrong_root_count(tree):
    model = RootReadout(Net(), encoder='gnn')
    with pytest.raises(ValueError, match=r"'root_count' must have one entry"):
        model(
            tree.x,
            tree.edge_index,
            tree.batch,
            root_index=tree.root_index,
            root_count=tree.root_count[:-1],
        )


@pytest.mark.parametrize('where', ['gnn', 'node_head', 'head'])
def test_no_hooks_are_left_behind(where, graph, tree):
    def fail(module, args):
        raise KeyboardInterrupt

    net = Net().eval()
    want = net(graph.x, graph.edge_index, graph.batch)
    model = RootReadout(net, encoder='gnn')
    hook = getattr(net, where).register_forward_pre_hook(fail)
    with pytest.raises(KeyboardInterrupt):
        call(model, tree)
    hook.remove()
    assert not net.gnn._forward_hooks
    assert not net.gnn._forward_pre_hooks
    assert torch.equal(net(graph.x, graph.edge_index, graph.batch), want)
    assert_exact(call(model, tree), want)


def test_copies(graph, tree):
    net = Net().eval()
    net(graph.x, graph.edge_index, graph.batch)
    model = RootReadout(net, encoder='gnn')
    want = call(model, tree)
    assert list(model.state_dict()) == [f'model.{k}' for k in net.state_dict()]

    for other in (
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
    ):
        assert str(other) == str(model)
        assert torch.equal(call(other, tree), want)
        with torch.no_grad():
            for weight in other.parameters():
                weight.zero_()
    assert torch.equal(call(model, tree), want)

    other = RootReadout(Net().eval(), encoder='gnn')
    other.load_state_dict(model.state_dict())
    assert torch.equal(call(other, tree), want)


def test_deeper_models_are_warned_of_once(tree):
    model = RootReadout(Net(num_layers=3), encoder='gnn')
    with pytest.warns(
        UserWarning, match=r"'gnn' reads 3 hops, .* 2 deep.*num_layers=3"
    ):
        call(model, tree, num_layers=tree.num_layers)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        call(model, tree, num_layers=tree.num_layers)


@pytest.mark.parametrize('num_layers', [2, torch.tensor([2, 3, 2])])
def test_depths_that_suffice(num_layers, graph, tree):
    model = RootReadout(Net(num_layers=2), encoder='gnn')
    data_model = RootReadout(DataNet(num_layers=2), encoder='gnn')
    deeper = RootReadout(Net(num_layers=3), encoder='gnn')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        call(model, tree, num_layers=num_layers)
        data_model(tree)
        # Nothing is known of the depth, or there are no trees.
        call(deeper, tree)
        call(deeper, graph)


def test_depth_of_data(tree):
    net = DataNet()
    net.gnn = GCN(2, 8, 2)
    with pytest.warns(UserWarning, match=r"'gnn' reads 3 hops"):
        RootReadout(net, encoder='gnn')(tree)


class PtrNet(Net):
    """Pools by `ptr`, with and without a `Data` object."""

    def __init__(self):
        super().__init__(MeanAggregation())

    def forward(self, x, edge_index, batch, ptr):
        x = self.gnn(x, edge_index)
        return self.readout(x, ptr=ptr)


class PtrDataNet(PtrNet):
    def forward(self, data):
        return super().forward(data.x, data.edge_index, data.batch, data.ptr)


def test_root_readout_ptr(graph):
    trees = [ToComputationTrees(2)(data) for data in graph.to_data_list()]
    trees = Batch.from_data_list(trees)
    roots = {key: trees[key] for key in ('root_index', 'root_count')}
    net, data_net = PtrNet().eval(), PtrDataNet().eval()
    data_net.load_state_dict(net.state_dict())
    expected = data_net(graph)
    for out in [
        RootReadout(data_net, 'gnn')(trees),
        RootReadout(net, 'gnn')(
            trees.x, trees.edge_index, trees.batch, ptr=trees.ptr, **roots
        ),
    ]:
        torch.testing.assert_close(out, expected)


def test_messages_after_the_encoder_are_refused(graph):
    trees = [ToComputationTrees(2)(data) for data in graph.to_data_list()]
    trees = Batch.from_data_list(trees)

    class Stacked(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = GIN(2, 8, 1), GIN(8, 8, 1)

        def forward(self, x, edge_index, batch):
            x = self.second(self.first(x, edge_index), edge_index)
            return global_add_pool(x, batch)

    model = RootReadout(Stacked(), 'first')
    args = (trees.x, trees.edge_index, trees.batch)
    with pytest.raises(ValueError, match=r"after 'first'.* encoder=") as info:
        model(*args, root_index=trees.root_index, root_count=trees.root_count)
    assert '\n' not in str(info.value)
    model(*args)


def merge(graph, **kwargs):
    loader = TreeSetLoader(graph.to_data_list(), 4, num_layers=2, **kwargs)
    return next(iter(loader))


def call_merged(model, data, **kwargs):
    return model(
        data.x,
        data.edge_index,
        data.get('batch'),
        root_index=data.root_index,
        root_count=data.root_count,
        root_index_batch=data.root_index_batch,
        **kwargs,
    )


@pytest.mark.parametrize('name', READOUTS)
def test_merged_trees(name, graph):
    net = Net(READOUTS[name])
    net(graph.x, graph.edge_index, graph.batch)
    net.eval()
    want = net(graph.x, graph.edge_index, graph.batch)
    merged = merge(graph)
    model = RootReadout(net, encoder='gnn')
    assert_exact(call_merged(model, merged), want)
    assert num_hooks(model) == 0
    data_net = DataNet(READOUTS[name]).eval()
    data_net(graph)
    data_net.load_state_dict(net.state_dict())
    assert_exact(RootReadout(data_net, encoder='gnn')(merged), want)


def test_follow_batch_of_roots(graph):
    # An ordinary loader gives both vectors.
    transform = ToComputationTrees(2)
    sets = [transform(data) for data in graph.to_data_list()]
    tree = next(iter(DataLoader(sets, 4, follow_batch=['root_index'])))
    net, data_net = Net().eval(), DataNet().eval()
    want = net(graph.x, graph.edge_index, graph.batch)
    data_net.load_state_dict(net.state_dict())
    assert_exact(call_merged(RootReadout(net, 'gnn'), tree), want)
    assert_exact(RootReadout(data_net, 'gnn')(tree), want)


def test_merged_trees_by_ptr(graph):
    net, data_net = PtrNet().eval(), PtrDataNet().eval()
    data_net.load_state_dict(net.state_dict())
    want = data_net(graph)
    merged = merge(graph)
    assert_exact(RootReadout(data_net, 'gnn')(merged), want)
    model = RootReadout(net, 'gnn')
    assert_exact(call_merged(model, merged, ptr=None), want)
    assert_exact(call_merged(model, merged, ptr=merged.get('ptr')), want)


class Normed(torch.nn.Module):
    """Norms that read `batch`, before and in the encoder, or after it."""

    def __init__(self, where):
        super().__init__()
        self.where = where
        self.before, self.after = GraphNorm(2), GraphNorm(8)
        self.encoder = Recorder()

    def forward(self, x, edge_index, batch):
        if self.where == 'before':
            x = self.before(x, batch)
        if self.where == 'inside':
            x = self.encoder(x, edge_index, batch)
        else:
            x = self.encoder(x, edge_index, None)
        if self.where == 'after':
            x = self.after(x, batch)
        return global_mean_pool(x, batch)


def test_norms_after_the_encoder(graph, tree):
    net = Normed('after').eval()
    want = net(graph.x, graph.edge_index, graph.batch)
    model = RootReadout(net, 'encoder')
    assert_exact(call_merged(model, merge(graph)), want)
    assert_exact(call(model, tree), want)


def test_norms_before_the_encoder(graph, tree):
    # They see the nodes, of which there are others than roots.
    net = Normed('before').eval()
    model = RootReadout(net, 'encoder')
    out = call(model, tree)
    x = net.before(tree.x, tree.batch)
    x = net.encoder(x, tree.edge_index, None)
    want = global_root_pool(
        x, tree.batch, tree.root_index, tree.root_count, reduce='mean'
    )
    assert_exact(out, want)


@pytest.mark.parametrize('where', ['before', 'inside'])
def test_batch_that_nodes_have_not(where, graph):
    model = RootReadout(Normed(where).eval(), 'encoder')
    with pytest.raises(
        ValueError, match=r"given the graph of each node before 'encoder'"
    ) as info:
        call_merged(model, merge(graph))
    assert '\n' not in str(info.value)
    assert num_hooks(model) == 0


def test_encoder_that_reads_batch_of_merged_data(graph):
    class Encoder(Recorder):
        def forward(self, data):
            return super().forward(data.x, data.edge_index, data.batch)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = Encoder()

        def forward(self, data):
            return global_mean_pool(self.encoder(data), data.batch)

    with pytest.raises(AttributeError, match="has no 'batch', as a node of"):
        RootReadout(Model().eval(), encoder='encoder')(merge(graph))


def test_roots_without_index(graph):
    merged = merge(graph)
    model = RootReadout(Net(), 'gnn')
    with pytest.raises(ValueError, match="'root_index_batch' must have"):
        model(
            merged.x,
            merged.edge_index,
            root_index_batch=merged.root_index_batch,
        )


def test_roots_of_many_graphs_without_batch(graph):
    merged = merge(graph)
    model = RootReadout(Net().eval(), 'gnn')
    roots = {key: merged[key] for key in ('root_index', 'root_count')}
    with pytest.raises(ValueError, match=r'roots of 4 graphs'):
        model(
            merged.x, merged.edge_index, num_layers=merged.num_layers, **roots
        )
    # A `Data` object tells it, whatever else is given.
    model = RootReadout(DataNet().eval(), 'gnn')
    assert model(merged, **roots).size(0) == 4
