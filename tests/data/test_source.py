"""Read chunk by chunk, a source gives what it gives in memory."""

import gc
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import ChainDataset, ConcatDataset, Subset
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from pyg_distill.data import GraphTable, Source, sources
from pyg_distill.data.statistics import collect_statistics
from tests.data.collections import (
    GRAPHS,
    IterableGraphs,
    Lazy,
    Minimal,
    OnDisk,
    assert_graphs,
    typed,
    with_all_attributes,
)
from tests.selection.helpers import Graphs, Stream, cut, path, random_graphs

MANY = random_graphs(24, (0, 1, 2), edge_attr=True, edge_weight=True)


def read(source: Any, **options: Any) -> list[Data]:
    source = (
        source if isinstance(source, Source) else Source(source, 1, **options)
    )
    parts = source.map(lambda chunk: chunk.table.to_list(), 'Reading')
    return [data for part in parts for data in part]


@pytest.fixture(params=[2, 7])
def max_graphs(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> int:
    monkeypatch.setattr(sources, 'MAX_GRAPHS', request.param)
    return request.param


CHUNKS: dict[str, Callable[[list[Data]], Any]] = {
    'lazy': Lazy,
    'minimal': Minimal,
    'stream': Stream,
    'subset of lazy': lambda g: Subset(Lazy(g), range(24)),
    'slice of lazy': lambda g: Lazy(g)[list(range(24))],
    'concat of lazy': lambda g: ConcatDataset([Lazy(g[:9]), g[9:]]),
    'lists': lambda g: cut(g, 3, 4, 20),
    'stream of lists': lambda g: Stream(cut(g, 3, 4, 20)),
    'an empty list': lambda g: cut(g, 0, 24),
    'data sets': lambda g: [Graphs(part) for part in cut(g, 3, 4, 20)],
    'slices': lambda g: [Graphs(g)[:7], Lazy(g)[7:20], g[20:]],
    'mixed': lambda g: [*g[:7], Graphs(g)[7:20], Batch.from_data_list(g[20:])],
    'concat': lambda g: [ConcatDataset([Graphs(g[:5]), g[5:9]]), g[9:]],
    'iterable': IterableGraphs,
    'chain': lambda g: ChainDataset(
        [IterableGraphs(g[:9]), IterableGraphs(g[9:])]
    ),
    'list of iterables': lambda g: [IterableGraphs(g[:9]), g[9:]],
    'loader of iterable': lambda g: DataLoader(IterableGraphs(g), 5),
    'subsets': lambda g: [Subset(Graphs(g), range(7)), Subset(g, range(7, 24))],
    'batches': lambda g: [Batch.from_data_list(part) for part in cut(g, 6, 13)],
    'loader': lambda g: DataLoader(g, batch_size=7),
    'loader of one': lambda g: DataLoader(Graphs(g), batch_size=1),
    'loader of lists': lambda g: torch.utils.data.DataLoader(
        g, batch_size=4, collate_fn=lambda x: x
    ),
}


@pytest.mark.parametrize('name', CHUNKS)
def test_any_chunks(name: str, max_graphs: int) -> None:
    source = Source(CHUNKS[name](MANY), 1)
    assert not source.is_whole
    sizes = source.map(lambda chunk: len(chunk.table), '')
    starts = source.map(lambda chunk: chunk.start, '')
    assert starts == [sum(sizes[:i]) for i in range(len(sizes))]
    assert sum(sizes) == 24
    if name not in ('data sets', 'slices', 'mixed', 'concat', 'subsets'):
        assert max(sizes) <= max_graphs  # Data sets in memory are one chunk.
    assert_graphs(read(source), MANY)
    whole = Source(MANY, 1)
    assert whole.is_whole
    assert source.digest() == whole.digest()
    numbers = source.map(lambda chunk: chunk.num_classes, '')
    assert max(numbers) == 3


@pytest.mark.parametrize('kind', GRAPHS)
@pytest.mark.filterwarnings('ignore:Unable to accurately infer')
def test_any_graphs(kind: str, max_graphs: int) -> None:
    graphs = GRAPHS[kind]()
    for source in (Lazy(graphs), Stream(graphs), cut(graphs, 2, 7)):
        assert_graphs(read(source), graphs)


def test_on_disk_with_an_own_way_to_read(tmp_path: Path) -> None:
    class Marked(OnDisk):
        def get(self, idx: int) -> Data:
            data = super().get(idx)
            data.mark = torch.tensor([idx])
            return data

    marked = Marked(str(tmp_path), MANY)
    found = read(marked[[3, 1]])
    assert [int(data.mark) for data in found] == [3, 1]
    marked.close()


def test_pre_filter_and_pre_transform(max_graphs: int) -> None:
    def mark(data: Data) -> Data:
        data = data.clone()
        data.mark = torch.tensor([data.num_edges])
        return data

    expected = [mark(data) for data in MANY if data.num_edges % 2]
    options = {
        'pre_filter': lambda data: data.num_edges % 2 == 1,
        'pre_transform': mark,
    }
    for source in (MANY, Graphs(MANY), Lazy(MANY), cut(MANY, 3, 20)):
        assert_graphs(read(source, **options), expected)
    assert 'mark' not in MANY[0]
    assert read(MANY, pre_filter=lambda data: False) == []


@pytest.mark.parametrize('wrap', [list, Graphs, Lazy, Stream])
def test_map_merges_in_order(wrap: Callable, max_graphs: int) -> None:
    source = Source(wrap(MANY), 1)
    merged: list[int] = []

    def merge(parts: list[list[int]]) -> list[int]:
        merged.append(len(parts))
        return [number for part in parts for number in part]

    def function(chunk: sources.Chunk) -> list[int]:
        return chunk.table.num_edges.tolist()

    parts = source.map(function, '', merge)
    expected = [data.num_edges for data in MANY]
    assert [number for part in parts for number in part] == expected
    num_chunks = len(source.map(function, ''))
    # As many parts are left as there are ones in the binary number of chunks.
    assert len(parts) == f'{num_chunks:b}'.count('1')
    assert len(merged) == num_chunks - len(parts)


@pytest.mark.parametrize('kind', ['all attributes', 'own class'])
@pytest.mark.parametrize('wrap', [list, Graphs, Lazy, Stream])
def test_fetch(wrap: Callable, kind: str, max_graphs: int) -> None:
    graphs = GRAPHS[kind]()
    source = Source(wrap(graphs), 1)
    whole = wrap in (list, Graphs)
    for index in ([3, 1, 7], [1, 8, 1], [0]):
        found = source.fetch(torch.tensor(index))
        assert_graphs(found.to_list(), [graphs[i] for i in index])
        assert source.is_fetched(torch.tensor(index))
    assert source.is_fetched(torch.tensor([8, 3, 0, 7]))
    assert source.is_fetched(torch.tensor([2])) == whole
    if wrap is Stream:
        # One round counts the graphs, and no graph is read twice for nothing.
        rounds = source.source.rounds
        source.fetch(torch.tensor([0, 7, 8]))
        assert source.source.rounds == rounds
        assert rounds == 4
        # Fetched graphs do not keep their chunks in memory.
        for stored in source._fetched_graphs:
            size = stored.x.untyped_storage().nbytes()
            assert size == stored.x.numel() * stored.x.element_size()


@pytest.mark.parametrize('size', [1, 4, 5, 24, 100])
@pytest.mark.parametrize('wrap', [list, Graphs, Lazy, lambda g: cut(g, 3, 20)])
def test_blocks_do_not_depend_on_chunks(
    wrap: Callable, size: int, max_graphs: int
) -> None:
    blocks: list[list[Data]] = []

    def function(table: GraphTable) -> int:
        blocks.append(table.to_list())
        return int(table.num_edges.sum()) ** 2

    total = Source(wrap(MANY), 1).fold_blocks(size, function, '')
    expected = [MANY[i : i + size] for i in range(0, 24, size)]
    for found, block in zip(blocks, expected, strict=True):
        assert_graphs(found, block)
    assert total == sum(sum(d.num_edges for d in b) ** 2 for b in expected)


class Restless(Stream):
    """Gives something else from the second time on."""

    def __init__(self, first: list[Data], second: list[Data]) -> None:
        super().__init__(first)
        self.second = second

    def __iter__(self) -> Iterator[Any]:
        self.rounds += 1
        yield from self.items if self.rounds == 1 else self.second


def with_target(value: float) -> Data:
    return path(1, 2, mark=torch.tensor([value]))


def empty(num_nodes: int) -> Data:
    data = path()
    del data.x
    data.num_nodes = num_nodes
    return data


@pytest.mark.parametrize(
    ('first', 'second'),
    [
        ([path(1, 2)] * 9, [path(2, 2)] * 9),
        ([path(1)] * 9, [path(1, 1, 1)] * 9),
        ([path(1, 2)] * 9, [path(1, 2)] * 8),
        ([path(1, 2)] * 9, []),
        ([path(1)] * 6 + [path(2)] * 6, [path(2)] * 6 + [path(1)] * 6),
        ([with_target(1.0)] * 9, [with_target(2.0)] * 9),
        ([path(1, tag='a')] * 9, [path(1, tag='b')] * 9),
    ],
)
@pytest.mark.parametrize(
    'again',
    [
        lambda s: s.map(id, ''),
        lambda s: s.fetch(torch.tensor([1])),
        lambda s: s.fold_blocks(5, len, ''),
    ],
)
def test_a_source_that_changes_is_refused(
    first: list[Data],
    second: list[Data],
    again: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sources, 'MAX_GRAPHS', 5)
    source = Source(Restless(first, second), 0)
    collect_statistics(source)
    with pytest.raises(ValueError, match='second time') as info:
        again(source)
    assert '\n' not in str(info.value)
    # A single chunk is kept, and so read once.
    source = Source(Restless(first[:3], []), 0)
    collect_statistics(source)
    assert_graphs(read(source), first[:3])


def test_no_more_than_two_chunks_are_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sources, 'MAX_GRAPHS', 5)
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

    collect_statistics(Source(Watched(MANY), 2))
    assert most <= 2 * 5 + 6


