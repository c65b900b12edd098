import warnings
from functools import partial

import pytest
import torch
from torch_geometric.data import Batch, Data
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

from pyg_distill.nn import RootReadout, global_root_pool
from tests.nn.mini_batches import FORMS, GRAPHS, batch
from tests.nn.mini_batches import tree as trees

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


class Function(torch.nn.Module):
    """A function of modules, which is called with tensors."""

    def __init__(self, run, **modules):
        super().__init__()
        self.run = run
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x, edge_index, batch=None):
        return self.run(self, x, edge_index, batch)


class DataFunction(Function):
    def forward(self, data):
        return self.run(self, data)


@pytest.fixture
def graph():
    return Batch.from_data_list(GRAPHS)


TREES = {
    'trees': lambda: batch(partial(trees, compact=False)),
    'compact': lambda: batch(trees),
    'followed': FORMS['Batch, followed'],
    'merged': FORMS['TreeSetBatch'],
}


@pytest.fixture(params=TREES)
def tree(request):
    """A mini-batch of trees that are two deep."""
    return TREES[request.param]()


@pytest.fixture(params=['trees', 'followed'])
def batched(request):
    """Those whose nodes belong to one graph each."""
    return TREES[request.param]()


@pytest.fixture
def merged():
    return TREES['merged']()


def call(model, data, **kwargs):
    """Calls a model with tensors."""
    names = ('root_index', 'root_count', 'root_index_batch')
    return model(
        data.x,
        data.edge_index,
        data.get('batch'),
        **{name: data.get(name) for name in names},
        **kwargs,
    )


def plain(model, data):
    return model(data.x, data.edge_index, data.batch)


def build(cls=Net, *args, **kwargs):
    """A model in eval mode with all of its parameters and statistics."""
    model = cls(*args, **kwargs)
    data = Batch.from_data_list(GRAPHS)
    model(data) if isinstance(model, DataNet) else plain(model, data)
    return model.eval()


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
    net, data_net = build(Net, READOUTS[name]), build(DataNet, READOUTS[name])
    data_net.load_state_dict(net.state_dict())
    model = RootReadout(net, encoder='gnn')
    data_model = RootReadout(data_net, encoder='gnn')
    assert str(model) == "RootReadout(Net, encoder='gnn')"
    want = plain(net, graph)
    before = tree.get('batch')
    # On ordinary graphs it is the model itself.
    for out in (call(model, graph), model(graph), data_model(graph)):
        assert torch.equal(out, want)
    for out in (
        call(model, tree),
        model(tree),
        data_model(tree),
        data_model(data=tree),
    ):
        assert_exact(out, want)
    assert num_hooks(model) == num_hooks(data_model) == 0
    assert tree.get('batch') is before
    # The model itself, without the readout, is not exact.
    if before is not None:
        out = plain(net, tree)
        assert float((out - want).detach().abs().max()) > 1e-3


def test_one_graph():
    tree = trees(GRAPHS[0])
    net, data_net = (build(cls, global_add_pool) for cls in (Net, DataNet))
    data_net.load_state_dict(net.state_dict())
    want = net(GRAPHS[0].x, GRAPHS[0].edge_index)
    model = RootReadout(net, encoder='gnn')
    for out in (
        call(model, tree),
        model(tree),
        model(GRAPHS[0]),
        RootReadout(data_net, encoder='gnn')(tree),
    ):
        assert_exact(out, want)


def test_arguments_that_are_read_from_data(graph, tree):
    # By their names; others keep their defaults.
    class Weighted(Net):
        def forward(self, x, edge_index, which, edge_attr=None, scale=2.0):
            assert edge_attr is data.get('edge_attr')
            return scale * super().forward(x, edge_index, which)

    net = Weighted()
    model = RootReadout(net, encoder='gnn', batch='which').eval()
    data = graph
    want = model(data)
    data = tree
    assert_exact(model(data), want)
    assert_exact(model(data), 2.0 * Net.forward(net, *plain_args(graph)))


def plain_args(data):
    return data.x, data.edge_index, data.batch


