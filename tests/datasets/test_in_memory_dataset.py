"""The result is an ordinary data set of PyG, with all that belongs to it."""

import copy
import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch_geometric.transforms as T
from torch.utils.data import ConcatDataset
from torch_geometric.data import Data, HeteroData, InMemoryDataset
from torch_geometric.loader import (
    DataLoader,
    DynamicBatchSampler,
)

from pyg_distill.datasets import MirageDataset
from pyg_distill.selection import FrequentTrees
from tests.datasets.sources import name_of
from tests.selection.helpers import equal, path, random_graphs, same

# One node alone, one pair and one path, each frequent.
GRAPHS = [path(1), path(1, 2), path(3, 4, 5)] * 2
BY_TREES = FrequentTrees(1, 'all')


class Loaded(InMemoryDataset):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.load(path)


@pytest.fixture(
    params=[
        ('frequent', 3),
        ('frequent', None),
        ('herding', 3),
        ('herding', None),
    ],
    ids=name_of,
)
def dataset(request: pytest.FixtureRequest) -> MirageDataset:
    selection, num_features = request.param
    graphs = random_graphs(30, num_features=num_features)
    limit = {'budget': 0.8} if selection == 'frequent' else {'num_graphs': 9}
    return MirageDataset(graphs, 2, selection=selection, **limit)


@pytest.mark.parametrize(
    'num_workers', [0, pytest.param(2, marks=pytest.mark.slow)]
)
def test_data_loader(dataset: MirageDataset, num_workers: int) -> None:
    loader = DataLoader(dataset, batch_size=4, num_workers=num_workers)
    start = 0
    for batch in loader:
        graphs = [dataset[i] for i in range(start, start + batch.num_graphs)]
        start += batch.num_graphs
        offsets = batch.ptr[batch.batch[batch.root_index]]
        roots = torch.cat([data.root_index for data in graphs])
        assert (batch.root_index - offsets).equal(roots)
        assert batch.weight.size() == batch.y.size() == (batch.num_graphs,)
        for data, original in zip(batch.to_data_list(), graphs, strict=True):
            assert equal(data, original)
    assert start == len(dataset)
    loader = DataLoader(dataset, batch_size=3, shuffle=True)
    drawn = torch.cat([batch.weight for batch in loader])
    assert drawn.sort().values.equal(dataset.weight.sort().values)


def test_samplers(dataset: MirageDataset) -> None:
    limit = max(data.num_nodes for data in dataset) + 5
    sampler = DynamicBatchSampler(dataset, max_num=limit, mode='node')
    num_graphs = 0
    for batch in DataLoader(dataset, batch_sampler=sampler):
        assert batch.num_nodes <= limit
        num_graphs += batch.num_graphs
    assert num_graphs == len(dataset)
    both = ConcatDataset([dataset, dataset[:2]])
    (batch,) = DataLoader(both, batch_size=len(both))
    assert batch.weight.equal(torch.cat([dataset.weight, dataset.weight[:2]]))


def test_slices_and_copies(dataset: MirageDataset) -> None:
    graphs = list(dataset)
    assert same(dataset[2:5], graphs[2:5])
    assert same(dataset[[-1, 0]], [graphs[-1], graphs[0]])
    assert same(dataset[dataset.y == 1], [d for d in graphs if d.y == 1])
    assert equal(dataset[-1], graphs[-1])
    assert equal(dataset[torch.tensor(1)], graphs[1])
    shuffled, perm = dataset.shuffle(return_perm=True)
    assert same(shuffled, [graphs[i] for i in perm])
    assert shuffled.source_index.equal(dataset.source_index[perm])
    part = dataset[1:4]
    for copied in (part.copy(), dataset.copy([1, 2, 3]), copy.copy(part)):
        assert same(copied, graphs[1:4])
        assert copied.num_classes == dataset.num_classes
        assert copied.report is dataset.report
        assert copied.weight.equal(dataset.weight[1:4])
    for name in ('y', 'support', 'weight', 'num_layers', 'target'):
        stacked = torch.cat([data[name] for data in dataset])
        assert getattr(dataset, name).equal(stacked)
        assert getattr(dataset[1:3], name).equal(stacked[1:3])


