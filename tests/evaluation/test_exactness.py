"""Does the check tell exact models from others?"""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.nn import (
    GAT,
    GCN,
    GIN,
    GINEConv,
    GraphSAGE,
    global_add_pool,
    global_mean_pool,
)

from pyg_distill.evaluation import Exactness, check_exact
from pyg_distill.nn import RootReadout, global_root_pool
from pyg_distill.transforms import ToComputationTrees
from tests.graphs import random_graph

SOURCE = [
    random_graph(12, 10, connected=seed % 2 == 0, seed=seed)
    for seed in range(6)
]


class Pooled(torch.nn.Module):
    """A model for graphs that knows nothing of roots."""

    def __init__(self, pool: Callable = global_add_pool) -> None:
        super().__init__()
        self.gnn = GIN(2, 8, 2)
        self.pool = pool
        self.norm = torch.nn.BatchNorm1d(8)
        self.head = torch.nn.Linear(8, 3)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        x = self.pool(self.gnn(x, edge_index), batch)
        return self.head(torch.dropout(self.norm(x), 0.5, self.training))


class PooledData(Pooled):
    def forward(self, data: Data) -> Tensor:
        return super().forward(data.x, data.edge_index, data.batch)


class PooledRoots(Pooled):
    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        batch: Tensor,
        root_index: Tensor | None = None,
        root_count: Tensor | None = None,
    ) -> Tensor:
        roots = {'root_index': root_index, 'root_count': root_count}
        x = self.gnn(x, edge_index)
        return self.head(global_root_pool(x, batch, **roots))


class PooledRootsData(Pooled):
    def forward(self, data: Data) -> Tensor:
        x = self.gnn(data.x, data.edge_index)
        return self.head(global_root_pool(x, data))


@pytest.mark.parametrize('gnn', [GIN, GraphSAGE, GAT])
@pytest.mark.parametrize('depth', [1, 2, 3])
def test_message_passing_is_exact_at_its_depth(
    gnn: Callable, depth: int
) -> None:
    model = gnn(2, 8, depth)
    # Attention over copies of one node says nothing of what is above them.
    assert check_exact(model, SOURCE, depth)
    assert check_exact(model, SOURCE, depth + 1)
    assert not check_exact(model, SOURCE, depth - 1)


@pytest.mark.parametrize('depth', [1, 2])
def test_normalisation_by_neighbors_reads_one_hop_more(depth: int) -> None:
    model = GCN(2, 8, depth)
    assert check_exact(model, SOURCE, depth + 1)
    assert not check_exact(model, SOURCE, depth)


@pytest.mark.parametrize('pool', [global_add_pool, global_mean_pool])
@pytest.mark.parametrize('model', [Pooled, PooledData])
def test_an_encoder_is_read_at_its_roots(model: type, pool: Callable) -> None:
    result = check_exact(model(pool), SOURCE, 2, encoder='gnn')
    assert result
    assert result.level == 'graph'
    assert not check_exact(model(pool), SOURCE, 1, encoder='gnn')


@pytest.mark.parametrize(
    'build',
    [
        PooledRoots,
        PooledRootsData,
        lambda: RootReadout(Pooled(), 'gnn'),
        lambda: RootReadout(PooledData(), 'gnn'),
    ],
)
@pytest.mark.filterwarnings('error')
def test_models_that_read_roots(build: Callable) -> None:
    result = check_exact(build(), SOURCE, 2)
    assert result
    assert result.level == 'graph'
    assert not check_exact(build(), SOURCE, 1)


@pytest.mark.parametrize('scale', [1e-6, 1e6])
def test_forward_calls_the_model(scale: float) -> None:
    def call(model: torch.nn.Module, data: Data) -> Tensor:
        roots = {'root_index', 'root_count'} & set(data.keys())
        kwargs = {name: data[name] for name in roots}
        return scale * model(data.x, data.edge_index, data.batch, **kwargs)

    options = {'encoder': 'gnn', 'forward': call}
    assert check_exact(Pooled(), SOURCE, 2, **options)
    assert not check_exact(Pooled(), SOURCE, 1, **options)


