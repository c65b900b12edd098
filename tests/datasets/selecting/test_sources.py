"""Wherever graphs come from, the result is the same, and so is the cache."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from torch_geometric.loader import DataLoader

from pyg_distill.datasets import MirageDataset
from pyg_distill.datasets.counting import part
from pyg_distill.loader import TreeSetLoader
from tests.datasets.sources import Graphs, random_graphs, same
from tests.datasets.test_distributed import caught, shard_of, start, stop
from tests.datasets.test_sources import Lazy
from tests.datasets.test_split import TRAIN, poison
from tests.datasets.test_streaming import Stream, cut

GRAPHS = random_graphs(24, (0, 1, 2), edge_attr=True, edge_weight=True)
for data in GRAPHS:
    # Quantities, whose sums must not depend on the order of chunks.
    data.x = torch.cat([data.x, data.x[:, :1] * 0.5], dim=1)
MANY = random_graphs(70, max_nodes=9)
for number, data in enumerate(MANY):
    data.x = (torch.arange(data.num_nodes * 2.0) * 0.37 + number).view(-1, 2)

OPTIONS: list[dict[str, Any]] = [
    {'selection': 'multisets', 'budget': 250},
    {'selection': 'multisets', 'num_trees': 5, 'num_graphs': 9},
    {'selection': 'multisets', 'budget': 60},
    {'selection': 'graphs', 'budget': 200, 'balance': 'uniform'},
    {'selection': 'graphs', 'num_graphs': 3},
    {'selection': 'patterns', 'budget': 200},
    {'budget': 250},
    {'num_graphs': 5, 'balance': 'uniform'},
]


@pytest.mark.parametrize('options', OPTIONS)
@pytest.mark.parametrize(
    'wrap',
    [
        lambda g: Stream(cut(g, 3, 4, 20)),
        lambda g: [Graphs(part) for part in cut(g, 5, 11)],
        Lazy,
        Graphs,
        lambda g: DataLoader(g, batch_size=7),
    ],
)
def test_any_chunks(wrap: Callable, options: dict[str, Any]) -> None:
    expected = MirageDataset(GRAPHS, 2, **options)
    found = MirageDataset(wrap(GRAPHS), 2, **options)
    assert same(found, expected)
    assert found.report.classes == expected.report.classes
    assert found.report.packed_bytes == expected.report.packed_bytes


@pytest.mark.filterwarnings('ignore:.*continuous')
def test_quantities_in_chunks() -> None:
    options = {'num_trees': 20, 'num_graphs': 30}
    expected = MirageDataset(MANY, 2, **options)
    found = MirageDataset(Stream(cut(MANY, 9, 31, 32)), 2, **options)
    assert same(found, expected)


@pytest.mark.parametrize('selection', ['multisets', 'graphs', 'patterns'])
def test_a_share_needs_a_source_in_memory(selection: str) -> None:
    with pytest.raises(ValueError, match='number of bytes') as info:
        MirageDataset(Stream(GRAPHS), 2, selection=selection, budget=0.5)
    assert '\n' not in str(info.value)


def distil_all(rank: int, world_size: int, folder: str) -> None:
    start(rank, world_size, folder)
    mine = shard_of(GRAPHS, rank, world_size)
    source = Graphs(mine) if rank == 0 else [mine[:2], mine[2:]]
    out: list[Any] = []
    for options in OPTIONS:
        found = MirageDataset(source, 2, **options, distributed=True)
        out.append((list(found), found.report.packed_bytes))
    cached = MirageDataset(
        source, 2, **OPTIONS[0], root=f'{folder}/root', distributed=True
    )
    out.append((list(cached), cached.report.packed_bytes))
    bad = [
        {'budget': 0.5},
        {'budget': 1},
        {'selection': 'graphs', 'budget': 1},
        {'selection': 'graphs', 'num_graphs': 25},
        {'num_trees': 5000},
        {'selection': 'patterns', 'budget': 1},
    ]
    for options in bad:
        text = caught(
            lambda options=options: MirageDataset(
                source, 2, **options, distributed=True
            )
        )
        out.append(text)
    torch.save(out, f'{folder}/{rank}.pt')
    stop()


@pytest.mark.parametrize('world_size', [2])
def test_any_number_of_processes(world_size: int, tmp_path: Path) -> None:
    mp.spawn(distil_all, args=(world_size, str(tmp_path)), nprocs=world_size)
    expected = [MirageDataset(GRAPHS, 2, **options) for options in OPTIONS]
    expected.append(expected[0])
    for rank in range(world_size):
        found = torch.load(tmp_path / f'{rank}.pt', weights_only=False)
        for (graphs, num_bytes), want in zip(
            found[: len(expected)], expected, strict=True
        ):
            assert same(graphs, want)
            assert num_bytes == want.report.packed_bytes
        errors = found[len(expected) :]
        assert len(errors) == 6
        for text in errors:
            assert '\n' not in text
            assert text.startswith(
                ('ValueError', 'NoRoom', 'RuntimeError: process 0')
            )
        assert 'number of bytes' in errors[0]
        assert 'smallest that works' in errors[1]


@pytest.mark.parametrize('compact', [True, False])
@pytest.mark.parametrize('options', [*OPTIONS, {}, {'budget': 0.6}])
def test_the_cache_holds_the_same(
    options: dict[str, Any],
    compact: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if options.get('selection') == 'graphs':
        compact = True
    options = options | {'compact': compact}
    expected = MirageDataset(GRAPHS, 2, **options)
    written = MirageDataset(GRAPHS, 2, **options, root=str(tmp_path))
    assert same(written, expected)

    def never(*args: Any) -> Any:
        raise AssertionError('distilled again')

    monkeypatch.setattr(part, 'Forest', never)
    read = MirageDataset(GRAPHS, 2, **options, root=str(tmp_path))
    assert same(read, expected)
    assert read.report == written.report
    assert (
        str(read.report).splitlines()[1:9]
        == (str(expected.report).splitlines()[1:9])
    )
    stored = torch.load(read.processed_paths[0], weights_only=True)
    assert isinstance(stored, dict)
    with pytest.raises(AssertionError, match='again'):
        MirageDataset(
            GRAPHS, 2, **(options | {'balance': 'none'}), root=str(tmp_path)
        )


@pytest.mark.parametrize(
    'options', [OPTIONS[1], OPTIONS[3], {'budget': 0.7}, OPTIONS[5]]
)
@pytest.mark.parametrize('num_features', [3, None])
def test_held_out_graphs_are_not_read(
    options: dict[str, Any], num_features: int | None
) -> None:
    options = options | ({'num_graphs': 5} if 'num_graphs' in options else {})

    def graphs() -> list:
        out = random_graphs(12, num_features=num_features, edge_attr=True)
        for i, data in enumerate(out):
            data.target = torch.tensor([float(i)])
            data.edge_attr = data.edge_attr.float()
        return out

    whole = graphs()
    expected = MirageDataset([whole[i] for i in TRAIN], 2, **options)
    found = MirageDataset(Graphs(poison(graphs()))[TRAIN], 2, **options)
    assert same(found, expected)


@pytest.mark.parametrize('options', OPTIONS)
def test_loaders_and_slices(options: dict[str, Any], tmp_path: Path) -> None:
    kept = MirageDataset(GRAPHS, 2, **options)
    graphs = list(kept)
    batches = list(DataLoader(kept, batch_size=4))
    assert sum(batch.num_graphs for batch in batches) == len(kept)
    total = 0
    for batch in batches:
        assert batch.weight.numel() == batch.y.numel() == batch.num_graphs
        root, count = batch.get('root_index'), batch.get('root_count')
        if kept.report.selection == 'graphs':
            assert root is None
            assert count is None
        else:
            total += int(count.sum())
    if total:
        assert total == int(kept.root_count.sum())
    assert same(kept[1:3], graphs[1:3])
    assert same(kept[kept.y == 1], [d for d in graphs if int(d.y) == 1])
    assert same(kept.copy([2, 0]), [graphs[2], graphs[0]])
    kept.save(graphs, str(tmp_path / 'saved.pt'))
    again = Graphs(graphs)
    again.load(str(tmp_path / 'saved.pt'))
    assert same(again, graphs)
    if kept.report.selection != 'graphs':
        num_graphs = sum(b.num_graphs for b in TreeSetLoader(kept, 4))
        assert num_graphs == len(kept)


def test_graphs_have_no_trees_to_share() -> None:
    kept = MirageDataset(GRAPHS, 2, selection='graphs', num_graphs=6)
    text = caught(lambda: list(TreeSetLoader(kept, 4)))
    assert text == 'nothing' or '\n' not in text


def test_real_data_from_processes_of_any_kind(
    real_dataset: Callable, tmp_path: Path
) -> None:
    source = real_dataset('MUTAG')
    for selection in ('multisets', 'graphs'):
        options = {'selection': selection, 'budget': 400}
        expected = MirageDataset(source, 2, **options)
        chunks = [source[:50], source[50:51], source[51:]]
        assert same(MirageDataset(chunks, 2, **options), expected)
        assert same(
            MirageDataset(source, 2, **options, root=str(tmp_path)), expected
        )
