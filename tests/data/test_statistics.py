"""Statistics of trees against unrolled trees, whole and in chunks."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from math import sqrt
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Data

from pyg_distill.data import Source, TreeStatistics, read_table
from pyg_distill.data.sources import Chunk
from pyg_distill.data.statistics import (
    CollectedTrees,
    TreeCounts,
    collect_statistics,
    look_up,
)
from tests.oracles import Tree, trees_of
from tests.selection.helpers import Graphs, Stream, random_graphs

GRAPHS = random_graphs(24, (0, 1, 3), edge_attr=True, edge_weight=True)
NEEDS = ('shares', 'counts')


def cut(graphs: list[Data], bounds: list[int]) -> list[list[Data]]:
    bounds = sorted({0, *(min(b, len(graphs)) for b in bounds), len(graphs)})
    return [graphs[a:b] for a, b in pairwise(bounds)]


def chunk_of(graphs: list[Data], num_layers: int) -> Chunk:
    return Chunk(read_table(graphs), 0, num_layers, 0)


def by_key(graphs: list[Data], num_layers: int) -> dict[tuple, Tree]:
    """The tree of each key, as the nodes tell it."""
    key = chunk_of(graphs, num_layers).forest.keys[-1].tolist()
    trees = [t for data in graphs for t in trees_of(data, num_layers)]
    out = dict(zip(map(tuple, key), trees, strict=True))
    assert len(out) == len({*trees})
    return out


def supports(graphs: list[Data], num_layers: int) -> Counter:
    """The graphs of each class that hold each tree."""
    out: Counter = Counter()
    for data in graphs:
        out.update((int(data.y), t) for t in {*trees_of(data, num_layers)})
    return out


def found_supports(counts: TreeCounts, trees: dict[tuple, Tree]) -> dict:
    rows = zip(
        counts.label.tolist(),
        counts.key.tolist(),
        counts.support.tolist(),
        strict=True,
    )
    return {(label, trees[tuple(key)]): n for label, key, n in rows}


@settings(max_examples=15)
@given(
    seed=st.integers(0, 10**6),
    num_graphs=st.integers(1, 9),
    bounds=st.lists(st.integers(1, 8), max_size=3),
    num_layers=st.integers(0, 2),
)
def test_counts(
    seed: int, num_graphs: int, bounds: list[int], num_layers: int
) -> None:
    graphs = random_graphs(num_graphs, (0, 3), edge_attr=True, seed=seed)
    trees = by_key(graphs, num_layers)
    expected = supports(graphs, num_layers)
    parts = [
        TreeCounts.from_chunk(chunk_of(part, num_layers))
        for part in cut(graphs, bounds)
    ]
    merged = TreeCounts.merge(parts)
    assert found_supports(merged, trees) == expected
    assert merged.num_trees() == len({t for _, t in expected})
    # The order is that of the whole.
    whole = TreeCounts.from_chunk(chunk_of(graphs, num_layers))
    for name in ('label', 'key', 'support'):
        assert torch.equal(getattr(merged, name), getattr(whole, name))

    least = {0: 2, 3: 1}
    frequent = {t for (label, t), n in expected.items() if n >= least[label]}
    keys = [tuple(k) for k in merged.frequent(least).tolist()]
    assert keys == sorted(keys)
    assert {trees[k] for k in keys} == frequent

    total: Counter = Counter()
    for (_, tree), n in expected.items():
        total[tree] += n
    order = sorted(trees, key=lambda k: (-total[trees[k]], k))
    for k in (0, 2, 100):
        found = [tuple(key) for key in merged.most_frequent(k).tolist()]
        assert found == sorted(order[:k])


def rows_of(histogram: Tensor) -> list[list[float]]:
    """The values of each row, whose columns have no names."""
    dense = histogram.to_dense().double()
    return [sorted(v for v in row if v) for row in dense.tolist()]


@pytest.mark.parametrize('num_layers', [0, 2])
@pytest.mark.parametrize('wrap', [list, Graphs, Stream, lambda g: cut(g, [9])])
def test_what_is_known_of_all_graphs(
    wrap: Callable, num_layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('pyg_distill.data.sources.MAX_GRAPHS', 5)
    found = collect_statistics(Source(wrap(GRAPHS), num_layers), NEEDS)
    label = [int(data.y) for data in GRAPHS]
    assert found.num_layers == num_layers
    assert found.num_graphs == 24
    assert found.label.tolist() == label
    assert found.num_nodes.tolist() == [data.num_nodes for data in GRAPHS]
    assert found.num_edges.tolist() == [data.num_edges for data in GRAPHS]
    assert found.num_classes == 4
    assert found.class_sizes() == {c: label.count(c) for c in (0, 1, 3)}
    assert found.num_bytes == read_table(GRAPHS).num_bytes
    assert found.y_shape == (1,)
    names = ['edge_attr', 'edge_index', 'edge_weight', 'x', 'y']
    assert found.attributes == names
    assert found.left_out == found.continuous == found.uncarried == []

    expected = supports(GRAPHS, num_layers)
    trees = by_key(GRAPHS, num_layers)
    assert found_supports(found.counts, trees) == expected
    for c, statistics in found.by_class().items():
        of_class = [n for (other, _), n in expected.items() if other == c]
        graphs = [data for data in GRAPHS if int(data.y) == c]
        assert statistics.num_graphs == len(graphs)
        assert statistics.num_nodes == sum(data.num_nodes for data in graphs)
        assert statistics.num_trees == len(of_class)
        assert statistics.best_support == max(of_class)

    # The square roots of counts, and of shares of all depths.
    counts, shares = [], []
    for data in GRAPHS:
        last = Counter(trees_of(data, num_layers)).values()
        counts.append(sorted(sqrt(n) for n in last))
        total = data.num_nodes * (num_layers + 1)
        every: Counter = Counter()
        for depth in range(num_layers + 1):
            every.update((depth, t) for t in trees_of(data, depth))
        shares.append(sorted(sqrt(n / total) for n in every.values()))
    for name, want in [('counts', counts), ('shares', shares)]:
        for row, other in zip(
            rows_of(found.histogram(name)), want, strict=True
        ):
            assert row == pytest.approx(other, abs=1e-6)


def test_histograms_of_graphs_in_chunks_have_the_products_of_the_whole() -> (
    None
):
    # Columns may come in another order, but products tell which are the same.
    whole = collect_statistics(Source(GRAPHS, 2), NEEDS)
    chunks = collect_statistics(Source(cut(GRAPHS, [3, 4, 17]), 2), NEEDS)
    for name in NEEDS:
        one, other = (
            s.histogram(name).to_dense().double() for s in (whole, chunks)
        )
        torch.testing.assert_close(one @ one.t(), other @ other.t())
    with pytest.raises(ValueError, match="'shares' was not collected"):
        collect_statistics(Source(GRAPHS, 2)).histogram('shares')


def assert_collected(
    found: CollectedTrees, graphs: list[Data], keys: Tensor, num_layers: int
) -> None:
    trees = by_key(graphs, num_layers)
    wanted = [trees.get(tuple(key)) for key in keys.tolist()]
    assert found.label.tolist() == [int(data.y) for data in graphs]
    expected = {}
    for i, data in enumerate(graphs):
        for tree, n in Counter(trees_of(data, num_layers)).items():
            if tree in wanted:
                expected[i, wanted.index(tree)] = n
    held = found.occurrences
    pairs = zip(held.graph.tolist(), held.tree.tolist(), strict=True)
    assert [*zip(pairs, held.count.tolist(), strict=True)] == sorted(
        expected.items()
    )
    # The trees are there, and nothing else is unrolled from their roots.
    held_trees = sorted({t for _, t in expected})
    assert found.tree.tolist() == held_trees
    whole = found.graphs
    data = Data(edge_index=whole.edge_index, num_nodes=whole.num_nodes)
    for name in ('x', 'edge_attr', 'edge_weight'):
        if getattr(whole, name) is not None:
            data[name] = getattr(whole, name)
    unrolled = trees_of(data, num_layers)
    root = found.root_of(found.tree).tolist()
    assert [unrolled[r] for r in root] == [wanted[t] for t in held_trees]


@pytest.mark.parametrize('num_layers', [0, 1, 2])
@pytest.mark.parametrize('bounds', [[], [12], [1, 5, 6, 20]])
@pytest.mark.parametrize('num_trees', [0, 3, 1000])
def test_collected_trees(
    num_layers: int, bounds: list[int], num_trees: int
) -> None:
    statistics: TreeStatistics = collect_statistics(
        Source(cut(GRAPHS, bounds) if bounds else GRAPHS, num_layers)
    )
    keys = statistics.counts.most_frequent(num_trees)
    found = statistics.collect_trees(keys)
    assert_collected(found, GRAPHS, keys, num_layers)


def test_equal_trees_of_chunks_are_kept_once() -> None:
    chunk = chunk_of(GRAPHS, 2)
    keys = TreeCounts.from_chunk(chunk).most_frequent(1000)
    once = CollectedTrees.from_chunk(chunk, keys)
    often = CollectedTrees.merge([once] * 5)
    assert often.graphs.num_nodes == once.graphs.num_nodes
    assert_collected(often, GRAPHS * 5, keys, 2)


def test_parts_are_merged_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of 8 chunks, no merge holds more than all distinct trees twice.
    sizes = []
    merge = TreeCounts.merge

    def watched(counts: Any) -> TreeCounts:
        sizes.append(sum(c.label.numel() for c in counts))
        return merge(counts)

    monkeypatch.setattr(TreeCounts, 'merge', watched)
    monkeypatch.setattr('pyg_distill.data.sources.MAX_GRAPHS', 24)
    source = Source([GRAPHS] * 8, 2)
    found = collect_statistics(source)
    once = TreeCounts.from_chunk(chunk_of(GRAPHS, 2))
    assert found.counts.support.equal(8 * once.support)
    assert max(sizes) <= 2 * once.label.numel()


def test_continuous_and_uncarried_attributes_are_named() -> None:
    graphs = [data.clone() for data in GRAPHS]
    graphs[23].edge_weight = graphs[23].edge_weight + 0.5
    for data in graphs:
        data.pos = torch.rand(data.num_nodes, 3)
        data.x = data.x.double() + 0.25
        data.edge_attr = data.edge_attr.half() + float('inf')
    for source in (graphs, cut(graphs, [9])):
        found = collect_statistics(Source(source, 1))
        assert found.continuous == ['x', 'edge_weight']
        assert found.uncarried == ['pos']
        found = collect_statistics(Source(source, 1, ['x', 'pos']))
        assert found.continuous == ['edge_weight']
        assert found.left_out == ['pos', 'x']
        assert found.uncarried == []


def test_look_up() -> None:
    known = torch.tensor([[1, 5], [1, 6], [7, 0]])
    key = torch.tensor([[7, 0], [1, 6], [1, 4], [1, 6], [0, 0]])
    assert look_up(known, key).tolist() == [2, 1, -1, 1, -1]
    assert look_up(known, known[:0]).tolist() == []
    assert look_up(known[:0], key).tolist() == [-1] * 5


def test_real_data_in_chunks(real_dataset: Callable) -> None:
    dataset = real_dataset('NCI1')
    parts = [dataset[i : i + 997] for i in range(0, len(dataset), 997)]
    whole = collect_statistics(Source(dataset, 2))
    chunks = collect_statistics(Source(parts, 2))
    assert whole.counts.num_trees() == 4058
    for name in ('label', 'key', 'support'):
        one, other = getattr(whole.counts, name), getattr(chunks.counts, name)
        assert one.equal(other)
    assert whole.source.digest() == chunks.source.digest()