def test_edge_features_are_passed_on() -> None:
    graphs = [random_graph(12, 8, edge_dim=3, seed=s) for s in range(4)]
    model = GINEConv(torch.nn.Linear(2, 4), edge_dim=3)
    assert check_exact(model, graphs, 1)
    assert not check_exact(model, graphs, 0)


@pytest.mark.parametrize('training', [True, False])
def test_nothing_else_changes(training: bool) -> None:
    model = Pooled().train(training)
    model.head.eval()
    weights = copy.deepcopy(model.state_dict())
    modes = {name: m.training for name, m in model.named_modules()}
    before = [data.clone() for data in SOURCE]
    check_exact(model, SOURCE, 2, encoder='gnn')
    assert {name: m.training for name, m in model.named_modules()} == modes
    assert all(v.equal(weights[k]) for k, v in model.state_dict().items())
    assert not model.gnn._forward_hooks
    assert all(p.requires_grad for p in model.parameters())
    for data, old in zip(SOURCE, before, strict=True):
        assert data.keys() == old.keys()
        assert data.x.equal(old.x)


def test_the_result_says_what_was_compared() -> None:
    result = check_exact(GIN(2, 8, 2), SOURCE, 2, max_graphs=4)
    assert (result.num_graphs, result.num_layers) == (4, 2)
    assert result.level == 'node'
    assert str(result).startswith('exact at num_layers=2: largest deviation')
    text = str(Exactness(0.5, 2.0, 1, 3, 'graph'))
    assert text == (
        'NOT exact at num_layers=1: largest deviation 5.0e-01 of graph '
        'outputs up to 2.0e+00 in 3 graphs'
    )


def test_rounding_is_allowed_for() -> None:
    assert Exactness(9e-5, 1.0, 1, 1, 'node')
    assert not Exactness(2e-4, 1.0, 1, 1, 'node')
    assert not Exactness(1e-9, 0.0, 1, 1, 'node')
    assert not Exactness(float('nan'), 1.0, 1, 1, 'node')
    assert Exactness(0.0, 0.0, 1, 1, 'node')


def test_attributes_may_be_left_out() -> None:
    graphs = [data.clone() for data in SOURCE]
    for data in graphs:
        data.pos = torch.rand(data.num_nodes, 3)
    assert check_exact(GIN(2, 8, 2), graphs, 2, exclude_keys=['pos'])


class Needs(torch.nn.Module):
    def forward(self, x: Tensor, charges: Tensor) -> Tensor:
        return x + charges


class Two(Pooled):
    def forward(self, x: Tensor, edge_index: Tensor) -> Any:
        return x, x


class Half(Pooled):
    def forward(self, data: Data) -> Tensor:
        return self.gnn(data.x, data.edge_index)[: data.num_nodes // 2]


class Scalar(Pooled):
    def forward(self, data: Data) -> Tensor:
        return self.gnn(data.x, data.edge_index).sum()


TREES = [ToComputationTrees(2)(data) for data in SOURCE]


@pytest.mark.parametrize(
    ('model', 'source', 'kwargs', 'error', 'message'),
    [
        (GIN(2, 8, 2), [], {}, ValueError, 'must hold graphs'),
        (GIN(2, 8, 2), SOURCE[0], {}, ValueError, 'must hold graphs'),
        (GIN(2, 8, 2), TREES, {}, ValueError, 'tree-set form'),
        (Pooled(), SOURCE, {}, ValueError, 'encoder='),
        (PooledData(), SOURCE, {}, ValueError, 'encoder='),
        (Pooled(), SOURCE, {'encoder': 'enc'}, ValueError, "'enc'.*gnn"),
        (Needs(), SOURCE, {}, ValueError, 'charges.*forward='),
        (Two(), SOURCE, {}, ValueError, "'tuple'.*forward="),
        (Half(), SOURCE, {}, ValueError, 'one row a node or a graph'),
        (Scalar(), SOURCE, {}, ValueError, 'one row a node or a graph'),
    ],
)
def test_bad_arguments(
    model: torch.nn.Module,
    source: Any,
    kwargs: dict,
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message) as found:
        check_exact(model, source, 2, **kwargs)
    assert '\n' not in str(found.value)
