"""The same outputs and gradients as without merging, for exact layers."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.nn import (
    GAT,
    GCN,
    GIN,
    MLP,
    PNA,
    GINEConv,
    GraphSAGE,
    TAGConv,
)
from torch_geometric.utils import scatter

from pyg_distill.datasets import MirageDataset
from pyg_distill.loader import TreeSetBatch, TreeSetLoader
from pyg_distill.transforms import ToComputationTrees
from tests.graphs import cycle, graphs, random_graph
from tests.loader.oracle import roots_by_graph
from tests.oracles import merged_size, tree_set, trees_of


class GINE(torch.nn.Module):
    def __init__(self, num_layers: int) -> None:
        super().__init__()
        sizes = [2] + [8] * num_layers
        self.convs = torch.nn.ModuleList(
            GINEConv(MLP([i, 8, o], norm=None), edge_dim=1)
            for i, o in itertools.pairwise(sizes)
        )

    def forward(self, x: Tensor, edge_index: Tensor, attr: Tensor) -> Tensor:
        for conv in self.convs:
            x = conv(x, edge_index, attr).tanh()
        return x


PNA_OPTIONS = {
    'aggregators': ['sum', 'mean', 'min', 'max', 'std'],
    'scalers': ['identity', 'amplification', 'attenuation', 'linear'],
    'deg': torch.tensor([0, 4, 6, 4, 2]),
}
# Each model of n layers, and how deep it reads.
MODELS: dict[str, tuple[Callable[[int], torch.nn.Module], Callable]] = {
    'GIN': (lambda n: GIN(2, 8, n, norm='batch_norm'), lambda n: n),
    'GraphSAGE': (lambda n: GraphSAGE(2, 8, n, aggr='max'), lambda n: n),
    'GAT': (lambda n: GAT(2, 8, n, heads=2, v2=True), lambda n: n),
    'PNA': (lambda n: PNA(2, 8, n, **PNA_OPTIONS), lambda n: n),
    'GINE': (GINE, lambda n: n),
    'GCN': (lambda n: GCN(2, 8, n), lambda n: n + 1),
    'TAG': (lambda n: TAGConv(2, 8, n - 1), lambda n: n),
}


def sample() -> list[Data]:
    """Graphs of all kinds, most of them in part alike."""
    out = [random_graph(12, 5, edge_dim=1, seed=s) for s in range(3)]
    out += [
        random_graph(10, 3, edge_dim=1, connected=True, seed=s)
        for s in range(3)
    ]
    ring = cycle(6)
    directed = torch.randint(9, (2, 13)).repeat(1, 2)[:, :-3]
    directed = directed[:, directed[0] != directed[1]]
    none = torch.empty(2, 0, dtype=torch.long)
    for size, edge_index in [
        (9, directed),
        (9, directed.flip(0)),
        (6, ring.edge_index),
        (3, none),
        (0, none),
    ]:
        x = torch.eye(2)[torch.randint(2, (size,)) if size == 9 else [0] * size]
        attr = torch.ones(edge_index.size(1), 1)
        out.append(Data(x=x, edge_index=edge_index, edge_attr=attr))
    for i, data in enumerate(out):
        data.y = torch.tensor([i])
    return [data.apply(as_double) for data in out]


def as_double(value: Tensor) -> Tensor:
    return value.double() if value.is_floating_point() else value


# With repeats, and graphs without nodes in the middle and at the end.
INDEX = [3, 0, 7, 9, 10, 8, 1, 3, 6, 0, 2, 4, 5, 8, 10]


def merge(source: Any, index: Any, **kwargs: Any) -> TreeSetBatch:
    loader = TreeSetLoader(source, batch_sampler=[index], **kwargs)
    (out,) = loader
    return out


def run(model: torch.nn.Module, data: Data) -> Tensor:
    args = [data.edge_attr] if isinstance(model, GINE) else []
    return model(data.x, data.edge_index, *args)


def pool(model: torch.nn.Module, data: Data, reduce: str) -> Tensor:
    """Reads out any kind of mini-batch in the obvious way."""
    x = run(model, data)
    graph = data.get('batch')
    if 'root_index' in data:
        root = data.root_index
        graph = data.root_index_batch if graph is None else graph[root]
        x = x[root].repeat_interleave(data.root_count, dim=0)
        graph = graph.repeat_interleave(data.root_count)
    return scatter(x, graph, 0, data.num_graphs, reduce=reduce)


def gradients(model: torch.nn.Module, out: Tensor) -> list[Tensor]:
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return list(
        torch.autograd.grad((weight * out.tanh()).sum(), model.parameters())
    )


@pytest.mark.parametrize('num_layers', [1, 3])
@pytest.mark.parametrize('name', MODELS)
def test_exact_layers(name: str, num_layers: int) -> None:
    build, depth_of = MODELS[name]
    depth = depth_of(num_layers)
    model = build(num_layers).double().eval()
    for norm in model.modules():
        if isinstance(norm, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(norm.running_mean)
            torch.nn.init.uniform_(norm.running_var, 0.5, 2.0)
    originals = sample()
    trees = [ToComputationTrees(depth)(data) for data in originals]
    unrolled = [ToComputationTrees(depth, False)(data) for data in originals]
    original = Batch.from_data_list([originals[i] for i in INDEX])
    merged = [
        merge(trees, INDEX),
        merge(unrolled, INDEX),
        merge(originals, INDEX, num_layers=depth),
    ]
    assert len({m.num_nodes for m in merged}) == 1
    assert merged[0].num_nodes < original.num_nodes
    others = [*merged, Batch.from_data_list([trees[i] for i in INDEX])]
    for reduce, data in itertools.product(('sum', 'mean', 'max'), others):
        expected = pool(model, original, reduce)
        out = pool(model, data, reduce)
        torch.testing.assert_close(out, expected, rtol=1e-9, atol=1e-9)
        if reduce != 'max':  # Equal maxima share their gradient.
            torch.testing.assert_close(
                gradients(model, out),
                gradients(model, expected),
                rtol=1e-8,
                atol=1e-9,
            )
    # And in single precision.
    single = [
        data.apply(lambda v: v.float() if v.is_floating_point() else v)
        for data in (original, merged[2])
    ]
    model = model.float()
    with torch.no_grad():
        expected, out = (pool(model, data, 'sum') for data in single)
    assert float((out - expected).abs().max() / expected.abs().max()) < 1e-5


def test_layers_that_treat_loops_differently() -> None:
    # A merged ring is linked to itself: never as a loop.
    rings = [cycle(n, x=torch.ones(n, 2).double()) for n in (3, 4, 5)]
    model = GAT(2, 8, 2, heads=2).double().eval()
    data = merge(rings, range(3), num_layers=2)
    assert data.num_nodes == 2
    torch.testing.assert_close(
        pool(model, data, 'sum'),
        pool(model, Batch.from_data_list(rings), 'sum'),
    )


@settings(max_examples=30)
@given(st.lists(graphs(), min_size=1, max_size=5), st.integers(0, 3), st.data())
def test_any_graphs(
    originals: list[Data], num_layers: int, choice: st.DataObject
) -> None:
    features = choice.draw(st.booleans())
    for data in originals:
        for name in ('x', 'edge_attr', 'edge_weight'):
            data[name] = None
        if features:
            data.x = torch.arange(data.num_nodes).view(-1, 1) % 2
            data.edge_attr = (data.edge_index.sum(0) % 2).view(-1, 1)
    last = len(originals) - 1
    index = choice.draw(st.lists(st.integers(0, last), min_size=1, max_size=6))
    trees = [ToComputationTrees(num_layers)(data) for data in originals]
    expected = [tree_set(trees[i], num_layers) for i in index]
    size = merged_size([originals[i] for i in index], num_layers)
    for source in (
        originals,
        trees,
        [ToComputationTrees(num_layers, False)(data) for data in originals],
        [whole(data, num_layers) for data in originals],
    ):
        out = merge(source, index, num_layers=num_layers)
        assert out.num_graphs == len(index)
        # Roots, not unrolled any further.
        assert roots_by_graph(out, num_layers) == expected
        # Equal trees of a graph are one root.
        assert len(out.root_index) == sum(map(len, expected))
        assert (out.num_nodes, out.num_edges) == size
        assert ('x' in out) == features


def whole(data: Data, num_layers: int) -> Data:
    """A whole graph in tree-set form, as selectors of graphs keep it."""
    out = data.clone()
    out.num_nodes = data.num_nodes
    out.root_index = torch.arange(data.num_nodes)
    out.root_count = torch.ones(data.num_nodes).long()
    out.num_layers = torch.tensor([num_layers])
    return out


def test_whole_graphs_beside_tree_sets() -> None:
    originals = sample()
    mixed = [
        whole(data, 2) if i % 2 else ToComputationTrees(2)(data)
        for i, data in enumerate(originals)
    ]
    for data in mixed:
        data.num_nodes = data.num_nodes
    out = merge(mixed, INDEX)
    expected = merge(originals, INDEX, num_layers=2)
    assert out.num_nodes == expected.num_nodes
    assert roots_by_graph(out, 2) == roots_by_graph(expected, 2)
    model = GIN(2, 8, 2).double()
    torch.testing.assert_close(
        pool(model, out, 'mean'), pool(model, expected, 'mean')
    )


@pytest.mark.parametrize('selection', ['lossless', 'herding', 'frequent'])
def test_mirage_dataset(selection: str) -> None:
    originals = [random_graph(12, 5, edge_dim=1, seed=s % 7) for s in range(30)]
    for i, data in enumerate(originals):
        data.y = torch.tensor([i % 2])
    options: dict[str, Any] = {
        'lossless': {},
        'herding': {'num_graphs': 8},
    }.get(selection, {'selection_kwargs': {'min_support': 0.2}})
    dataset = MirageDataset(
        originals, 2, selection=selection, log=False, **options
    )
    index = list(range(len(dataset))) * 2
    model = GINE(2)
    data = merge(dataset, index)
    expected = Batch.from_data_list([dataset[i] for i in index])
    assert data.num_nodes < expected.num_nodes / 2
    for reduce in ('sum', 'mean'):
        torch.testing.assert_close(
            pool(model, data, reduce),
            pool(model, expected, reduce),
            rtol=1e-5,
            atol=1e-4,
        )
    for key in ('y', 'target', 'weight', 'support', 'graph_id'):
        assert data[key].equal(expected[key])


@pytest.mark.parametrize('name', ['MUTAG', 'PROTEINS'])
def test_real_data(real_dataset: Callable, name: str) -> None:
    dataset = real_dataset(name)[:150]
    model = GIN(dataset.num_features, 8, 3).double().eval()
    index = torch.randperm(150)[:100].tolist()
    original = Batch.from_data_list([dataset[i] for i in index])
    options = {'exclude_keys': ['edge_attr']}
    data = merge(dataset, index, num_layers=3, **options)
    assert data.num_nodes < original.num_nodes
    for batch in (original, data):
        batch.x = batch.x.double()
    torch.testing.assert_close(
        pool(model, data, 'mean'), pool(model, original, 'mean')
    )


def test_depth_zero() -> None:
    originals = sample()
    data = merge(originals, INDEX, num_layers=0)
    assert data.num_nodes == 2
    assert data.edge_index.size() == (2, 0)
    assert data.edge_attr.size() == (0, 1)
    count = sum(originals[i].num_nodes for i in INDEX)
    assert int(data.root_count.sum()) == count
    assert trees_of(data, 0) == [(tuple(row), ()) for row in data.x.tolist()]


def test_one_compiled_model_serves_all_sizes() -> None:
    torch.compiler.reset()
    compiled_graphs = []

    def backend(graph: Any, inputs: Any) -> Any:
        compiled_graphs.append(graph)
        return graph.forward

    trees = [
        ToComputationTrees(2)(random_graph(num_nodes=n + 5, seed=n))
        for n in range(9)
    ]
    model = GIN(2, 4, 1)
    options = {'dynamic': True, 'fullgraph': True, 'backend': backend}
    compiled = torch.compile(model, **options)
    sizes = set()
    for data in TreeSetLoader(trees, batch_size=3):
        out = compiled(data.x, data.edge_index)
        torch.testing.assert_close(out, model(data.x, data.edge_index))
        sizes.add(data.num_nodes)
    assert len(sizes) == 3
    assert len(compiled_graphs) == 1
