"""What is read is exactly what indexing returns, of any collection."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch_geometric.transforms as T
from torch import Tensor
from torch.utils.data import ConcatDataset, Subset
from torch_geometric.data import Data, InMemoryDataset

from pyg_distill.data import GraphTable, Source, compressed_size, read_table
from pyg_distill.data.sources import _stored
from tests.conftest import with_torch_sparse
from tests.data.collections import (
    GRAPHS,
    Lazy,
    Minimal,
    OnDisk,
    assert_graphs,
    typed,
    with_all_attributes,
)
from tests.selection.helpers import Graphs, random_graphs

pytestmark = pytest.mark.filterwarnings('ignore:Unable to accurately infer')


def double(data: Data) -> Data:
    data.y = 2 * data.y
    return data


class Doubled(Subset):
    """A subset that reads graphs in a way of its own."""

    def __getitem__(self, i: int) -> Data:
        return double(self.dataset[self.indices[i]].clone())

    def __getitems__(self, index: list[int]) -> list[Data]:
        return [self[i] for i in index]


class OwnGet(Graphs):
    def get(self, idx: int) -> Data:
        return double(super().get(idx))


class OwnItem(Graphs):
    def __getitem__(self, idx: Any) -> Any:
        out = super().__getitem__(idx)
        return double(out) if isinstance(out, Data) else out


def edited(graphs: list[Data]) -> Graphs:
    """Its items were changed in place, after it was made."""
    source = Graphs(graphs)
    source[2].y[:] = 7
    source[1].tag = torch.ones(1)
    for i in range(len(source)):
        source[i].tag = torch.ones(1)
    return source


def outdated(graphs: list[Data]) -> Graphs:
    """Some of its items were read, and then its tensors changed."""
    source = Graphs(graphs)
    [source[i] for i in (1, 4)]
    source._data.y = source._data.y + 1
    return source


def deleted(graphs: list[Data]) -> Graphs:
    source = Graphs(graphs)
    source._data.y = None
    source._data.unused = torch.ones(3)
    return source


WRAPS: dict[str, Callable[[list[Data]], Any]] = {
    'list': list,
    'tuple': tuple,
    'InMemoryDataset': Graphs,
    'slice': lambda g: Graphs(g)[2:7],
    'list of indices': lambda g: Graphs(g)[[5, 0, 5, 8]],
    'mask': lambda g: Graphs(g)[torch.arange(len(g)) % 2 == 0],
    'one of many': lambda g: Graphs(g)[3:4],
    'one': lambda g: Graphs(g[3:4]),
    'one twice': lambda g: Graphs(g[3:4])[[0, 0]],
    'transform': lambda g: Graphs(g, transform=double)[1:],
    'own get': OwnGet,
    'own getitem': lambda g: OwnItem(g)[1:6],
    'edited': edited,
    'edited slice': lambda g: edited(g)[1:3],
    'outdated': outdated,
    'outdated slice': lambda g: outdated(g)[3:6],
    'deleted': deleted,
    'Lazy': Lazy,
    'Lazy slice': lambda g: Lazy(g)[[3, 1]],
    'Minimal': Minimal,
    'Subset': lambda g: Subset(Graphs(g), [4, 1]),
    'Subset of list': lambda g: Subset(g, torch.tensor([4, 1])),
    'Subset of Subset': lambda g: Subset(Subset(Graphs(g), [4, 1, 7]), [2, 0]),
    'own Subset': lambda g: Doubled(Graphs(g), [3, 2]),
    'Subset of own': lambda g: Subset(Doubled(Graphs(g), [3, 2]), [1]),
    'Concat': lambda g: ConcatDataset([g[:5], g[5:], Lazy(g)]),
    'Concat, transform': lambda g: Subset(
        ConcatDataset([Graphs(g[:5], double), Graphs(g[5:])]), range(3, 8)
    ),
}


@pytest.mark.parametrize('name', WRAPS)
@pytest.mark.parametrize('kind', GRAPHS)
def test_any_collection_of_any_graphs(kind: str, name: str) -> None:
    source = WRAPS[name](GRAPHS[kind]())
    # Indexing comes second, since PyG keeps the items that it returned.
    table = read_table(source)
    expected = [source[i] for i in range(len(source))]
    assert_graphs(table.to_list(), expected)
    assert len(table) == len(source)
    num_nodes = [data.num_nodes for data in expected]
    assert table.num_nodes.tolist() == num_nodes
    assert table.num_edges.tolist() == [data.num_edges for data in expected]


@pytest.mark.parametrize('kind', GRAPHS)
def test_on_disk(kind: str, tmp_path: Path) -> None:
    source = OnDisk(str(tmp_path), GRAPHS[kind]())
    source.transform = double
    for part in (source, source[3:9], source[[5, 2, 5]]):
        expected = [part[i] for i in range(len(part))]
        assert_graphs(read_table(part).to_list(), expected)
        chunks = Source(part, 0, caller='test')._tables()
        found = [data for table, _ in chunks for data in table.to_list()]
        assert_graphs(found, expected)
    source.close()


def test_nothing_outside_of_a_slice_is_read() -> None:
    good, bad = random_graphs(4), random_graphs(4)
    for data in bad:
        data.x = data.x * float('nan')
        data.edge_index = data.edge_index + 1000
        data.y = torch.tensor([float('nan')])
    for data in good:
        data.y = data.y.float()
    source = Graphs([*bad[:2], *good, *bad[2:]])[2:6]
    table = read_table(source)
    assert_graphs(table.to_list(), good)
    assert not table.graphs.x.isnan().any()
    assert table.label.tolist() == [int(data.y) for data in good]
    (chunk,) = Source(source, 2).map(lambda chunk: chunk, '')
    chunk.forest.distinct()
    assert table.num_bytes == read_table(good).num_bytes
    assert compressed_size(source) == compressed_size(good)
    for whole in (bad, Graphs(bad)):
        with pytest.raises(ValueError, match="'edge_index'"):
            _ = read_table(whole).graphs


def test_no_class_is_declared_by_labels_that_are_missing() -> None:
    graphs = random_graphs(4)
    for data in graphs[1:]:
        data.y = torch.tensor([float('nan')])
    graphs[0].y = torch.tensor([2.0])
    (number,) = Source(Graphs(graphs)[:1], 0).map(lambda c: c.num_classes, '')
    assert number == 3


def test_only_parts_that_are_asked_for_are_indexed() -> None:
    read: list[int] = []

    def note(data: Data) -> Data:
        read.append(int(data.number))
        return data

    graphs = random_graphs(12)
    for i, data in enumerate(graphs):
        data.number = torch.tensor([i])
    whole = ConcatDataset([Graphs(graphs[:5], note), Lazy(graphs[5:], note)])
    for _ in Source(Subset(Subset(whole, [1, 3, 5, 7]), [1, 2]), 0).chunks(''):
        pass
    assert {*read} == {3, 5}


def test_no_graph_is_read_twice_without_need() -> None:
    class Counting(Lazy):
        reads = 0

        def get(self, idx: int) -> Data:
            self.reads += 1
            return super().get(idx)

    source = Counting(random_graphs(10))
    for _ in Source(source, 0).chunks(''):
        pass
    # Three graphs are read twice before, to see whether they are random.
    assert source.reads == 10 + 6


@pytest.mark.parametrize('kind', GRAPHS)
@pytest.mark.parametrize('index', [[3], [0, 2, 2], [8, 1, 4, 0], []])
def test_take_and_collate(kind: str, index: list[int]) -> None:
    graphs = GRAPHS[kind]()
    stored, listed = read_table(Graphs(graphs)), read_table(graphs)
    for table in (stored, listed, listed.take(torch.arange(9))):
        part = table.take(torch.tensor(index, dtype=torch.long))
        expected = [graphs[i] for i in index]
        assert_graphs(part.to_list(), expected)
        if not index:
            continue
        dataset = InMemoryDataset()
        dataset.data, dataset.slices = part.collate()
        assert_graphs(list(dataset), expected)
        if len(index) > 1 and 'num_nodes' not in expected[0]:
            data, _ = InMemoryDataset.collate(expected)
            assert {*data.keys()} == {*dataset._data.keys()} - {'num_nodes'}


@pytest.mark.parametrize('wrap', [list, Graphs, lambda g: Graphs(g)[:]])
def test_excluded_attributes_are_not_read(wrap: Callable) -> None:
    graphs = with_all_attributes()
    keys = ['x', 'edge_attr', 'smiles', 'pair', 'other']
    table = read_table(wrap(graphs), exclude_keys=keys)
    assert table.left_out == ['edge_attr', 'pair', 'smiles', 'x']
    expected = []
    for data in graphs:
        data = data.clone()
        size = data.num_nodes
        for key in keys:
            data[key] = None
        data.num_nodes = size
        expected.append(data)
    assert_graphs(table.to_list(), expected)
    # Even attributes that only some graphs have.
    graphs[3].other = 1
    assert len(read_table(graphs, exclude_keys=['other'])) == 9
    with pytest.raises(TypeError, match=r"pass \['x'\]"):
        read_table(graphs, exclude_keys='x')


@pytest.mark.parametrize('wrap', [list, Graphs, lambda g: Graphs(g, double)])
def test_the_source_is_left_as_it_is(wrap: Callable) -> None:
    graphs = with_all_attributes()
    source = wrap(graphs)
    before = [data.clone() for data in source]
    if isinstance(source, Graphs):
        source._data_list = None
    table = read_table(source, exclude_keys=['smiles', 'x'])
    table.collate()[0].edge_index.fill_(7)
    table.take(torch.tensor([1, 2])).collate()[0].y.fill_(7)
    if wrap is not Graphs:  # All tensors of this one are used as they are.
        assert_graphs(list(source), before)


def dense_graphs() -> list[Data]:
    """Without parallel edges, which sparse adjacencies add up."""
    graphs = random_graphs(9, edge_weight=True)
    for data in graphs:
        mask = torch.rand(data.num_nodes, data.num_nodes) < 0.5
        data.edge_index = mask.nonzero().t().flip(0)
        data.edge_weight = torch.rand(data.num_edges)
    return graphs


@pytest.mark.filterwarnings('ignore:Sparse:UserWarning')
@pytest.mark.parametrize(
    'layout',
    [
        pytest.param(None, marks=with_torch_sparse),
        torch.sparse_coo,
        torch.sparse_csr,
    ],
)
@pytest.mark.parametrize('how', ['list', 'stored', 'transform'])
@pytest.mark.parametrize('beside', [True, False])
def test_sparse_adjacencies(layout: Any, how: str, beside: bool) -> None:
    graphs = dense_graphs()
    transform = T.ToSparseTensor(layout=layout, remove_edge_index=not beside)
    sparse = [transform(data.clone()) for data in graphs]
    source = {
        'list': lambda: sparse,
        'stored': lambda: Graphs(sparse),
        'transform': lambda: Graphs(graphs, transform=transform),
    }[how]()
    assert 'adj_t' in source[0]
    for part, expected in [(source, graphs), (source[2:5], graphs[2:5])]:
        found = read_table(part).to_list()
        for out, data in zip(found, expected, strict=True):
            edges = [
                sorted(
                    zip(
                        *d.edge_index.tolist(),
                        d.edge_weight.tolist(),
                        strict=True,
                    )
                )
                for d in (out, data)
            ]
            assert edges[0] == edges[1]
            assert out.num_nodes == data.num_nodes
            assert 'adj_t' not in out


def test_labels_and_graphs_by_loops() -> None:
    graphs = random_graphs(9, (0, 1, 2), edge_attr=True, edge_weight=True)
    for table in (
        read_table(graphs),
        read_table(Graphs(graphs)),
        read_table(Graphs(graphs)).take(torch.arange(9)),
    ):
        found = table.graphs
        edges, start = [], 0
        for data in graphs:
            edges += [[u + start, v + start] for u, v in data.edge_index.t()]
            start += data.num_nodes
        assert found.edge_index.t().tolist() == [
            [int(a), int(b)] for a, b in edges
        ]
        for key in ('x', 'edge_attr', 'edge_weight'):
            expected = torch.cat([data[key] for data in graphs])
            assert torch.equal(getattr(found, key), expected)
        assert table.label.tolist() == [int(data.y) for data in graphs]
    assert read_table([Data(edge_index=torch.empty(2, 0))]).label is None


def test_bytes_of_all_tensors_by_loops() -> None:
    graphs = with_all_attributes()
    expected = sum(
        len(value.reshape(-1).tolist()) * value.element_size()
        for data in graphs
        for value in data.to_dict().values()
        if isinstance(value, Tensor)
    )
    # Numbers are stored as a long and a float.
    expected += 9 * (8 + 4)
    for source in (graphs, Graphs(graphs)):
        assert read_table(source).num_bytes == expected


def test_what_trees_cannot_carry_is_named() -> None:
    table = read_table(typed())
    assert table.uncarried == ['anchor', 'stamp', 'wide']
    table = read_table(with_all_attributes())
    assert table.uncarried == ['wave', 'node_index']
    graphs = random_graphs(3)
    for data in graphs:
        data.atoms = ['C'] * data.num_nodes
        data.charges = torch.zeros(data.num_nodes).numpy()
        data.name = 'benzene'
    assert read_table(graphs).uncarried == ['atoms', 'charges']


def test_gradients_end_in_rows() -> None:
    graphs = random_graphs(4)
    for data in graphs:
        data.x.requires_grad_()
    assert not read_table(graphs).graphs.x.requires_grad
    data, _ = read_table(graphs).collate()
    assert not data.x.requires_grad


def test_stored_data_sets_are_not_read_graph_by_graph(
    real_dataset: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = real_dataset('MUTAG')
    expected = [data.clone() for data in real_dataset('MUTAG')[[5, 2]]]

    def never(*args: Any) -> Any:
        raise AssertionError('indexed')

    monkeypatch.setattr(InMemoryDataset, 'get', never)
    monkeypatch.setattr(GraphTable, 'from_list', never)
    # The patched method is the one that the source has.
    assert _stored(source, ()) is not None
    assert len(read_table(source)) == 188
    monkeypatch.undo()
    found = read_table(source[[5, 2]]).to_list()
    assert_graphs(found, expected)
    (chunk,) = Source(source, 2).map(lambda chunk: chunk, '')
    assert chunk.table.data is source._data
