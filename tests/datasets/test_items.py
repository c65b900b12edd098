"""Every item of every selection has one form, and loses nothing."""

from typing import Any

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from pyg_distill.datasets import MirageDataset
from tests.oracles import tree_set, trees_of
from tests.selection.helpers import (
    FORM,
    Graphs,
    LargestGraphs,
    Stream,
    equal,
    message,
    random_graphs,
    same,
)

WHOLE = ['herding', 'kcenter', 'random', LargestGraphs()]
TREES = ['frequent', 'multisets', 'lossless']
SELECTIONS = ['auto', *WHOLE, *TREES]


def distil(source: Any, selection: Any, **options: Any) -> MirageDataset:
    if selection != 'lossless' and not {'budget', 'num_graphs'} & {*options}:
        options['budget'] = 0.9
    return MirageDataset(source, 2, selection=selection, **options)


@pytest.mark.parametrize('features', [3, None])
@pytest.mark.parametrize('selection', SELECTIONS, ids=str)
def test_all_items_have_the_same_attributes(
    selection: Any, features: int | None
) -> None:
    graphs = random_graphs(
        24, (0, 2), num_features=features, edge_attr=True, edge_weight=True
    )
    kept = distil(graphs, selection)
    names = FORM | {'edge_attr', 'edge_weight'}
    names |= {'x'} if features else {'num_nodes'}
    assert kept.num_classes == 3
    for data in kept:
        assert {*data.keys()} == names
        roots = data.root_index.numel()
        assert data.root_count.size() == data.root_index.size() == (roots,)
        assert data.num_layers.tolist() == [2]
        assert data.target.tolist() == [[float(data.y == c) for c in range(3)]]
        assert data.weight.size() == data.support.size() == (1,)
        assert data.weight.dtype == data.target.dtype == torch.float
        for key in (
            'root_index',
            'root_count',
            'num_layers',
            'support',
            'graph_id',
            'y',
        ):
            assert data[key].dtype == torch.long
        i = int(data.graph_id)
        assert (i == -1) == (kept.report.selection == 'frequent')
        if kept.report.selection not in TREES:
            nodes = torch.arange(data.num_nodes)
            assert data.root_index.equal(nodes)
            assert data.root_count.equal(torch.ones_like(nodes))
            for key, value in graphs[i].to_dict().items():
                assert (
                    value == data[key]
                    if key == 'num_nodes'
                    else (value.equal(data[key]))
                )
        elif i >= 0:
            assert int(data.y) == int(graphs[i].y)
    assert kept.source_index.equal(torch.cat([d.graph_id for d in kept]))
    assert kept[2:4].source_index.equal(kept.source_index[2:4])
    assert float(kept.weight.mean()) == pytest.approx(1)
    # Mini-batches of any selection increment their roots.
    (batch,) = DataLoader(kept, batch_size=len(kept))
    own = batch.root_index - batch.ptr[batch.batch[batch.root_index]]
    assert own.equal(torch.cat([data.root_index for data in kept]))
    assert batch.target.size() == (len(kept), 3)


@pytest.mark.parametrize('selection', SELECTIONS, ids=str)
def test_items_are_not_sorted_by_class(selection: Any) -> None:
    graphs = random_graphs(40, (0, 1), max_nodes=8)
    y = distil(graphs, selection).y.tolist()
    assert y != sorted(y)
    assert y != sorted(y, reverse=True)


class Molecule(Data):
    """Batches two attributes in its own way."""

    def __inc__(self, key: str, value: Any, *args: Any) -> Any:
        if key == 'bond_index_of_atom':
            return self.num_edges
        if key == 'anchor':
            return self.num_nodes
        return super().__inc__(key, value, *args)

    def __cat_dim__(self, key: str, value: Any, *args: Any) -> Any:
        if key == 'wide':
            return 1
        return super().__cat_dim__(key, value, *args)


def rich_graphs(kind: type[Data] = Data) -> list[Data]:
    out = []
    for i, data in enumerate(random_graphs(24, (0, 1), max_nodes=7)):
        rich = kind.from_dict(data.to_dict())
        rich.pos = torch.rand(data.num_nodes, 3)
        rich.train_mask = torch.arange(data.num_nodes) % 2 == 0
        rich.random_walk_pe = torch.randn(data.num_nodes, 4).double()
        rich.edge_type = torch.arange(data.num_edges) % 3
        rich.smiles = 'C' * i
        rich.number = torch.tensor([i])
        rich.anchor = torch.tensor([0])
        rich.wide = torch.full((2, 1 + i % 3), i)
        out.append(rich)
    return out


