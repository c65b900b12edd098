import pytest
import torch

from pyg_distill.trees import (
    IncomingEdges,
    UniqueKeys,
    pointer,
    ragged_range,
    unique_keys,
)
from tests.graphs import forest_of, random_graph
from tests.oracles import trees_of

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


@pytest.mark.parametrize('grouped', [False, True])
@pytest.mark.parametrize('num_values', [1, 3, 50])
def test_unique_keys(grouped: bool, num_values: int) -> None:
    # With few values in the first lane, it collides where the second does not.
    key = torch.stack(
        [torch.randint(num_values, (120,)) - 1, torch.randint(4, (120,))], dim=1
    )
    group = torch.randint(3, (120,)) if grouped else None
    columns = key.t().tolist()
    if group is not None:
        columns = [group.tolist(), *columns]
    positions: dict[tuple, list[int]] = {}
    for i, row in enumerate(zip(*columns, strict=True)):
        positions.setdefault(row, []).append(i)

    # Classes are sorted, and each is represented by its first element.
    out = unique_keys(key, group)
    rows = sorted(positions)
    assert out.first.tolist() == [positions[row][0] for row in rows]
    assert out.count.tolist() == [len(positions[row]) for row in rows]
    for i, row in enumerate(rows):
        assert (out.inverse == i).nonzero().view(-1).tolist() == positions[row]


def test_by_hand() -> None:
    key = torch.tensor([[7, 1], [7, 2], [7, 1], [7, 2], [3, 1], [-1, 9]])
    out = unique_keys(key)
    assert out.inverse.tolist() == [2, 3, 2, 3, 1, 0]
    assert out.first.tolist() == [5, 4, 0, 1]
    assert out.count.tolist() == [1, 1, 2, 2]
    extremes = torch.tensor([2**63 - 1, -(2**63), 0, -1])
    out = unique_keys(torch.stack([extremes, extremes], dim=1))
    assert out.first.tolist() == [1, 3, 2, 0]


@pytest.mark.parametrize('grouped', [False, True])
@pytest.mark.parametrize('size', [0, 1])
def test_few_keys(grouped: bool, size: int) -> None:
    key = torch.ones(size, 2, dtype=torch.long)
    out = unique_keys(key, key[:, 0] if grouped else None)
    assert out.inverse.tolist() == out.first.tolist() == [0] * size
    assert out.count.tolist() == [1] * size


def assert_classes(out: UniqueKeys, entries: list) -> None:
    first = [entries[i] for i in out.first.tolist()]
    assert len(first) == len(set(entries))
    assert out.count.tolist() == [entries.count(entry) for entry in first]
    assert [first[i] for i in out.inverse.tolist()] == entries


@pytest.mark.parametrize('num_layers', [0, 1, 3])
def test_distinct(num_layers: int) -> None:
    graphs = [random_graph(seed=i % 4) for i in range(6)]
    forest = forest_of(graphs, num_layers)
    trees = [trees_of(data, num_layers) for data in graphs]
    assert_classes(forest.distinct(), [tree for each in trees for tree in each])
    pairs = [(i, tree) for i, each in enumerate(trees) for tree in each]
    out = forest.distinct_by_graph()
    assert_classes(out, pairs)
    graph = forest.graphs.graph_of_node()[out.first]
    assert graph.equal(graph.sort().values)