@pytest.mark.parametrize(
    'how', [copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))]
)
def test_pickle_and_deepcopy(dataset: MirageDataset, how: Callable) -> None:
    for original in (dataset, dataset[1:3]):
        copied = how(original)
        assert same(copied, original)
        assert copied.report == dataset.report
        assert repr(copied) == repr(original)
        assert copied.source_index.equal(original.source_index)
    assert how(dataset)[0].root_index is not dataset[0].root_index


def test_save_and_load_are_clean(
    dataset: MirageDataset, tmp_path: Path
) -> None:
    name = str(tmp_path / 'data.pt')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        MirageDataset.save(list(dataset), name)
        torch.load(name, weights_only=True)
        loaded = Loaded(name)
    assert same(loaded, dataset)


def test_length_and_repr() -> None:
    kept = MirageDataset([path(1, 2), path(1)], 0, selection='frequent')
    assert len(kept) == 2
    size = kept.report.compressed_bytes
    assert repr(kept) == (
        f'MirageDataset(2, from 2 graphs, {size} compressed bytes, '
        f"num_layers=0, selection='frequent')"
    )
    whole = MirageDataset([path(1, 2)] * 5, 1, selection='herding', budget=0.9)
    share = whole.report.compressed_bytes / whole.report.source_compressed_bytes
    assert repr(whole) == (
        f'MirageDataset({len(whole)}, from 5 graphs, {share:.2%} of the '
        f"compressed bytes, num_layers=1, budget=0.9, selection='herding')"
    )
    assert repr(kept[:1]).startswith('MirageDataset(1 of 2, from 2 graphs')
    assert str(kept) == repr(kept)


# Transforms of every access ---------------------------------------------


OF_NODES: list[Callable] = [
    *(T.VirtualNode(), T.LineGraph(), T.RemoveIsolatedNodes(), T.ToDense(9)),
    lambda data: Data(x=data.x, edge_index=data.edge_index),
    lambda data: data.update({'root_index': data.root_index.flip(0) + 1}),
    lambda data: data.update({'root_count': data.root_count[:1].repeat(9)}),
    lambda data: data.update({'x': data.x.repeat(2, 1)}),
    lambda data: HeteroData(atom={'x': data.x}),
    lambda data: None,
]
OF_EDGES: list[Callable] = [
    *(T.AddSelfLoops(), T.AddRemainingSelfLoops(), T.ToUndirected()),
    *(T.ToSparseTensor(layout=torch.sparse_csr), T.TwoHop()),
    lambda data: data.update({'edge_index': data.edge_index.flip(0)}),
    lambda data: data.update({'edge_weight': torch.ones(data.num_edges)}),
    lambda data: (data, T.AddSelfLoops()(data)),
]
READ_EDGES: list[Callable] = [
    T.GCNNorm(),
    T.GCNNorm(add_self_loops=False),
    T.OneHotDegree(10),
    T.LocalDegreeProfile(),
    T.AddRandomWalkPE(3),
    T.Compose([T.Constant(), T.OneHotDegree(10)]),
]


@pytest.mark.parametrize('transform', OF_NODES + OF_EDGES, ids=name_of)
@pytest.mark.parametrize('selection', [BY_TREES, 'herding'], ids=name_of)
def test_transforms_that_change_trees_are_refused(
    selection: Any, transform: Any
) -> None:
    limits: Any = {'num_graphs': 6} if selection == 'herding' else {}
    kept = MirageDataset(
        GRAPHS, 2, selection=selection, transform=transform, **limits
    )
    if selection == 'herding' and transform in OF_EDGES:
        return
    with pytest.raises(ValueError, match='pre_transform') as info:
        list(kept)
    assert '\n' not in str(info.value)
    with pytest.raises(ValueError, match='pre_transform'):
        list(DataLoader(kept))


