"""Costs of graphs, next to what packing them really takes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import InMemoryDataset
from torch_geometric.utils import to_undirected

from pyg_distill.datasets import MirageDataset
from pyg_distill.datasets.packing.column import packed_bytes
from pyg_distill.datasets.packing.costs import Costs
from pyg_distill.datasets.packing.measure import (
    graph_costs,
    multiset_bits,
    tree_set_costs,
    vocabulary_costs,
)
from pyg_distill.datasets.packing.packed import pack
from pyg_distill.trees import Forest, Graphs
from tests.datasets.sources import random_graphs
from tests.graphs import random_graph

collate = InMemoryDataset.collate


@given(st.data())
def test_entries_are_paid_by_the_first_graph_that_needs_them(
    data: st.DataObject,
) -> None:
    number = st.integers(0, 20)
    num_graphs = data.draw(st.integers(1, 5))
    graph_bits = [data.draw(number) for _ in range(num_graphs)]
    item_bits = data.draw(st.lists(number, min_size=1, max_size=5))
    pair = st.tuples(
        st.integers(0, num_graphs - 1), st.integers(0, len(item_bits) - 1)
    )
    pairs = data.draw(st.lists(pair, max_size=9))
    order = data.draw(st.permutations(range(num_graphs)))
    order = order[: data.draw(st.integers(1, num_graphs))]
    graph, item = torch.tensor(pairs, dtype=torch.long).view(-1, 2).unbind(1)
    costs = Costs(
        torch.tensor(graph_bits), torch.tensor(item_bits), graph, item, 3
    )
    expected = []
    for k in range(1, len(order) + 1):
        items = {i for g, i in pairs if g in order[:k]}
        bits = sum(graph_bits[g] for g in order[:k])
        bits += sum(item_bits[i] for i in items)
        expected.append((bits + 3 * 7 + 7) // 8)
    assert costs.cumulative(torch.tensor(order)).tolist() == expected


@settings(max_examples=10)
@given(
    seed=st.integers(0, 1000),
    edges=st.booleans(),
    both=st.booleans(),
    featureless=st.booleans(),
)
def test_costs_of_graphs_are_a_bound(
    seed: int, edges: bool, both: bool, featureless: bool
) -> None:
    many = random_graphs(
        12,
        max_nodes=8,
        num_features=None if featureless else 4,
        edge_attr=edges,
        seed=seed,
    )
    if both:
        for data in many:
            edge_index, edge_attr = (
                to_undirected(
                    data.edge_index, data.get('edge_attr'), reduce='max'
                )
                if edges
                else (to_undirected(data.edge_index), None)
            )
            data.edge_index = edge_index
            if edges:
                data.edge_attr = edge_attr
    original = collate(many)[:2]
    order = torch.randperm(12)
    bound = graph_costs(*original).cumulative(order)
    for k in (1, 2, 4, 7, 12):
        assert packed_bytes(pack(*original, order[:k])) <= int(bound[k - 1])
    # And a close one: no more than a few half-empty bytes.
    whole = packed_bytes(pack(*original))
    assert int(bound[-1]) <= whole + 60

    chosen = order[:5]
    again = graph_costs(*original, chosen)
    alone = graph_costs(*collate([many[i] for i in chosen])[:2])
    assert again.graph_bits.equal(alone.graph_bits)


@pytest.mark.parametrize('compact', [False, True])
def test_costs_of_tree_sets_are_close(compact: bool) -> None:
    many = random_graphs(60, max_nodes=8, edge_attr=True)
    dataset = MirageDataset(many, 2, selection='lossless', compact=compact)
    original = dataset._data, dataset.slices
    order = torch.randperm(60)
    about = tree_set_costs(*original).cumulative(order)
    for k in (10, 30, 60):
        size = packed_bytes(pack(*original, order[:k]))
        assert int(about[k - 1]) == pytest.approx(size, rel=0.1, abs=50)


def test_vocabulary_costs_its_dictionary() -> None:
    many = [random_graph(edge_dim=1, seed=seed) for seed in range(60)]
    for data in many:
        data.y = torch.tensor([0])
    data, slices = collate(many)[:2]
    forest = Forest(
        Graphs.from_local(
            data.edge_index,
            slices['x'].diff(),
            slices['edge_index'].diff(),
            data.x,
            data.edge_attr,
        ),
        2,
    )
    tree = forest.distinct()
    about = vocabulary_costs(forest, tree.first)
    order = tree.count.argsort(descending=True)
    size = about.cumulative(order)
    assert bool((size.diff() >= 0).all())
    dataset = MirageDataset(many, 2, selection='lossless')
    whole = packed_bytes(pack(dataset._data, dataset.slices)['trees'])
    assert int(size[-1]) == pytest.approx(whole, rel=0.05, abs=20)

    of_node = forest.graphs.graph_of_node()
    by_graph = forest.distinct_by_graph()
    bits = multiset_bits(
        of_node[by_graph.first],
        tree.inverse[by_graph.first],
        by_graph.count,
        60,
    )
    packed = pack(dataset._data, dataset.slices)
    lists = sum(
        packed_bytes(packed[k]) for k in ('roots', 'root', 'root_count')
    )
    assert int(bits.sum()) / 8 == pytest.approx(lists, rel=0.05, abs=20)
    assert bits.numel() == 60