def test_norm_in_train_mode(graph, tree):
    # It sees as many nodes as in graphs, so even its statistics agree.
    a, b = Net(), Net()
    plain(a, graph)
    b.load_state_dict(a.state_dict())
    for net in (a, b):
        net.train()
        net.gnn.eval()
    assert_exact(RootReadout(b, encoder='gnn')(tree), plain(a, graph))
    torch.testing.assert_close(
        b.norm.module.running_var, a.norm.module.running_var
    )


class Recorder(torch.nn.Module):
    """An encoder that keeps the `batch` that it was given."""

    def __init__(self):
        super().__init__()
        self.gnn = GIN(2, 8, 2)

    def forward(self, x, edge_index=None, batch=None):
        if isinstance(x, Data):
            x, edge_index, batch = plain_args(x)
        self.seen = batch
        return self.gnn(x, edge_index)


def normed(where):
    """Norms that read `batch`, before the encoder or after it."""

    def run(net, x, edge_index, batch):
        if where == 'before':
            x = net.before(x, batch)
        x = net.encoder(x, edge_index)
        if where == 'after':
            x = net.after(x, batch)
        return global_mean_pool(x, batch)

    modules = {'before': GraphNorm(2), 'after': GraphNorm(8)}
    return Function(run, **modules, encoder=GIN(2, 8, 2)).eval()


def test_norms_after_the_encoder(graph, tree):
    net = normed('after')
    assert_exact(RootReadout(net, 'encoder')(tree), plain(net, graph))


def test_norms_before_the_encoder(batched, merged):
    # They see all nodes, not only roots.
    net = normed('before')
    model = RootReadout(net, 'encoder')
    x = net.encoder(net.before(batched.x, batched.batch), batched.edge_index)
    want = global_root_pool(x, batched, reduce='mean')
    assert_exact(model(batched), want)
    with pytest.raises(ValueError, match="'GraphNorm' is given the graph"):
        model(merged)


def test_wrong_encoder():
    with pytest.raises(
        ValueError, match=r"'encoder' must name .* 'Net' \(got 'gin'\).*gnn"
    ):
        RootReadout(Net(), encoder='gin')
    with pytest.raises(ValueError, match=r"got ''.*there are none"):
        RootReadout(torch.nn.Linear(2, 2), encoder='')


def pooled(net, x, edge_index, batch):
    x = net.gnn(x, edge_index)
    net.jump([x, x])
    x, _ = net.pair(x, edge_index)
    return net.pool(x, edge_index, batch)


@pytest.mark.parametrize(
    ('encoder', 'message'),
    [
        ('unused', r"'unused' was not called by 'Function'.*name the submodul"),
        ('pair', r"'pair' must return a tensor .*got a 'tuple'.*encoder="),
        ('pool', r"'pool' must .* one row a node \(got 4 rows for"),
        ('first', r"'GIN' passes messages after 'first'.* encoder="),
    ],
)
def test_encoder_that_is_none(encoder, message, batched):
    if encoder == 'first':
        message = message.replace('GIN', 'GINConv')
        net = Function(
            lambda net, x, edge_index, batch: global_add_pool(
                net.second(net.first(x, edge_index), edge_index), batch
            ),
            first=GIN(2, 8, 1),
            second=GIN(8, 8, 1),
        )
    else:
        net = Function(
            pooled,
            gnn=GIN(2, 8, 2),
            unused=torch.nn.Linear(2, 2),
            jump=JumpingKnowledge('cat'),
            pair=Function(lambda net, x, *args: (x, x)),
            pool=Function(lambda net, x, _, batch: global_mean_pool(x, batch)),
        )
    model = RootReadout(net, encoder=encoder)
    before = num_hooks(model)
    with pytest.raises(ValueError, match=message) as info:
        model(batched)
    assert '\n' not in str(info.value)
    assert num_hooks(model) == before
    plain(net, batched)