def test_large_graphs_make_small_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sources, 'MAX_NUMBERS', 40)
    source = Source(Stream(MANY), 1)
    sizes = source.map(lambda chunk: len(chunk.table), '')
    assert sum(sizes) == 24
    assert 1 <= max(sizes) < 5
    assert_graphs(read(source), MANY)


def test_classes_that_only_the_data_set_knows(max_graphs: int) -> None:
    class Wide(Lazy):
        @property
        def num_classes(self) -> int:
            return 7

    for source in (Wide(MANY), [Graphs(MANY), Wide(MANY)]):
        assert collect_statistics(Source(source, 1)).num_classes == 7
    part = Graphs(sorted(MANY, key=lambda data: int(data.y)))[:3]
    # As for PyG, a slice has the classes of the whole.
    assert collect_statistics(Source(part, 1)).num_classes == 3
    graphs = [path(1, y=10**12), path(2), path(1, y=10**12)]
    found = collect_statistics(Source(Stream(graphs), 0))
    assert found.class_sizes() == {0: 1, 10**12: 2}


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_change_of_content_changes_the_digest(data: st.DataObject) -> None:
    graphs = data.draw(st.sampled_from([with_all_attributes, typed]))(4)
    before = Source(graphs, 1).digest()
    i = data.draw(st.integers(0, len(graphs) - 1))
    names = sorted({*graphs[i].to_dict()} - {'num_nodes', 'y'})
    key = data.draw(st.sampled_from(names))
    value = graphs[i][key]
    if isinstance(value, torch.Tensor):
        value = value.clone()
        flat = value.view(-1)
        if not flat.numel():
            return
        j = data.draw(st.integers(0, flat.numel() - 1))
        if key == 'edge_index':
            flat[j] = (flat[j] + 1) % max(2, graphs[i].num_nodes)
        else:
            flat[j] = ~flat[j] if value.dtype == torch.bool else flat[j] + 1
    elif isinstance(value, dict):
        value = {**value, 'b': 'changed'}
    elif isinstance(value, list):
        value = [*value[:1], value[1] + 1]
    else:
        value += type(value)(1)
    changed = [d.clone() for d in graphs]
    changed[i][key] = value
    if key == 'pair' and graphs[i].pair[1].numel() == 0:
        return
    if key == 'edge_index' and graphs[i].num_nodes < 2:
        return
    assert Source(changed, 1).digest() != before
    assert Source(cut(changed, 2), 1).digest() != before
    assert Source(cut(graphs, 2), 1).digest() == before


