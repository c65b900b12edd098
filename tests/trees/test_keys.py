import itertools
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Data

from pyg_distill.trees import edge_keys, keys, tree_keys
from tests.graphs import cycle, graphs, in_tree, permute, random_graph
from tests.oracles import trees_of


def keys_of(data, num_layers):
    edge_key = edge_keys(data.get('edge_attr'), data.get('edge_weight'))
    return tree_keys(
        data.edge_index,
        data.num_nodes,
        num_layers,
        data.get('x'),
        edge_key,
    )


def pairs_of(data, num_layers):
    """Every tree of every depth beside its key."""
    out = []
    for depth, key in enumerate(keys_of(data, num_layers)):
        assert key.dtype == torch.long
        assert key.size() == (data.num_nodes, 2)
        keys = map(tuple, key.tolist())
        out += zip(trees_of(data, depth), keys, strict=True)
    return out


def assert_one_to_one(pairs):
    # All depths together: a tree's key must not depend on where it was found.
    key_of, tree_of = {}, {}
    for tree, key in pairs:
        assert key_of.setdefault(tree, key) == key, 'equal trees'
        assert tree_of.setdefault(key, tree) == tree, 'unequal trees'


def assert_all_distinct(data, root, num_layers):
    """Distinct keys for each of some roots, even in either lane alone."""
    key = keys_of(data, num_layers)[-1][root]
    for lane in key.t():
        assert lane.unique().numel() == len(root)


@given(graphs(), st.integers(0, 4))
def test_equal_keys_are_equal_trees(data, num_layers):
    assert_one_to_one(pairs_of(data, num_layers))


@given(st.data(), st.integers(0, 3))
def test_equal_keys_are_equal_trees_across_graphs(draw, num_layers):
    first, second = draw.draw(graphs()), draw.draw(graphs())
    for key in ('x', 'edge_attr', 'edge_weight'):
        # Trees of both are comparable if both have features of one kind.
        if key in first:
            size = second.num_nodes if key == 'x' else second.num_edges
            row = torch.arange(size) % max(1, first[key].size(0))
            second[key] = first[key].new_zeros(size, *first[key].size()[1:])
            if first[key].size(0) > 0:
                second[key] = first[key][row]
        elif key in second:
            del second[key]
    pairs = pairs_of(first, num_layers) + pairs_of(second, num_layers)
    assert_one_to_one(pairs)


@given(graphs(), st.integers(0, 3), st.integers(0, 1000))
def test_permutations_change_nothing(data, num_layers, seed):
    other, position = permute(data, seed)
    keys = keys_of(data, num_layers)
    for key, permuted in zip(keys, keys_of(other, num_layers), strict=True):
        assert permuted[position].equal(key)


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('connected', [False, True])
def test_larger_graphs(seed, connected):
    data = random_graph(
        40, 30, edge_dim=2, connected=connected, self_loops=True, seed=seed
    )
    pairs = pairs_of(data, 3)
    assert_one_to_one(pairs)
    assert len({tree for tree, _ in pairs}) < len(pairs)


@pytest.mark.parametrize('size', [1, 7, 10**6])
@pytest.mark.parametrize('edge_dim', [0, 2])
def test_blocks_of_edges(monkeypatch, size, edge_dim):
    data = random_graph(40, 60, edge_dim=edge_dim, self_loops=True)
    expected = keys_of(data, 3)
    monkeypatch.setattr(keys, '_BLOCK', size)
    for key, same in zip(expected, keys_of(data, 3), strict=True):
        assert same.equal(key)
    assert_one_to_one(pairs_of(data, 3))


def test_two_triangles_look_like_a_hexagon():
    # What no message-passing network can tell apart, keys must not.
    two = cycle(3)
    two.edge_index = torch.cat([two.edge_index, two.edge_index + 3], dim=1)
    two.num_nodes = 6
    for a, b in zip(keys_of(two, 4), keys_of(cycle(6), 4), strict=True):
        assert a.equal(b)


def test_leaves_have_the_same_key_at_every_depth():
    data = in_tree([[1, 2], [3], [], []], x=[7, 5, 5, 1])
    keys = keys_of(data, 4)
    leaf = keys[0][2:]
    for key in keys[1:]:
        assert key[2:].equal(leaf)
    assert keys[2][0].equal(keys[4][0])
    assert not keys[1][0].equal(keys[2][0])


