"""The result is an ordinary data set of PyG, with all that belongs to it."""

import copy
import pickle
import warnings
from pathlib import Path

import pytest
import torch
from torch.utils.data import WeightedRandomSampler
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.loader import (
    DataLoader,
    DynamicBatchSampler,
    ImbalancedSampler,
)
from torch_geometric.nn import GIN

from pyg_distill.datasets import MirageDataset
from pyg_distill.nn import global_root_pool
from tests.datasets.sources import Graphs, equal, path, random_graphs, same


class Loaded(InMemoryDataset):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.load(path)


@pytest.fixture(params=[3, None])
def dataset(request: pytest.FixtureRequest) -> MirageDataset:
    graphs = random_graphs(30, num_features=request.param)
    return MirageDataset(graphs, 2, min_support=2)


@pytest.mark.parametrize('num_workers', [0, 2])
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


def test_shuffled_loader_draws_everything_once(dataset: MirageDataset) -> None:
    loader = DataLoader(dataset, batch_size=3, shuffle=True)
    drawn = torch.cat([batch.support for batch in loader])
    assert drawn.sort().values.equal(dataset.support.sort().values)


def test_weighted_sampler_draws_classes_as_often_as_the_source() -> None:
    graphs = [path(1, 2), path(1, 3), path(1)] * 10
    graphs += [path(5, 6, y=1)] * 10
    dataset = MirageDataset(graphs, 0, min_support=0.1, patterns='all')
    assert dataset.weight.mean() == pytest.approx(1)
    generator = torch.Generator().manual_seed(0)
    sampler = WeightedRandomSampler(dataset.weight, 20_000, generator=generator)
    drawn = torch.bincount(torch.tensor(list(sampler))) / 20_000
    expected = dataset.weight / dataset.weight.sum()
    # Five standard deviations.
    assert (drawn - expected).abs().max() < 5 * (0.25 / 20_000) ** 0.5
    share = drawn[dataset.y == 0].sum()
    assert float(share) == pytest.approx(0.75, abs=0.02)


def test_imbalanced_sampler_draws_classes_equally() -> None:
    graphs = [path(1, 2), path(1, 3), path(1)] * 10 + [path(5, y=1)]
    dataset = MirageDataset(graphs, 0, 0.1, patterns='all')
    sampler = ImbalancedSampler(dataset, num_samples=4000)
    drawn = dataset.y[list(sampler)].double().mean()
    assert float(drawn) == pytest.approx(0.5, abs=0.05)


def test_dynamic_batch_sampler(dataset: MirageDataset) -> None:
    limit = max(data.num_nodes for data in dataset) + 5
    sampler = DynamicBatchSampler(dataset, max_num=limit, mode='node')
    num_graphs = 0
    for batch in DataLoader(dataset, batch_sampler=sampler):
        assert batch.num_nodes <= limit
        num_graphs += batch.num_graphs
    assert num_graphs == len(dataset)


def test_slices_and_copies(dataset: MirageDataset) -> None:
    graphs = list(dataset)
    assert same(dataset[2:5], graphs[2:5])
    assert same(dataset[[-1, 0]], [graphs[-1], graphs[0]])
    assert same(dataset[dataset.y == 1], [d for d in graphs if d.y == 1])
    assert equal(dataset[-1], graphs[-1])
    assert equal(dataset[torch.tensor(1)], graphs[1])
    shuffled, perm = dataset.shuffle(return_perm=True)
    assert same(shuffled, [graphs[i] for i in perm])
    part = dataset[1:4]
    for copied in (part.copy(), dataset.copy([1, 2, 3]), copy.copy(part)):
        assert same(copied, graphs[1:4])
        assert copied.num_classes == dataset.num_classes
        assert copied.report is dataset.report
        assert copied.weight.equal(dataset.weight[1:4])


@pytest.mark.parametrize(
    'how', [copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))]
)
def test_pickle_and_deepcopy(dataset: MirageDataset, how: object) -> None:
    for original in (dataset, dataset[1:3]):
        copied = how(original)
        assert same(copied, original)
        assert copied.report == dataset.report
        assert repr(copied) == repr(original)
    assert how(dataset)[0].root_index is not dataset[0].root_index


def test_attributes_are_stacked(dataset: MirageDataset) -> None:
    for name in ('y', 'support', 'weight'):
        stacked = torch.cat([data[name] for data in dataset])
        assert getattr(dataset, name).equal(stacked)
        assert getattr(dataset[1:3], name).equal(stacked[1:3])
    assert dataset.support.dtype == torch.long
    assert dataset.weight.dtype == torch.float
    assert dataset.num_layers.tolist() == [2] * len(dataset)
    assert dataset[0].num_layers.tolist() == [2]


