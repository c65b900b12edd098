"""Ordinary graphs come back as they were, up to the order of edges."""

import io
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.utils import coalesce, to_undirected

from pyg_distill.datasets.materialising import split
from pyg_distill.datasets.packing.column import packed_bytes
from pyg_distill.datasets.packing.graphs import pack_graphs, unpack_graphs
from tests.datasets.packing.test_rows import raw
from tests.datasets.sources import random_graphs
from tests.graphs import graphs

collate = InMemoryDataset.collate


def edges(data: Data) -> Counter:
    """The multiset of the edges with what they carry, bit by bit."""
    columns = [data.edge_index.t()]
    columns += [
        data[key] for key in ('edge_attr', 'edge_weight') if key in data
    ]
    return Counter(
        str([raw(column[e]) for column in columns])
        for e in range(data.num_edges)
    )


def assert_same(restored: list[Data], originals: list[Data]) -> None:
    assert len(restored) == len(originals)
    for out, data in zip(restored, originals, strict=True):
        assert set(out.to_dict()) == set(data.to_dict())
        assert edges(out) == edges(data)
        pairs = out.edge_index.t().tolist()
        assert pairs == sorted(pairs)
        assert out.num_nodes == data.num_nodes
        for key, value in data.to_dict().items():
            if key not in ('edge_index', 'edge_attr', 'edge_weight'):
                same = isinstance(value, torch.Tensor)
                assert (
                    raw(out[key]) == raw(value) if same else out[key] == value
                )


def alike(data: Data, seed: int) -> list[Data]:
    """Copies of a graph with other edges."""
    generator = torch.Generator().manual_seed(seed)
    out = []
    for _ in range(3):
        keep = torch.rand(data.num_edges, generator=generator) < 0.8
        other = data.clone()
        for key in ('edge_index', 'edge_attr', 'edge_weight'):
            if key in data:
                other[key] = (
                    data[key][..., keep]
                    if key == 'edge_index'
                    else (data[key][keep])
                )
        out.append(other)
    return [data, *out]


@settings(max_examples=60)
@given(graphs(), st.integers(0, 9))
def test_any_graphs_are_restored(data: Data, seed: int) -> None:
    many = alike(data, seed)
    for graph in many:
        graph.y = torch.tensor([seed])
        graph.target = torch.tensor([[0.1, -0.0]])
    assert_same(split(unpack_graphs(pack_graphs(*collate(many)))), many)


@pytest.mark.parametrize('loops', [False, True])
@pytest.mark.parametrize('twice', [False, True])
@pytest.mark.parametrize('share', [0.05, 0.95])
def test_opposite_edges_are_stored_once(
    loops: bool, twice: bool, share: float
) -> None:
    many = []
    for size in (1, 12, 30, 0, 7):
        pair = (torch.rand(size, size) < share).nonzero().t()
        pair = pair[:, pair[0] <= pair[1] if loops else pair[0] < pair[1]]
        kind = torch.randint(3, (pair.size(1), 1))
        if twice:
            # Parallel edges that carry the same, and that do not.
            pair = torch.cat([pair, pair], dim=1)
            kind = torch.cat([kind, kind * (kind == 1)])
        apart = pair[0] != pair[1]
        data = Data(
            edge_index=torch.cat([pair, pair[:, apart].flip(0)], dim=1),
            edge_attr=torch.cat([kind, kind[apart]]),
            num_nodes=size,
            y=torch.tensor([size]),
        )
        order = torch.randperm(data.num_edges)
        data.edge_index = data.edge_index[:, order]
        data.edge_attr = data.edge_attr[order]
        many.append(data)
    packed = pack_graphs(*collate(many))
    assert packed['edges']['symmetric']
    assert packed['edges']['loops'] == loops
    assert packed['edges']['simple'] != twice
    assert_same(split(unpack_graphs(packed)), many)

    half = sum(int((d.edge_index[0] <= d.edge_index[1]).sum()) for d in many)
    assert packed['edges']['gap']['size'] == half

    # One edge that carries something else than its opposite changes that.
    apart = (many[1].edge_index[0] != many[1].edge_index[1]).nonzero()[0]
    many[1].edge_attr[apart] = 7
    packed = pack_graphs(*collate(many))
    assert not packed['edges']['symmetric']
    assert_same(split(unpack_graphs(packed)), many)


