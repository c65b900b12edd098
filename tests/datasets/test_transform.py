"""Transforms may change features, but not the trees."""

from collections.abc import Callable

import pytest
import torch
import torch_geometric.transforms as T
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader import DataLoader

from pyg_distill.datasets import MirageDataset
from tests.datasets.sources import name_of, path, random_graphs

# One node alone, one pair and one path, each frequent.
GRAPHS = [path(1), path(1, 2), path(3, 4, 5)] * 2


def drop_roots(data: Data) -> Data:
    del data.root_index
    return data


def turn_roots(data: Data) -> Data:
    data.root_index = data.root_index.flip(0) + 1
    return data


def to_hetero(data: Data) -> HeteroData:
    out = HeteroData()
    out['atom'].x = data.x
    return out


@pytest.mark.parametrize(
    'transform',
    [
        T.AddSelfLoops(),
        T.AddRemainingSelfLoops(),
        T.ToUndirected(),
        T.VirtualNode(),
        T.LineGraph(),
        T.RemoveIsolatedNodes(),
        T.ToSparseTensor(layout=torch.sparse_csr),
        T.TwoHop(),
        T.ToDense(9),
        drop_roots,
        turn_roots,
        to_hetero,
        lambda data: (data, T.AddSelfLoops()(data)),
        lambda data: None,
    ],
    ids=name_of,
)
def test_structural_transforms_are_refused(transform: Callable) -> None:
    # Compact trees, of which at least one shows each of the changes.
    dataset = MirageDataset(GRAPHS, 2, 1, patterns='all', transform=transform)
    with pytest.raises(ValueError, match='ruins its trees') as info:
        list(dataset)
    assert '\n' not in str(info.value)
    with pytest.raises(ValueError, match='ruins its trees'):
        list(DataLoader(dataset))


@pytest.mark.parametrize(
    'transform',
    [
        T.NormalizeFeatures(),
        T.Constant(),
        T.Compose([T.Constant(cat=False), T.NormalizeFeatures()]),
        lambda data: data.update({'x': data.x + 1}),
        lambda data: data.clone(),
    ],
    ids=name_of,
)
@pytest.mark.parametrize('cached', [True, False])
def test_feature_transforms_are_applied(
    transform: Callable, cached: bool, tmp_path: object
) -> None:
    root = str(tmp_path) if cached else None
    plain = MirageDataset(GRAPHS, 2, 0.1)
    dataset = MirageDataset(GRAPHS, 2, 0.1, transform=transform, root=root)
    for data, original in zip(dataset, plain, strict=True):
        assert data.x.equal(transform(original).x)
        assert data.root_index.equal(original.root_index)
    (batch,) = DataLoader(dataset[1:], batch_size=99)
    assert batch.x.equal(torch.cat([data.x for data in dataset[1:]]))
    # What is stored is not changed.
    dataset.transform = None
    assert dataset[0].x.equal(plain[0].x)


@pytest.mark.parametrize(
    'transform',
    [
        T.GCNNorm(),
        T.GCNNorm(add_self_loops=False),
        T.OneHotDegree(10),
        T.LocalDegreeProfile(),
        T.AddRandomWalkPE(3),
        T.Compose([T.Constant(), T.OneHotDegree(10)]),
    ],
    ids=name_of,
)
def test_transforms_that_read_edges_are_refused(transform: Callable) -> None:
    with pytest.raises(ValueError, match='apply it to the source'):
        MirageDataset(GRAPHS, 2, 0.1, transform=transform)
    dataset = MirageDataset(GRAPHS, 2, 0.1)
    dataset.transform = transform
    with pytest.raises(ValueError, match='apply it to the source'):
        dataset[0]


def weigh(data: Data) -> Data:
    data.edge_weight = torch.ones(data.num_edges)
    return data


def recount(data: Data) -> Data:
    data.root_count = data.root_count[:1].repeat(9)
    return data


@pytest.mark.parametrize('transform', [weigh, recount])
def test_weights_and_counts_are_kept(transform: Callable) -> None:
    dataset = MirageDataset(GRAPHS, 2, 0.1, transform=transform)
    with pytest.raises(ValueError, match='ruins its trees'):
        dataset[0]


def test_two_views_are_two_graphs() -> None:
    dataset = MirageDataset(
        GRAPHS, 2, 0.1, transform=lambda d: (d, T.Constant()(d))
    )
    first, second = dataset[0]
    assert (first.num_features, second.num_features) == (1, 2)


def test_constant_gives_features_where_there_are_none() -> None:
    graphs = random_graphs(12, num_features=None)
    dataset = MirageDataset(graphs, 1, 0.1, transform=T.Constant())
    assert dataset.num_features == 1
    assert all(data.x.size(0) == data.num_nodes for data in dataset)


def test_isolated_nodes_are_kept() -> None:
    dataset = MirageDataset([path(1)], 3, 0.1)
    assert dataset[0].num_nodes == 1
    assert dataset[0].num_edges == 0
    assert dataset[0].root_index.tolist() == [0]


@pytest.mark.parametrize(
    'transform',
    [T.RemoveIsolatedNodes(), lambda d: d.update({'x': d.x.repeat(2, 1)})],
)
def test_more_or_fewer_isolated_nodes_are_refused(transform: Callable) -> None:
    dataset = MirageDataset([path(1)], 3, 0.1, transform=transform)
    with pytest.raises(ValueError, match='ruins its trees'):
        dataset[0]


def test_in_place_changes_of_structure_do_not_pass() -> None:
    def relink(data: Data) -> Data:
        data.edge_index = data.edge_index.flip(0)
        return data

    with pytest.raises(ValueError, match='ruins its trees'):
        list(MirageDataset(GRAPHS, 2, 0.1, transform=relink))
