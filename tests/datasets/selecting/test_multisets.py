"""Rare trees are replaced by the nearest ones, and none is lost."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from pyg_distill.datasets import MirageDataset
from tests.datasets.sources import path, random_graphs, same
from tests.oracles import Tree, tree_set, trees_of
from tests.trees.test_descriptors import expected as points_of
from tests.trees.test_vocabulary import distance, gain

Point = tuple[float, ...]


def distil(graphs: Sequence[Data], num_layers: int, **kw: Any) -> MirageDataset:
    return MirageDataset(graphs, num_layers, selection='multisets', **kw)


def one_class_each(graphs: list[Data]) -> list[Data]:
    """The result is in the order of classes, so each graph is found again."""
    for i, data in enumerate(graphs):
        data.y = torch.tensor([i])
    return graphs


def sets_of(dataset: MirageDataset, num_layers: int) -> list[Counter]:
    return [tree_set(data, num_layers) for data in dataset]


def square(a: Sequence[float], b: Sequence[float]) -> float:
    return sum((p - q) ** 2 for p, q in zip(a, b, strict=True))


def check_replaced(
    source: Sequence[Data], found: list[Counter], num_layers: int
) -> None:
    """Compares each graph with its trees, of which rare ones are replaced."""
    point = points_of(list(source), num_layers)
    vocabulary = set().union(*found)
    for data, got in zip(source, found, strict=True):
        trees = Counter(trees_of(data, num_layers))
        assert got.total() == trees.total() == data.num_nodes
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


@settings(max_examples=25)
@given(
    st.integers(0, 2),
    st.integers(1, 9),
    st.sampled_from([3, None]),
    st.booleans(),
    st.integers(0, 1000),
)
def test_rare_trees_are_replaced_by_the_nearest(
    num_layers: int,
    num_trees: int,
    num_features: int | None,
    edges: bool,
    seed: int,
) -> None:
    graphs = one_class_each(
        random_graphs(
            8,
            num_features=num_features,
            edge_attr=edges,
            edge_weight=edges,
            seed=seed,
        )
    )
    kept = distil(graphs, num_layers, num_trees=num_trees, num_graphs=8)
    found = sets_of(kept, num_layers)
    distinct = {t for data in graphs for t in trees_of(data, num_layers)}
    assert len(set().union(*found)) == min(num_trees, len(distinct))
    check_replaced(graphs, found, num_layers)


def test_continuous_features() -> None:
    graphs = one_class_each(random_graphs(20, max_nodes=8))
    for data in graphs:
        data.x = torch.randn(data.num_nodes, 2).double()
    with pytest.warns(UserWarning, match='continuous'):
        kept = distil(graphs, 1, num_trees=12, num_graphs=20)
    found = sets_of(kept, 1)
    assert len(set().union(*found)) == 12
    assert kept.x.dtype == torch.double
    rows = {tuple(r) for data in graphs for r in data.x.tolist()}
    assert {tuple(r) for r in kept.x.tolist()} <= rows
    for data, got in zip(graphs, found, strict=True):
        assert got.total() == data.num_nodes


def test_the_vocabulary_stands_for_all_trees() -> None:
    graphs = random_graphs(14, max_nodes=6)
    point = points_of(graphs, 1)
    count = Counter(t for data in graphs for t in trees_of(data, 1))
    trees = sorted(count)
    rows, weight = [point[t] for t in trees], [count[t] for t in trees]
    chosen: set[Tree] = set()
    for k in range(1, len(trees) + 1):
        kept = distil(graphs, 1, num_trees=k, num_graphs=14)
        more = set().union(*sets_of(kept, 1))
        assert chosen < more
        assert len(more) == k
        before = [trees.index(t) for t in chosen]
        best = max(
            gain(rows, weight, [*before, i])
            for i in range(len(trees))
            if i not in before
        )
        got = gain(rows, weight, [trees.index(t) for t in more])
        assert got == pytest.approx(best)
        chosen = more
    assert distance(rows[0], rows[0]) == 0


@pytest.mark.parametrize('num_layers', [0, 1, 2])
@pytest.mark.parametrize('compact', [True, False])
def test_all_trees_are_no_loss(num_layers: int, compact: bool) -> None:
    graphs = random_graphs(10, max_nodes=6, edge_attr=True)
    kept = distil(
        graphs, num_layers, num_trees=4096, num_graphs=10, compact=compact
    )
    lossless = MirageDataset(
        graphs, num_layers, selection='lossless', compact=compact
    )
    found, expected = list(kept), list(lossless)
    assert kept.report.classes[0].node_coverage == 1.0
    for data in found:
        twin = next(i for i, d in enumerate(expected) if same([data], [d]))
        del expected[twin]
    assert not expected
    assert same(kept, distil(graphs, num_layers, num_trees=99, compact=compact))


def herded(points: list[list[float]], chosen: list[int]) -> float:
    """How far the mean of some is from that of all."""
    width = range(len(points[0]))
    mean = [sum(p[i] for p in points) / len(points) for i in width]
    some = [sum(points[c][i] for c in chosen) / len(chosen) for i in width]
    return square(mean, some)


def check_herded(
    points: list[list[float]], picked: list[list[list[float]]]
) -> None:
    """Each number of graphs is the one before and the best to add to it."""
    order: list[int] = []
    for some in picked:
        left = [i for i in range(len(points)) if i not in order]
        added = Counter(map(tuple, some)) - Counter(
            tuple(points[i]) for i in order
        )
        assert added.total() == 1
        new = next(i for i in left if (*points[i],) in added)
        best = min(herded(points, [*order, i]) for i in left)
        assert herded(points, [*order, new]) == pytest.approx(best, abs=1e-9)
        order.append(new)


def test_graphs_are_herded() -> None:
    graphs = random_graphs(12, (0,), max_nodes=6)

    def histograms(num_graphs: int) -> list[list[float]]:
        kept = distil(graphs, 1, num_trees=6, num_graphs=num_graphs)
        return [[s[t] ** 0.5 for t in trees] for s in sets_of(kept, 1)]

    whole = distil(graphs, 1, num_trees=6, num_graphs=12)
    trees = sorted(set().union(*sets_of(whole, 1)))
    check_herded(histograms(12), [histograms(k) for k in range(1, 13)])


def test_nodes_that_are_held() -> None:
    graphs = [path(1, 1, 1, 2), path(1, 1, 1, 1), path(1, y=1)]
    kept = distil(graphs, 0, num_trees=1, num_graphs=2)
    assert kept.report.classes[0].node_coverage == 7 / 8
    assert kept.report.classes[0].graph_coverage == 1 / 2
    assert kept.report.classes[1].node_coverage == 1.0
    assert [data.root_count.tolist() for data in kept] == [[4], [1]]
    assert kept.support.tolist() == [1, 1]


def test_graphs_without_nodes_or_edges() -> None:
    none = [path() for _ in range(3)] + [path(y=1)]
    kept = distil(none, 2, num_graphs=3)
    assert [data.num_nodes for data in kept] == [0, 0, 0]
    assert [data.root_count.numel() for data in kept] == [0, 0, 0]
    assert len(distil(none, 2)) >= 2
    some = distil([path(1), path(), path(2, 2, y=1)], 2, num_graphs=3)
    assert sorted(int(d.root_count.sum()) for d in some) == [0, 1, 2]
    points = distil([path(i % 3) for i in range(9)], 2, num_graphs=4)
    assert points.edge_index.size(1) == 0


def test_a_single_graph_and_a_single_class() -> None:
    kept = distil([path(1, 2, 1)], 1)
    assert len(kept) == 1
    assert float(kept[0].weight) == 1.0
    kept = distil([path(1, 2)] * 5, 1, num_graphs=2)
    assert len(kept) == 2
    assert kept.weight.tolist() == [1.0, 1.0]


def test_a_real_data_set(real_dataset: Callable) -> None:
    graphs = [data.clone() for data in real_dataset('MUTAG')[:40]]
    graphs = one_class_each(graphs)
    kept = distil(graphs, 2, num_trees=25, num_graphs=40)
    check_replaced(graphs, sets_of(kept, 2), 2)
