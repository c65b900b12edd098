"""Read chunk by chunk, a source gives what it gives in memory."""

import dataclasses
import gc
import itertools
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import ChainDataset, ConcatDataset, Subset
from torch_geometric.data import Batch, Data, Dataset
from torch_geometric.datasets import TUDataset
from torch_geometric.loader import DataLoader

from pyg_distill.datasets import MirageDataset
from pyg_distill.datasets.reading import chunks
from tests.datasets.sources import Graphs, path, random_graphs, same
from tests.datasets.test_bad_options import message
from tests.datasets.test_sources import Lazy, OnDisk

GRAPHS = random_graphs(24, (0, 1, 2), edge_attr=True, edge_weight=True)


class Stream:
    """Starts anew each time, and knows neither its length nor an index."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items
        self.rounds = 0

    def __iter__(self) -> Iterator[Any]:
        self.rounds += 1
        yield from self.items


class Iterable(torch.utils.data.IterableDataset):
    """Has a length, as its loader wants to know, but no items."""

    def __init__(self, graphs: list[Data]) -> None:
        self.graphs = graphs

    def __len__(self) -> int:
        return len(self.graphs)

    def __iter__(self) -> Iterator[Data]:
        yield from self.graphs


def alike(found: MirageDataset, expected: MirageDataset) -> bool:
    """Whether all but the time is the same."""
    reports = [
        dataclasses.replace(d.report, seconds=0.0) for d in (found, expected)
    ]
    return (
        same(found, expected)
        and reports[0] == reports[1]
        and found.num_classes == expected.num_classes
    )


def cut(graphs: list[Data], *bounds: int) -> list[list[Data]]:
    bounds = (0, *sorted(bounds), len(graphs))
    return [graphs[a:b] for a, b in itertools.pairwise(bounds)]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks.open_chunks, '__defaults__', (5, False))


@pytest.mark.parametrize(
    'wrap',
    [
        Lazy,
        Stream,
        lambda g: Subset(Lazy(g), range(24)),
        lambda g: Lazy(g)[list(range(24))],
        lambda g: cut(g, 3, 4, 20),
        lambda g: Stream(cut(g, 3, 4, 20)),
        lambda g: cut(g, 0, 24),
        lambda g: [Graphs(part) for part in cut(g, 3, 4, 20)],
        lambda g: [Graphs(g)[:7], Lazy(g)[7:20], g[20:]],
        lambda g: [g[:7], Graphs(g)[7:20], g[20:]],
        lambda g: [*g[:7], Graphs(g)[7:20], Batch.from_data_list(g[20:])],
        lambda g: [ConcatDataset([Graphs(g[:5]), g[5:9]]), g[9:]],
        Iterable,
        lambda g: ChainDataset([Iterable(g[:9]), Iterable(g[9:])]),
        lambda g: [Iterable(g[:9]), g[9:]],
        lambda g: DataLoader(Iterable(g), batch_size=5),
        lambda g: [Subset(Graphs(g), range(7)), Subset(g, range(7, 24))],
        lambda g: [Batch.from_data_list(part) for part in cut(g, 6, 13)],
        lambda g: DataLoader(g, batch_size=7),
        lambda g: DataLoader(Graphs(g), batch_size=1),
        lambda g: torch.utils.data.DataLoader(
            g, batch_size=4, collate_fn=lambda x: x
        ),
    ],
)
@pytest.mark.parametrize('selection', ['patterns', 'lossless'])
def test_any_chunks_give_the_same(
    wrap: Callable, selection: str, small_chunks: None
) -> None:
    expected = MirageDataset(GRAPHS, 2, selection=selection)
    assert len(expected) > 3
    assert alike(MirageDataset(wrap(GRAPHS), 2, selection=selection), expected)


@pytest.mark.parametrize(
    'options',
    [
        {'patterns': 'all', 'root_count': 'one'},
        {'patterns': 'maximal', 'min_support': 0.25},
        {'shared': 'drop', 'min_support': {0: 1, 1: 1, 2: 1}},
        {'min_support': 0.1, 'verify': True, 'compact': False},
        {
            'min_support': 0.1,
            'balance': 'uniform',
            'exclude_keys': ['edge_attr'],
        },
        {'min_support': 1},
    ],
)
def test_with_any_options(options: dict, small_chunks: None) -> None:
    expected = MirageDataset(GRAPHS, 2, **options)
    assert alike(MirageDataset(Stream(GRAPHS), 2, **options), expected)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    num_graphs=st.integers(2, 12),
    bounds=st.lists(st.integers(0, 12), max_size=4),
    num_layers=st.integers(0, 3),
    min_support=st.sampled_from([1, 0.3, 0.6]),
)
def test_whatever_the_bounds(
    seed: int,
    num_graphs: int,
    bounds: list[int],
    num_layers: int,
    min_support: float,
) -> None:
    graphs = random_graphs(num_graphs, (0, 1), edge_attr=True, seed=seed)
    parts = cut(graphs, *(min(b, num_graphs) for b in bounds))

    def distil(source: Any) -> Any:
        try:
            return MirageDataset(source, num_layers, min_support)
        except ValueError as error:
            return str(error)

    expected, found = distil(graphs), distil(parts)
    if isinstance(expected, str):
        assert found == expected
    else:
        assert alike(found, expected)


def test_on_disk(tmp_path: Path, small_chunks: None) -> None:
    source = OnDisk(str(tmp_path), GRAPHS)
    expected = MirageDataset(GRAPHS, 2, 0.1)
    assert alike(MirageDataset(source, 2, 0.1), expected)
    part = [*range(20, 3, -1), 5]
    expected = MirageDataset([GRAPHS[i] for i in part], 2, 0.1)
    assert alike(MirageDataset(source[part], 2, 0.1), expected)
    source.close()


def test_a_transform_of_a_source_on_disk_is_applied(
    tmp_path: Path, small_chunks: None
) -> None:
    def double(data: Data) -> Data:
        data.x = 2 * data.x
        return data

    source = OnDisk(str(tmp_path), GRAPHS)
    source.transform = double
    expected = MirageDataset([double(data.clone()) for data in GRAPHS], 2, 0.1)
    assert alike(MirageDataset(source, 2, 0.1), expected)
    source.close()


def test_the_cache_is_the_same_whatever_the_chunks(
    tmp_path: Path, small_chunks: None
) -> None:
    sources = [GRAPHS, Graphs(GRAPHS), Lazy(GRAPHS), cut(GRAPHS, 3, 11)]
    sources.append(Stream(GRAPHS))
    found = [MirageDataset(s, 2, 0.1, root=str(tmp_path)) for s in sources]
    assert len({d.processed_paths[0] for d in found}) == 1
    assert all(same(d, found[0]) for d in found)
    other = MirageDataset(cut(GRAPHS[::-1], 3), 2, 0.1, root=str(tmp_path))
    assert other.processed_paths[0] != found[0].processed_paths[0]


def test_a_cached_stream_is_read_once_for_its_digest(
    tmp_path: Path, small_chunks: None
) -> None:
    source = Stream(GRAPHS)
    MirageDataset(source, 2, 0.1, root=str(tmp_path))
    assert source.rounds == 2
    MirageDataset(source, 2, 0.1, root=str(tmp_path))
    assert source.rounds == 3
    MirageDataset(source, 2, 0.1, root=str(tmp_path), source_id='a')
    assert source.rounds == 5
    MirageDataset(source, 2, 0.1, root=str(tmp_path), source_id='a')
    assert source.rounds == 5


def test_no_more_than_two_chunks_are_held(small_chunks: None) -> None:
    held: list[weakref.ref] = []
    most = 0

    class Watched(Lazy):
        def get(self, idx: int) -> Data:
            nonlocal most
            data = super().get(idx)
            held.append(weakref.ref(data))
            if len(held) % 6 == 0:
                gc.collect()
            most = max(most, sum(ref() is not None for ref in held))
            return data

    expected = MirageDataset(GRAPHS, 2, 0.1)
    assert alike(MirageDataset(Watched(GRAPHS), 2, 0.1), expected)
    # Two chunks, and what has not been collected yet.
    assert most <= 2 * 5 + 6


def test_classes_that_a_chunk_lacks(small_chunks: None) -> None:
    graphs = sorted(GRAPHS, key=lambda data: int(data.y))
    expected = MirageDataset(graphs, 2, 0.1)
    assert alike(MirageDataset(Stream(graphs), 2, 0.1), expected)


def test_classes_that_only_the_data_set_knows(small_chunks: None) -> None:
    class Wide(Lazy):
        @property
        def num_classes(self) -> int:
            return 7

    dataset = MirageDataset(Wide(GRAPHS), 2, 0.1)
    assert dataset.num_classes == 7
    assert (
        MirageDataset([Graphs(GRAPHS), Wide(GRAPHS)], 2, 0.1).num_classes == 7
    )


def test_attributes_are_carried(small_chunks: None) -> None:
    graphs = [data.clone() for data in GRAPHS]
    for i, data in enumerate(graphs):
        data.target = torch.full((1, 2), float(i))
        data.smiles = 'C'
    expected = MirageDataset(graphs, 1, selection='lossless')
    assert expected.report.left_out == ['smiles']
    found = MirageDataset(Stream(graphs), 1, selection='lossless')
    assert alike(found, expected)
    assert torch.equal(found.target[:, 0], torch.arange(24.0))


def test_iterators_are_refused() -> None:
    for source in (iter(GRAPHS), (data for data in GRAPHS)):
        text = message(TypeError, source, 1, 0.1)
        assert 'reads its source twice' in text
        assert '__iter__ starts anew' in text


@pytest.mark.parametrize(
    'source', [[[]], [[], ()], Stream([]), [Graphs([path(1)])[:0]]]
)
def test_no_graph_in_any_chunk(source: Any) -> None:
    assert 'at least one graph' in message(ValueError, source, 1, 0.1)


def test_a_chunk_that_cannot_be_read_is_named(small_chunks: None) -> None:
    graphs = [data.clone() for data in GRAPHS]
    graphs[17].x[:] = float('nan')
    text = message(ValueError, Lazy(graphs), 1, 0.1)
    assert 'graph 0 is graph 15 of the source' in text
    assert 'must not hold NaN' in text
    graphs[17] = None
    text = message(TypeError, Stream(graphs), 1, 0.1)
    assert 'graph 0 is graph 15 of the source' in text
    assert "'NoneType'" in text


@pytest.mark.parametrize(
    ('name', 'change'),
    [
        ('x', lambda data: data.x[:, :2]),
        ('x', lambda data: data.x.long()),
        ('edge_attr', lambda data: None),
        ('y', lambda data: data.y.view(1, 1)),
        ('target', lambda data: torch.ones(1)),
        ('scale', lambda data: torch.ones(1).long()),
        ('scale', lambda data: torch.ones(1, 2)),
    ],
)
def test_chunks_with_other_attributes(name: str, change: Callable) -> None:
    graphs = [data.clone() for data in GRAPHS]
    for data in graphs:
        data.scale = torch.ones(1)
    for data in graphs[9:]:
        data[name] = change(data)
    parts = [Graphs(graphs[:9]), Graphs(graphs[9:])]
    text = message(ValueError, parts, 1, 0.1)
    assert f"'{name}'" in text
    assert 'chunks' in text


class Restless(Stream):
    """Gives something else every other time."""

    def __init__(self, first: list[Data], second: list[Data]) -> None:
        super().__init__(first)
        self.second = second

    def __iter__(self) -> Iterator[Any]:
        self.rounds += 1
        yield from self.items if self.rounds % 2 else self.second


def with_target(value: float) -> Data:
    return path(1, 2, target=torch.tensor([value]))


@pytest.mark.parametrize('selection', ['patterns', 'lossless'])
@pytest.mark.parametrize(
    ('first', 'second'),
    [
        ([path(1, 2)] * 9, [path(2, 2)] * 9),
        ([path(1)] * 9, [path(1, 1, 1)] * 9),
        ([path(1, 2)] * 9, [path(1, 2)] * 8),
        ([path(1, 2)] * 9, []),
        ([path(1)] * 6 + [path(2)] * 6, [path(2)] * 6 + [path(1)] * 6),
        ([with_target(1.0)] * 9, [with_target(2.0)] * 9),
    ],
)
def test_a_source_that_changes_is_refused(
    first: list[Data], second: list[Data], selection: str, small_chunks: None
) -> None:
    source = Restless(first, second)
    text = message(ValueError, source, 0, selection=selection)
    assert 'second time' in text
    # All that is small enough to be kept is read once.
    found = MirageDataset(Restless(first[:3], []), 0, selection=selection)
    assert same(found, MirageDataset(first[:3], 0, selection=selection))


def test_a_loader_that_shuffles_is_refused(small_chunks: None) -> None:
    torch.manual_seed(0)
    loader = DataLoader(GRAPHS, batch_size=4, shuffle=True)
    assert 'shuffling' in message(ValueError, loader, 1, 0.1)


def test_an_iterator_in_disguise_is_refused() -> None:
    class Once:
        def __init__(self) -> None:
            self.iterator = iter(GRAPHS)

        def __iter__(self) -> Iterator[Data]:
            return self.iterator

    assert 'reads its source twice' in message(TypeError, Once(), 1, 0.1)


def test_a_get_of_ones_own_is_asked(tmp_path: Path, small_chunks: None) -> None:
    class Doubled(OnDisk):
        def get(self, idx: int) -> Data:
            data = super().get(idx)
            data.x = 2 * data.x
            return data

    source = Doubled(str(tmp_path), GRAPHS)
    graphs = [data.clone() for data in GRAPHS]
    for data in graphs:
        data.x = 2 * data.x
    assert alike(MirageDataset(source, 2, 0.1), MirageDataset(graphs, 2, 0.1))
    source.close()


def test_large_graphs_make_small_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chunks, 'MAX_NUMBERS', 40)
    sizes = [
        len(chunk) for chunk, _ in chunks.open_chunks(Stream(GRAPHS), 'test')
    ]
    assert sum(sizes) == 24
    assert 1 <= max(sizes) < 5
    assert alike(
        MirageDataset(Lazy(GRAPHS), 2, 0.1), MirageDataset(GRAPHS, 2, 0.1)
    )


def test_sizes_of_attributes_are_part_of_the_cache(
    tmp_path: Path, small_chunks: None
) -> None:
    def cut_target(*sizes: int) -> Stream:
        rows = torch.arange(3.0).split(list(sizes))
        return Stream([path(1, target=row) for row in rows])

    options = {'selection': 'lossless', 'root': str(tmp_path)}
    first = MirageDataset(cut_target(1, 2), 0, **options)
    second = MirageDataset(cut_target(2, 1), 0, **options)
    assert first[0].target.numel() == 1
    assert second[0].target.numel() == 2


def test_labels_may_be_large(small_chunks: None) -> None:
    graphs = [path(1, y=10**12), path(2), path(1, y=10**12)]
    dataset = MirageDataset(graphs, 0, 0.1)
    assert sorted(dataset.report.classes) == [0, 10**12]


def test_unequal_trees_of_one_key_in_two_chunks_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # All trees get one key, so only a comparison across chunks can tell.
    from pyg_distill.trees import forest

    def blind(*args: Any) -> list[torch.Tensor]:
        return [torch.zeros(args[1], 2, dtype=torch.long)] * (args[2] + 1)

    monkeypatch.setattr(forest, 'tree_keys', blind)
    parts = [Graphs([path(1), path(1)]), Graphs([path(2), path(2)])]
    MirageDataset(parts, 0, 1)
    with pytest.raises(RuntimeError, match='share a 128-bit key'):
        MirageDataset(parts, 0, 1, verify=True)


def test_continuous_features(small_chunks: None) -> None:
    graphs = [data.clone() for data in GRAPHS]
    torch.manual_seed(0)
    for data in graphs:
        data.x = torch.randn(data.num_nodes, 3)
    expected = message(ValueError, graphs, 1, 1)
    assert message(ValueError, Lazy(graphs), 1, 1) == expected


@pytest.mark.parametrize('size', [100, 997])
def test_real(real_dataset: Callable, size: int) -> None:
    dataset = real_dataset('NCI1')
    assert isinstance(dataset, TUDataset)
    parts = [dataset[i : i + size] for i in range(0, len(dataset), size)]
    expected = MirageDataset(dataset, 2, 0.1)
    assert expected.report.num_trees == 4058
    assert alike(MirageDataset(parts, 2, 0.1), expected)


def test_a_data_set_of_chunks_is_a_data_set(small_chunks: None) -> None:
    class Whole(Dataset):
        def len(self) -> int:
            return 24

        def get(self, idx: int) -> Data:
            return GRAPHS[idx]

    assert alike(MirageDataset(Whole(), 1, 0.1), MirageDataset(GRAPHS, 1, 0.1))
