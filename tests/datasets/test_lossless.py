"""Every tree of every graph: what a network reads is unchanged."""

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GIN

from pyg_distill.datasets import MirageDataset
from pyg_distill.nn import global_root_pool
from tests.datasets.sources import Graphs, path, random_graphs
from tests.oracles import tree_set, trees_of


@settings(max_examples=25)
@given(
    seed=st.integers(0, 1000),
    num_layers=st.integers(0, 3),
    compact=st.booleans(),
    edges=st.booleans(),
)
def test_keeps_the_multiset_of_trees_in_order(
    seed: int, num_layers: int, compact: bool, edges: bool
) -> None:
    graphs = random_graphs(8, (0, 2), edge_attr=edges, seed=seed)
    dataset = MirageDataset(
        graphs, num_layers, selection='lossless', compact=compact
    )
    assert len(dataset) == len(graphs)
    for data, source in zip(dataset, graphs, strict=True):
        assert tree_set(data, num_layers) == Counter(
            trees_of(source, num_layers)
        )
        assert data.y.equal(source.y)
        assert data.support.tolist() == [1]


def test_carries_what_a_graph_has_beside_its_trees() -> None:
    graphs = random_graphs(6)
    for i, data in enumerate(graphs):
        data.target = torch.tensor([[i, 2.5]])
        data.fingerprint = torch.arange(i + 10)
        data.idx = i
        data.smiles = f'C{i}'
    for source in (
        graphs,
        Graphs(graphs),
        Graphs(graphs)[:],
        Graphs(graphs)[1:],
    ):
        dataset = MirageDataset(source, 1, selection='lossless')
        for data, original in zip(dataset, source, strict=True):
            assert data.target.equal(original.target)
            assert data.fingerprint.equal(original.fingerprint)
            assert data.idx.tolist() == [original.idx]
        assert dataset.report.left_out == ['smiles']


@pytest.mark.parametrize('reduce', ['sum', 'mean', 'max'])
@pytest.mark.parametrize('name', [None, 'MUTAG'])
def test_readouts_are_those_of_the_source(
    real_dataset: Callable, reduce: str, name: str | None
) -> None:
    if name is None:
        source = Graphs(random_graphs(20, max_nodes=8))
    else:
        source = real_dataset(name)
    # GIN reads no edge features.
    dataset = MirageDataset(
        source,
        3,
        selection='lossless',
        exclude_keys=['edge_attr'],
    )
    model = GIN(source.num_features, 16, 3).double().eval()

    def outputs(graphs: object) -> torch.Tensor:
        (batch,) = DataLoader(graphs, batch_size=200)
        x = model(batch.x.double(), batch.edge_index)
        return global_root_pool(
            x,
            batch.batch,
            batch.get('root_index'),
            batch.get('root_count'),
            size=batch.num_graphs,
            reduce=reduce,
        )

    with torch.no_grad():
        torch.testing.assert_close(outputs(dataset), outputs(source))


def test_order_is_that_of_the_slice() -> None:
    source = Graphs(random_graphs(10))
    whole = MirageDataset(source, 2, selection='lossless')
    order = [7, 2, 2, 9, 0]
    part = MirageDataset(source[order], 2, selection='lossless')
    for i, data in zip(order, part, strict=True):
        assert tree_set(data, 2) == tree_set(whole[i], 2)


@pytest.mark.parametrize('balance', ['source', 'uniform', 'none'])
def test_weights_are_one_a_graph_unless_balanced(balance: str) -> None:
    graphs = [path(1), path(1), path(2), path(3, y=1)]
    dataset = MirageDataset(graphs, 0, selection='lossless', balance=balance)
    expected = [2 / 3] * 3 + [2] if balance == 'uniform' else [1] * 4
    assert dataset.weight.tolist() == pytest.approx(expected)


def test_graphs_without_nodes_are_kept() -> None:
    graphs = [path(), path(1, 2), path(y=1)]
    dataset = MirageDataset(graphs, 2, selection='lossless')
    assert [data.num_nodes for data in dataset][::2] == [0, 0]
    assert [data.root_index.numel() for data in dataset] == [0, 2, 0]
    assert dataset.y.tolist() == [0, 0, 1]


def test_continuous_features_are_warned_of_but_kept() -> None:
    graphs = random_graphs(6)
    for data in graphs:
        data.x = torch.randn_like(data.x)
    with pytest.warns(UserWarning, match='continuous values'):
        dataset = MirageDataset(graphs, 1, selection='lossless')
    assert tree_set(dataset[0], 1) == Counter(trees_of(graphs[0], 1))
