import pytest
import torch

from pyg_distill.trees import Graphs

EDGES = torch.tensor([[0, 1, 0], [1, 0, 0]])


def graphs(**kwargs):
    kwargs.setdefault('edge_index', EDGES)
    return Graphs.from_local(
        num_nodes=torch.tensor([2, 0, 1]),
        num_edges=torch.tensor([2, 0, 1]),
        **kwargs,
    )


def test_from_local():
    out = graphs(x=torch.arange(3), edge_weight=torch.rand(3))
    assert out.edge_index.tolist() == [[0, 1, 2], [1, 0, 2]]
    assert out.node_ptr.tolist() == out.edge_ptr.tolist() == [0, 2, 2, 3]
    assert out.num_graphs == 3
    assert out.num_nodes == 3
    assert out.num_edges == 3
    assert out.graph_of_node().tolist() == [0, 0, 2]
    assert EDGES.tolist() == [[0, 1, 0], [1, 0, 0]]


def test_no_graphs():
    none = torch.empty(0, dtype=torch.long)
    out = Graphs.from_local(torch.empty(2, 0), none, none)
    assert out.num_graphs == out.num_nodes == out.num_edges == 0
    assert out.graph_of_node().tolist() == []


@pytest.mark.parametrize('bad', [[2, 0], [0, 2], [-1, 0]])
def test_edges_that_lead_nowhere(bad):
    edge_index = EDGES.clone()
    edge_index[:, 1] = torch.tensor(bad)
    with pytest.raises(ValueError, match=r'the edge \[.*\] in one of 2 nodes'):
        graphs(edge_index=edge_index)


def test_edges_must_not_leave_their_graph():
    edge_index = EDGES.clone()
    edge_index[0, 2] = 1
    with pytest.raises(ValueError, match='in one of 1 nodes'):
        graphs(edge_index=edge_index)


@pytest.mark.parametrize('size', [(3, 2), (3,), (3, 3)])
def test_shape_of_edge_index(size):
    with pytest.raises(ValueError, match=r'must have shape \[2, num_edges\]'):
        graphs(edge_index=torch.zeros(size).long())


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('x', r"'x' must have one row per node .*\[2, 3\] for 3 nodes"),
        ('edge_attr', "'edge_attr' must have one row per edge .*for 3 edges"),
        ('edge_weight', "'edge_weight' must have one row per edge .*for 3"),
    ],
)
def test_number_of_rows(name, message):
    with pytest.raises(ValueError, match=message):
        graphs(**{name: torch.zeros(2, 3)})


@pytest.mark.parametrize('name', ['x', 'edge_attr', 'edge_weight'])
def test_scalars(name):
    with pytest.raises(ValueError, match=f"'{name}' must have one row"):
        graphs(**{name: torch.tensor(1.0)})


def test_edges_are_integers():
    size = torch.tensor([2]), torch.tensor([1])
    for dtype in (torch.float, torch.bool):
        with pytest.raises(TypeError, match='must hold integers'):
            Graphs.from_local(torch.tensor([[0], [1]]).to(dtype), *size)
