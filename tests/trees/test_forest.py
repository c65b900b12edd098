from collections.abc import Callable

import pytest
import torch

from pyg_distill.trees import Forest, UniqueKeys
from tests.graphs import forest_of, joined, random_graph
from tests.oracles import trees_of


def assert_classes(out: UniqueKeys, entries: list) -> None:
    first = [entries[i] for i in out.first.tolist()]
    assert len(first) == len(set(entries))
    assert out.count.tolist() == [entries.count(entry) for entry in first]
    assert [first[i] for i in out.inverse.tolist()] == entries


@pytest.mark.parametrize('num_layers', [0, 1, 3])
def test_distinct(num_layers: int) -> None:
    graphs = [random_graph(seed=i % 4) for i in range(6)]
    forest = forest_of(graphs, num_layers)
    trees = [trees_of(data, num_layers) for data in graphs]
    assert_classes(forest.distinct(), [tree for each in trees for tree in each])
    pairs = [(i, tree) for i, each in enumerate(trees) for tree in each]
    out = forest.distinct_by_graph()
    assert_classes(out, pairs)
    graph = forest.graphs.graph_of_node()[out.first]
    assert graph.equal(graph.sort().values)


@pytest.mark.parametrize(
    ('name', 'num_layers', 'num_trees'),
    [('NCI1', 2, 4058), ('NCI1', 3, 22948), ('IMDB-BINARY', 2, 2931)],
)
def test_numbers_of_distinct_trees(
    real_dataset: Callable, name: str, num_layers: int, num_trees: int
) -> None:
    forest = Forest(joined(list(real_dataset(name)), ['x']), num_layers)
    assert forest.distinct().count.numel() == num_trees


def test_distinct_trees_with_bonds(real_dataset: Callable) -> None:
    dataset = list(real_dataset('MUTAG'))
    trees = [tree for data in dataset for tree in trees_of(data, 3)]
    number: dict = {}
    inverse = [number.setdefault(tree, len(number)) for tree in trees]
    found = forest_of(dataset, 3).distinct().inverse
    pair = torch.stack([torch.tensor(inverse), found])
    assert len(number) == found.unique().numel() == 796
    assert pair.unique(dim=1).size(1) == 796