@pytest.mark.parametrize('dtype', [torch.long, torch.float])
@pytest.mark.parametrize('depth', [1, 2])
def test_all_small_multisets(depth, dtype):
    # Among them all {a, d} and {b, c} with a + d = b + c, for twelve labels,
    # which at depth 2 are themselves roots with one to twelve children.
    x, child = [], []
    label = []
    for i in range(12):
        if depth == 2:
            leaf = list(range(len(x), len(x) + i + 1))
            x += [0] * len(leaf)
            child += [[] for _ in leaf]
            child.append(leaf)
            x.append(0)
        else:
            child.append([])
            x.append(i)
        label.append(len(x) - 1)
    root = []
    for size in range(5):
        for multiset in itertools.combinations_with_replacement(label, size):
            root.append(len(x))
            x.append(0)
            child.append(list(multiset))
    data = in_tree(child, x)
    data.x = data.x.to(dtype)
    assert len(root) == 1820
    assert_all_distinct(data, root, depth)


def test_all_small_multisets_of_edges():
    # Every leaf is alike: the edges alone tell the roots apart.
    attr, source, target = [], [], []
    multisets = [
        multiset
        for size in range(5)
        for multiset in itertools.combinations_with_replacement(range(12), size)
    ]
    for root, multiset in enumerate(multisets):
        attr += multiset
        source += [len(multisets)] * len(multiset)
        target += [root] * len(multiset)
    data = Data(
        edge_index=torch.tensor([source, target]),
        num_nodes=len(multisets) + 1,
    )
    for name in ('edge_attr', 'edge_weight'):
        other = data.clone()
        other[name] = torch.tensor(attr)
        assert_all_distinct(other, list(range(len(multisets))), 1)


def forest(*trees):
    """A graph of trees given as (x, child, ...) or (x, (edge, child), ...)."""
    x, source, target, attr, roots = [], [], [], [], []

    def add(tree):
        node = len(x)
        x.append(tree[0])
        for child in tree[1:]:
            edge, child = child if len(child) == 2 else (0, child)
            source.append(add(child))
            target.append(node)
            attr.append(edge)
        return node

    for tree in trees:
        roots.append(add(tree))
    edge_index = torch.tensor([source, target], dtype=torch.long)
    data = Data(
        x=torch.tensor(x), edge_index=edge_index, edge_attr=torch.tensor(attr)
    )
    return data, roots


def leaves(*labels):
    return [(0, (label,)) for label in labels]


# Near collisions: each is a pair (or more) of trees that differ, but hold the
# same nodes or edges, or have the same sums.
NEAR = {
    'sum of children': [
        (0, *leaves(1, 4)),
        (0, *leaves(2, 3)),
        (0, *leaves(0, 5)),
    ],
    'root and child swapped': [(1, *leaves(2)), (2, *leaves(1))],
    'a child more': [(0, *leaves(0)), (0, *leaves(0, 0)), (0,)],
    'grandchildren moved': [
        (0, (0, (1, *leaves(3))), (0, (2, *leaves(4)))),
        (0, (0, (1, *leaves(4))), (0, (2, *leaves(3)))),
    ],
    'grandchildren of equal children moved': [
        (0, (0, (1, *leaves(3, 4))), (0, (1, *leaves(5, 6)))),
        (0, (0, (1, *leaves(3, 5))), (0, (1, *leaves(4, 6)))),
        (0, (0, (1, *leaves(3, 4, 5))), (0, (1, *leaves(6)))),
        (0, (0, (1, *leaves(3, 4, 5, 6))), (0, (1,))),
    ],
    'child or grandchild': [
        (0, (0, (1,)), (0, (1, *leaves(1)))),
        (0, (0, (1, *leaves(1, 1)))),
        (0, *leaves(1, 1, 1)),
        (0, (0, (1, (0, (1, *leaves(1)))))),
    ],
    'edges swapped between siblings': [
        (0, (1, (3,)), (2, (4,))),
        (0, (2, (3,)), (1, (4,))),
    ],
    'edge and child swapped': [(0, (1, (2,))), (0, (2, (1,)))],
    'edges moved down': [
        (0, (1, (0, (2, (0,))))),
        (0, (2, (0, (1, (0,))))),
    ],
    'edges swapped between cousins': [
        (0, (0, (1, (5, (9,)))), (0, (2, (6, (9,))))),
        (0, (0, (1, (6, (9,)))), (0, (2, (5, (9,))))),
    ],
}


@pytest.mark.parametrize('name', NEAR)
@pytest.mark.parametrize('offset', [0, -3, 1000])
def test_near_collisions(name, offset):
    data, roots = forest(*NEAR[name])
    data.x += offset
    data.edge_attr += offset
    assert len(set(map(trees_of(data, 3).__getitem__, roots))) == len(roots)
    assert_all_distinct(data, roots, 3)


