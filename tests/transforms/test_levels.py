import pytest
import torch

from pyg_distill.transforms.levels import level_of, refuse_others


def level(name, size, num_nodes, num_edges):
    return level_of(*map(_tensor, (name, size, num_nodes, num_edges)))


def _tensor(value):
    return value if isinstance(value, str) else torch.tensor(value)


@pytest.mark.parametrize(
    ('name', 'size', 'num_nodes', 'num_edges', 'want'),
    [
        ('feat', [3, 2], [3, 2], [4, 2], 'node'),
        ('feat', [4, 2], [3, 2], [4, 2], 'edge'),
        ('feat', [1, 1], [3, 2], [4, 2], 'graph'),
        ('feat', [5, 5], [3, 2], [4, 2], 'graph'),
        # One graph that has as many rows as nodes by chance decides nothing.
        ('feat', [3, 3], [3, 2], [4, 3], 'graph'),
        # As many nodes as edges: the name decides.
        ('feat', [3, 2], [3, 2], [3, 2], 'node'),
        ('edge_type', [3, 2], [3, 2], [3, 2], 'edge'),
        # One node or one edge each: the name decides.
        ('y', [1, 1], [1, 1], [2, 2], 'graph'),
        ('pos', [1, 1], [1, 1], [2, 2], 'node'),
        ('train_mask', [1, 1], [1, 1], [0, 0], 'node'),
        ('y', [1, 1], [2, 2], [1, 1], 'graph'),
        ('edge_type', [1, 1], [2, 2], [1, 1], 'edge'),
        ('y', [1], [1], [1], 'graph'),
        # What is incremented in mini-batches holds nodes.
        ('train_index', [1, 1], [3, 2], [4, 2], 'node'),
        ('face', [5, 5], [3, 2], [4, 2], 'node'),
    ],
)
def test_level_of(name, size, num_nodes, num_edges, want):
    assert level(name, size, num_nodes, num_edges) == want


def test_refuse_others():
    levels = {
        'x': 'node',
        'edge_index': 'edge',
        'edge_attr': 'edge',
        'edge_weight': 'edge',
        'y': 'graph',
    }
    refuse_others(levels, [])
    refuse_others({**levels, 'pos': 'node'}, ['pos'])
    with pytest.raises(ValueError, match=r"exclude_keys=\['pos'\]"):
        refuse_others({**levels, 'pos': 'node'}, ['z'])
    with pytest.raises(ValueError, match="'y' must have one label a graph"):
        refuse_others({**levels, 'y': 'node'}, [])
