import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

from pyg_distill.trees import expected_size, share_trees
from tests.graphs import (
    cycle,
    forest_of,
    graphs,
    in_tree,
    joined,
    random_graph,
)
from tests.oracles import merged_size, trees_of


def tree_set(data, num_layers, compact=True):
    """The distinct trees of a graph, in tree-set form."""
    forest = forest_of([data], num_layers)
    tree = forest.distinct()
    group = torch.zeros_like(tree.first)
    built = forest.build(tree.first, group, 1, compact=compact)
    return as_data(forest.graphs, built)


def shared(data_list, num_layers):
    """The dictionary, the entries of all roots, and the graphs of these."""
    whole = joined(data_list)
    trees, entry = share_trees(whole, num_layers)
    start = whole.node_ptr[:-1].tolist()
    root, graph = [], []
    for i, data in enumerate(data_list):
        index = data.get('root_index')
        index = torch.arange(data.num_nodes) if index is None else index
        root.append(entry[index + start[i]])
        graph.append(torch.full_like(index, i))
    return trees, torch.cat(root), torch.cat(graph)


def as_data(trees, merged):
    data = Data(edge_index=merged.edge_index, num_nodes=merged.node.numel())
    data.root_index = merged.root_index
    if trees.x is not None:
        data.x = trees.x[merged.node]
    for name in ('edge_attr', 'edge_weight'):
        if getattr(trees, name) is not None:
            data[name] = getattr(trees, name)[merged.edge]
    return data


def assert_merged(data_list, num_layers, original):
    trees, root, graph = shared(data_list, num_layers)
    merged = trees.merge(root)
    data = as_data(trees, merged)
    out = trees_of(data, num_layers)
    # Every root of every graph is there.
    for i, given_data in enumerate(data_list):
        want = trees_of(given_data, num_layers)
        index = given_data.get('root_index')
        if index is not None:
            want = [want[r] for r in index.tolist()]
        here = merged.root_index[graph == i].tolist()
        assert [out[r] for r in here] == want
    # Nothing else is.
    size = (data.num_nodes, data.num_edges)
    assert size == merged_size(original, num_layers)
    assert not bool((data.edge_index[0] == data.edge_index[1]).any())


@pytest.mark.slow
@given(st.lists(graphs(), min_size=1, max_size=4), st.integers(0, 3))
def test_merge(data_list, num_layers):
    first = {*data_list[0].keys()}
    kept = [data for data in data_list if {*data.keys()} == first]
    kept = [
        data
        for data in kept
        if all(
            data[key].size()[1:] == kept[0][key].size()[1:]
            and data[key].dtype == kept[0][key].dtype
            for key in first - {'num_nodes'}
        )
    ]
    assert_merged(kept, num_layers, kept)
    for compact in (True, False):
        sets = [tree_set(data, num_layers, compact) for data in kept]
        assert_merged(sets, num_layers, kept)


def test_by_hand():
    # Two cycles of other lengths have one tree, which is its own child.
    trees, root, _ = shared([cycle(5), cycle(7)], 2)
    assert trees.num_trees == 1
    assert root.tolist() == [0] * 12
    merged = trees.merge(root)
    assert merged.node.tolist() == [0, 0]
    assert sorted(merged.edge_index.t().tolist()) == [[0, 1]] * 2 + [[1, 0]] * 2
    assert merged.root_index.tolist() == [0] * 12

    # The child (of one node more) of 1 is taken for the child of 3.
    data = in_tree([[], [0], [], [2]], [0, 1, 0, 1])
    trees, root, _ = shared([data], 1)
    merged = trees.merge(root)
    assert merged.node.numel() == 2
    assert merged.edge_index.size() == (2, 1)


@pytest.mark.parametrize('is_tree_set', [False, True])
def test_some_roots_only(is_tree_set):
    # The children of a root that are no roots become nodes of their own.
    data = random_graph(connected=True)
    data = tree_set(data, 3) if is_tree_set else data
    trees, root, _ = shared([data], 3)
    want = trees_of(data, 3)
    if is_tree_set:
        want = [want[r] for r in data.root_index.tolist()]
    for i in range(root.numel()):
        merged = trees.merge(root[i : i + 1])
        out = trees_of(as_data(trees, merged), 3)
        assert out[int(merged.root_index)] == want[i]


def brute_force(data_list, num_layers, batch_size):
    sizes = [
        merged_size(chosen, num_layers)
        for chosen in itertools.combinations(data_list, batch_size)
    ]
    nodes, edges = zip(*sizes, strict=True)
    return sum(nodes) / len(sizes), sum(edges) / len(sizes)


@pytest.mark.parametrize('num_layers', [0, 1, 2])
@pytest.mark.parametrize('batch_size', [1, 2, 3, 6])
def test_expected_size(num_layers, batch_size):
    data_list = [cycle(3), cycle(4), Data(num_nodes=0)]
    data_list += [random_graph(6, 3, connected=True, seed=s) for s in range(3)]
    for data in data_list:
        data.x = torch.zeros(data.num_nodes, 1)
        if data.edge_index is None:
            data.edge_index = torch.empty(2, 0, dtype=torch.long)
    want = brute_force(data_list, num_layers, batch_size)
    sets = [tree_set(data, num_layers) for data in data_list]
    for form in (data_list, sets):
        out = expected_size(*shared(form, num_layers), 6, batch_size)
        assert out == pytest.approx(want, rel=1e-12)
    # There are no more than all.
    if batch_size == 6:
        out = expected_size(*shared(data_list, num_layers), 6, 100)
        assert out == pytest.approx(want, rel=1e-12)


@pytest.mark.slow
@given(
    st.lists(graphs(max_nodes=4), min_size=1, max_size=5),
    st.integers(1, 4),
    st.integers(0, 2),
)
def test_expected_size_of_any(data_list, batch_size, num_layers):
    for data in data_list:
        for name in ('x', 'edge_attr', 'edge_weight'):
            data.pop(name) if name in data else None
    batch_size = min(batch_size, len(data_list))
    want = brute_force(data_list, num_layers, batch_size)
    out = expected_size(
        *shared(data_list, num_layers), len(data_list), batch_size
    )
    assert out == pytest.approx(want, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ('name', 'num_layers', 'num_trees', 'ratio'),
    [('NCI1', 2, 4058, 28), ('IMDB-BINARY', 2, 2931, 6.6)],
)
def test_real_data(real_dataset, name, num_layers, num_trees, ratio):
    dataset = real_dataset(name)
    whole = joined([Batch.from_data_list(list(dataset)).to('cpu')])
    trees, entry = share_trees(whole, num_layers)
    assert trees.num_trees == num_trees
    # Trees and all their subtrees, as they are stored by the data set.
    data = tree_set(
        Data(x=whole.x, edge_index=whole.edge_index, num_nodes=whole.num_nodes),
        num_layers,
    )
    assert whole.num_nodes / data.num_nodes == pytest.approx(ratio, abs=0.4)
    # Merged, they are fewer: hardly more than the trees themselves.
    merged = trees.merge(entry)
    assert num_trees <= merged.node.numel() <= 1.01 * num_trees
    assert merged.node.numel() < data.num_nodes
