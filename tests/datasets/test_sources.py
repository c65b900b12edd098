"""Whatever holds the graphs, the result is the same."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch_geometric.transforms as T
from torch.utils.data import ConcatDataset
from torch_geometric.data import Data, Dataset, OnDiskDataset
from torch_geometric.edge_index import EdgeIndex

from pyg_distill.datasets import MirageDataset
from tests.conftest import with_torch_sparse
from tests.datasets.sources import Graphs, path, random_graphs, same
from tests.graphs import permute


class Molecule(Data):
    """What data sets with a class of their own hold."""


class OnDisk(OnDiskDataset):
    def __init__(self, root: str, graphs: list[Data]) -> None:
        super().__init__(root)
        if len(self.db) == 0:
            self.extend(graphs)


class Lazy(Dataset):
    """A data set that makes its graphs as they are asked for."""

    def __init__(self, graphs: list[Data]) -> None:
        super().__init__()
        self.graphs = graphs

    def len(self) -> int:
        return len(self.graphs)

    def get(self, idx: int) -> Data:
        return self.graphs[idx].clone()


class Minimal:
    """Has a length and items, as any data set of PyTorch."""

    def __init__(self, graphs: list[Data]) -> None:
        self.graphs = graphs

    def __len__(self) -> int:
        return len(self.graphs)

    def __getitem__(self, i: int) -> Data:
        return self.graphs[i]


GRAPHS = random_graphs(12, (0, 1, 2), edge_attr=True, edge_weight=True)


def own_class(graphs: list[Data]) -> list[Data]:
    return [Molecule.from_dict(data.to_dict()) for data in graphs]


@pytest.mark.parametrize(
    'wrap',
    [
        Graphs,
        lambda g: Graphs(g, transform=lambda data: data),
        lambda g: Graphs(own_class(g)),
        own_class,
        tuple,
        Lazy,
        Minimal,
        lambda g: Lazy(g)[torch.arange(12)],
        lambda g: ConcatDataset([Graphs(g[:5]), g[5:]]),
    ],
)
@pytest.mark.parametrize('selection', ['patterns', 'lossless'])
def test_any_collection_gives_the_same(wrap: Callable, selection: str) -> None:
    expected = MirageDataset(GRAPHS, 2, selection=selection)
    found = MirageDataset(wrap(GRAPHS), 2, selection=selection)
    assert same(found, expected)
    assert found.report.source == expected.report.source


def test_on_disk(tmp_path: Path) -> None:
    expected = MirageDataset(GRAPHS, 2, 0.1)
    with_process = Graphs(GRAPHS).to_on_disk_dataset(
        str(tmp_path / 'a'), log=False
    )
    filled = OnDisk(str(tmp_path / 'b'), GRAPHS)
    for source in (with_process, filled):
        assert same(MirageDataset(source, 2, 0.1), expected)
        part = MirageDataset(source[3:9], 2, 0.1)
        assert same(part, MirageDataset(GRAPHS[3:9], 2, 0.1))
        source.close()


@pytest.mark.parametrize('num_features', [3, None])
@pytest.mark.parametrize('selection', ['patterns', 'lossless'])
def test_one_graph(num_features: int | None, selection: str) -> None:
    graph = random_graphs(2, num_features=num_features)[1:]
    graph[0].y = torch.tensor([0])
    expected = MirageDataset(graph, 1, selection=selection)
    assert len(expected) == 1
    for source in (Graphs(graph), Graphs(graph)[:1], Graphs(graph)[[0]]):
        assert same(MirageDataset(source, 1, selection=selection), expected)
    twice = MirageDataset(Graphs(graph)[[0, 0]], 1, selection=selection)
    assert twice.report.source.num_graphs == 2


def test_a_deterministic_transform_is_applied() -> None:
    def double(data: Data) -> Data:
        data.x = 2 * data.x
        return data

    source = Graphs(GRAPHS, transform=double)
    by_hand = [double(data.clone()) for data in GRAPHS]
    assert same(MirageDataset(source, 2, 0.1), MirageDataset(by_hand, 2, 0.1))
    assert same(
        MirageDataset(source[:6], 2, 0.1), MirageDataset(by_hand[:6], 2, 0.1)
    )


@pytest.mark.parametrize(
    'transform',
    [
        lambda data: Data(
            x=torch.rand_like(data.x), edge_index=data.edge_index, y=data.y
        ),
        lambda data: data.update({'y': torch.randint(10**6, (1,))}),
    ],
)
@pytest.mark.parametrize(
    'wrap', [lambda d: d, lambda d: torch.utils.data.Subset(d, range(12))]
)
def test_a_random_transform_is_refused(
    transform: Callable, wrap: Callable
) -> None:
    source = wrap(Graphs(random_graphs(12), transform=transform))
    with pytest.raises(ValueError, match='transform is random') as info:
        MirageDataset(source, 1, 0.1)
    assert '\n' not in str(info.value)


def test_what_a_subclass_returns_is_what_is_read() -> None:
    class Doubled(Graphs):
        def __getitem__(self, idx: Any) -> Any:
            data = super().__getitem__(idx)
            if isinstance(data, Data):
                data.x = 2 * data.x
            return data

    class DoubledToo(Graphs):
        def get(self, idx: int) -> Data:
            data = super().get(idx)
            data.x = 2 * data.x
            return data

    for source in (Doubled(GRAPHS), DoubledToo(GRAPHS)[:]):
        assert MirageDataset(source, 1, 0.1)[0].x.max() == 2


def sparse_graphs() -> list[Data]:
    graphs = random_graphs(10, edge_weight=True)
    # Both transforms add up parallel edges.
    for data in graphs:
        data.edge_index, data.edge_weight = _coalesce(data)
    return graphs


def _coalesce(data: Data) -> tuple:
    from torch_geometric.utils import coalesce

    return coalesce(data.edge_index, data.edge_weight, data.num_nodes)


@pytest.mark.parametrize(
    'layout',
    [
        pytest.param(None, marks=with_torch_sparse),
        torch.sparse_coo,
        torch.sparse_csr,
    ],
)
@pytest.mark.parametrize('lazy', [True, False])
def test_sparse_adjacencies(layout: Any, lazy: bool) -> None:
    graphs = sparse_graphs()
    expected = MirageDataset(graphs, 2, 0.1)
    transform = T.ToSparseTensor(layout=layout)
    if lazy:
        source = Graphs(graphs, transform=transform)
        assert 'adj_t' in source[0]
    else:
        source = [transform(data.clone()) for data in graphs]
    assert same(MirageDataset(source, 2, 0.1), expected)
    assert same(
        MirageDataset(source[2:], 2, 0.1), MirageDataset(graphs[2:], 2, 0.1)
    )


@with_torch_sparse
def test_collated_sparse_tensors() -> None:
    graphs = sparse_graphs()
    source = [T.ToSparseTensor()(data.clone()) for data in graphs]
    assert same(
        MirageDataset(Graphs(source)[1:], 2, 0.1),
        MirageDataset(graphs[1:], 2, 0.1),
    )


def test_an_adjacency_beside_the_edges_says_nothing_new() -> None:
    graphs = random_graphs(10, edge_attr=True)
    expected = MirageDataset(graphs, 2, 0.1)
    transform = T.ToSparseTensor(
        attr=None, remove_edge_index=False, layout=torch.sparse_csr
    )
    source = [transform(data.clone()) for data in graphs]
    assert 'edge_index' in source[0]
    assert 'adj_t' in source[0]
    for given in (source, Graphs(source), Graphs(source)[:]):
        assert same(MirageDataset(given, 2, 0.1), expected)


def test_edge_index_objects() -> None:
    graphs = random_graphs(10)
    expected = MirageDataset(graphs, 2, 0.1)
    for data in graphs:
        size = (data.num_nodes, data.num_nodes)
        data.edge_index = EdgeIndex(data.edge_index, sparse_size=size)
    for source in (graphs, Graphs(graphs)):
        dataset = MirageDataset(source, 2, 0.1)
        assert same(dataset, expected)
        assert type(dataset[0].edge_index) is torch.Tensor
        part = MirageDataset(source[::2], 2, 0.1)
        assert same(part, MirageDataset(graphs[::2], 2, 0.1))


@pytest.mark.parametrize('selection', ['patterns', 'lossless'])
@pytest.mark.parametrize('compact', [True, False])
def test_the_order_of_nodes_and_edges_does_not_matter(
    selection: str, compact: bool
) -> None:
    permuted = [permute(data, seed)[0] for seed, data in enumerate(GRAPHS)]
    options = {'selection': selection, 'compact': compact}
    assert same(
        MirageDataset(permuted, 2, **options),
        MirageDataset(GRAPHS, 2, **options),
    )


def test_the_source_is_left_as_it_is() -> None:
    graphs = random_graphs(8, edge_attr=True)
    before = [data.clone() for data in graphs]
    source = Graphs(graphs)
    for given in (graphs, source, Graphs(graphs, transform=lambda d: d)):
        MirageDataset(given, 2, 0.1, exclude_keys=['edge_attr'])
    assert same(graphs, before)
    assert same(list(source), before)


def test_exclude_keys_leaves_out_what_only_some_graphs_have() -> None:
    graphs = random_graphs(8)
    expected = MirageDataset(graphs, 1, 0.1)
    graphs[3].pos = torch.rand(graphs[3].num_nodes, 3)
    found = MirageDataset(graphs, 1, 0.1, exclude_keys=['pos'])
    assert same(found, expected)
    assert found.report.left_out == ['pos']


def test_gradients_of_the_source_end_there() -> None:
    graphs = random_graphs(8)
    for data in graphs:
        data.x.requires_grad_()
        data.target = torch.ones(1, requires_grad=True)
    dataset = MirageDataset(graphs, 1, selection='lossless')
    assert not dataset._data.x.requires_grad
    assert not dataset._data.target.requires_grad


def test_no_graph_is_read_twice_without_need() -> None:
    class Counting(Lazy):
        reads = 0

        def get(self, idx: int) -> Data:
            self.reads += 1
            return super().get(idx)

    source = Counting(random_graphs(10))
    MirageDataset(source, 1, 0.1)
    # Three graphs are read twice before, to see whether they are random.
    assert source.reads == 10 + 6


def test_iterators_are_refused() -> None:
    def generate() -> Iterator[Data]:
        yield from random_graphs(4)

    with pytest.raises(TypeError, match=r'list\(\.\.\.\)'):
        MirageDataset(generate(), 1, 0.1)


def test_infinite_features_are_values() -> None:
    graphs = [path(1, 2), path(1, 2)]
    for data in graphs:
        data.x = torch.where(data.x == 2, math.inf, data.x)
    dataset = MirageDataset(graphs, 1, 0.1)
    assert sorted(dataset[0].x.view(-1).unique().tolist()) == [1, math.inf]


class Augmented(torch.utils.data.Dataset):
    """A data set of PyTorch's own that adds noise on every access."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, idx: int) -> Data:
        return Data(
            x=torch.rand(2, 1).round(decimals=3),
            edge_index=torch.tensor([[0, 1], [1, 0]]),
            y=torch.tensor([0]),
        )


def test_sources_that_are_random_by_themselves_are_refused() -> None:
    with pytest.raises(ValueError, match='random'):
        MirageDataset(Augmented(), 1, 0.1)


def test_a_dictionary_is_no_list() -> None:
    with pytest.raises(TypeError, match=r'graphs.values\(\)'):
        MirageDataset({0: path(1, 2)}, 1, 0.1)
