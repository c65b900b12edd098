"""Which models see the same in tree sets as in graphs, and how deep?

Every claim that the documentation makes of a layer or a norm is a case here.
"""

import itertools
from functools import cache

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.nn import (
    APPNP,
    GAT,
    GCN,
    GIN,
    MLP,
    PNA,
    ARMAConv,
    BatchNorm,
    ChebConv,
    DiffGroupNorm,
    GINConv,
    GINEConv,
    GraphNorm,
    GraphSAGE,
    GraphSizeNorm,
    InstanceNorm,
    LayerNorm,
    MeanSubtractionNorm,
    MFConv,
    PairNorm,
    SGConv,
    TAGConv,
    global_add_pool,
    global_max_pool,
    global_mean_pool,
)

from pyg_distill.nn import global_root_pool, num_hops
from pyg_distill.transforms import ToComputationTrees
from tests.graphs import random_graph
from tests.oracles import trees_of

POOL = {
    'sum': global_add_pool,
    'mean': global_mean_pool,
    'max': global_max_pool,
}


class Encoder(torch.nn.Module):
    """Gives layers what they read of a graph."""

    def __init__(self, layers, norms=(), edge_attr=False):
        super().__init__()
        self.layers = torch.nn.ModuleList(layers)
        self.norms = torch.nn.ModuleList(norms)
        self.edge_attr = edge_attr

    def forward(self, data):
        x = data.x
        edge = {'edge_attr': data.edge_attr} if self.edge_attr else {}
        for layer, norm in itertools.zip_longest(self.layers, self.norms):
            x = layer(x, data.edge_index, **edge)
            if norm is not None:
                args = (
                    [data.batch]
                    if 'batch' in norm.forward.__code__.co_varnames
                    else []
                )
                x = norm(x, *args)
            if layer is not self.layers[-1]:
                x = x.tanh()
        return x


def layers(conv, edge_attr=False):
    def build(num_layers):
        sizes = [2] + [8] * num_layers
        convs = [conv(*size) for size in itertools.pairwise(sizes)]
        return Encoder(convs, edge_attr=edge_attr)

    return build


def model(cls, edge_attr=False, **kwargs):
    def build(num_layers):
        gnn = cls(2, 8, num_layers, **kwargs)
        return Encoder([gnn], edge_attr=edge_attr)

    return build


def normed(norm, **kwargs):
    def build(num_layers):
        gnn = layers(lambda i, o: GINConv(MLP([i, 8, o], norm=None)))
        encoder = gnn(num_layers)
        encoder.norms.extend(norm(**kwargs) for _ in range(num_layers))
        return encoder

    return build


def pna(**kwargs):
    return model(
        PNA,
        aggregators=['sum', 'mean', 'min', 'max', 'std'],
        scalers=['identity', 'amplification', 'attenuation', 'linear'],
        deg=torch.tensor([0, 4, 6, 4, 2]),
        **kwargs,
    )


def randomize_statistics(module):
    for norm in module.modules():
        if getattr(norm, 'running_mean', None) is not None:
            torch.nn.init.normal_(norm.running_mean)
            torch.nn.init.uniform_(norm.running_var, 0.5, 2.0)


def directed_graph(seed=0):
    """Directed, with parallel edges, sources and sinks."""
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(9, (2, 13), generator=generator)
    loop = edge_index[0] == edge_index[1]
    edge_index = edge_index[:, ~loop].repeat(1, 2)[:, :-3]
    return Data(
        x=torch.eye(2)[torch.randint(2, (10,), generator=generator)],
        edge_index=edge_index,
        edge_attr=torch.ones(edge_index.size(1), 1),
    )


@cache
def sources(depth, self_loops=False):
    """Graphs beside their tree sets, and the root of each node."""
    kwargs = {'edge_dim': 1, 'self_loops': self_loops}
    connected = [
        random_graph(10, 3, connected=True, seed=s, **kwargs) for s in range(3)
    ]
    copies = [random_graph(12, 5, seed=s, **kwargs) for s in range(3)]
    batches = [connected[:1], copies[:1], [*connected, *copies]]
    if not self_loops:
        batches.append([directed_graph(), copies[1], directed_graph(1)])

    out = []
    for graphs, compact in itertools.product(batches, (True, False)):
        transform = ToComputationTrees(depth, compact)
        graph = Batch.from_data_list(graphs)
        tree = Batch.from_data_list([transform(data) for data in graphs])
        out.append((graph, tree, roots(graph, tree, depth)))
    return out


