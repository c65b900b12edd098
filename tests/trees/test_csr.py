import torch

from pyg_distill.trees.csr import IncomingEdges, ragged_range


def test_incoming_edges():
    edge_index = torch.tensor([[0, 1, 2, 0, 3], [2, 2, 0, 2, 0]])
    incoming = IncomingEdges.of(edge_index, 5)
    assert incoming.edge.tolist() == [2, 4, 0, 1, 3]
    assert incoming.ptr.tolist() == [0, 2, 2, 5, 5, 5]

    position, edge = incoming.expand(torch.tensor([2, 4, 0, 2]))
    assert position.tolist() == [0, 0, 0, 2, 2, 3, 3, 3]
    assert edge.tolist() == [0, 1, 3, 2, 4, 0, 1, 3]


def test_incoming_edges_of_nothing():
    edge_index = torch.empty(2, 0, dtype=torch.long)
    incoming = IncomingEdges.of(edge_index, 0)
    assert incoming.ptr.tolist() == [0]
    position, edge = incoming.expand(edge_index[0])
    assert position.numel() == edge.numel() == 0


def test_ragged_range():
    group, element = ragged_range(torch.tensor([0, 3, 0, 1, 2, 0]))
    assert group.tolist() == [1, 1, 1, 3, 4, 4]
    assert element.tolist() == [0, 1, 2, 0, 0, 1]
    group, element = ragged_range(torch.empty(0, dtype=torch.long))
    assert group.numel() == element.numel() == 0
