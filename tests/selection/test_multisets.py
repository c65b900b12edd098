"""Rare trees are replaced by the nearest ones; lossless replaces none."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from pyg_distill.data.sources import Source
from pyg_distill.datasets import MirageDataset
from pyg_distill.selection import Herding
from pyg_distill.trees import Forest, TreeCode, facility_steps
from tests.oracles import Tree, tree_set, trees_of
from tests.selection import helpers
from tests.selection.helpers import path, random_graphs


def keep(
    graphs: Sequence[Data],
    num_layers: int,
    num_graphs: int | None = None,
    **options: Any,
) -> MirageDataset:
    options['num_graphs'] = num_graphs
    return helpers.keep(graphs, num_layers, 'multisets', **options)


def points_of(graphs: Sequence[Data], num_layers: int) -> dict[Tree, list]:
    """The point of each tree; tests/trees say what it is."""
    (chunk,) = Source(list(graphs), num_layers).chunks('reading')
    forest: Forest = chunk.forest
    number = forest.distinct().inverse.tolist()
    point = TreeCode.fit(forest)(forest).double().tolist()
    named = [tree for data in graphs for tree in trees_of(data, num_layers)]
    return {tree: point[i] for tree, i in zip(named, number, strict=True)}


def square(a: Sequence[float], b: Sequence[float]) -> float:
    return sum((p - q) ** 2 for p, q in zip(a, b, strict=True))


def check_replaced(
    graphs: Sequence[Data], kept: MirageDataset, num_layers: int
) -> None:
    """Compares each graph with its trees, where rare ones are replaced."""
    point = points_of(graphs, num_layers)
    sets = {int(d.graph_id): tree_set(d, num_layers) for d in kept}
    vocabulary = set().union(*sets.values())
    for i, got in sets.items():
        trees = Counter(trees_of(graphs[i], num_layers))
        assert got.total() == trees.total() == graphs[i].num_nodes
        rest, unsure, options = Counter(got), 0, set()
        for tree, count in trees.items():
            least = min(square(point[tree], point[v]) for v in vocabulary)
            near = [
                v for v in vocabulary if square(point[tree], point[v]) == least
            ]
            if tree in vocabulary:
                near = [tree]
            if len(near) == 1:
                rest[near[0]] -= count
            else:
                unsure += count
                options.update(near)
        assert min(rest.values(), default=0) >= 0
        assert rest.total() == unsure
        assert set(+rest) <= options


@settings(max_examples=15)
@given(
    st.integers(0, 2),
    st.integers(1, 9),
    st.sampled_from([3, None]),
    st.booleans(),
    st.integers(0, 1000),
)
def test_rare_trees_are_replaced_by_the_nearest(
    num_layers: int, size: int, num_features: int | None, edges: bool, seed: int
) -> None:
    graphs = random_graphs(
        8,
        num_features=num_features,
        edge_attr=edges,
        edge_weight=edges,
        seed=seed,
    )
    kept = keep(graphs, num_layers, 8, vocabulary_size=size)
    assert kept.source_index.tolist() == [*range(8)]
    distinct = {t for data in graphs for t in trees_of(data, num_layers)}
    sets = [tree_set(data, num_layers) for data in kept]
    assert len(set().union(*sets)) == min(size, len(distinct))
    check_replaced(graphs, kept, num_layers)


def test_the_vocabulary_is_chosen_by_facility_location() -> None:
    graphs = random_graphs(14, max_nodes=6)
    point = points_of(graphs, 1)
    count = Counter(t for data in graphs for t in trees_of(data, 1))
    trees = sorted(count)
    rows = torch.tensor([point[t] for t in trees])
    weight = torch.tensor([count[t] for t in trees])

    def gap(chosen: set[Tree]) -> float:
        return sum(
            n * min(square(point[t], point[v]) for v in chosen)
            for t, n in count.items()
        )

    chosen: list[Tree] = []
    for k, step in enumerate(facility_steps(rows, weight), 1):
        chosen.append(trees[step])
        kept = keep(graphs, 1, 14, vocabulary_size=k)
        found = set().union(*(tree_set(data, 1) for data in kept))
        assert len(found) == k
        assert gap(found) == pytest.approx(gap({*chosen}))


def test_graphs_are_herded_by_square_roots_of_counts() -> None:
    graphs = random_graphs(16, (0, 1), max_nodes=6)
    every = keep(graphs, 1, 16, vocabulary_size=6)
    sets = [tree_set(data, 1) for data in every]
    trees = sorted(set().union(*sets))
    rows = torch.tensor([[s[t] ** 0.5 for t in trees] for s in sets])
    expected = [
        label + 2 * step
        for label in (0, 1)
        for step in [*Herding().steps(rows[label::2])][:3]
    ]
    kept = keep(graphs, 1, 6, vocabulary_size=6)
    assert kept.source_index.tolist() == sorted(expected)
    assert all(tree_set(data, 1) == sets[int(data.graph_id)] for data in kept)


@pytest.mark.parametrize('compact', [True, False])
def test_the_vocabulary_takes_part_of_the_budget(compact: bool) -> None:
    graphs = random_graphs(80, (0, 1), max_nodes=14, edge_attr=True)
    sizes = []
    for budget in (300, 900):
        kept = keep(graphs, 2, budget=budget, compact=compact)
        assert kept.report.compressed_bytes <= budget
        vocabulary = set().union(*(tree_set(data, 2) for data in kept))
        sizes.append(len(vocabulary))
    assert 1 < sizes[0] < sizes[1]


def test_nodes_that_are_held() -> None:
    graphs = [path(1, 1, 1, 2), path(1, 1, 1, 1), path(1, y=1)]
    kept = keep(graphs, 0, 2, vocabulary_size=1)
    classes = kept.report.classes
    assert classes[0].node_coverage == 7 / 8
    assert classes[0].graph_coverage == 1 / 2
    assert classes[1].node_coverage == 1.0
    assert [data.root_count.tolist() for data in kept] == [[4], [1]]
    assert kept.support.tolist() == [1, 1]


def test_graphs_without_nodes_or_edges() -> None:
    none = [path() for _ in range(3)] + [path(y=1)]
    kept = keep(none, 2, 3)
    assert [data.num_nodes for data in kept] == [0, 0, 0]
    assert [data.root_count.numel() for data in kept] == [0, 0, 0]
    some = keep([path(1), path(), path(2, 2, y=1)], 2, 3)
    assert [int(d.root_count.sum()) for d in some] == [1, 0, 2]
    assert keep([path(i % 3) for i in range(9)], 2, 4).edge_index.numel() == 0
    assert keep([path(1, 2, 1)], 1)[0].weight.tolist() == [1.0]


@pytest.mark.parametrize('num_layers', [0, 1, 2])
@pytest.mark.parametrize('compact', [True, False])
@pytest.mark.parametrize('num_features', [3, None])
def test_lossless_keeps_the_multiset_of_trees_in_order(
    num_layers: int, compact: bool, num_features: int | None
) -> None:
    graphs = random_graphs(
        14,
        (0, 1, 4),
        max_nodes=7,
        num_features=num_features,
        edge_attr=True,
        edge_weight=True,
    )
    kept = helpers.keep(graphs, num_layers, 'lossless', compact=compact)
    assert kept.source_index.tolist() == [*range(14)]
    for data, source in zip(kept, graphs, strict=True):
        assert tree_set(data, num_layers) == Counter(
            trees_of(source, num_layers)
        )
        assert data.y.equal(source.y)
        assert data.weight.tolist() == [1.0]
        if compact:
            assert data.num_nodes <= max(1, num_layers + 1) * max(
                1, source.num_nodes
            )
    assert kept.report.classes[0].node_coverage == 1.0
    # A vocabulary of all trees loses nothing, either.
    every = keep(graphs, num_layers, 14, vocabulary_size=4096, compact=compact)
    for data, other in zip(every, kept, strict=True):
        assert tree_set(data, num_layers) == tree_set(other, num_layers)


def test_lossless_carries_what_a_graph_has_beside_its_trees() -> None:
    graphs = random_graphs(8)
    for i, data in enumerate(graphs):
        data.scale = torch.full((1, 2), float(i))
        data.rows = torch.arange(i + 3)
        data.smiles = 'C'
    kept = MirageDataset(graphs, 1, selection='lossless')
    assert kept.report.left_out == ['smiles']
    for data, source in zip(kept, graphs, strict=True):
        assert data.scale.equal(source.scale)
        assert data.rows.equal(source.rows)