def test_the_shorter_layout_is_used() -> None:
    dense = [
        Data(edge_index=(torch.rand(n, n) < 0.5).nonzero().t(), num_nodes=n)
        for n in (20, 30)
    ]
    for data in dense:
        data.edge_index = to_undirected(data.edge_index)
    packed = pack_graphs(*collate(dense))
    assert packed['edges']['layout'] == 'whole'
    # A bit for each cell below the diagonal, and loops, which are there.
    assert packed_bytes(packed['edges']['gap']) <= (210 + 465) // 8 + 2
    line = torch.stack([torch.arange(2000), torch.arange(1, 2001)])
    sparse = [Data(edge_index=to_undirected(line), num_nodes=2001)] * 2
    packed = pack_graphs(*collate(sparse))
    assert packed['edges']['layout'] == 'rows'
    assert_same(split(unpack_graphs(packed)), sparse)


def test_edges_are_sorted_as_coalesce_does() -> None:
    data = random_graphs(1, max_nodes=9)[0]
    data.edge_index = torch.randint(9, (2, 20)).unique(dim=1)
    data.edge_index = data.edge_index[:, torch.randperm(data.num_edges)]
    data.num_nodes, data.x = 9, torch.ones(9, 1)
    data.edge_attr = torch.rand(data.num_edges)
    out, slices = unpack_graphs(pack_graphs(data, None))
    assert slices is None
    expected = coalesce(data.edge_index, data.edge_attr)
    assert out.edge_index.equal(expected[0])
    assert out.edge_attr.equal(expected[1])


def test_only_what_is_asked_for_is_read() -> None:
    many = random_graphs(9, edge_attr=True, edge_weight=True)
    data, slices = collate(many)
    chosen = [7, 2, 2, 0]
    packed = pack_graphs(data, slices, chosen)
    assert_same(split(unpack_graphs(packed)), [many[i] for i in chosen])
    begin, end = slices['x'][3:5].tolist()
    data.x[begin:end] = float('nan')
    again = pack_graphs(data, slices, torch.tensor(chosen))
    assert packed_bytes(again) == packed_bytes(packed)


def test_integers_of_edges_keep_their_type() -> None:
    many = random_graphs(4)
    for data in many:
        data.edge_index = data.edge_index.int()
    out, _ = unpack_graphs(pack_graphs(*collate(many)))
    assert out.edge_index.dtype == torch.int


def test_files_are_read_with_weights_only() -> None:
    many = random_graphs(6, edge_attr=True)
    file = io.BytesIO()
    torch.save(pack_graphs(*collate(many)), file)
    file.seek(0)
    restored = unpack_graphs(torch.load(file, weights_only=True))
    assert_same(split(restored), many)


def test_bytes_are_those_of_all_tensors() -> None:
    packed = {
        'a': torch.zeros(3),
        'b': {'c': torch.zeros(5, dtype=torch.uint8), 'd': 7, 'e': 'text'},
    }
    assert packed_bytes(packed) == 17


def test_bad_input_is_refused_in_one_line() -> None:
    data, slices = collate(random_graphs(4))
    for index, message in [
        ([], "'index' must name at least one of the 4 graphs .got none."),
        ([4], "'index' must name .* .got the graph 4."),
        ([-1], "'index' must name .* .got the graph -1."),
    ]:
        with pytest.raises(ValueError, match=message):
            pack_graphs(data, slices, index)
    with pytest.raises(TypeError, match='must hold the numbers of graphs'):
        pack_graphs(data, slices, torch.ones(4).bool())
    many = random_graphs(4)
    for graph in many:
        graph.pos = torch.rand(graph.num_nodes, 3)
    with pytest.raises(ValueError, match="'pos' is an attribute of every node"):
        pack_graphs(*collate(many))
    for i, graph in enumerate(many):
        del graph.pos
        graph.smiles = f'C{i}'
    with pytest.raises(TypeError, match="'smiles' must be a dense tensor"):
        pack_graphs(*collate(many))
    with pytest.raises(ValueError, match="'data' needs 'x' or 'num_nodes'"):
        pack_graphs(Data(edge_index=torch.tensor([[0], [1]])), None)
    with pytest.raises(ValueError, match="'data' needs an 'edge_index'"):
        pack_graphs(Data(x=torch.ones(2, 1)), None)
    data.extra = torch.ones(3)
    with pytest.raises(ValueError, match='got none for extra'):
        pack_graphs(data, slices)
