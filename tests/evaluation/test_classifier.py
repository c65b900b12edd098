import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GINEConv

from pyg_distill.evaluation import evaluate
from pyg_distill.evaluation.cross.classifier import GraphClassifier
from pyg_distill.evaluation.cross.graph_table import GraphTable


class WithEdges(torch.nn.Module):
    def __init__(self, channels, hidden, num_layers, edge_dim) -> None:
        super().__init__()
        lin = torch.nn.Linear(channels, hidden)
        self.conv = GINEConv(lin, edge_dim=edge_dim)

    def forward(self, x, edge_index, edge_attr):
        assert edge_attr.size() == (
            edge_index.size(1),
            self.conv.lin.in_channels,
        )
        return self.conv(x, edge_index, edge_attr)


def graphs(*size: int) -> list[Data]:
    out = []
    for i in range(12):
        num_edges = 0 if i < 8 else 2
        edge_index = torch.tensor([[0, 1], [1, 0]])[:, :num_edges]
        out.append(
            Data(
                x=torch.randn(2, 3),
                edge_index=edge_index,
                edge_attr=torch.randn(num_edges, *size),
                y=torch.tensor([i % 2]),
            )
        )
    return out


@pytest.mark.parametrize('size', [(), (1,), (4,), (2, 3)])
@pytest.mark.parametrize('build', [WithEdges, GAT])
def test_batches_without_edges(build, size: tuple[int, ...]) -> None:
    edge_dim = torch.Size(size).numel()
    given = graphs(*size)
    table = GraphTable.read(given, 'data')
    gnn = build(3, 8, 1, edge_dim=edge_dim)
    model = GraphClassifier(gnn, 8, 2, 'sum')
    assert model.reads == ['edge_attr']
    whole = model(table.take(torch.arange(12)))
    parts = [model(table.take(g)) for g in torch.arange(12).split(4)]
    assert torch.allclose(torch.cat(parts), whole, atol=1e-6)

    def make(channels: int, hidden: int, num_layers: int) -> torch.nn.Module:
        return build(channels, hidden, num_layers, edge_dim=edge_dim)

    evaluate(
        given[:8],
        test=given[:8],
        val=given[4:],
        models={'edges': make},
        runs=1,
        steps=3,
        batch_size=4,
        hidden_channels=8,
        log=False,
    )