@pytest.mark.parametrize(
    ('first', 'second'),
    [
        # The same rows in other graphs, and the same bytes of another type.
        (
            [path(1, mark=torch.ones(1)), path(1, mark=torch.ones(2))],
            [path(1, mark=torch.ones(2)), path(1, mark=torch.ones(1))],
        ),
        (
            [path(1, mark=torch.zeros(1))] * 2,
            [path(1, mark=torch.zeros(1).int())] * 2,
        ),
        (
            [path(1, mark=torch.zeros(1, 2, 3))] * 2,
            [path(1, mark=torch.zeros(1, 3, 2))] * 2,
        ),
        ([path(1, mark=['ab', 'c'])] * 2, [path(1, mark=['a', 'bc'])] * 2),
        ([path(1, mark=['a', 'b'])] * 2, [path(1, mark=('a', 'b'))] * 2),
        ([path(1, mark=['1'])] * 2, [path(1, mark=[1])] * 2),
        ([path(1, mark='a')] * 2, [path(1, other='a')] * 2),
        ([path(0)] * 2, [path(-0.0)] * 2),
        ([path(1), path(2)], [path(2), path(1)]),
        ([path(1), path(1)], [path(1)]),
        ([path(), path(1)], [path(1), path()]),
        ([empty(3), empty(4)], [empty(4), empty(3)]),
        ([empty(3), empty(4)], [empty(3), empty(3)]),
    ],
)
def test_what_the_digest_tells_apart(
    first: list[Data], second: list[Data]
) -> None:
    assert Source(first, 0).digest() != Source(second, 0).digest()


