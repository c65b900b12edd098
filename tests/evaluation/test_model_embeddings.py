"""Embeddings are what the head of a model is given."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.nn import GIN, SumAggregation, global_add_pool

from pyg_distill.datasets import CoresetDataset
from pyg_distill.evaluation import model_embeddings
from tests.datasets.sources import Graphs, random_graphs

SOURCE = [data for data in random_graphs(14) if data.num_nodes > 1]


class Model(torch.nn.Module):
    """Shares a dropout between nodes and graphs, as many models do."""

    def __init__(self) -> None:
        super().__init__()
        self.gnn = GIN(3, 8, 2)
        self.dropout = torch.nn.Dropout(0.5)
        self.frozen = torch.nn.BatchNorm1d(8).eval()
        self.head = torch.nn.Sequential(
            torch.nn.Linear(8, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2)
        )

    def pooled(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        x = self.frozen(self.dropout(self.gnn(x, edge_index)))
        return global_add_pool(x, batch)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        pooled = self.pooled(x, edge_index, batch)
        return self.head(self.dropout(pooled))


class Aggregated(Model):
    """Makes something of whole graphs before the readout, too."""

    def __init__(self) -> None:
        super().__init__()
        self.virtual = torch.nn.Linear(3, 3)
        self.aggr = SumAggregation()

    def pooled(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        x = x + self.virtual(global_add_pool(x, batch))[batch]
        return self.aggr(self.gnn(x, edge_index), batch)


def expected(model: Model, graphs: list[Data]) -> Tensor:
    model.eval()
    rows = []
    with torch.no_grad():
        for data in graphs:
            batch = torch.zeros(data.num_nodes, dtype=torch.long)
            rows.append(model.pooled(data.x, data.edge_index, batch))
    return torch.cat(rows)


@pytest.mark.parametrize('kind', [Model, Aggregated])
@pytest.mark.parametrize(
    'layer',
    [
        None,
        'head',
        'head.0',
        'dropout',
        lambda m, b: m.pooled(b.x, b.edge_index, b.batch),
    ],
)
@pytest.mark.parametrize('batch_size', [3, 100])
def test_embeddings_are_the_input_of_the_head(
    kind: type[Model], layer: Any, batch_size: int
) -> None:
    model = kind()
    out = model_embeddings(model, Graphs(SOURCE), layer, batch_size)
    assert not out.requires_grad
    assert torch.allclose(out, expected(model, SOURCE), atol=1e-5)


def test_deeper_layers_can_be_named() -> None:
    model = Model().eval()
    out = model_embeddings(model, SOURCE, 'head.2')
    with torch.no_grad():
        hidden = model.head[:2](expected(model, SOURCE))
    assert torch.allclose(out, hidden, atol=1e-5)


def test_the_model_is_left_as_it_was() -> None:
    model = Model()
    model.train()
    model.frozen.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model_embeddings(model, SOURCE)
    assert model.training
    assert model.dropout.training
    assert not model.frozen.training
    for key, value in model.state_dict().items():
        assert value.equal(before[key])
    assert not any(m._forward_pre_hooks for m in model.modules())
    with pytest.raises(ValueError, match='never given'):
        model_embeddings(model, SOURCE, 'gnn')
    assert model.training
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_other_ways_to_call_a_model() -> None:
    model = Model()
    out = model_embeddings(
        model, SOURCE, forward=lambda m, b: m(b.x, b.edge_index, b.batch)
    )
    assert out.equal(model_embeddings(model, SOURCE))


@pytest.mark.parametrize('method', ['herding', 'k_center'])
def test_coresets_of_a_model(method: str) -> None:
    model, source = Model(), Graphs(SOURCE)
    embedding = model_embeddings(model, source)
    found = CoresetDataset(source, method, num_graphs=5, embedding=embedding)
    again = CoresetDataset(
        source,
        method,
        num_graphs=5,
        embedding=lambda graphs: model_embeddings(model, graphs),
    )
    assert found.source_index.equal(again.source_index)
    other = CoresetDataset(source, method, num_graphs=5)
    assert other.source_index.numel() == 5


@pytest.mark.parametrize(
    ('call', 'error', 'message'),
    [
        (lambda m: model_embeddings(m, SOURCE[0]), TypeError, r'pass \[data'),
        (lambda m: model_embeddings(m, []), ValueError, 'at least one graph'),
        (
            lambda m: model_embeddings(m, SOURCE, 'tail'),
            ValueError,
            r"a submodule of 'Model' \(got 'tail'\); pass one of gnn, ",
        ),
        (
            lambda m: model_embeddings(m, SOURCE, 3),
            TypeError,
            "'layer' must be the name",
        ),
        (
            lambda m: model_embeddings(m, SOURCE, lambda m, b: b.x),
            ValueError,
            r'one row a graph \(got \[\d+, 3\] for \d+ graphs\)',
        ),
        (
            lambda m: model_embeddings(m, SOURCE, lambda m, b: None),
            ValueError,
            r'\(got NoneType for',
        ),
        (
            lambda m: model_embeddings(m.gnn, SOURCE),
            ValueError,
            "no submodule of 'GIN' is given one row a graph",
        ),
        (
            lambda m: model_embeddings(
                m, [Data(x=torch.ones(1, 3), edge_index=torch.empty(2, 0))]
            ),
            ValueError,
            'cannot be told from those of nodes',
        ),
    ],
)
def test_bad_arguments(
    call: Callable, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(Model())
