"""Does the check tell exact models from others?"""

import copy
import re
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
    GraphSAGE,
    SAGEConv,
    global_add_pool,
    global_mean_pool,
)

from pyg_distill.datasets import MirageDataset
from pyg_distill.evaluation import Exactness, check_exact
from pyg_distill.nn import RootReadout, global_root_pool
from tests.datasets.sources import Graphs
from tests.graphs import random_graph

SOURCE = Graphs(
    [
        random_graph(12, 10, connected=seed % 2 == 0, seed=seed)
        for seed in range(6)
    ]
)


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
        x = self.gnn(x, edge_index)
        return self.head(global_root_pool(x, batch, root_index, root_count))


class PooledRootsData(Pooled):
    def forward(self, data: Data) -> Tensor:
        x = self.gnn(data.x, data.edge_index)
        return self.head(
            global_root_pool(
                x, data.batch, data.get('root_index'), data.get('root_count')
            )
        )


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


@pytest.mark.parametrize('model', [PooledRoots, PooledRootsData])
def test_models_that_pass_on_roots(model: type) -> None:
    result = check_exact(model(), SOURCE, 2)
    assert result
    assert result.level == 'graph'
    assert not check_exact(model(), SOURCE, 1)


def test_a_wrapped_model_needs_no_encoder() -> None:
    for model in (Pooled(), PooledData()):
        assert check_exact(RootReadout(model, 'gnn'), SOURCE, 2)
        assert not check_exact(RootReadout(model, 'gnn'), SOURCE, 1)