@pytest.mark.parametrize('kind', [Data, Molecule])
@pytest.mark.parametrize('how', ['memory', 'cache', 'file', 'stream'])
@pytest.mark.parametrize('selection', ['auto', 'random'])
def test_whole_graphs_keep_all_attributes(
    selection: str, how: str, kind: type[Data], tmp_path: Any
) -> None:
    graphs: list[Data] = rich_graphs(kind)
    if kind is Data:
        for data in graphs:
            del data.wide
    options: Any = {'num_graphs': 7, 'selection': selection}
    if how in ('cache', 'file'):
        options['root'] = str(tmp_path)
    source: Any = Stream(graphs) if how == 'stream' else graphs
    kept = MirageDataset(source, 2, **options)
    if how == 'cache':
        kept = MirageDataset(Graphs(graphs), 2, **options)
    elif how == 'file':
        kept = MirageDataset.from_file(kept.processed_paths[0], data_cls=kind)
    assert kept.source_index.equal(kept._data.number)
    for data in kept:
        source = graphs[int(data.graph_id)]
        assert type(data) is kind
        assert {*data.keys()} == {*source.keys()} | FORM
        for key, value in source.to_dict().items():
            other = data[key]
            assert (
                value == other
                if key == 'smiles'
                else (value.equal(other) and value.dtype == other.dtype)
            )
    batch = Batch.from_data_list(list(kept))
    expected = Batch.from_data_list([graphs[i] for i in kept.source_index])
    for key in {*graphs[0].keys()} - {'smiles'}:
        assert batch[key].equal(expected[key])
    if kind is Molecule:
        assert batch.anchor.equal(batch.ptr[:-1])
        assert batch.wide.size(0) == 2


def test_another_class_of_graphs_is_named(tmp_path: Any) -> None:
    options: Any = {'num_graphs': 4, 'selection': 'random'}
    kept = MirageDataset(
        rich_graphs(Molecule), 2, root=str(tmp_path), **options
    )
    with pytest.raises(ValueError, match='data_cls=') as info:
        MirageDataset.from_file(kept.processed_paths[0])
    assert 'Molecule' in str(info.value)
    assert '\n' not in str(info.value)


@pytest.mark.parametrize('selection', TREES)
def test_trees_refuse_what_they_cannot_carry(selection: str) -> None:
    graphs = rich_graphs(Molecule)
    limits = {} if selection == 'lossless' else {'budget': 0.9}
    for source in (graphs, Stream(graphs)):
        text = message(ValueError, source, 2, selection=selection, **limits)
        for name in (
            'pos',
            'train_mask',
            'random_walk_pe',
            'edge_type',
            'anchor',
            'wide',
        ):
            assert f"'{name}'" in text
        for name in ('smiles', 'number'):
            assert f"'{name}'" not in text
        assert 'exclude_keys' in text
    names = ['pos', 'train_mask', 'random_walk_pe', 'edge_type', 'anchor']
    kept = distil(graphs, selection, exclude_keys=[*names, 'wide'])
    assert {*names, 'wide', 'smiles'} <= {*kept.report.left_out}


@pytest.mark.parametrize('features', [3, None])
@pytest.mark.parametrize('selection', SELECTIONS, ids=str)
@pytest.mark.parametrize('cached', [False, True])
def test_one_graph(
    selection: Any, features: int | None, cached: bool, tmp_path: Any
) -> None:
    graphs = random_graphs(1, (0,), num_features=features, seed=4)
    root = str(tmp_path) if cached else None
    for _ in range(1 + cached):
        limits = {} if selection == 'lossless' else {'budget': 1000}
        kept = distil(graphs, selection, root=root, **limits)
        (data,) = kept
        assert len(kept) == 1
        assert same(kept[:], [data])
        assert kept.source_index.numel() == 1
        assert data.weight.tolist() == [1.0]
        assert data.target.tolist() == [[1.0]]
        assert {*tree_set(data, 2)} <= {*trees_of(graphs[0], 2)}
        (batch,) = DataLoader(kept)
        assert batch.root_index.equal(data.root_index)


@pytest.mark.parametrize('selection', SELECTIONS, ids=str)
def test_classes_that_the_split_lacks(selection: Any) -> None:
    graphs = random_graphs(24, (0, 1, 2, 3))
    split = Graphs(graphs)[[i for i in range(24) if i % 4 == 1]]
    kept = distil(split, selection)
    assert kept.num_classes == 4
    assert kept[0].target.tolist() == [[0.0, 1.0, 0.0, 0.0]]
    assert [*kept.report.classes] == [1]
    assert kept[:2].num_classes == 4
    assert distil(list(split), selection).num_classes == 2


@pytest.mark.parametrize('selection', SELECTIONS, ids=str)
def test_held_out_graphs_are_not_read(selection: Any) -> None:
    graphs = random_graphs(20, max_nodes=7, edge_attr=True)
    split = [3, 7, 7, 0, 12, 5, 1, 18]
    expected = distil(
        [graphs[i] for i in split], selection, class_weight='none'
    )
    for i in {*range(20)} - {*split}:
        graphs[i].x[:] = float('nan')
        graphs[i].edge_attr[:] = 77
    found = distil(Graphs(graphs)[split], selection, class_weight='none')
    assert same(found, expected)


@pytest.mark.parametrize('selection', SELECTIONS, ids=str)
def test_memory_is_not_shared_with_the_source(selection: Any) -> None:
    source = Graphs(random_graphs(12, max_nodes=6))
    kept = distil(source, selection)
    before = [data.clone() for data in kept]
    source._data.x.fill_(7)
    source._data.y.fill_(7)
    source._data.edge_index.fill_(0)
    assert all(map(equal, kept, before))
