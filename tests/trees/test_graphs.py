from typing import Any

import pytest
import torch

from pyg_distill.trees import Graphs

EDGES = torch.tensor([[0, 1, 0], [1, 0, 0]])


def graphs(**kwargs: Any) -> Graphs:
    kwargs.setdefault('edge_index', EDGES)
    return Graphs.from_local(
        num_nodes=torch.tensor([2, 0, 1]),
        num_edges=torch.tensor([2, 0, 1]),
        **kwargs,
    )


def test_from_local() -> None:
    out = graphs(x=torch.arange(3), edge_weight=torch.rand(3))
    assert out.edge_index.tolist() == [[0, 1, 2], [1, 0, 2]]
    assert out.node_ptr.tolist() == out.edge_ptr.tolist() == [0, 2, 2, 3]
    assert (out.num_graphs, out.num_nodes, out.num_edges) == (3, 3, 3)
    assert out.graph_of_node().tolist() == [0, 0, 2]
    assert EDGES.tolist() == [[0, 1, 0], [1, 0, 0]]

    none = torch.empty(0, dtype=torch.long)
    out = Graphs.from_local(torch.empty(2, 0), none, none)
    assert out.num_graphs == out.num_nodes == out.num_edges == 0
    assert out.graph_of_node().tolist() == []


@pytest.mark.parametrize(
    ('edge', 'end', 'size'),
    [(1, [2, 0], 2), (1, [0, 2], 2), (1, [-1, 0], 2), (2, [1, 0], 1)],
)
def test_edges_must_not_leave_their_graph(
    edge: int, end: list[int], size: int
) -> None:
    edge_index = EDGES.clone()
    edge_index[:, edge] = torch.tensor(end)
    with pytest.raises(ValueError, match=rf'edge \[.*\] in one of {size} node'):
        graphs(edge_index=edge_index)


@pytest.mark.parametrize('size', [(3, 2), (3,), (3, 3)])
def test_shape_of_edge_index(size: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r'shape \[2, num_edges\]'):
        graphs(edge_index=torch.zeros(size).long())


@pytest.mark.parametrize('dtype', [torch.float, torch.bool])
def test_edges_are_integers(dtype: torch.dtype) -> None:
    with pytest.raises(TypeError, match='must hold integers'):
        graphs(edge_index=EDGES.to(dtype))


@pytest.mark.parametrize('value', [torch.zeros(2, 3), torch.tensor(1.0)])
@pytest.mark.parametrize(
    ('name', 'what'),
    [('x', 'node'), ('edge_attr', 'edge'), ('edge_weight', 'edge')],
)
def test_number_of_rows(name: str, what: str, value: torch.Tensor) -> None:
    message = f"'{name}' must have one row per {what} .* for 3 {what}s"
    with pytest.raises(ValueError, match=message):
        graphs(**{name: value})
