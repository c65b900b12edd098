from collections import Counter

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.transforms import ToComputationTrees
from pyg_distill.visualization import plot_computation_tree, plot_tree_set
from tests.graphs import cycle, in_tree, random_graph
from tests.oracles import tree_size, trees_of
from tests.visualization.drawn import (
    check_apart,
    edges,
    labels_only,
    nodes,
    rings,
    unrolled,
)

plt = pytest.importorskip('matplotlib.pyplot')


@pytest.mark.parametrize('num_layers', [0, 1, 2, 3])
@pytest.mark.parametrize('seed', [0, 1])
def test_computation_tree_is_the_tree_spelt_out(num_layers, seed):
    data = random_graph(8, 4, connected=True, self_loops=True, seed=seed)
    trees = trees_of(data, num_layers)
    for root in (0, 3):
        _, ax = plot_computation_tree(data, root, num_layers, max_nodes=1000)
        assert len(nodes(ax)) == tree_size(trees[root])
        assert unrolled(ax) == {labels_only(trees[root]): 1}
        (ring,) = rings(ax)
        assert ring[1] == max(y for _, y in nodes(ax))
        check_apart(ax)


def test_directed_edges_lead_to_the_root():
    data = in_tree([[1, 2], [], [1]], [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    _, ax = plot_computation_tree(data, 0, 3)
    assert unrolled(ax) == {('0', (('0', (('1', ()),)), ('1', ()))): 1}


def test_siblings_stand_side_by_side():
    data = random_graph(8, 4, connected=True)
    _, ax = plot_computation_tree(data, 0, 3, max_nodes=1000)
    parent = dict(list(edges(ax)))
    for level in {y for _, y in parent}:
        row = [parent[place] for place in sorted(parent) if place[1] == level]
        # No edges cross.
        assert row == sorted(row)
        for above in set(row):
            x = [c[0] for c in parent if parent[c] == above]
            assert min(x) - 1 < above[0] < max(x) + 1


def test_labels():
    data = random_graph(connected=True)
    data.y = torch.arange(data.num_nodes)  # Not read.
    kind = data.x.argmax(dim=1)
    around = [*data.edge_index[0, data.edge_index[1] == 0].tolist(), 0]

    def written(graph=data, **kwargs):
        ax = plot_computation_tree(graph, 0, 1, **kwargs)[1]
        return sorted(nodes(ax).values())

    def other(**kwargs):
        size = {'num_nodes': data.num_nodes}
        return Data(edge_index=data.edge_index, **size, **kwargs)

    assert written() == sorted(str(int(kind[v])) for v in around)
    expected = sorted('CN'[kind[v]] for v in around)
    assert written(names=['C', 'N']) == expected
    assert written(names={0: 'C', 1: 'N'}) == expected
    own = [f'v{v}' for v in range(data.num_nodes)]
    assert written(node_labels=own) == sorted(own[v] for v in around)
    numbers = torch.arange(data.num_nodes)
    assert written(node_labels=numbers) == sorted(map(str, around))
    assert written(other(x=kind.float().view(-1, 1))) == written()
    assert written(other(x=kind)) == written()
    for unlabelled in (other(), other(x=torch.rand(data.num_nodes, 3))):
        assert written(unlabelled) == [''] * len(around)


def test_a_label_has_one_colour():
    toy = ToyMolecules(1)
    _, ax = plot_computation_tree(toy[0], 2, 2, names=toy.atom_types)
    text = list(nodes(ax).values())
    fills = [p.get_facecolor() for p in ax.patches if p.get_gid() == 'node']
    pairs = set(zip(text, fills, strict=True))
    assert len(pairs) == len(set(text)) == len(set(fills)) > 1


@pytest.mark.parametrize('compact', [True, False])
@pytest.mark.parametrize('seed', range(3))
def test_tree_set_is_the_trees_of_the_graph(compact, seed):
    graph = random_graph(12, 8, connected=True, seed=seed)
    data = ToComputationTrees(2, compact=compact)(graph)
    expected = Counter(labels_only(tree) for tree in trees_of(graph, 2))
    _, ax = plot_tree_set(data, max_nodes=500)
    assert len(nodes(ax)) == data.num_nodes
    assert len(rings(ax)) == data.root_index.numel()
    assert sum(edges(ax).values()) == data.num_edges
    assert unrolled(ax) == expected
    check_apart(ax)


def test_items_of_a_distilled_data_set():
    train = MirageDataset(
        ToyMolecules(40), 2, selection='multisets', num_graphs=4, log=False
    )
    for data in train:
        _, ax = plot_tree_set(data)
        del data.edge_attr
        oracle = trees_of(data, 4)  # Deeper than it is.
        expected = Counter()
        for root, count in zip(data.root_index, data.root_count, strict=True):
            expected[labels_only(oracle[root])] += int(count)
        assert unrolled(ax) == expected
        check_apart(ax)


def test_a_whole_graph_is_drawn_node_by_node():
    graph = random_graph(14, 5, connected=True, seed=1)
    whole = graph.clone()
    whole.root_index, whole.root_count = torch.arange(14), torch.ones(14).long()
    for data in (graph, whole):
        _, ax = plot_tree_set(data, node_labels=range(14))
        place = {int(v): k for k, v in nodes(ax).items()}
        expected = {
            frozenset([place[u], place[v]])
            for u, v in graph.edge_index.t().tolist()
        }
        assert {frozenset(pair) for pair in edges(ax)} == expected
        assert len(edges(ax)) == len(expected)
        assert not rings(ax)
        check_apart(ax, 0.72)
    # One more count makes it a tree set, whose edges may have no cycle.
    whole.root_count[0] = 2
    with pytest.raises(ValueError, match='cycle of edges'):
        plot_tree_set(whole)


def test_graphs_of_all_kinds():
    def arrows(ax):
        lines = [text for text in ax.texts if text.get_gid() == 'edge']
        return [t.arrowprops['arrowstyle'] for t in lines].count('-|>')

    one_way = Data(edge_index=torch.tensor([[0, 1], [1, 2]]), num_nodes=3)
    assert arrows(plot_tree_set(one_way)[1]) == 2
    loops = Data(edge_index=torch.tensor([[0, 1, 0], [1, 0, 0]]), num_nodes=2)
    _, ax = plot_tree_set(loops)
    assert len(edges(ax)) == 1
    assert arrows(ax) == 0
    _, ax = plot_tree_set(random_graph(10, 3))  # With isolated nodes.
    check_apart(ax, 0.72)
    assert len(nodes(ax)) == 10
    empty = Data(edge_index=torch.empty(2, 0).long(), num_nodes=0)
    assert not nodes(plot_tree_set(empty)[1])
    empty.root_index = empty.root_count = torch.empty(0).long()
    assert not nodes(plot_tree_set(empty)[1])
    _, ax = plot_tree_set(cycle(12))
    place = np.array(list(nodes(ax)))
    radius = np.linalg.norm(place - place.mean(axis=0), axis=1)
    assert radius.min() > 0.97 * radius.max()


def test_computation_tree_errors():
    data = random_graph(connected=True)
    size = tree_size(trees_of(data, 4)[0])
    bare = Data(edge_index=data.edge_index, num_nodes=12)
    pairs = torch.cartesian_prod(*[torch.arange(30)] * 2).t()
    hub = Data(edge_index=pairs, num_nodes=30)
    for args, kwargs, match in [
        ((data, 0, 4), {'max_nodes': 20}, rf'got 20, and {size} nodes'),
        ((hub, 0, 12), {}, 'max_nodes'),
        ((data, 12), {}, "'root' .* 0 to 11"),
        ((data, -1), {}, "'root' .* 0 to 11"),
        ((data, 0), {'node_labels': ['C']}, "got 1 for 12 nodes.*'names'"),
        ((data, 0), {'names': ['C']}, r"'names' .*\[1\]"),
        ((bare, 0), {'names': ['C', 'N']}, "'names'.*node_labels"),
        ((Batch.from_data_list([data] * 2), 0), {}, 'one graph'),
    ]:
        with pytest.raises(ValueError, match=match):
            plot_computation_tree(*args, **kwargs)
    data.pos = torch.rand(12, 2)
    with pytest.raises(ValueError, match="'pos'"):
        plot_computation_tree(data, 0)
    plot_computation_tree(data, 0, exclude_keys=['pos'])


def test_tree_set_errors():
    graph = random_graph()
    trees = ToComputationTrees(1)(graph)
    with pytest.raises(ValueError, match=r'got 5, and 12 nodes'):
        plot_tree_set(graph, max_nodes=5)
    with pytest.raises(ValueError, match='one graph'):
        plot_tree_set(Batch.from_data_list([graph, graph]))
    with pytest.raises(TypeError, match=r'got .list'):
        plot_tree_set([graph])
    trees.edge_index = torch.tensor([[0, 1], [1, 0]])
    with pytest.raises(ValueError, match='cycle of edges'):
        plot_tree_set(trees)
    assert not plt.get_fignums()