def test_direction_matters():
    data = in_tree([[1], []], x=[1, 2])
    reverse = data.clone()
    reverse.edge_index = data.edge_index.flip([0])
    key, other = keys_of(data, 1)[1], keys_of(reverse, 1)[1]
    assert torch.cat([key, other]).unique(dim=0).size(0) == 4
    # Children are the sources of incoming edges: node 1 has none.
    assert key[1].equal(keys_of(data, 0)[0][1])


def test_parallel_edges_count():
    data = in_tree([[3], [3, 3], [3, 3, 3], []], x=[0, 0, 0, 0])
    assert_all_distinct(data, [0, 1, 2, 3], 1)


def test_features_and_their_absence_differ():
    x, weight = torch.zeros(2), torch.zeros(2)
    edge_index = torch.tensor([[0, 1], [1, 0]])
    key = [
        keys_of(Data(edge_index=edge_index, num_nodes=2, **kwargs), 1)[1]
        for kwargs in [
            {},
            {'x': x},
            {'edge_attr': weight},
            {'edge_weight': weight},
            {'edge_attr': weight, 'edge_weight': weight},
        ]
    ]
    assert torch.cat(key).unique(dim=0).size(0) == 5


@pytest.mark.parametrize('name', ['edge_attr', 'edge_weight'])
def test_types_of_edge_features(name):
    def keys(value):
        return edge_keys(**{name: value})

    value = torch.tensor([0.0, -0.0, 1.0, float('inf')])
    key = keys(value)
    assert key.equal(keys(value.double()))
    assert key[0].equal(key[1])
    assert not key[:3].equal(keys(value[:3].long()))
    with pytest.raises(ValueError, match=f"'{name}' must not hold NaN"):
        keys(value * 0)


def test_edges_without_features():
    assert edge_keys() is None


def test_nan_is_refused():
    data = in_tree([[1], []], x=[1.0, float('nan')])
    with pytest.raises(ValueError, match="'x' must not hold NaN"):
        keys_of(data, 0)


def test_negative_depth_is_refused():
    with pytest.raises(ValueError, match="'num_layers' must be 0 or more"):
        keys_of(cycle(3), -1)


@pytest.mark.parametrize('num_layers', [0, 2])
def test_no_nodes(num_layers):
    keys = tree_keys(torch.empty(2, 0, dtype=torch.long), 0, num_layers)
    assert [list(key.size()) for key in keys] == [[0, 2]] * (num_layers + 1)


PROGRAM = """
import torch
from pyg_distill.trees import edge_keys, keys, tree_keys

edge_index = torch.tensor([[0, 1, 2, 2, 3], [1, 0, 0, 0, 2]])
x = torch.tensor([[0.5, -1.0], [2.0, 0.0], [0.5, -0.0], [1e9, 7.0]])
edge_key = edge_keys(torch.tensor([1, 2, 3, 3, 0]))
for key in [
    *tree_keys(edge_index, 4, 2, x, edge_key),
    *tree_keys(edge_index, 4, 1),
]:
    for row in key.tolist():
        print(*row)
"""

# Whoever changes one of these numbers changes the identity of all trees that
# were kept anywhere.
PINNED = """\
-7499559186711105586 -2376358095785150626
8659189684151599594 3991740685571234561
-4545905578328980484 -6006981272892758646
-237988960384605254 2189141436680543002
-2117756484550688693 -941756136103032751
1355561913088982143 7862488981013136914
-7710673510307015421 -1560384382850263584
-237988960384605254 2189141436680543002
-760645434949940056 -1519268138727115116
-6704697311489902854 -148991313031227311
-7710673510307015421 -1560384382850263584
-237988960384605254 2189141436680543002
-526875434817662285 -2134853443324082647
-526875434817662285 -2134853443324082647
-526875434817662285 -2134853443324082647
-526875434817662285 -2134853443324082647
-8331739036197904761 4846624522923511286
-6397274645121340428 -8566282859454306389
-6397274645121340428 -8566282859454306389
-526875434817662285 -2134853443324082647
"""


def test_keys_are_the_same_in_every_process_and_version():
    out = subprocess.run(
        [sys.executable, '-c', PROGRAM],
        env={**os.environ, 'PYTHONHASHSEED': '1'},
        capture_output=True,
        check=True,
        text=True,
    )
    assert out.stdout == PINNED
