"""Histograms count the trees that unrolling finds."""

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Data

from pyg_distill.datasets.reading.source import read_source
from pyg_distill.trees import Forest, Graphs, tree_histograms
from tests.datasets.sources import random_graphs
from tests.oracles import trees_of


def forest(graphs: list[Data], num_layers: int) -> Forest:
    source = read_source(graphs, [], 'a test', log=False)
    return Forest(source.graphs, num_layers)


def counted(graphs: list[Data], depths: list[int]) -> list[list[int]]:
    """The columns of the histogram, in any order."""
    by_graph = [
        Counter(
            (depth, tree) for depth in depths for tree in trees_of(g, depth)
        )
        for g in graphs
    ]
    return sorted(
        [counts[tree] for counts in by_graph] for tree in set().union(*by_graph)
    )


def columns(histogram: Tensor) -> list[list[int]]:
    return sorted(histogram.to_dense().t().long().tolist())


@settings(max_examples=40)
@given(
    st.integers(0, 2),
    st.sampled_from([3, None]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 1000),
)
def test_counts_are_those_of_unrolled_trees(
    num_layers: int,
    num_features: int | None,
    edge_attr: bool,
    edge_weight: bool,
    seed: int,
) -> None:
    graphs = random_graphs(
        5,
        num_features=num_features,
        edge_attr=edge_attr,
        edge_weight=edge_weight,
        seed=seed,
    )
    trees = forest(graphs, num_layers)
    found = tree_histograms(trees)
    assert found.is_coalesced()
    assert found.dtype == torch.float
    assert columns(found) == counted(graphs, list(range(num_layers + 1)))
    last = tree_histograms(trees, depths='last')
    assert columns(last) == counted(graphs, [num_layers])


def test_counts_of_a_real_data_set(real_dataset: Callable) -> None:
    graphs = real_dataset('MUTAG')[:30]
    found = tree_histograms(forest(graphs, 2))
    assert columns(found) == counted(list(graphs), [0, 1, 2])


def test_columns_do_not_depend_on_the_order_of_graphs() -> None:
    graphs = random_graphs(10)
    order = torch.randperm(10)
    found = tree_histograms(forest([graphs[i] for i in order], 2)).to_dense()
    assert found.equal(tree_histograms(forest(graphs, 2)).to_dense()[order])


def test_square_roots_and_lengths() -> None:
    trees = forest(random_graphs(10), 1)
    count = tree_histograms(trees).to_dense()
    root = tree_histograms(trees, normalize='sqrt').to_dense()
    assert root.equal(count.sqrt())
    unit = tree_histograms(trees, normalize='l2').to_dense()
    empty = count.sum(1) == 0
    assert empty.any()
    assert (unit[empty] == 0).all()
    unit, count = unit[~empty], count[~empty]
    expected = torch.nn.functional.normalize(count.double())
    assert torch.allclose(unit.double(), expected, atol=1e-6)
    share = tree_histograms(trees, normalize='hellinger').to_dense()[~empty]
    expected = (count / count.sum(1, keepdim=True)).sqrt()
    assert torch.allclose(share, expected, atol=1e-6)


@pytest.mark.parametrize('normalize', ['none', 'sqrt', 'l2', 'hellinger'])
def test_hashed_columns_are_signed_sums(normalize: str) -> None:
    trees = forest(random_graphs(10, num_features=2), 1)
    exact = tree_histograms(trees, normalize=normalize).to_dense()
    wide = tree_histograms(trees, 'all', 7 << 40, normalize)
    # So wide that nothing collides: the same columns but for their signs.
    used = wide.indices()[1].unique()
    dense = wide.index_select(1, used).to_dense()
    assert columns_of(dense.abs()) == columns_of(exact)
    assert {*dense.sum(0).sign().tolist()} == {-1.0, 1.0}

    narrow = tree_histograms(trees, 'all', 7, normalize).to_dense()
    expected = torch.zeros(10, 7).index_add_(1, used % 7, dense)
    assert torch.allclose(narrow, expected, atol=1e-6)


def columns_of(matrix: Tensor) -> list[list[float]]:
    return sorted(matrix.t().tolist())


def test_hashing_keeps_inner_products_on_average() -> None:
    # One class of all trees a seed of the features: many independent hashes.
    errors = []
    for shift in range(60):
        graphs = random_graphs(4, max_nodes=8, num_features=2, seed=3)
        for data in graphs:
            data.x = data.x + 10 * shift
        trees = forest(graphs, 1)
        exact = tree_histograms(trees).to_dense()
        found = tree_histograms(trees, num_features=8).to_dense()
        errors.append(found @ found.t() - exact @ exact.t())
    error = torch.stack(errors)
    assert error.abs().max() > 1
    deviation = error.std(0) / len(errors) ** 0.5
    assert (error.mean(0).abs() <= 4 * deviation + 1e-6).all()


def test_hashed_columns_do_not_depend_on_other_graphs() -> None:
    graphs = random_graphs(10)
    found = tree_histograms(forest(graphs, 2), num_features=16).to_dense()
    for i in range(10):
        alone = tree_histograms(forest([graphs[i]], 2), num_features=16)
        assert alone.to_dense()[0].equal(found[i])


def test_equal_trees_of_different_depths_are_hashed_apart() -> None:
    # Without edges, the tree of a node is the same at every depth.
    edge_index = torch.empty(2, 0, dtype=torch.long)
    one = torch.tensor([1])
    graphs = Graphs.from_local(edge_index, one, torch.tensor([0]), x=one)
    trees = Forest(graphs, 40)
    found = tree_histograms(trees, num_features=1 << 30)
    assert found.values().numel() == 41
    assert {*found.values().tolist()} == {-1.0, 1.0}


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'depths': 'first'}, "'depths' must be one of 'all', 'last'"),
        ({'normalize': 'l1'}, "'normalize' must be one of 'none', 'sqrt'"),
        ({'num_features': 0}, "'num_features' must be an integer of 1"),
        ({'num_features': 2.5}, "'num_features' must be an integer of 1"),
        ({'num_features': True}, "'num_features' must be an integer of 1"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tree_histograms(forest(random_graphs(3), 1), **options)