@pytest.mark.parametrize('transform', READ_EDGES, ids=name_of)
def test_transforms_that_read_edges_of_trees_are_refused(
    transform: Any, tmp_path: Path
) -> None:
    options: Any = {'selection': 'frequent', 'root': str(tmp_path)}
    with pytest.raises(ValueError, match='pre_transform'):
        MirageDataset(GRAPHS, 2, transform=transform, **options)
    kept = MirageDataset(GRAPHS, 2, **options)
    kept.transform = transform
    with pytest.raises(ValueError, match='pre_transform'):
        kept[0]
    with pytest.raises(ValueError, match='pre_transform'):
        MirageDataset.from_file(kept.processed_paths[0], transform)
    if isinstance(transform, T.AddRandomWalkPE):
        return
    # They see the graphs of the source.
    before = MirageDataset(GRAPHS, 2, pre_transform=transform, **options)
    graphs = [transform(data.clone()) for data in GRAPHS]
    assert same(before, MirageDataset(graphs, 2, selection='frequent'))


@pytest.mark.parametrize('selection', [BY_TREES, 'random'], ids=name_of)
@pytest.mark.parametrize('cached', [True, False])
def test_feature_transforms_are_applied(
    selection: Any, cached: bool, tmp_path: Path
) -> None:
    options: Any = {'selection': selection}
    if selection == 'random':
        options['num_graphs'] = 5
    plain = MirageDataset(GRAPHS, 2, **options)
    root = str(tmp_path) if cached else None
    for transform in (
        T.NormalizeFeatures(),
        T.Compose([T.Constant(cat=False), T.NormalizeFeatures()]),
        lambda data: data.update({'x': data.x + 1}),
    ):
        kept = MirageDataset(
            GRAPHS, 2, transform=transform, root=root, **options
        )
        for data, original in zip(kept, plain, strict=True):
            assert data.x.equal(transform(original).x)
            assert data.root_index.equal(original.root_index)
        (batch,) = DataLoader(kept[1:], batch_size=99)
        assert batch.x.equal(torch.cat([data.x for data in kept[1:]]))
        # What is stored is not changed.
        kept.transform = None
        assert kept[0].x.equal(plain[0].x)


def test_pre_transform_and_pre_filter(tmp_path: Path) -> None:
    graphs = random_graphs(20)

    def double(data: Data) -> Data:
        return data.clone().update({'x': 2 * data.x})

    def is_large(data: Data) -> bool:
        return data.num_nodes > 2

    options: Any = {'num_graphs': 5, 'selection': 'multisets'}
    wanted = [double(data) for data in graphs if is_large(data)]
    expected = MirageDataset(wanted, 2, **options)
    pre: Any = {'pre_transform': double, 'pre_filter': is_large}
    for _ in range(2):
        kept = MirageDataset(graphs, 2, root=str(tmp_path), **pre, **options)
        assert same(kept, expected)
    with pytest.raises(ValueError, match='pre_filter'):
        MirageDataset(graphs, 2, pre_filter=lambda data: False)


# Default types of tensors, which others set, change no result ------------


@contextmanager
def default(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize('dtype', [torch.double, torch.half])
@pytest.mark.parametrize(
    'options',
    [
        {'budget': 0.3, 'class_weight': 'uniform'},
        *(
            {'selection': name, 'budget': 0.2}
            for name in ('frequent', 'multisets', 'herding', 'kcenter')
        ),
        {'selection': 'lossless'},
    ],
    ids=name_of,
)
def test_the_default_type_changes_nothing(
    options: dict[str, Any], dtype: torch.dtype
) -> None:
    graphs = random_graphs(60, (0, 1, 2), 9, edge_attr=True, edge_weight=True)
    expected = MirageDataset(graphs, 2, **options)
    with default(dtype):
        found = MirageDataset(graphs, 2, **options)
        assert same(list(found), list(expected))
    assert found.report.scores == expected.report.scores
    assert found.report.sharing == expected.report.sharing