def roots(graph, tree, depth):
    """Finds the root of each node by comparing trees, not keys."""
    unrolled = trees_of(tree, depth)
    root_of = {
        (int(tree.batch[r]), unrolled[r]): r for r in tree.root_index.tolist()
    }
    trees = zip(graph.batch.tolist(), trees_of(graph, depth), strict=True)
    return [root_of[pair] for pair in trees]


def deviations(encoder, graph, tree, root):
    """The deviations of the node embeddings and of the readouts.

    They are relative to the largest of the values that are compared.
    """
    expected, out = encoder(graph), encoder(tree)
    pairs = {'node': (out[root], expected)}
    for reduce, pool in POOL.items():
        pooled = global_root_pool(
            out, tree.batch, tree.root_index, tree.root_count, reduce=reduce
        )
        pairs[reduce] = pooled, pool(expected, graph.batch)
    return {
        name: float((a - b).abs().max() / b.abs().max())
        for name, (a, b) in pairs.items()
    }


@torch.no_grad()
def all_deviations(build, num_layers, depth, self_loops=False, train=False):
    encoder = build(num_layers).train(train)
    randomize_statistics(encoder)
    return [
        deviations(encoder, *source) for source in sources(depth, self_loops)
    ]


def largest(*args, **kwargs):
    """The largest deviation over all graphs, forms and readouts."""
    each = all_deviations(*args, **kwargs)
    return max(max(deviation.values()) for deviation in each)


def smallest(*args, **kwargs):
    """The deviation of node embeddings that all graphs reach."""
    return min(each['node'] for each in all_deviations(*args, **kwargs))


# Exact in trees as deep as the model.
EXACT = {
    'GIN': model(GIN),
    'GINE': layers(
        lambda i, o: GINEConv(MLP([i, 8, o]), edge_dim=1), edge_attr=True
    ),
    'GraphSAGE': model(GraphSAGE),
    'GraphSAGE, max': model(GraphSAGE, aggr='max'),
    'GAT': model(GAT, heads=2),
    'GAT, edge_attr': model(GAT, heads=2, edge_dim=1, edge_attr=True),
    'GATv2': model(GAT, heads=2, v2=True),
    'PNA': pna(),
    'PNA, edge_attr': pna(edge_dim=1, edge_attr=True),
    'MFConv': layers(MFConv),
    'JumpingKnowledge, cat': model(GIN, jk='cat'),
    'JumpingKnowledge, max': model(GIN, jk='max'),
    'JumpingKnowledge, lstm': model(GIN, jk='lstm'),
    'BatchNorm, eval': normed(BatchNorm, in_channels=8),
    'LayerNorm, node': normed(LayerNorm, in_channels=8, mode='node'),
}

# Exact in trees one layer deeper.
ONE_DEEPER = {
    'GCN': model(GCN),
    'GCN, JumpingKnowledge': model(GCN, jk='cat'),
    'GCN, add_self_loops=False': model(GCN, add_self_loops=False),
    'ARMA': layers(lambda i, o: ARMAConv(i, o, num_layers=1)),
}

# One layer of K = 2 hops, exact in trees of three.
K_HOPS = {
    'APPNP': lambda _: Encoder([APPNP(2, alpha=0.1)]),
    'SGConv': lambda _: Encoder([SGConv(2, 8, K=2)]),
    'TAGConv': lambda _: Encoder([TAGConv(2, 8, K=2)]),
    'ARMA, num_layers=2': lambda _: Encoder([ARMAConv(2, 8, num_layers=2)]),
}

# Not exact however deep the trees are.
NEVER = {
    'ChebConv': layers(lambda i, o: ChebConv(i, o, K=3)),
    'GraphNorm': normed(GraphNorm, in_channels=8),
    'InstanceNorm': normed(InstanceNorm, in_channels=8),
    'PairNorm': normed(PairNorm),
    'LayerNorm, graph': normed(LayerNorm, in_channels=8),
    'DiffGroupNorm, train': normed(DiffGroupNorm, in_channels=8, groups=2),
    'BatchNorm, train': normed(BatchNorm, in_channels=8),
    'MeanSubtractionNorm': normed(MeanSubtractionNorm),
    'GraphSizeNorm': normed(GraphSizeNorm),
}

