import pytest
import torch

from pyg_distill.trees import Forest, Graphs
from tests.graphs import random_graph
from tests.oracles import trees_of


def graphs_of(data_list, names=('x',)):
    columns = {
        name: torch.cat([data[name] for data in data_list]) for name in names
    }
    return Graphs.from_local(
        torch.cat([data.edge_index for data in data_list], dim=1),
        torch.tensor([data.num_nodes for data in data_list]),
        torch.tensor([data.num_edges for data in data_list]),
        **columns,
    )


@pytest.mark.parametrize('num_layers', [0, 1, 3])
def test_distinct(num_layers):
    data_list = [random_graph(seed=i % 4) for i in range(6)]
    forest = Forest(graphs_of(data_list), num_layers, verify=True)
    trees = [trees_of(data, num_layers) for data in data_list]

    everywhere = [tree for each in trees for tree in each]
    out = forest.distinct()
    assert out.count.numel() == len(set(everywhere))
    first = [everywhere[i] for i in out.first.tolist()]
    assert out.count.tolist() == [everywhere.count(tree) for tree in first]
    assert [first[i] for i in out.inverse.tolist()] == everywhere

    by_graph = [(i, tree) for i, each in enumerate(trees) for tree in each]
    out = forest.distinct_by_graph()
    first = [by_graph[i] for i in out.first.tolist()]
    assert [i for i, _ in first] == sorted(i for i, _ in first)
    assert out.count.tolist() == [by_graph.count(tree) for tree in first]
    assert [first[i] for i in out.inverse.tolist()] == by_graph


@pytest.mark.parametrize(
    ('name', 'num_layers', 'num_trees'),
    [('NCI1', 2, 4058), ('NCI1', 3, 22948), ('IMDB-BINARY', 2, 2931)],
)
def test_numbers_of_distinct_trees(real_dataset, name, num_layers, num_trees):
    dataset = real_dataset(name)
    names = ['x'] if dataset.num_features > 0 else []
    forest = Forest(graphs_of(dataset, names), num_layers)
    assert forest.distinct().count.numel() == num_trees


def test_numbers_of_distinct_trees_with_bonds(real_dataset):
    dataset = real_dataset('MUTAG')
    forest = Forest(graphs_of(dataset, ['x', 'edge_attr']), 3, verify=True)
    assert forest.distinct().count.numel() == 796

    trees = [tree for data in dataset for tree in trees_of(data, 3)]
    number = {}
    inverse = [number.setdefault(tree, len(number)) for tree in trees]
    assert len(number) == 796
    pair = torch.stack([torch.tensor(inverse), forest.distinct().inverse])
    assert pair.unique(dim=1).size(1) == 796
