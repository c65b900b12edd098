"""Which models see the same in tree sets as in graphs, and how deep?

Every claim that the documentation makes of a layer or a norm is a case here.
"""

import itertools
from functools import cache, partial

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
                reads = 'batch' in norm.forward.__code__.co_varnames
                x = norm(x, data.batch) if reads else norm(x)
            if layer is not self.layers[-1]:
                x = x.tanh()
        return x


def layers(conv, **kwargs):
    def build(num_layers):
        sizes = itertools.pairwise([2] + [8] * num_layers)
        return Encoder([conv(*size) for size in sizes], **kwargs)

    return build


def model(cls, edge_attr=False, **kwargs):
    return lambda num_layers: Encoder(
        [cls(2, 8, num_layers, **kwargs)], edge_attr=edge_attr
    )


def single(conv):
    return lambda _: Encoder([conv()])


def normed(norm, **kwargs):
    def build(num_layers):
        gnn = layers(lambda i, o: GINConv(MLP([i, 8, o], norm=None)))
        encoder = gnn(num_layers)
        encoder.norms.extend(norm(**kwargs) for _ in range(num_layers))
        return encoder

    return build


pna = partial(
    model,
    PNA,
    aggregators=['sum', 'mean', 'min', 'max', 'std'],
    scalers=['identity', 'amplification', 'attenuation', 'linear'],
    deg=torch.tensor([0, 4, 6, 4, 2]),
)


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
        # Found by comparing trees, not keys.
        unrolled = trees_of(tree, depth)
        root_of = {
            (int(tree.batch[r]), unrolled[r]): r
            for r in tree.root_index.tolist()
        }
        trees = zip(graph.batch.tolist(), trees_of(graph, depth), strict=True)
        out.append((graph, tree, [root_of[pair] for pair in trees]))
    return out


@torch.no_grad()
def deviations(build, num_layers, depth, self_loops=False, train=False):
    """The deviations of node embeddings and readouts, for each source.

    They are relative to the largest of the values that are compared.
    """
    encoder = build(num_layers).train(train)
    for norm in encoder.modules():
        if getattr(norm, 'running_mean', None) is not None:
            torch.nn.init.normal_(norm.running_mean)
            torch.nn.init.uniform_(norm.running_var, 0.5, 2.0)
    each = []
    for graph, tree, root in sources(depth, self_loops):
        expected, out = encoder(graph), encoder(tree)
        pairs = {'node': (out[root], expected)}
        for reduce, pool in POOL.items():
            pooled = global_root_pool(out, tree, reduce)
            pairs[reduce] = pooled, pool(expected, graph.batch)
        each.append(
            {
                name: float((a - b).abs().max() / b.abs().max())
                for name, (a, b) in pairs.items()
            }
        )
    return each


def assert_exact(*args, **kwargs):
    """No readout of any graph and form deviates."""
    each = deviations(*args, **kwargs)
    assert max(max(deviation.values()) for deviation in each) < 1e-5


def assert_inexact(*args, **kwargs):
    """Node embeddings of all graphs and forms deviate."""
    each = deviations(*args, **kwargs)
    assert min(deviation['node'] for deviation in each) > 1e-3


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
    'APPNP': single(lambda: APPNP(2, alpha=0.1)),
    'SGConv': single(lambda: SGConv(2, 8, K=2)),
    'TAGConv': single(lambda: TAGConv(2, 8, K=2)),
    'ARMA, num_layers=2': single(lambda: ARMAConv(2, 8, num_layers=2)),
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
    **{k: EXACT[k] for k in ('GIN', 'GINE', 'GraphSAGE', 'PNA', 'MFConv')},
    'GAT, add_self_loops=False': model(GAT, heads=2, add_self_loops=False),
    'GATv2, add_self_loops=False': model(
        GAT, heads=2, v2=True, add_self_loops=False
    ),
}
LOOPS_ONE_DEEPER = {
    'GCN, add_self_loops=False': ONE_DEEPER['GCN, add_self_loops=False']
}
LOOPS_NEVER = {
    'GAT': EXACT['GAT'],
    'GATv2': EXACT['GATv2'],
    'GCN': ONE_DEEPER['GCN'],
}


@pytest.mark.parametrize('name', EXACT)
@pytest.mark.parametrize('num_layers', [1, 3])
def test_exact(name, num_layers):
    assert_exact(EXACT[name], num_layers, num_layers)
    assert num_hops(EXACT[name](num_layers)) == num_layers


@pytest.mark.parametrize('name', ['GIN', 'GAT', 'PNA'])
def test_trees_must_be_as_deep_as_the_model(name):
    assert_inexact(EXACT[name], 3, 2)


@pytest.mark.parametrize('name', ONE_DEEPER)
@pytest.mark.parametrize('num_layers', [1, 3])
def test_exact_one_deeper(name, num_layers):
    build = ONE_DEEPER[name]
    assert_exact(build, num_layers, num_layers + 1)
    assert_inexact(build, num_layers, num_layers)
    assert num_hops(build(num_layers)) == num_layers + 1


@pytest.mark.parametrize('name', K_HOPS)
def test_exact_in_k_hops(name):
    build = K_HOPS[name]
    assert_exact(build, 1, 3)
    assert_inexact(build, 1, 2)
    assert num_hops(build(1)) == 3


@pytest.mark.parametrize('name', NEVER)
@pytest.mark.parametrize('depth', [4])
def test_never_exact(name, depth):
    assert_inexact(NEVER[name], 2, depth, train=name.endswith('train'))


@pytest.mark.parametrize('name', [*LOOPS_EXACT, *LOOPS_ONE_DEEPER])
@pytest.mark.parametrize('num_layers', [2])
def test_self_loops(name, num_layers):
    build = {**LOOPS_EXACT, **LOOPS_ONE_DEEPER}[name]
    depth = num_layers + (name in LOOPS_ONE_DEEPER)
    assert_exact(build, num_layers, depth, self_loops=True)


@pytest.mark.parametrize('name', LOOPS_NEVER)
@pytest.mark.parametrize('depth', [3])
def test_layers_that_add_self_loops(name, depth):
    assert_inexact(LOOPS_NEVER[name], 2, depth, self_loops=True)


@pytest.mark.parametrize('reduce', POOL)
@pytest.mark.parametrize('name', ['GIN', 'GAT'])
def test_gradients(name, reduce):
    encoder = EXACT[name](3).eval()
    head = torch.nn.Linear(8, 1)
    parameters = [*encoder.parameters(), *head.parameters()]

    def gradients(out):
        loss = head(out).tanh().sum()
        return torch.autograd.grad(loss, parameters, allow_unused=True)

    for graph, tree, _ in sources(3):
        want = gradients(POOL[reduce](encoder(graph), graph.batch))
        got = gradients(global_root_pool(encoder(tree), tree, reduce))
        scale = max(float(g.abs().max()) for g in want if g is not None)
        for a, b in zip(got, want, strict=True):
            if b is not None:
                assert float((a - b).abs().max()) < 1e-5 * scale
