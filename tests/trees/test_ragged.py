import torch

from pyg_distill.trees import IncomingEdges, pointer, ragged_range

NONE = torch.empty(0, dtype=torch.long)


def test_incoming_edges() -> None:
    edge_index = torch.tensor([[0, 1, 2, 0, 3], [2, 2, 0, 2, 0]])
    incoming = IncomingEdges.from_edge_index(edge_index, 5)
    assert incoming.edge.tolist() == [2, 4, 0, 1, 3]
    assert incoming.ptr.tolist() == [0, 2, 2, 5, 5, 5]
    position, edge = incoming.expand(torch.tensor([2, 4, 0, 2]))
    assert position.tolist() == [0, 0, 0, 2, 2, 3, 3, 3]
    assert edge.tolist() == [0, 1, 3, 2, 4, 0, 1, 3]


def test_ragged_range() -> None:
    size = torch.tensor([0, 3, 0, 1, 2, 0])
    group, element = ragged_range(size)
    assert group.tolist() == [1, 1, 1, 3, 4, 4]
    assert element.tolist() == [0, 1, 2, 0, 0, 1]
    assert pointer(size).tolist() == [0, 0, 3, 3, 4, 6, 6]


def test_nothing() -> None:
    incoming = IncomingEdges.from_edge_index(NONE.view(2, 0), 0)
    assert incoming.ptr.tolist() == pointer(NONE).tolist() == [0]
    for out in (*incoming.expand(NONE), *ragged_range(NONE)):
        assert out.numel() == 0
