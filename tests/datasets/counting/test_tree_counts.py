"""Counts of shards add up to those of all graphs."""

import itertools
from collections import Counter

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from pyg_distill.datasets.counting.part import Part
from pyg_distill.datasets.counting.tree_counts import TreeCounts, look_up
from pyg_distill.datasets.reading.source import read_source
from tests.datasets.sources import random_graphs
from tests.oracles import trees_of


def part_of(graphs: list[Data], num_layers: int) -> Part:
    return Part(read_source(graphs, [], 'test', False), num_layers, False)


def count(graphs: list[Data], num_layers: int) -> Counter:
    """The support of each tree of each class, by unrolling all of them."""
    out: Counter = Counter()
    for data in graphs:
        out.update((int(data.y), t) for t in set(trees_of(data, num_layers)))
    return out


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    num_graphs=st.integers(1, 9),
    bounds=st.lists(st.integers(1, 8), max_size=3),
    num_layers=st.integers(0, 2),
)
def test_merged_counts(
    seed: int, num_graphs: int, bounds: list[int], num_layers: int
) -> None:
    graphs = random_graphs(num_graphs, (0, 3), edge_attr=True, seed=seed)
    bounds = sorted({0, *(min(b, num_graphs) for b in bounds), num_graphs})
    pairs = list(itertools.pairwise(bounds))
    parts = [part_of(graphs[a:b], num_layers) for a, b in pairs]
    merged = TreeCounts.merge([TreeCounts.of(part) for part in parts])
    expected = count(graphs, num_layers)
    # Which key is which tree's is known from the nodes.
    key = torch.cat([part.forest.keys[-1] for part in parts]).tolist()
    tree = [t for data in graphs for t in trees_of(data, num_layers)]
    by_key = dict(zip(map(tuple, key), tree, strict=True))
    found = {
        (label, by_key[tuple(k)]): support
        for label, k, support in zip(
            merged.label.tolist(),
            merged.key.tolist(),
            merged.support.tolist(),
            strict=True,
        )
    }
    assert found == expected
    assert merged.num_trees() == len({t for _, t in expected})
    # The order is that of the whole, and of any other partition.
    for other in (
        TreeCounts.of(part_of(graphs, num_layers)),
        TreeCounts.merge([merged]),
    ):
        assert torch.equal(merged.label, other.label)
        assert torch.equal(merged.key, other.key)
        assert torch.equal(merged.support, other.support)

    least = {0: 2, 3: 1}
    frequent = {t for (label, t), n in expected.items() if n >= least[label]}
    keys = merged.frequent(least)
    assert {by_key[tuple(k)] for k in keys.tolist()} == frequent


def test_look_up() -> None:
    known = torch.tensor([[1, 5], [1, 6], [7, 0]])
    key = torch.tensor([[7, 0], [1, 6], [1, 4], [1, 6], [0, 0]])
    assert look_up(known, key).tolist() == [2, 1, -1, 1, -1]
    assert look_up(known, known[:0]).tolist() == []
    assert look_up(known[:0], key).tolist() == [-1] * 5
