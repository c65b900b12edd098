"""Coresets are graphs of the source, as many as are paid for."""

import copy
import pickle
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Subset, WeightedRandomSampler
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader, DynamicBatchSampler
from torch_geometric.nn import GIN, global_add_pool

from pyg_distill.datasets import CoresetDataset
from pyg_distill.datasets.packing.column import packed_bytes
from pyg_distill.datasets.packing.packed import pack
from pyg_distill.datasets.reading.source import read_source
from pyg_distill.trees import Forest, tree_histograms
from tests.datasets.coresets.brute_force import farthest_first, herd
from tests.datasets.sources import Graphs, equal, random_graphs, same
from tests.datasets.test_split import HELD_OUT, TRAIN, poison
from tests.oracles import trees_of

METHODS = ['random', 'herding', 'k_center']


def unequal(num_graphs: int = 40) -> list[Data]:
    """Graphs of three classes that are not of the same size."""
    graphs = random_graphs(num_graphs, (0, 2, 2, 5, 2), edge_attr=True)
    for i, data in enumerate(graphs):
        data.target = torch.tensor([[float(i), 0.5]])
    return graphs


def bytes_of(graphs: list[Data]) -> int:
    """What graphs take, each without its weight."""
    bare = [data.clone() for data in graphs]
    for data in bare:
        del data.weight
    whole = Graphs(bare)
    return packed_bytes(pack(whole._data, whole.slices))


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('num_features', [3, None])
@pytest.mark.parametrize('num_graphs', [2, 3, 7, 12])
def test_graphs_are_those_of_the_source(
    method: str, num_features: int | None, num_graphs: int
) -> None:
    source = random_graphs(
        12, num_features=num_features, edge_attr=True, edge_weight=True
    )
    for i, data in enumerate(source):
        data.target = torch.full((1, 2), float(i))
        data.name = f'graph {i}'
        data.x = data.x.short() if num_features else None
        data.y = data.y.view(1, 1).float()
    dataset = CoresetDataset(source, method, num_graphs=num_graphs)
    assert len(dataset) == num_graphs
    assert dataset.source_index.unique().numel() == num_graphs
    for data, i in zip(dataset, dataset.source_index.tolist(), strict=True):
        expected = source[i].clone()
        del expected.name
        expected.y = expected.y.long()
        expected.weight = data.weight
        if num_features is None:
            del expected.x
        assert equal(data, expected)
    assert dataset.report.left_out == ['name']


@pytest.mark.parametrize('num_features', [3, None])
def test_the_full_set_is_the_source(num_features: int | None) -> None:
    source = random_graphs(9, (0, 1, 1), num_features=num_features)
    dataset = CoresetDataset(Graphs(source), 'full')
    for data in source:
        data.weight = torch.ones(1)
    assert same(dataset, source)
    assert dataset.report.packed_bytes == bytes_of(source)
    assert dataset.report.source_packed_bytes == bytes_of(source)


@pytest.mark.parametrize('num_features', [3, None])
def test_one_graph_is_a_data_set(num_features: int | None) -> None:
    source = random_graphs(5, (0,), num_features=num_features)
    dataset = CoresetDataset(source, 'herding', num_graphs=1)
    assert len(dataset) == 1
    assert dataset.slices is None  # As PyG has it.
    data = dataset[0]
    assert data.weight.tolist() == [1]
    assert data.num_nodes == source[int(dataset.source_index)].num_nodes
    (batch,) = DataLoader(dataset)
    assert batch.num_graphs == 1


@pytest.mark.parametrize('method', METHODS)
def test_a_larger_coreset_holds_a_smaller_one(method: str) -> None:
    source = unequal()
    sets = [
        {*CoresetDataset(source, method, num_graphs=n).source_index.tolist()}
        for n in (3, 4, 5, 6, 13, 30, 40)
    ]
    for small, large in pairwise(sets):
        assert small < large


@pytest.mark.parametrize('method', METHODS)
def test_classes_keep_their_shares(method: str) -> None:
    dataset = CoresetDataset(unequal(), method, num_graphs=10)
    assert Counter(dataset.y.tolist()) == {0: 2, 2: 6, 5: 2}
    assert dataset.report.classes == {0: (8, 2), 2: (24, 6), 5: (8, 2)}
    assert dataset.num_classes == 6


