"""Embeddings are the input of the head of a model."""

import pytest
import torch
from torch import Tensor
from torch_geometric.nn import GIN, global_add_pool

from pyg_distill.evaluation import model_embeddings
from tests.graphs import random_graph

SOURCE = [random_graph(6 + 2 * i, seed=i) for i in range(5)]


class Model(torch.nn.Module):
    """Shares a dropout between nodes and graphs, as many models do."""

    def __init__(self) -> None:
        super().__init__()
        self.gnn = GIN(2, 8, 2)
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
        return self.head(input=self.dropout(pooled))


@torch.no_grad()
def expected(model: Model) -> Tensor:
    model.eval()
    rows = []
    for data in SOURCE:
        batch = torch.zeros(data.num_nodes, dtype=torch.long)
        rows.append(model.pooled(data.x, data.edge_index, batch))
    return torch.cat(rows)


@pytest.mark.parametrize('layer', ['head', 'head.0', 'dropout'])
@pytest.mark.parametrize('batch_size', [2, 100])
def test_embeddings_are_the_input_of_a_layer(layer, batch_size) -> None:
    model = Model()
    out = model_embeddings(model, SOURCE, layer, batch_size=batch_size)
    assert not out.requires_grad
    assert torch.allclose(out, expected(model), atol=1e-5)
    out = model_embeddings(model, SOURCE, 'head.2', batch_size=batch_size)
    hidden = model.head[:2](expected(model))
    assert torch.allclose(out, hidden, atol=1e-5)


def test_nothing_else_changes() -> None:
    model = Model().train()
    model.frozen.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    model_embeddings(model, SOURCE, 'head')
    with pytest.raises(ValueError, match='one row a graph'):
        model_embeddings(model, SOURCE, 'gnn')
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert all(v.equal(before[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_bad_arguments() -> None:
    for dataset in ([], SOURCE[0]):
        with pytest.raises(ValueError, match="'dataset' must hold graphs"):
            model_embeddings(Model(), dataset, 'head')
    with pytest.raises(AttributeError, match='tail'):
        model_embeddings(Model(), SOURCE, 'tail')