def test_roots_that_do_not_fit(batched, merged):
    model = RootReadout(build(), encoder='gnn')
    args = plain_args(batched)
    roots = {'root_index': batched.root_index}
    with pytest.raises(ValueError, match="'root_count' must have one entry"):
        model(*args, root_count=batched.root_count[:-1], **roots)
    no_batch = RootReadout(GIN(2, 8, 2), encoder='convs.1', batch='graph')
    with pytest.raises(ValueError, match=r"'GIN' has no argument 'graph' .*="):
        no_batch(*args[:2], **roots)
    args = merged.x, merged.edge_index
    with pytest.raises(ValueError, match="'root_index_batch' must have"):
        model(*args, root_index_batch=merged.root_index_batch)
    roots = {key: merged[key] for key in ('root_index', 'root_count')}
    with pytest.raises(ValueError, match='roots of 4 graphs'):
        model(*args, num_layers=merged.num_layers, **roots)
    # The mini-batch knows it, even if roots are given beside it.
    model = RootReadout(build(DataNet), 'gnn')
    assert model(merged, **roots).size(0) == 4


@pytest.mark.parametrize('where', ['gnn', 'node_head', 'head'])
def test_no_hooks_are_left_behind(where, graph, tree):
    def fail(module, args):
        raise KeyboardInterrupt

    net = build()
    want = plain(net, graph)
    model = RootReadout(net, encoder='gnn')
    hook = getattr(net, where).register_forward_pre_hook(fail)
    with pytest.raises(KeyboardInterrupt):
        model(tree)
    hook.remove()
    assert num_hooks(net) == 0
    assert torch.equal(plain(net, graph), want)
    assert_exact(model(tree), want)


def test_models_that_pool_by_ptr(graph, tree):
    class PtrNet(Net):
        def __init__(self):
            super().__init__(MeanAggregation())

        def forward(self, x, edge_index, batch, ptr):
            return self.readout(self.gnn(x, edge_index), ptr=ptr)

    class PtrDataNet(PtrNet):
        def forward(self, data):
            return super().forward(*plain_args(data), data.ptr)

    net, data_net = PtrNet().eval(), PtrDataNet().eval()
    data_net.gnn.load_state_dict(net.gnn.state_dict())
    want = data_net(graph)
    model = RootReadout(net, 'gnn')
    assert_exact(RootReadout(data_net, 'gnn')(tree), want)
    assert_exact(model(tree), want)
    assert_exact(call(model, tree, ptr=tree.get('ptr')), want)


READ_BATCH = {
    'tensors': Function(
        lambda net, x, edge_index, batch: global_mean_pool(
            net.encoder(x, edge_index, batch=batch), batch
        ),
        encoder=Recorder(),
    ),
    'data': DataFunction(
        lambda net, data: global_mean_pool(net.encoder(data), data.batch),
        encoder=Recorder(),
    ),
}


@pytest.mark.parametrize('name', READ_BATCH)
def test_encoder_that_reads_batch(name, graph, batched, merged):
    model = RootReadout(READ_BATCH[name].eval(), encoder='encoder')
    out = model(batched)
    assert model.model.encoder.seen is batched.batch
    assert_exact(out, model(graph))
    # Nodes of merged trees have none.
    error, message = ValueError, "graph of each node before 'encoder'"
    if name == 'data':
        error, message = AttributeError, "has no 'batch'"
    with pytest.raises(error, match=message):
        model(merged)
    assert num_hooks(model) == 0


def test_deeper_models_are_warned_of_once(graph, tree):
    model = RootReadout(DataNet(num_layers=3), encoder='gnn')
    with pytest.warns(UserWarning, match=r"'gnn' reads 3 hops, .* 2 deep"):
        model(tree)
    net = Net()
    net.gnn = GCN(2, 8, 2)
    with pytest.warns(UserWarning, match=r"'gnn' reads 3 hops"):
        call(RootReadout(net, encoder='gnn'), tree, num_layers=2)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        model(tree)
        # Trees are as deep, nothing is known of it, or there are none.
        RootReadout(DataNet(num_layers=2), encoder='gnn')(tree)
        call(RootReadout(Net(num_layers=3), encoder='gnn'), tree)
        RootReadout(DataNet(num_layers=3), encoder='gnn')(graph)