@pytest.mark.parametrize(
    ('balance', 'expected'),
    [
        ('source', [0.2, 0.6, 0.2]),
        ('uniform', [1 / 3] * 3),
        ('none', [1 / 4, 2 / 4, 1 / 4]),
    ],
)
def test_weights_sum_to_shares(balance: str, expected: list[float]) -> None:
    dataset = CoresetDataset(
        unequal(), 'herding', num_graphs=4, balance=balance
    )
    weight, label = dataset.weight, dataset.y
    assert weight.dtype == torch.float
    assert weight.mean() == pytest.approx(1)
    for c, share in zip([0, 2, 5], expected, strict=True):
        assert weight[label == c].sum() / 4 == pytest.approx(share)
        assert weight[label == c].unique().numel() == 1


@pytest.mark.parametrize('depths', ['all', 'last'])
@pytest.mark.parametrize(
    ('method', 'oracle'), [('herding', herd), ('k_center', farthest_first)]
)
def test_classes_are_picked_by_their_trees(
    method: str, oracle: Callable, depths: str
) -> None:
    source = random_graphs(16, (0, 1, 1))
    levels = [2] if depths == 'last' else [0, 1, 2]
    count = [
        Counter((d, tree) for d in levels for tree in trees_of(graph, d))
        for graph in source
    ]
    trees = list(set().union(*count))
    expected = []
    for c in (0, 1):
        mine = [i for i, graph in enumerate(source) if int(graph.y) == c]
        rows = [tuple(count[i][tree] for tree in trees) for i in mine]
        expected.append([mine[i] for i in oracle(rows)])
    found = CoresetDataset(
        source, method, num_graphs=16, depths=depths, normalize='none'
    )
    assert found.source_index.tolist() == expected[0] + expected[1]


def test_embeddings_may_be_given() -> None:
    source = random_graphs(20)
    embedding = torch.randn(20, 4)
    read = []

    def embed(graphs: Any) -> Tensor:
        read.extend(graphs)
        return embedding

    given = CoresetDataset(source, 'herding', num_graphs=8, embedding=embedding)
    called = CoresetDataset(source, 'herding', num_graphs=8, embedding=embed)
    assert same(given, called)
    assert same(read, source)
    sparse = CoresetDataset(
        source, 'herding', num_graphs=8, embedding=embedding.to_sparse()
    )
    assert sparse.source_index.equal(given.source_index)
    trees = CoresetDataset(source, 'herding', num_graphs=8)
    assert not trees.source_index.equal(given.source_index)
    # Graphs of another class make no difference.
    moved = embedding.clone()
    moved[1::2] += 100
    again = CoresetDataset(source, 'herding', num_graphs=8, embedding=moved)
    assert again.source_index[:4].equal(given.source_index[:4])


def test_random_draws_depend_on_the_seed_only() -> None:
    source = unequal()
    torch.manual_seed(3)
    first = CoresetDataset(source, num_graphs=9, seed=1)
    state = torch.get_rng_state()
    assert same(CoresetDataset(source, num_graphs=9, seed=1), first)
    assert torch.get_rng_state().equal(state)
    other = CoresetDataset(source, num_graphs=9, seed=2)
    assert not other.source_index.equal(first.source_index)


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('budget', [90, 0.3, 1.0])
def test_budgets_are_filled_and_not_exceeded(
    method: str, budget: float
) -> None:
    source = unequal(60)
    dataset = CoresetDataset(source, method, budget=budget)
    room = budget
    if isinstance(budget, float):
        total = CoresetDataset(source, 'full').report.packed_bytes
        assert dataset.report.source_packed_bytes == total
        room = budget * total
    spent = bytes_of(dataset)
    assert dataset.report.packed_bytes == spent <= room
    if budget == 1.0:
        assert len(dataset) == 60
        return
    # Of no class, the next graph would fit.
    order = CoresetDataset(source, method, num_graphs=60).source_index
    taken = dataset.source_index.tolist()
    for c in (0, 2, 5):
        mine = [i for i in order.tolist() if int(source[i].y) == c]
        kept = [i for i in taken if int(source[i].y) == c]
        assert kept == mine[: len(kept)]
        next_one = [*taken, mine[len(kept)]]
        more = CoresetDataset([source[i] for i in next_one], 'full')
        assert more.report.packed_bytes > room


