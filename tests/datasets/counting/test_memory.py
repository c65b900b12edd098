"""What is kept of many parts is not more than what is needed."""

import torch

from pyg_distill.datasets.counting.census import Census, CensusTaker
from pyg_distill.datasets.counting.frequent_trees import TreeCollector
from tests.datasets.counting.test_tree_counts import part_of
from tests.datasets.sources import random_graphs

GRAPHS = random_graphs(12, (0, 1))


def test_the_same_trees_are_cut_out_once() -> None:
    part = part_of(GRAPHS, 2)
    once = TreeCollector(part.key)
    once.add(part)
    often = TreeCollector(part.key)
    for _ in range(5):
        often.add(part)
    first, last = once.result(), often.result()
    assert first is not None
    assert last is not None
    assert last.graphs.num_nodes == first.graphs.num_nodes
    assert last.label.numel() == 5 * first.label.numel()
    every = torch.arange(part.key.size(0))
    assert torch.equal(last.root_of(every), first.root_of(every))

    compared = TreeCollector(part.key, every=True)
    for _ in range(5):
        compared.add(part)
    found = compared.result()
    assert found is not None
    assert found.graphs.num_nodes == 5 * first.graphs.num_nodes
    assert torch.equal(found.root_of(every), first.root_of(every))


def test_a_census_of_many_parts_is_merged_on_the_way() -> None:
    census = Census.of(part_of(GRAPHS, 2))
    size = census.counts.label.numel()
    taker = CensusTaker()
    for _ in range(40):
        taker.add(census)
        held = sum(c.counts.label.numel() for c in taker._merged)
        assert held <= 2 * size
    merged = taker.result()
    assert merged is not None
    assert torch.equal(merged.counts.support, 40 * census.counts.support)
    assert merged.num_graphs == 40 * 12
