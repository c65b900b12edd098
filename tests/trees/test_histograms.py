"""Histograms count the trees that unrolling finds."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Data

from pyg_distill.trees import (
    Forest,
    Graphs,
    KeyedHistograms,
    keyed_histograms,
    tree_histograms,
)
from tests.graphs import forest_of as forest
from tests.graphs import random_graphs
from tests.oracles import trees_of


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


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2),
    st.lists(st.integers(0, 10), max_size=3),
    st.sampled_from(['none', 'sqrt', 'l2', 'hellinger']),
)
def test_parts_are_joined_by_tree(
    num_layers: int, cuts: list[int], normalize: str
) -> None:
    graphs = random_graphs(10, num_features=2, seed=3)
    whole = keyed_histograms(forest(graphs, num_layers), 'all', normalize)
    cuts = [0, *sorted(cuts), 10]
    parts = [
        keyed_histograms(forest(graphs[i:j], num_layers), 'all', normalize)
        for i, j in pairwise(cuts)
        if i < j
    ]
    joined = KeyedHistograms.join(parts)
    assert joined.count.is_coalesced()
    # Bit by bit, though a part has its columns in an order of its own.
    for found in (joined, KeyedHistograms.join([joined])):
        assert by_key(found) == by_key(whole)


def by_key(histogram: KeyedHistograms) -> dict[tuple, list[float]]:
    keys = map(tuple, histogram.key.tolist())
    column = histogram.count.to_dense().t().tolist()
    return dict(zip(keys, column, strict=True))


def test_equal_trees_of_different_depths_have_columns_of_their_own() -> None:
    # Without edges, the tree of a node is the same at every depth.
    edge_index = torch.empty(2, 0, dtype=torch.long)
    one = torch.tensor([1])
    graphs = Graphs.from_local(edge_index, one, torch.tensor([0]), x=one)
    found = keyed_histograms(Forest(graphs, 40), 'all', 'none')
    assert found.key.unique(dim=0).size() == (41, 2)
    assert KeyedHistograms.join([found, found]).count.size() == (2, 41)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'depths': 'first'}, "'depths' must be one of 'all', 'last'"),
        ({'normalize': 'l1'}, "'normalize' must be one of 'none', 'sqrt'"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tree_histograms(forest(random_graphs(3), 1), **options)