def test_the_smallest_budget_works() -> None:
    source = unequal()
    for given in (1, 1e-6):
        with pytest.raises(ValueError, match="'budget' is too small") as info:
            CoresetDataset(source, 'herding', budget=given)
        message = str(info.value)
        assert f'of each of 3 classes (got {given}' in message
        _, _, named = message.partition('the smallest that works is ')
        if given == 1:
            least = int(named.removesuffix(' bytes'))
            with pytest.raises(ValueError, match='too small'):
                CoresetDataset(source, 'herding', budget=least - 1)
        else:
            least = float(named.partition(',')[0])
            with pytest.raises(ValueError, match='too small'):
                CoresetDataset(source, 'herding', budget=least - 2e-6)
        assert len(CoresetDataset(source, 'herding', budget=least)) >= 3


@pytest.mark.parametrize(
    'select', [lambda d: d[TRAIN], lambda d: Subset(d, TRAIN)]
)
@pytest.mark.parametrize('num_features', [3, None])
@pytest.mark.parametrize('method', [*METHODS, 'full'])
def test_held_out_graphs_are_not_read(
    method: str, num_features: int | None, select: Callable
) -> None:
    def graphs() -> list[Data]:
        out = random_graphs(12, num_features=num_features, edge_attr=True)
        for i, data in enumerate(out):
            data.target = torch.tensor([float(i)])
            data.edge_attr = data.edge_attr.float()
        return out

    size = {} if method == 'full' else {'budget': 0.7}
    whole = graphs()
    expected = CoresetDataset([whole[i] for i in TRAIN], method, **size)
    poisoned = Graphs(poison(graphs()))
    found = CoresetDataset(select(poisoned), method, **size)
    assert same(found, expected)
    assert found.report.source == expected.report.source
    assert found.report.packed_bytes == expected.report.packed_bytes
    with pytest.raises(ValueError, match='edge_index'):
        CoresetDataset(poisoned[[*TRAIN, HELD_OUT[0]]], method, **size)


class Twice:
    """Graphs that come one by one, as often as asked."""

    def __init__(self, graphs: list[Data]) -> None:
        self.graphs = graphs

    def __iter__(self) -> Any:
        return iter(self.graphs)


@pytest.mark.parametrize(
    'wrap',
    [
        Graphs,
        Twice,
        lambda graphs: [Graphs(graphs[:7]), Graphs(graphs[7:])],
        lambda graphs: DataLoader(graphs, 5),
        lambda graphs: tuple(graphs),
    ],
)
def test_any_source(wrap: Callable) -> None:
    graphs = random_graphs(20, (0, 1, 1))
    expected = CoresetDataset(graphs, 'herding', num_graphs=6)
    read = []

    def embed(given: Any) -> Tensor:
        read.append(len(given))
        return torch.randn(20, 2)

    source = wrap(graphs)
    assert same(CoresetDataset(source, 'herding', num_graphs=6), expected)
    CoresetDataset(source, 'herding', num_graphs=6, embedding=embed)
    assert read == [20]


def test_it_is_an_ordinary_data_set() -> None:
    source = [data for data in unequal(60) if data.num_nodes]
    dataset = CoresetDataset(source, 'herding', num_graphs=20)
    graphs = list(dataset)
    assert same(dataset[3:6], graphs[3:6])
    assert dataset[3:6].report is dataset.report
    for copied in (
        copy.deepcopy(dataset),
        pickle.loads(pickle.dumps(dataset)),
    ):
        assert same(copied, graphs)
        assert repr(copied) == repr(dataset)
    seen = Counter()
    for batch in DataLoader(dataset, 6, shuffle=True):
        seen.update(batch.target[:, 0].tolist())
    assert {*seen.values()} == {1}
    sampler = WeightedRandomSampler(dataset.weight, 10)
    assert sum(b.num_graphs for b in DataLoader(dataset, 4, sampler=sampler))
    sampler = DynamicBatchSampler(dataset, max_num=30, mode='node')
    assert sum(b.num_graphs for b in DataLoader(dataset, batch_sampler=sampler))
    doubled = CoresetDataset(
        source, num_graphs=4, transform=lambda d: Data(x=d.x * 2, y=d.y)
    )
    assert doubled[0].x.max() == 2
    gnn, head = GIN(3, 8, 2), torch.nn.Linear(8, dataset.num_classes)
    for batch in DataLoader(dataset, 8):
        x = gnn(batch.x, batch.edge_index)
        out = head(global_add_pool(x, batch.batch))
        loss = torch.nn.functional.cross_entropy(out, batch.y, reduction='none')
        (loss * batch.weight).mean().backward()


