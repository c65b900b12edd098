import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from tests.graphs import (
    cycle,
    forest_of,
    graphs,
    in_tree,
    permute,
    random_graph,
)
from tests.oracles import subtrees, tree_size, trees_of

FIELDS = ['node', 'edge', 'edge_index', 'root_index', 'node_ptr', 'edge_ptr']


def build(data, num_layers, root, group=None, num_groups=1, **kwargs):
    root = torch.tensor(root, dtype=torch.long)
    group = torch.zeros_like(root) if group is None else group
    forest = forest_of([data], num_layers)
    return forest.build(root, group, num_groups, **kwargs)


def as_graph(data, trees):
    """The graph that the built positions stand for."""
    out = Data(edge_index=trees.edge_index, num_nodes=trees.node.numel())
    if 'x' in data:
        out.x = data.x[trees.node]
    for key in ('edge_attr', 'edge_weight'):
        if key in data:
            out[key] = data[key][trees.edge]
    return out


def assert_equals_source(data, num_layers, root, group, num_groups, compact):
    trees = build(data, num_layers, root, group, num_groups, compact=compact)
    source = trees_of(data, num_layers)
    want = [source[r] for r in root]
    built = trees_of(as_graph(data, trees), num_layers + 1)
    assert [built[r] for r in trees.root_index.tolist()] == want

    group = group.tolist()
    node_group = torch.arange(num_groups).repeat_interleave(
        trees.node_ptr.diff()
    )
    for ends in trees.edge_index:
        assert node_group[ends].equal(
            torch.arange(num_groups).repeat_interleave(trees.edge_ptr.diff())
        )
    assert node_group[trees.root_index].tolist() == group
    assert trees.node_ptr[-1] == trees.node.numel()
    assert trees.edge_ptr[-1] == trees.edge.numel()

    for i in range(num_groups):
        part = [tree for g, tree in zip(group, want, strict=True) if g == i]
        nodes = range(int(trees.node_ptr[i]), int(trees.node_ptr[i + 1]))
        if compact:
            found = [built[v] for v in nodes]
            assert len(set(found)) == len(found), 'equal subtrees'
            assert set(found) == set().union(*map(subtrees, part))
        else:
            assert len(nodes) == sum(map(tree_size, part))
            child = trees.edge_index[0]
            assert child.unique().numel() == child.numel()


@pytest.mark.parametrize('compact', [True, False])
@settings(max_examples=40)
@given(st.data(), st.integers(0, 3))
def test_built_trees_are_those_of_the_source(compact, draw, num_layers):
    data = draw.draw(graphs(max_edges=7))
    num_groups = draw.draw(st.integers(1, 3))
    root, group = [], []
    if data.num_nodes > 0:
        pairs = draw.draw(
            st.lists(
                st.tuples(
                    st.integers(0, data.num_nodes - 1),
                    st.integers(0, num_groups - 1),
                ),
                max_size=8,
            )
        )
        root = [r for r, _ in pairs]
        group = [g for _, g in pairs]
    group = torch.tensor(group, dtype=torch.long)
    assert_equals_source(data, num_layers, root, group, num_groups, compact)


@pytest.mark.parametrize('compact', [True, False])
@pytest.mark.parametrize('connected', [True, False])
@pytest.mark.parametrize('num_layers', [0, 1, 4])
def test_larger_graphs(num_layers, connected, compact):
    data = random_graph(edge_dim=1, connected=connected, self_loops=True)
    root = torch.arange(data.num_nodes).repeat(2)
    group = torch.arange(root.numel()) % 3
    # A set without trees, at the end.
    assert_equals_source(data, num_layers, root.tolist(), group, 4, compact)


def test_compact_by_hand():
    # Both children of the root are the same tree, one by two parallel edges.
    data = in_tree([[1, 2, 2], [3], [4], [], []], x=[9, 5, 5, 7, 7])
    trees = build(data, 2, [0])
    assert data.x[trees.node].tolist() == [9, 5, 7]
    assert trees.edge_index.tolist() == [[1, 1, 1, 2], [0, 0, 0, 1]]
    assert trees.root_index.tolist() == [0]
    assert trees.node_ptr.tolist() == [0, 3]
    assert trees.edge_ptr.tolist() == [0, 4]


def test_unrolled_by_hand():
    data = in_tree([[1, 2, 2], [3], [4], [], []], x=[9, 5, 5, 7, 7])
    trees = build(data, 2, [0], compact=False)
    assert data.x[trees.node].tolist() == [9, 5, 5, 5, 7, 7, 7]
    assert trees.edge_index.tolist() == [
        [1, 2, 3, 4, 5, 6],
        [0, 0, 0, 1, 2, 3],
    ]


def test_a_root_that_is_a_subtree_of_another_is_shared():
    data = in_tree([[1], [2], []], x=[0, 1, 2])
    trees = build(data, 3, [1, 0, 2])
    assert trees.node.numel() == 3
    assert data.x[trees.node[trees.root_index]].tolist() == [1, 0, 2]


def test_repeated_roots():
    trees = build(cycle(4), 1, [0, 0, 3], compact=False)
    assert trees.node.numel() == 9
    assert trees.root_index.unique().numel() == 3
    trees = build(cycle(4), 1, [0, 0, 3])
    assert trees.node.numel() == 2
    assert trees.root_index.tolist() == [0, 0, 0]


@pytest.mark.parametrize('compact', [True, False])
@settings(max_examples=40)
@given(st.data(), st.integers(0, 3), st.integers(0, 1000))
def test_order_of_the_source_does_not_matter(compact, draw, num_layers, seed):
    data = draw.draw(graphs(max_edges=7))
    trees = trees_of(data, num_layers)
    first = {tree: v for v, tree in enumerate(trees)}
    root = sorted(set(first.values()))
    if not root:
        return
    other, position = permute(data, seed)
    # And for each root any other node that has the same tree.
    same = [v for r in root for v in [trees.index(trees[r])]]
    group = torch.arange(len(root)) % 2
    a = build(data, num_layers, root, group, 2, compact=compact)
    b = build(
        other, num_layers, position[same].tolist(), group, 2, compact=compact
    )
    graph, permuted = as_graph(data, a), as_graph(other, b)
    for key in ('edge_index', 'x', 'edge_attr', 'edge_weight'):
        if key in graph:
            assert torch.equal(graph[key], permuted[key]), key
    for key in ('root_index', 'node_ptr', 'edge_ptr'):
        assert torch.equal(getattr(a, key), getattr(b, key)), key


@pytest.mark.parametrize('compact', [True, False])
def test_too_many_nodes(compact):
    data = Data(edge_index=torch.zeros(2, 1000).long(), num_nodes=1)
    if compact:
        trees = build(data, 10, [0], max_nodes=11)
        assert trees.node.numel() == 11
        return
    with pytest.raises(ValueError, match=r'e\+30 nodes .* pass compact=True'):
        build(data, 10, [0], compact=False)
    with pytest.raises(ValueError, match=r'at most 1,000 are'):
        build(data, 1, [0], compact=False, max_nodes=1000)
    trees = build(data, 1, [0], compact=False, max_nodes=1001)
    assert trees.node.numel() == 1001


@pytest.mark.parametrize('compact', [True, False])
def test_no_roots(compact):
    trees = build(cycle(3), 2, [], num_groups=2, compact=compact)
    for field in FIELDS[:4]:
        assert getattr(trees, field).numel() == 0
    assert trees.node_ptr.tolist() == trees.edge_ptr.tolist() == [0, 0, 0]