def test_forward_says_how_to_call() -> None:
    class Odd(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = SAGEConv(2, 4)

        def forward(self, features: Tensor, links: Tensor) -> Tensor:
            return self.conv(features, links)

    def call(model: torch.nn.Module, data: Data) -> Tensor:
        return model(data.x, data.edge_index)

    assert check_exact(Odd(), SOURCE, 1, forward=call)
    assert not check_exact(Odd(), SOURCE, 0, forward=call)


def test_forward_and_encoder_go_together() -> None:
    def call(model: torch.nn.Module, data: Data) -> Tensor:
        roots = {'root_index', 'root_count'} & set(data.keys())
        return model(
            data.x,
            data.edge_index,
            data.batch,
            **{name: data[name] for name in roots},
        )

    assert check_exact(Pooled(), SOURCE, 2, encoder='gnn', forward=call)
    assert not check_exact(Pooled(), SOURCE, 1, encoder='gnn', forward=call)


def test_edge_features_are_passed_on() -> None:
    graphs = [random_graph(12, 8, edge_dim=3, seed=s) for s in range(4)]
    from torch_geometric.nn import GINEConv

    class Edges(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = GINEConv(torch.nn.Linear(2, 4), edge_dim=3)

        def forward(
            self, x: Tensor, edge_index: Tensor, edge_attr: Tensor
        ) -> Tensor:
            return self.conv(x, edge_index, edge_attr)

    assert check_exact(Edges(), graphs, 1)
    assert not check_exact(Edges(), graphs, 0)


@pytest.mark.parametrize('training', [True, False])
def test_the_model_is_left_as_it_is(training: bool) -> None:
    model = Pooled().train(training)
    model.head.eval()
    weights = copy.deepcopy(model.state_dict())
    modes = {name: m.training for name, m in model.named_modules()}
    check_exact(model, SOURCE, 2, encoder='gnn')
    assert {name: m.training for name, m in model.named_modules()} == modes
    assert model.state_dict().keys() == weights.keys()
    assert all(v.equal(weights[k]) for k, v in model.state_dict().items())
    assert not model.gnn._forward_hooks
    assert not model.gnn._forward_pre_hooks
    assert all(p.requires_grad for p in model.parameters())


def test_the_source_is_left_as_it_is() -> None:
    before = [data.clone() for data in SOURCE]
    check_exact(GIN(2, 4, 2), SOURCE, 2)
    for data, old in zip(SOURCE, before, strict=True):
        assert data.keys() == old.keys()
        assert data.x.equal(old.x)


@pytest.mark.parametrize('scale', [1e-12, 1e-6, 1e6])
def test_small_outputs_are_judged_like_large_ones(scale: float) -> None:
    class Scaled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gnn = GIN(2, 8, 2)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return scale * self.gnn(x, edge_index)

    assert check_exact(Scaled(), SOURCE, 2)
    assert not check_exact(Scaled(), SOURCE, 1)


def test_outputs_that_are_nan_are_not_exact() -> None:
    def call(model: torch.nn.Module, data: Data) -> Tensor:
        return model(data.x, data.edge_index) * float('nan')

    assert not check_exact(GIN(2, 4, 1), SOURCE, 1, forward=call)


def test_the_result_says_what_was_compared() -> None:
    result = check_exact(GIN(2, 8, 2), SOURCE, 2, max_graphs=4)
    assert (result.num_graphs, result.num_layers) == (4, 2)
    assert result.level == 'node'
    assert re.fullmatch(
        r'exact at num_layers=2: largest deviation \d\.\de[+-]\d\d of node '
        r'outputs up to \d\.\de[+-]\d\d in 4 graphs',
        str(result),
    )
    text = str(Exactness(0.5, 2.0, 1, 3, 'graph'))
    assert text == (
        'NOT exact at num_layers=1: largest deviation 5.0e-01 of graph '
        'outputs up to 2.0e+00 in 3 graphs'
    )


def test_rounding_is_allowed_for() -> None:
    assert Exactness(9e-5, 1.0, 1, 1, 'node')
    assert not Exactness(2e-4, 1.0, 1, 1, 'node')
    assert not Exactness(1e-9, 0.0, 1, 1, 'node')
    assert Exactness(0.0, 0.0, 1, 1, 'node')


def test_sources_of_any_kind() -> None:
    model = GIN(2, 8, 2)
    for source in (list(SOURCE), SOURCE[2:4], SOURCE[:1]):
        assert check_exact(model, source, 2)
        assert not check_exact(model, source, 1)


def test_attributes_may_be_left_out() -> None:
    graphs = [data.clone() for data in SOURCE]
    for data in graphs:
        data.pos = torch.rand(data.num_nodes, 3)
    with pytest.raises(ValueError, match=r"exclude_keys=\['pos'\]"):
        check_exact(GIN(2, 8, 2), graphs, 2)
    assert check_exact(GIN(2, 8, 2), graphs, 2, exclude_keys=['pos'])


def error(kind: type[Exception], *args: Any, **kwargs: Any) -> str:
    with pytest.raises(kind, match=r'.') as info:
        check_exact(*args, **kwargs)
    text = str(info.value)
    assert '\n' not in text
    return text


def test_wrong_use() -> None:
    gnn = GIN(2, 8, 2)
    assert 'at least one graph' in error(ValueError, gnn, [], 2)
    text = error(TypeError, gnn, SOURCE[0], 2)
    assert "got one 'Data'" in text
    text = error(ValueError, Pooled(), SOURCE, 2)
    assert 'encoder=...' in text
    text = error(ValueError, Pooled(), SOURCE, 2, encoder='encoder')
    assert "'encoder'" in text
    assert 'gnn' in text
    assert "got 'two'" in error(TypeError, gnn, SOURCE, 'two')
    distilled = MirageDataset(
        [data.update({'y': torch.tensor([0])}) for data in list(SOURCE)], 2, 0.1
    )
    text = error(ValueError, gnn, distilled, 2)
    assert 'tree-set form already' in text


def test_arguments_that_graphs_do_not_have() -> None:
    class Needs(torch.nn.Module):
        def forward(self, x: Tensor, charges: Tensor) -> Tensor:
            return x + charges

    text = error(ValueError, Needs(), SOURCE, 2)
    assert 'charges' in text
    assert 'forward=...' in text


def test_outputs_that_cannot_be_compared() -> None:
    class Two(Pooled):
        def forward(self, x: Tensor, edge_index: Tensor) -> Any:
            return x, x

    text = error(ValueError, Two(), SOURCE, 2)
    assert "'tuple'" in text
    assert 'forward=...' in text

    class Sum(Pooled):
        def forward(self, data: Data) -> Tensor:
            return self.gnn(data.x, data.edge_index)[: data.num_nodes // 2]

    text = error(ValueError, Sum(), SOURCE, 2)
    assert 'one row a node or a graph' in text

    class Scalar(Pooled):
        def forward(self, data: Data) -> Tensor:
            return self.gnn(data.x, data.edge_index).sum()

    text = error(ValueError, Scalar(), SOURCE, 2)
    assert 'one row a node or a graph' in text


def test_a_model_that_takes_data_but_ignores_roots_is_told_so() -> None:
    class Blind(torch.nn.Module):
        def forward(self, data: Data) -> Tensor:
            return global_add_pool(data.x, data.batch)

    with pytest.raises(ValueError, match='encoder='):
        check_exact(Blind(), [random_graph(seed=s) for s in range(4)], 1)