def test_memory_is_not_shared_with_the_source() -> None:
    source = Graphs(random_graphs(8))
    for method in ('full', 'random'):
        size = {} if method == 'full' else {'num_graphs': 8}
        dataset = CoresetDataset(source, method, **size)
        source._data.x.fill_(7)
        source._data.edge_index.fill_(7)
        source._data.y.fill_(7)
        assert dataset._data.x.max() <= 1
        assert dataset._data.edge_index.max() < 7
        assert dataset.y.max() == 1
        source = Graphs(random_graphs(8))


def test_report_and_repr() -> None:
    source = unequal()
    dataset = CoresetDataset(
        source, 'herding', budget=0.3, num_layers=1, exclude_keys=['target']
    )
    report = dataset.report
    share = report.packed_bytes / report.source_packed_bytes
    assert repr(dataset) == (
        f'CoresetDataset({len(dataset)}, from 40 graphs, {share:.2%} of the '
        f"packed bytes, method='herding', budget=0.3, num_layers=1, "
        f"exclude_keys=['target'])"
    )
    assert repr(report) == str(report)
    assert report.source.num_graphs == 40
    assert report.source.num_nodes == sum(d.num_nodes for d in source)
    assert report.source.num_edges == sum(d.num_edges for d in source)
    kept = list(dataset)
    assert report.distilled.num_graphs == len(kept)
    assert report.distilled.num_nodes == sum(d.num_nodes for d in kept)
    assert report.distilled.num_bytes == sum(
        value.numel() * value.element_size()
        for data in kept
        for value in data.to_dict().values()
    )
    assert report.left_out == ['target']
    assert report.seconds > 0
    lines = str(report).splitlines()
    packed, total = report.packed_bytes, report.source_packed_bytes
    assert (
        f'packed bytes{total:>14,}{packed:>14,}{packed / total:>10.2%}' in lines
    )
    assert any(line.startswith('class 2 ') for line in lines)
    assert lines[-1] == 'left out: target'
    out = report.to_dict()
    assert out['classes']['2']['num_graphs'] == 24
    assert out['packed_bytes'] == packed

    random = CoresetDataset(source, num_graphs=5, seed=4)
    assert 'seed=4' in repr(random)
    assert 'num_layers' not in repr(random)
    assert random.report.source_packed_bytes is None
    assert 'packed bytes             -' in str(random.report)
    assert repr(random[1:3]) == (
        f'CoresetDataset(2 of 5, from 40 graphs, {random.report.packed_bytes} '
        f"packed bytes, method='random', num_graphs=5, seed=4)"
    )
    given = CoresetDataset(
        source, 'k_center', num_graphs=5, embedding=torch.ones(40, 2)
    )
    assert "embedding='given [40, 2]')" in repr(given)


def test_real_data(real_dataset: Callable) -> None:
    source = real_dataset('MUTAG')
    order = torch.randperm(188, generator=torch.Generator().manual_seed(1))
    train = source[order[:150]]
    for method in METHODS:
        dataset = CoresetDataset(train, method, budget=0.2)
        report = dataset.report
        assert 0.18 < report.packed_bytes / report.source_packed_bytes <= 0.2
        for data, i in zip(dataset, dataset.source_index, strict=True):
            expected = train[int(i)].clone()
            expected.weight = data.weight
            assert equal(data, expected)
    # The mean of all trees is met better than by chance.
    read = read_source(train, [], 'a test', log=False)
    histogram = tree_histograms(Forest(read.graphs, 2)).to_dense()
    error = {}
    for method in METHODS:
        kept = CoresetDataset(
            train, method, num_graphs=30, normalize='none'
        ).source_index
        error[method] = 0.0
        for c in (0, 1):
            mine = histogram[read.label == c].mean(0)
            mean = histogram[kept[read.label[kept] == c]].mean(0)
            error[method] += float((mine - mean).norm())
    assert error['herding'] < 0.7 * error['random']
