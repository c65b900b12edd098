"""The same logits and gradients as without merging, for every exact layer."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data
from torch_geometric.nn import (
    GAT,
    GIN,
    GINEConv,
    global_add_pool,
    global_max_pool,
    global_mean_pool,
)
from torch_geometric.nn.aggr import MedianAggregation, StdAggregation

from pyg_distill.datasets import MirageDataset
from pyg_distill.loader import TreeSetLoader
from pyg_distill.nn import RootAggregation, RootReadout, global_root_pool
from pyg_distill.transforms import ToComputationTrees
from tests.graphs import cycle, graphs, random_graph
from tests.loader.oracle import merged_size, roots_by_graph
from tests.nn.test_exactness import (
    EXACT,
    K_HOPS,
    ONE_DEEPER,
    directed_graph,
    layers,
    model,
    randomize_statistics,
)
from tests.oracles import tree_set, trees_of

POOL = {
    'sum': global_add_pool,
    'mean': global_mean_pool,
    'max': global_max_pool,
}
# Each layer, the number of layers, and how deep it reads.
CASES = {
    **{f'{k}, {n}': (v, n, n) for k, v in EXACT.items() for n in (1, 3)},
    **{
        f'{k}, {n}': (v, n, n + 1)
        for k, v in ONE_DEEPER.items()
        for n in (1, 3)
    },
    **{k: (v, 1, 3) for k, v in K_HOPS.items()},
}


def sample():
    """Graphs of all kinds, most of them in part alike."""
    chosen = [random_graph(12, 5, edge_dim=1, seed=s) for s in range(3)]
    chosen += [
        random_graph(10, 3, edge_dim=1, connected=True, seed=s)
        for s in range(3)
    ]
    chosen += [directed_graph(), directed_graph(1)]
    ring = cycle(6)
    chosen.append(
        Data(
            x=torch.eye(2)[[0] * 6],
            edge_index=ring.edge_index,
            edge_attr=torch.ones(12, 1),
        )
    )
    for size in (3, 0):
        chosen.append(
            Data(
                x=torch.eye(2)[[1] * size],
                edge_index=torch.empty(2, 0, dtype=torch.long),
                edge_attr=torch.empty(0, 1),
            )
        )
    for i, data in enumerate(chosen):
        data.y = torch.tensor([i])
    return [data.apply(as_double) for data in chosen]


def as_double(value):
    return value.double() if value.is_floating_point() else value


# With repeats, and graphs without nodes in the middle and at the end.
INDEX = [3, 0, 7, 9, 10, 8, 1, 3, 6, 0, 2, 4, 5, 8, 10]


def merge(source, index, **kwargs):
    loader = TreeSetLoader(source, batch_sampler=[index], **kwargs)
    (out,) = loader
    return out


def assert_equal(model, run, expected, gradients=True):
    parameters = [p for p in model.parameters() if p.requires_grad]
    out = run()
    assert out.size() == expected.size()
    torch.testing.assert_close(out, expected, rtol=1e-9, atol=1e-9)
    if not gradients or not parameters:
        return
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    for a, b in zip(
        torch.autograd.grad(
            (weight * out.tanh()).sum(), parameters, allow_unused=True
        ),
        torch.autograd.grad(
            (weight * expected.tanh()).sum(),
            parameters,
            allow_unused=True,
            retain_graph=True,
        ),
        strict=True,
    ):
        if b is not None:
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9)


def with_batch(data):
    """Some layers take a batch vector that they do not read."""
    data.batch = torch.zeros(data.num_nodes, dtype=torch.long)
    return data


@pytest.mark.parametrize('name', CASES)
def test_every_exact_layer(name):
    build, num_layers, depth = CASES[name]
    encoder = build(num_layers).double().eval()
    randomize_statistics(encoder)
    graphs = sample()
    transform = ToComputationTrees(depth)
    sets = [transform(data) for data in graphs]
    raw = Batch.from_data_list([graphs[i] for i in INDEX])
    tree = Batch.from_data_list([sets[i] for i in INDEX])
    merged = [
        merge(sets, INDEX),
        merge([ToComputationTrees(depth, False)(d) for d in graphs], INDEX),
        merge(graphs, INDEX, num_layers=depth),
    ]
    assert all(m.num_nodes < raw.num_nodes for m in merged)
    assert len({m.num_nodes for m in merged}) == 1
    for reduce, pool in POOL.items():
        ordinary = global_root_pool(
            encoder(tree),
            tree.batch,
            tree.root_index,
            tree.root_count,
            len(INDEX),
            reduce,
        )
        original = pool(encoder(raw), raw.batch, len(INDEX))
        for expected, data in itertools.product((ordinary, original), merged):
            assert_equal(
                encoder,
                lambda data=data, reduce=reduce: global_root_pool(
                    encoder(with_batch(data)),
                    None,
                    data.root_index,
                    data.root_count,
                    data.num_graphs,
                    reduce,
                    data.root_index_batch,
                ),
                expected,
                # Of equal maxima, each node has its share.
                expected is ordinary or reduce != 'max',
            )


def test_single_precision():
    for name in EXACT:
        encoder = EXACT[name](2).eval()
        randomize_statistics(encoder)
        graphs = [
            d.apply(lambda v: v.float() if v.is_floating_point() else v)
            for d in sample()
        ]
        raw = Batch.from_data_list([graphs[i] for i in INDEX])
        data = with_batch(merge(graphs, INDEX, num_layers=2))
        with torch.no_grad():
            out = global_root_pool(
                encoder(data),
                None,
                data.root_index,
                data.root_count,
                len(INDEX),
                root_index_batch=data.root_index_batch,
            )
            want = global_add_pool(encoder(raw), raw.batch, len(INDEX))
        assert float((out - want).abs().max() / want.abs().max()) < 1e-5


class Net(torch.nn.Module):
    def __init__(self, readout):
        super().__init__()
        self.gnn = GIN(2, 8, 2)
        self.norm = torch.nn.BatchNorm1d(8)
        self.readout = readout
        self.head = torch.nn.Linear(8, 3)

    def forward(self, x, edge_index, batch):
        x = self.norm(self.gnn(x, edge_index))
        return self.head(self.readout(x, batch))


class DataNet(Net):
    def forward(self, data):
        return super().forward(data.x, data.edge_index, data.batch)


AGGREGATIONS = {
    'mean': global_mean_pool,
    'median': MedianAggregation(),
    'std': StdAggregation(),
}
FULL = [i for i in INDEX if i != 10]  # `batch` alone cannot end in no nodes.


@pytest.mark.parametrize('aggr', AGGREGATIONS)
@pytest.mark.parametrize('train', [False, True])
def test_root_readout(aggr, train):
    net = Net(AGGREGATIONS[aggr]).double()
    # What follows the encoder sees each node, so even statistics agree.
    net.train(train)
    graphs = sample()
    raw = Batch.from_data_list([graphs[i] for i in FULL])
    expected = net(raw.x, raw.edge_index, raw.batch)
    data = merge(graphs, FULL, num_layers=2)
    model = RootReadout(net, 'gnn')

    def of_tensors():
        return model(
            data.x,
            data.edge_index,
            data.get('batch'),
            root_index=data.root_index,
            root_count=data.root_count,
            root_index_batch=data.root_index_batch,
            num_layers=data.num_layers,
        )

    assert_equal(net, of_tensors, expected)
    data_net = DataNet(AGGREGATIONS[aggr]).double().train(train)
    data_net.load_state_dict(net.state_dict())
    data_model = RootReadout(data_net, 'gnn')
    torch.testing.assert_close(data_model(data), expected)
    # The mini-batch is as it was.
    assert 'batch' not in data


@pytest.mark.parametrize('aggr', ['sum', 'mean', 'max', 'std', 'median'])
def test_root_aggregation(aggr):
    readout = RootAggregation(aggr)
    encoder = GIN(2, 8, 2).double().eval()
    graphs = sample()
    raw = Batch.from_data_list([graphs[i] for i in INDEX])
    expected = readout.aggr(
        encoder(raw.x, raw.edge_index), raw.batch, dim_size=len(INDEX)
    )
    data = merge(graphs, INDEX, num_layers=2)
    assert_equal(
        encoder,
        lambda: readout(
            encoder(data.x, data.edge_index),
            data.get('batch'),
            dim_size=data.num_graphs,
            root_index=data.root_index,
            root_count=data.root_count,
            root_index_batch=data.root_index_batch,
        ),
        expected,
    )


def test_without_features():
    # Nodes differ by where they are only.
    graphs = [random_graph(connected=True, seed=s) for s in range(4)]
    for data in graphs:
        data.num_nodes = 12
        del data.x
    encoder = GIN(1, 8, 3).double().eval()
    raw = Batch.from_data_list(graphs)
    expected = global_add_pool(
        encoder(torch.ones(raw.num_nodes, 1).double(), raw.edge_index),
        raw.batch,
    )
    sets = [ToComputationTrees(3)(data) for data in graphs]
    for data in (
        merge(sets, range(4)),
        merge(graphs, range(4), num_layers=3),
    ):
        assert 'x' not in data
        x = torch.ones(data.num_nodes, 1).double()
        assert_equal(
            encoder,
            lambda data=data, x=x: global_root_pool(
                encoder(x, data.edge_index),
                None,
                data.root_index,
                data.root_count,
                data.num_graphs,
                root_index_batch=data.root_index_batch,
            ),
            expected,
        )


def test_layers_that_treat_loops_differently():
    # A merged ring is linked to itself: never as a loop.
    graphs = [cycle(n, x=torch.ones(n, 2).double()) for n in (3, 4, 5)]
    encoder = GAT(2, 8, 2, heads=2).double().eval()
    raw = Batch.from_data_list(graphs)
    data = merge(graphs, range(3), num_layers=2)
    assert data.num_nodes == 2
    assert_equal(
        encoder,
        lambda: global_root_pool(
            encoder(data.x, data.edge_index),
            None,
            data.root_index,
            data.root_count,
            root_index_batch=data.root_index_batch,
        ),
        global_add_pool(encoder(raw.x, raw.edge_index), raw.batch),
    )


@settings(max_examples=30)
@given(
    st.lists(graphs(), min_size=1, max_size=5),
    st.integers(0, 3),
    st.data(),
)
def test_any_graphs(data_list, num_layers, choice):
    names = ('x', 'edge_attr', 'edge_weight')
    for data in data_list:
        for name in names[1:]:
            if name in data:
                del data[name]
        data.x = torch.arange(data.num_nodes).view(-1, 1) % 2
        data.edge_attr = (data.edge_index.sum(0) % 2).view(-1, 1)
    index = choice.draw(
        st.lists(st.integers(0, len(data_list) - 1), min_size=1, max_size=6)
    )
    for source in (
        data_list,
        [ToComputationTrees(num_layers)(data) for data in data_list],
        [ToComputationTrees(num_layers, False)(data) for data in data_list],
    ):
        out = merge(source, index, num_layers=num_layers)
        roots = roots_by_graph(out, num_layers)
        assert out.num_graphs == len(index)
        for i, found in zip(index, roots, strict=True):
            tree = ToComputationTrees(num_layers)(data_list[i])
            # Roots, not unrolled any further.
            want = tree_set(tree, num_layers)
            assert found == want
        size = merged_size([data_list[i] for i in index], num_layers)
        assert (out.num_nodes, out.num_edges) == size


@pytest.mark.parametrize('selection', ['lossless', 'patterns'])
@pytest.mark.parametrize('compact', [True, False])
def test_mirage_dataset(selection, compact):
    graphs = [random_graph(12, 5, edge_dim=1, seed=s % 7) for s in range(30)]
    for i, data in enumerate(graphs):
        data.y = torch.tensor([i % 2])
    support = {'min_support': 0.2} if selection == 'patterns' else {}
    dataset = MirageDataset(
        graphs, 2, selection=selection, compact=compact, **support
    )
    assert len(dataset) > 3
    index = list(range(len(dataset))) * 2
    encoder = layers(
        lambda i, o: GINEConv(torch.nn.Linear(i, o), edge_dim=1), edge_attr=True
    )(2)
    tree = Batch.from_data_list([dataset[i] for i in index])
    data = merge(dataset, index)
    assert data.num_nodes < tree.num_nodes / 2
    out = global_root_pool(
        encoder(data),
        None,
        data.root_index,
        data.root_count,
        root_index_batch=data.root_index_batch,
    )
    want = global_root_pool(
        encoder(tree), tree.batch, tree.root_index, tree.root_count
    )
    torch.testing.assert_close(out, want, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize('name', ['MUTAG', 'PROTEINS'])
def test_real_data(real_dataset, name):
    dataset = real_dataset(name)[:150]
    lossless = MirageDataset(
        dataset, 3, selection='lossless', exclude_keys=['edge_attr'], log=False
    )
    encoder = model(GIN)(3)
    encoder.layers[0] = GIN(dataset.num_features, 8, 3)
    encoder = encoder.double().eval()
    index = torch.randperm(150)[:100].tolist()
    raw = Batch.from_data_list([dataset[i] for i in index])
    raw.x = raw.x.double()
    expected = global_mean_pool(encoder(raw), raw.batch)
    for source, kwargs in [
        (lossless, {}),
        (dataset, {'num_layers': 3, 'exclude_keys': ['edge_attr']}),
    ]:
        data = merge(source, index, **kwargs)
        data.x = data.x.double()
        assert data.num_nodes < raw.num_nodes
        assert_equal(
            encoder,
            lambda data=data: global_root_pool(
                encoder(data),
                None,
                data.root_index,
                data.root_count,
                reduce='mean',
                root_index_batch=data.root_index_batch,
            ),
            expected,
        )


def test_depth_zero():
    graphs = sample()
    data = merge(graphs, INDEX, num_layers=0)
    assert data.num_nodes == 2
    assert data.edge_index.size() == (2, 0)
    assert data.edge_attr.size() == (0, 1)
    count = sum(graphs[i].num_nodes for i in INDEX)
    assert int(data.root_count.sum()) == count
    assert trees_of(data, 0) == [(tuple(row), ()) for row in data.x.tolist()]
