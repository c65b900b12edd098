"""Other forms of graphs, batches and precision."""

import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE
from torch_geometric.utils import trim_to_layer

from pyg_distill.nn.recorder import LayerRecorder
from tests.conftest import with_torch_sparse
from tests.nn.recorder.models import NUM_NODES, gcn, graph

SIZE = (NUM_NODES, NUM_NODES)


def as_coo(edge_index):
    ones = torch.ones(edge_index.size(1))
    return torch.sparse_coo_tensor(edge_index.flip(0), ones, SIZE)


def as_csr(edge_index):
    return as_coo(edge_index).to_sparse_csr()


def as_edge_index(edge_index):
    return (
        EdgeIndex(edge_index.contiguous(), sparse_size=SIZE)
        .sort_by('row')
        .values
    )


def as_sparse_tensor(edge_index):
    from torch_sparse import SparseTensor

    return SparseTensor.from_edge_index(edge_index.flip(0), sparse_sizes=SIZE)


@pytest.mark.parametrize(
    'form',
    [
        as_coo,
        as_csr,
        as_edge_index,
        pytest.param(as_sparse_tensor, marks=with_torch_sparse),
    ],
)
@pytest.mark.filterwarnings('ignore:.*Sparse')
def test_forms_of_the_adjacency_matrix(form):
    # No edge twice, since a matrix would add them up.
    x, edge_index = graph()
    edge_index = edge_index.unique(dim=1)
    model = GraphSAGE(4, 8, num_layers=3, out_channels=5)
    recorder = LayerRecorder(model)

    def run(adj):
        model.zero_grad()
        model(x, adj)
        features = recorder.features()
        sum(f.pow(2).sum() for f in features).backward()
        return features, [p.grad for p in model.parameters()]

    want = run(edge_index)
    torch.testing.assert_close(run(form(edge_index)), want)


@pytest.mark.filterwarnings('ignore:.*Sparse')
def test_sparse_features():
    x, edge_index = graph()
    model = gcn()
    recorder = LayerRecorder(model)
    model(x, edge_index)
    want = recorder.features()
    model(x.to_sparse_csr(), edge_index)
    torch.testing.assert_close(recorder.features(), want)


@pytest.mark.parametrize('gnn', [GCN, GraphSAGE, GIN, GAT])
def test_captures_keep_the_precision_of_the_layers(gnn):
    model = gnn(4, 8, num_layers=2)
    types = []
    for conv in model.convs:
        conv.register_forward_hook(lambda m, a, out: types.append(out.dtype))
    recorder = LayerRecorder(model)
    with torch.autocast('cpu', torch.bfloat16):
        model(*graph())
    features = recorder.features()
    assert [f.dtype for f in features] == types
    if gnn in (GIN, GraphSAGE):
        assert types[0] == torch.bfloat16
    sum(f.float().sum() for f in features).backward()
    assert all(p.grad is not None for p in model.convs[0].parameters())


def test_trimmed_batches_have_fewer_and_fewer_rows():
    # Node 0 is the seed, 1 to 3 are a hop away, 4 to 11 two hops.
    edge_index = torch.tensor(
        [[1, 2, 3, *range(4, 12)], [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 3]]
    )
    x, _ = graph()
    nodes, edges = [1, 3, 8], [3, 8]
    model = GraphSAGE(4, 8, num_layers=2)

    class Trimmed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gnn = model

        def forward(self, x, edge_index):
            for i, conv in enumerate(self.gnn.convs):
                x, edge_index, _ = trim_to_layer(i, nodes, edges, x, edge_index)
                x = conv(x, edge_index)
            return x

    recorder = LayerRecorder(Trimmed())
    recorder.model(x, edge_index)
    first, second = recorder.features()
    assert first.size() == (12, 8)
    assert second.size() == (4, 8)
    h = model.convs[0](x, edge_index)
    assert torch.equal(first, h)
    torch.testing.assert_close(second[:1], model.convs[1](h, edge_index)[:1])

    # Basic models trim by themselves.
    recorder = LayerRecorder(model)
    model(
        x,
        edge_index,
        num_sampled_nodes_per_hop=nodes,
        num_sampled_edges_per_hop=edges,
    )
    trimmed = recorder.features()
    assert [f.size(0) for f in trimmed] == [12, 4]
    model(x, edge_index)
    for got, want in zip(trimmed, recorder.features(), strict=True):
        torch.testing.assert_close(got[:1], want[:1])


def test_keyword_arguments():
    model = gcn()
    recorder = LayerRecorder(model)
    x, edge_index = graph()
    out = model(x=x, edge_index=edge_index)
    assert recorder.features()[2] is out
