import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Data

from pyg_distill.trees import edge_keys, tree_keys, verify_keys
from tests.graphs import graphs, in_tree, random_graph

forged_keys = pytest.raises(RuntimeError, match=r'two unequal .* share a')


def keys_of(data, num_layers):
    edge_key = edge_keys(data.get('edge_attr'), data.get('edge_weight'))
    return tree_keys(
        data.edge_index, data.num_nodes, num_layers, data.get('x'), edge_key
    )


def verify(data, keys):
    verify_keys(
        keys,
        data.edge_index,
        data.get('x'),
        data.get('edge_attr'),
        data.get('edge_weight'),
    )


@given(graphs(), st.integers(0, 4))
def test_true_keys_pass(data, num_layers):
    verify(data, keys_of(data, num_layers))


def test_true_keys_of_larger_graphs_pass():
    data = random_graph(200, 150, edge_dim=2, self_loops=True)
    verify(data, keys_of(data, 4))


@given(graphs(), st.integers(0, 3))
def test_keys_that_all_collide(data, num_layers):
    keys = keys_of(data, num_layers)
    forged = [torch.zeros_like(key) for key in keys]
    if torch.cat(keys).unique(dim=0).size(0) <= 1:
        verify(data, forged)
    else:
        with forged_keys:
            verify(data, forged)


@pytest.mark.parametrize('depth', [0, 1, 2])
@pytest.mark.parametrize('seed', range(3))
def test_one_forged_key(depth, seed):
    data = random_graph(edge_dim=1, seed=seed)
    keys = keys_of(data, 2)
    i = int((keys[depth] != keys[depth][0]).any(dim=1).nonzero()[0])
    keys[depth][i] = keys[depth][0]
    with forged_keys:
        verify(data, keys)


def test_forged_features():
    data = in_tree([[], []], x=[1, 2])
    with forged_keys:
        verify(data, [torch.zeros(2, 2).long()])


@pytest.mark.parametrize('name', ['edge_attr', 'edge_weight'])
def test_forged_edge_features(name):
    # Siblings with swapped edges.
    data = in_tree([[2, 3], [2, 3], [], []], x=[0, 0, 1, 2])
    equal = keys_of(data, 1)
    verify(data, equal)
    data[name] = torch.tensor([1, 2, 2, 1])
    with forged_keys:
        verify(data, equal)
    verify(data, keys_of(data, 1))


def test_forged_edge_keys(monkeypatch):
    # Edges of equal keys are compared by their features, too.
    data = in_tree([[2], [2], []], x=[0, 0, 1])
    equal = keys_of(data, 1)
    data.edge_attr = torch.tensor([1, 2])
    monkeypatch.setattr(
        'pyg_distill.trees.verify.edge_keys',
        lambda *args: torch.zeros(2, 2).long(),
    )
    with forged_keys:
        verify(data, equal)


@pytest.mark.parametrize(
    ('child', 'x'),
    [
        ([[2], [3], [], []], [0, 0, 1, 2]),  # another child
        ([[2], [2, 2], []], [0, 0, 1]),  # a child more
        ([[2, 2, 3], [2, 3, 3], [], []], [0, 0, 1, 2]),  # other multiplicities
    ],
)
def test_forged_structure(child, x):
    data = in_tree(child, x)
    keys = keys_of(data, 1)
    keys[1][1] = keys[1][0]
    with forged_keys:
        verify(data, keys)


def test_forged_depth():
    # A leaf that has the key of a tree with a child, one level up.
    data = in_tree([[1], []], x=[0, 0])
    keys = keys_of(data, 1)
    keys[1][0] = keys[0][0]
    with forged_keys:
        verify(data, keys)


@pytest.mark.parametrize('num_layers', [0, 2])
def test_no_nodes(num_layers):
    data = Data(edge_index=torch.empty(2, 0).long(), num_nodes=0)
    verify(data, keys_of(data, num_layers))