def test_no_attribute_shares_memory_with_the_source() -> None:
    source = Graphs(random_graphs(8))
    dataset = MirageDataset(source, 1, selection='lossless')
    source._data.x.fill_(7)
    source._data.y.fill_(7)
    assert dataset._data.x.max() <= 1
    assert dataset.y.max() == 1


def test_length_and_repr() -> None:
    dataset = MirageDataset([path(1, 2), path(1)], 0, 0.1)
    assert len(dataset) == 2
    assert repr(dataset) == (
        'MirageDataset(2, from 2 graphs, 8 packed bytes, num_layers=0, '
        "selection='patterns', min_support=0.1)"
    )
    whole = MirageDataset([path(1, 2)] * 5, 1, selection='graphs', budget=0.9)
    assert whole.report.source_packed_bytes is not None
    share = whole.report.packed_bytes / whole.report.source_packed_bytes
    assert repr(whole) == (
        f'MirageDataset({len(whole)}, from 5 graphs, {share:.2%} of the '
        f"packed bytes, num_layers=1, selection='graphs', budget=0.9)"
    )
    dataset = MirageDataset(
        [path(1, 2), path(1)],
        1,
        selection='lossless',
        compact=False,
        exclude_keys=['pos'],
    )
    size = dataset.report.packed_bytes
    assert repr(dataset[:1]) == (
        f'MirageDataset(1 of 2, from 2 graphs, {size} packed bytes, '
        f"num_layers=1, selection='lossless', compact=False, "
        f"exclude_keys=['pos'])"
    )
    assert str(dataset) == repr(dataset)


def test_one_distilled_graph_is_a_data_set() -> None:
    dataset = MirageDataset([path(1, 2)], 1, 0.1)
    assert len(dataset) == 1
    assert dataset.y.tolist() == [0]
    assert dataset[-1].support.tolist() == [1]
    assert same(dataset[:], [dataset[0]])
    (batch,) = DataLoader(dataset)
    assert batch.root_index.equal(dataset[0].root_index)


def test_features_keep_their_shape_and_type() -> None:
    graphs = random_graphs(8, edge_attr=True, edge_weight=True)
    for data in graphs:
        data.x = data.x.to(torch.int16)
        data.edge_weight = data.edge_weight.double()
    dataset = MirageDataset(graphs, 2, 0.1)
    data = dataset[0]
    assert data.x.dtype == torch.int16
    assert data.edge_attr.dtype == torch.long
    assert data.edge_weight.dtype == torch.double
    assert data.edge_weight.dim() == 1
    assert dataset.num_node_features == 3
    assert dataset.num_edge_features == 1


def test_graphs_without_features_have_as_many_nodes_as_trees_need() -> None:
    dataset = MirageDataset(random_graphs(12, num_features=None), 1, 0.1)
    for data in [*dataset, *pickle.loads(pickle.dumps(dataset))]:
        assert 'x' not in data
        edges = data.edge_index.unique()
        used = torch.cat([edges, data.root_index]).unique()
        assert data.num_nodes == used.numel()


def test_save_and_load_are_clean(
    dataset: MirageDataset, tmp_path: Path
) -> None:
    path = str(tmp_path / 'data.pt')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        MirageDataset.save(list(dataset), path)
        torch.load(path, weights_only=True)
        loaded = Loaded(path)
    assert same(loaded, dataset)


def test_training_on_distilled_and_ordinary_graphs_at_once() -> None:
    graphs = [
        Data.from_dict(d.to_dict()) for d in random_graphs(10) if d.num_nodes
    ]
    dataset = MirageDataset(graphs, 2, 0.1)
    gnn = GIN(3, 8, 2)
    head = torch.nn.Linear(8, dataset.num_classes)
    optimizer = torch.optim.Adam([*gnn.parameters(), *head.parameters()])
    before = head.weight.clone()
    for loader in (DataLoader(dataset, 4), DataLoader(graphs, 4)):
        for batch in loader:
            optimizer.zero_grad()
            x = gnn(batch.x, batch.edge_index)
            out = head(
                global_root_pool(
                    x,
                    batch.batch,
                    batch.get('root_index'),
                    batch.get('root_count'),
                    size=batch.num_graphs,
                )
            )
            loss = torch.nn.functional.cross_entropy(
                out, batch.y, reduction='none'
            )
            weight = batch.get('weight')
            loss = loss if weight is None else loss * weight
            loss.mean().backward()
            optimizer.step()
    assert not head.weight.equal(before)


def test_concatenated_data_sets_are_loaded_together() -> None:
    parts = [MirageDataset(random_graphs(8, seed=s), 2, 0.1) for s in range(2)]
    both = torch.utils.data.ConcatDataset(parts)
    (batch,) = DataLoader(both, batch_size=len(both))
    assert batch.weight.equal(torch.cat([p.weight for p in parts]))
