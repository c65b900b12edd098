from functools import partial

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE

from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.evaluation.cross.classifier import GraphClassifier
from pyg_distill.evaluation.cross.graph_table import GraphTable
from pyg_distill.evaluation.cross.metrics import weighted_loss
from pyg_distill.evaluation.cross.training import mini_batches
from pyg_distill.evaluation.cross.views import Views

TOY = ToyMolecules(60)
EDGES = ['edge_attr']


def classifier(build, readout: str = 'sum') -> GraphClassifier:
    gnn = build(9, 16, 2)
    return GraphClassifier(gnn, 16, 3, readout)


def views(dataset, batch_size: int = 60) -> Views:
    table = GraphTable.read(dataset, 'data', exclude_keys=EDGES)
    return Views(table, batch_size)


@pytest.mark.parametrize('readout', ['sum', 'mean', 'max'])
@pytest.mark.parametrize('build', [GCN, GIN, GAT, GraphSAGE])
def test_merged_batches_give_the_same_loss_and_gradient(build, readout) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        model = classifier(build, readout)
        view = views(TOY)
        graph = torch.randperm(60)[:40]
        merged = view.take(model)(graph)
        plain = view.table.take(graph)
        assert merged.batch is None
        # One more hop leaves GCN less to merge.
        assert merged.x.size(0) < plain.x.size(0) / 1.3
        found = []
        for data in (plain, merged):
            model.zero_grad()
            loss = weighted_loss(model(data), data.label, data.weight)
            loss.backward()
            found.append([loss, *(p.grad for p in model.parameters())])
        for one, other in zip(*found, strict=True):
            assert torch.allclose(one, other, atol=1e-10)
    finally:
        torch.set_default_dtype(torch.float32)


def test_merged_trees_of_tree_sets() -> None:
    train = MirageDataset(TOY, 2, 0.3, exclude_keys=EDGES, log=False)
    view = views(train)
    graph = torch.randperm(len(train))[:50]
    for build, exact in [(GIN, True), (GAT, True), (GCN, False)]:
        model = classifier(build)
        data = view.take(model)(graph)
        # Trees as deep as the layers are too shallow for GCN.
        assert (data.batch is None) == exact
        expected = model(view.table.take(graph))
        assert torch.allclose(model(data), expected, atol=1e-4)
        assert torch.equal(data.weight, train._data.weight[graph])


class Wider(GIN):
    pass


@pytest.mark.parametrize(
    'build',
    [
        Wider,
        partial(GIN, dropout=0.5),
        partial(GIN, norm='batch_norm'),
        partial(GraphSAGE, norm='graph_norm'),
        partial(GCN, norm='layer_norm'),
    ],
)
def test_other_models_see_the_graphs(build) -> None:
    view = views(TOY)
    assert view.take(classifier(build)) == view.table.take
    assert view.take(classifier(GIN)) != view.table.take
    assert view.chunks(classifier(build))[0].batch is not None
    assert view.chunks(classifier(GIN))[0].batch is None


def with_loops(data: Data) -> Data:
    data = data.clone()
    loop = torch.tensor([[0], [0]])
    data.edge_index = torch.cat([data.edge_index, loop], dim=1)
    data.edge_attr = torch.cat([data.edge_attr, data.edge_attr[:1]])
    return data


@pytest.mark.parametrize('build', [GAT, GCN])
def test_loops_are_noticed_wherever_they_are(build) -> None:
    view = views([*TOY[:59], with_loops(TOY[59])], batch_size=10)
    assert view.take(classifier(build)) == view.table.take


def test_unequal_trees_are_not_worth_merging() -> None:
    graphs = [data.clone() for data in TOY]
    for data in graphs:
        data.x = torch.randn(data.num_nodes, 9)
    view = views(graphs)
    assert view.take(classifier(GIN)) == view.table.take


def test_chunks_hold_all_graphs_in_order() -> None:
    table = views(TOY).table
    for limit in (1, 50, 300, 10_000):
        parts = table.chunks(limit)
        assert torch.cat(parts).tolist() == list(range(60))
        sizes = [int(table.num_nodes[part].sum()) for part in parts]
        largest = int(table.num_nodes.max())
        assert max(sizes) < limit + largest
    assert len(table.chunks(10_000)) == 1


def test_batches_are_those_of_pyg() -> None:
    from torch_geometric.loader import DataLoader

    train = MirageDataset(TOY, 2, 0.3, exclude_keys=EDGES, log=False)
    for dataset in (TOY, TOY[10:40], [*TOY[5:9]], train):
        table = GraphTable.read(dataset, 'data')
        index = torch.randperm(len(dataset))[:9]
        (expected,) = DataLoader(dataset, batch_sampler=[index.tolist()])
        data = table.take(index)
        for name in ('x', 'edge_index', 'batch', 'edge_attr'):
            if name in expected:
                assert torch.equal(getattr(data, name), expected[name])
        for name in ('root_index', 'root_count', 'weight'):
            if dataset is train:
                assert torch.equal(getattr(data, name), expected[name])
            else:
                assert getattr(data, name) is None
        assert torch.equal(data.label, expected.y)


def test_batches_of_an_epoch_are_of_equal_size() -> None:
    batches = mini_batches(lambda graph: graph, 13, batch_size=6, seed=1)
    for _ in range(2):
        epoch = [next(batches) for _ in range(3)]
        assert [len(graph) for graph in epoch] == [5, 4, 4]
        assert torch.cat(epoch).sort().values.tolist() == list(range(13))
    whole = mini_batches(lambda graph: graph, 6, batch_size=6, seed=1)
    assert next(whole) is next(whole)
