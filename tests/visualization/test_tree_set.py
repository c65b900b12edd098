from collections import Counter

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.transforms import ToComputationTrees
from pyg_distill.visualization import plot_tree_set
from tests.graphs import cycle, random_graph
from tests.oracles import trees_of
from tests.visualization.drawn import (
    check_apart,
    circles,
    edges,
    labels_only,
    nodes,
    unrolled,
)

plt = pytest.importorskip('matplotlib.pyplot')


@pytest.mark.parametrize('compact', [True, False])
@pytest.mark.parametrize('seed', range(3))
def test_it_is_the_trees_of_the_graph(compact, seed):
    graph = random_graph(12, 8, connected=True, seed=seed)
    data = ToComputationTrees(2, compact=compact)(graph)
    expected = Counter(labels_only(tree) for tree in trees_of(graph, 2))
    _, ax = plot_tree_set(data, max_nodes=500)
    assert len(nodes(ax)) == data.num_nodes
    assert len(circles(ax, 'ring')) == data.root_index.numel()
    assert sum(edges(ax).values()) == data.num_edges
    assert unrolled(ax) == expected
    check_apart(ax)


def test_distilled_data(real_dataset):
    dataset = real_dataset('MUTAG')
    train = MirageDataset(
        dataset,
        2,
        selection='multisets',
        num_graphs=6,
        exclude_keys=['edge_attr'],
    )
    for data in train:
        _, ax = plot_tree_set(data)
        oracle = trees_of(data, 4)  # Deeper than it is.
        expected = Counter()
        for root, count in zip(data.root_index, data.root_count, strict=True):
            expected[labels_only(oracle[root])] += int(count)
        assert unrolled(ax) == expected
        check_apart(ax)


def test_whole_graphs_of_a_distilled_data_set():
    train = MirageDataset(ToyMolecules(40), 2, selection='graphs', budget=0.2)
    _, ax = plot_tree_set(train[0], names=ToyMolecules.atom_types)
    assert len(nodes(ax)) == train[0].num_nodes
    assert 2 * len(edges(ax)) == train[0].num_edges
    assert set(nodes(ax).values()) <= set(ToyMolecules.atom_types)
    assert not circles(ax, 'ring')


def test_a_graph_is_drawn_node_by_node():
    graph = random_graph(14, 5, connected=True, seed=1)
    _, ax = plot_tree_set(graph, node_labels=range(14))
    place = {v: k for k, v in nodes(ax).items()}
    drawn = {frozenset(pair) for pair in edges(ax)}
    expected = {
        frozenset([place[str(u)], place[str(v)]])
        for u, v in graph.edge_index.t().tolist()
    }
    assert drawn == expected
    check_apart(ax, 0.72)


def test_graphs_of_all_kinds():
    one_way = Data(edge_index=torch.tensor([[0, 1], [1, 2]]), num_nodes=3)
    _, ax = plot_tree_set(one_way)
    assert not edges(ax)
    assert len([t for t in ax.texts if t.arrow_patch is not None]) == 2
    loops = Data(edge_index=torch.tensor([[0, 1, 0], [1, 0, 0]]), num_nodes=2)
    assert len(edges(plot_tree_set(loops)[1])) == 1
    apart = random_graph(10, 3)  # With isolated nodes.
    _, ax = plot_tree_set(apart)
    check_apart(ax, 0.72)
    assert len(nodes(ax)) == 10
    empty = Data(edge_index=torch.empty(2, 0).long(), num_nodes=0)
    assert not nodes(plot_tree_set(empty)[1])
    empty.root_index = torch.empty(0).long()
    assert not nodes(plot_tree_set(empty)[1])
    ring = cycle(12)
    _, ax = plot_tree_set(ring)
    middle = np.mean(list(nodes(ax)), axis=0)
    radius = np.linalg.norm(np.array(list(nodes(ax))) - middle, axis=1)
    assert radius.min() > 0.97 * radius.max()


def test_errors():
    graph = random_graph()
    with pytest.raises(ValueError, match=r'got 5, and 12 nodes'):
        plot_tree_set(graph, max_nodes=5)
    with pytest.raises(ValueError, match='expects one graph'):
        plot_tree_set(Batch.from_data_list([graph, graph]))
    trees = ToComputationTrees(1)(graph)
    with pytest.raises(ValueError, match='expects one graph'):
        plot_tree_set(Batch.from_data_list([trees, trees]))
    with pytest.raises(TypeError, match=r'expects a .torch_geometric'):
        plot_tree_set([graph])
    trees.edge_index = torch.tensor([[0, 1], [1, 0]])
    with pytest.raises(ValueError, match='got a circle of edges'):
        plot_tree_set(trees)
    with pytest.raises(ValueError, match=r'got 1 for 12 nodes'):
        plot_tree_set(graph, node_labels=['C'])
    assert not plt.get_fignums()