def test_equal_objects_have_one_digest() -> None:
    one, other = 'a b', ' '.join(['a', 'b'])
    same = [path(1, words=[one, one]), path(1, words=[one])]
    alike = [path(1, words=[one, other]), path(1, words=[other])]
    digests = {
        Source(wrap(graphs), 0).digest()
        for graphs in (same, alike)
        for wrap in (list, Graphs, Lazy, lambda g: [g[:1], g[1:]])
    }
    assert len(digests) == 1


@pytest.mark.slow
def test_memory_is_flat_in_the_number_of_graphs() -> None:
    code = """
import resource, sys, torch
from torch_geometric.data import Data
from pyg_distill.data import Source, sources, storage
from pyg_distill.data.statistics import collect_statistics

sources.MAX_GRAPHS, storage.BLOCK = 100, 400

class Stream:
    def __iter__(self):
        for i in range(int(sys.argv[1])):
            source = torch.arange(99)
            edge_index = torch.stack([source, source + 1])
            x = torch.eye(40)[torch.arange(100) % 40]
            yield Data(x=x, edge_index=edge_index, y=torch.tensor([i % 2]))

source = Source(Stream(), 2)
statistics = collect_statistics(source)
statistics.collect_trees(statistics.counts.most_frequent(5))
storage.source_size(source)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""

    def peak(num_graphs: int) -> int:
        out = subprocess.run(
            [sys.executable, '-c', code, str(num_graphs)],
            check=True,
            capture_output=True,
            text=True,
        )
        return int(out.stdout)

    # Graphs are of 18 kB each, those that the second one adds of 43 MB.
    few, many = peak(600), peak(3000)
    assert many - few < 20_000