# The same, for graphs that have self-loops.
LOOPS_EXACT = {
    'GIN': model(GIN),
    'GINE': EXACT['GINE'],
    'GraphSAGE': model(GraphSAGE),
    'PNA': pna(),
    'MFConv': layers(MFConv),
    'GAT, add_self_loops=False': model(GAT, heads=2, add_self_loops=False),
    'GATv2, add_self_loops=False': model(
        GAT, heads=2, v2=True, add_self_loops=False
    ),
}
LOOPS_ONE_DEEPER = {
    'GCN, add_self_loops=False': model(GCN, add_self_loops=False),
}
LOOPS_NEVER = {
    'GAT': model(GAT, heads=2),
    'GATv2': model(GAT, heads=2, v2=True),
    'GCN': model(GCN),
}


@pytest.mark.parametrize('name', EXACT)
@pytest.mark.parametrize('num_layers', [1, 2, 3, 4])
def test_exact(name, num_layers):
    assert largest(EXACT[name], num_layers, num_layers) < 1e-5
    assert num_hops(EXACT[name](num_layers)) == num_layers


@pytest.mark.parametrize('name', EXACT)
def test_trees_must_be_as_deep_as_the_model(name):
    assert smallest(EXACT[name], 3, 2) > 1e-3


@pytest.mark.parametrize('name', ['GIN', 'GAT', 'BatchNorm, eval'])
def test_deeper_trees_are_exact(name):
    assert largest(EXACT[name], 2, 4) < 1e-5


@pytest.mark.parametrize('name', ONE_DEEPER)
@pytest.mark.parametrize('num_layers', [1, 2, 3, 4])
def test_exact_one_deeper(name, num_layers):
    build = ONE_DEEPER[name]
    assert largest(build, num_layers, num_layers + 1) < 1e-5
    assert smallest(build, num_layers, num_layers) > 1e-3
    assert num_hops(build(num_layers)) == num_layers + 1


@pytest.mark.parametrize('name', K_HOPS)
def test_exact_in_k_hops(name):
    build = K_HOPS[name]
    assert largest(build, 1, 3) < 1e-5
    assert smallest(build, 1, 2) > 1e-3
    assert num_hops(build(1)) == 3


@pytest.mark.parametrize('name', NEVER)
@pytest.mark.parametrize('depth', [3, 5])
def test_never_exact(name, depth):
    train = name.endswith('train')
    assert smallest(NEVER[name], 2, depth, train=train) > 1e-3


@pytest.mark.parametrize('name', LOOPS_EXACT)
@pytest.mark.parametrize('num_layers', [1, 3])
def test_self_loops(name, num_layers):
    assert (
        largest(LOOPS_EXACT[name], num_layers, num_layers, self_loops=True)
        < 1e-5
    )


@pytest.mark.parametrize('name', LOOPS_ONE_DEEPER)
@pytest.mark.parametrize('num_layers', [1, 3])
def test_self_loops_one_deeper(name, num_layers):
    build = LOOPS_ONE_DEEPER[name]
    assert largest(build, num_layers, num_layers + 1, self_loops=True) < 1e-5


@pytest.mark.parametrize('name', LOOPS_NEVER)
@pytest.mark.parametrize('depth', [2, 3, 5])
def test_layers_that_add_self_loops(name, depth):
    assert smallest(LOOPS_NEVER[name], 2, depth, self_loops=True) > 1e-3


@pytest.mark.parametrize('reduce', POOL)
@pytest.mark.parametrize('name', ['GIN', 'GAT', 'PNA'])
def test_gradients(name, reduce):
    encoder = EXACT[name](3)
    head = torch.nn.Linear(8, 1)
    parameters = [*encoder.parameters(), *head.parameters()]
    for graph, tree, _ in sources(3):
        expected = POOL[reduce](encoder.eval()(graph), graph.batch)
        expected = torch.autograd.grad(
            head(expected).tanh().sum(), parameters, allow_unused=True
        )
        out = global_root_pool(
            encoder(tree),
            tree.batch,
            tree.root_index,
            tree.root_count,
            reduce=reduce,
        )
        out = torch.autograd.grad(
            head(out).tanh().sum(), parameters, allow_unused=True
        )
        scale = max(float(g.abs().max()) for g in expected if g is not None)
        for a, b in zip(out, expected, strict=True):
            if b is not None:
                assert float((a - b).abs().max()) < 1e-5 * scale
