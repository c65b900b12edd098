"""Several processes give what one gives, or all of them an error."""

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch_geometric.data import Data

from pyg_distill.data import storage
from pyg_distill.data.distributed import Ranks
from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.selection import (
    FrequentTrees,
    Herding,
    Random,
    Selector,
    scoring,
)
from tests.selection.helpers import (
    Graphs,
    LargestGraphs,
    path,
    random_graphs,
    same,
)

GRAPHS = random_graphs(
    40, (0, 1, 2), max_nodes=8, edge_attr=True, edge_weight=True
)
OPTIONS: list[dict[str, Any]] = [
    {'selection': 'auto', 'budget': 0.6},
    {'selection': 'auto', 'num_graphs': 7},
    {'selection': 'herding', 'budget': 0.5},
    {'selection': 'herding', 'budget': 400, 'class_weight': 'uniform'},
    {'selection': Herding('both'), 'num_graphs': 9},
    {'selection': Herding(embedding=torch.arange(120.0).view(40, 3) % 7)},
    {'selection': 'kcenter', 'budget': 0.5},
    {'selection': 'random', 'budget': 0.9},
    {'selection': 'multisets', 'budget': 0.4},
    {'selection': 'multisets', 'num_graphs': 5, 'exclude_keys': ['edge_attr']},
    {'selection': 'frequent', 'budget': 0.4},
    {'selection': FrequentTrees(1, 'maximal', True, 'one', compact=False)},
    {'selection': 'lossless'},
    {'selection': LargestGraphs('num_edges'), 'budget': 0.3},
    {'selection': LargestGraphs(), 'num_graphs': 4},
]
# Unequal shards, one of them empty, so that blocks are cut across them.
BOUNDS = {2: [0, 11, 40], 3: [0, 0, 27, 40]}
# Small blocks matter where a share of the source is asked for.
CASES = [(4096, options) for options in OPTIONS]
CASES += [(16, OPTIONS[i]) for i in (0, 2, 7)]


class Named(Data):
    """A class of a user, which an empty shard cannot know."""


def named_graphs() -> list[Data]:
    return [Named.from_dict(data.to_dict()) for data in GRAPHS]


def shard(graphs: Any, rank: int, world_size: int) -> Any:
    bounds = BOUNDS[world_size]
    return graphs[bounds[rank] : bounds[rank + 1]]


def start(rank: int, world_size: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo',
        init_method=f'file://{folder}/init',
        rank=rank,
        world_size=world_size,
        timeout=timedelta(seconds=120),
    )


def stop() -> None:
    # The thread of gloo needs Python's lock to let go of the last tensors,
    # and destroying the group waits for that thread with the lock held.
    time.sleep(0.5)
    dist.destroy_process_group()


def caught(call: Callable[[], Any]) -> str:
    try:
        call()
    except BaseException as error:
        return f'{type(error).__name__}: {error}'
    return 'nothing'


def plain(kept: MirageDataset) -> tuple[list[Data], dict, int]:
    report = kept.report.to_dict()
    del report['seconds'], report['file_size']
    return list(kept), report, kept.num_classes


def distil_all(rank: int, world_size: int, folder: str) -> None:
    start(rank, world_size, folder)
    mine = shard(GRAPHS, rank, world_size)
    # The shards may be of any kind, and in any number of chunks.
    source = [mine[:2], mine[2:]] if rank == 1 else mine
    source = Graphs(mine) if rank == 2 else source
    out = []
    for storage.BLOCK, options in CASES:
        out.append(MirageDataset(source, 2, distributed=True, **options))
    storage.BLOCK = 4096
    scoring.MAX_GRAPHS = 20
    out.append(MirageDataset(source, 2, budget=0.6, distributed=True))
    scoring.MAX_GRAPHS = 4096
    named = shard(named_graphs(), rank, world_size)
    cached: dict[str, Any] = {'distributed': True, 'root': f'{folder}/root'}
    for selection in (Random(), FrequentTrees()):
        for graphs in (named, named, named):
            out.append(MirageDataset(graphs, 2, selection=selection, **cached))
    # What any of them reads is part of the name.
    last = mine[::-1] if rank == world_size - 1 else mine
    out.append(MirageDataset(last, 2, selection=FrequentTrees(), **cached))
    cached |= {'root': f'{folder}/given', 'source_id': 'a'}
    for graphs in (mine, None):
        out.append(MirageDataset(graphs, 2, selection='lossless', **cached))
    whole = rank == world_size - 1
    few = GRAPHS[:1] if whole else []
    out.append(MirageDataset(few, 1, distributed=True))
    result = [plain(kept) for kept in out]
    torch.save(
        (result, errors(rank, world_size, folder)), f'{folder}/{rank}.pt'
    )
    stop()


class Once:
    """Gives its graphs the first time only."""

    def __init__(self, graphs: list[Data]) -> None:
        self.graphs = Graphs(graphs)
        self.rounds = 0

    def __iter__(self) -> Any:
        self.rounds += 1
        yield from [] if self.rounds > 1 else [self.graphs, self.graphs]


class Interrupted(list):
    def __len__(self) -> int:
        raise KeyboardInterrupt


class Failing(Selector):
    """Fails in one process, as if it were out of memory."""

    def select(self, statistics: Any, budget: Any) -> Tensor:
        if dist.get_rank() == dist.get_world_size() - 1:
            raise RuntimeError('out of memory')
        return budget.fill(torch.arange(statistics.num_graphs))


def errors(rank: int, world_size: int, folder: str) -> dict[str, str]:
    """What each process says where something is wrong, mostly in the last."""
    root = f'{folder}/errors'
    good = shard(GRAPHS, rank, world_size)
    last = rank == world_size - 1
    bad = [data.clone() for data in good]
    for data in bad:
        data.x[:] = float('nan')

    def distil(source: Any, **options: Any) -> str:
        options = {'selection': 'frequent', 'root': root, **options}
        return caught(
            lambda: MirageDataset(source, 2, distributed=True, **options)
        )

    out = {
        'nan': distil(bad if last else good),
        'none': distil(None if last else good),
        'shape': distil([path(1)] if last else good),
        'empty': distil([]),
        'sets': distil(good, selection=FrequentTrees(1, max_sets=1)),
        'budget': distil(good, budget=1),
        'support': distil(good, selection=FrequentTrees(2 if last else 1)),
        'bad option': distil(good, budget=0 if last else 900),
        'force': distil(good, force_reload=last),
        'source_id': distil(good, source_id='a' if last else 'b'),
        'root': distil(good, root=None if last else root),
        'once': distil(Once(good) if last else good),
        'interrupted': distil(Interrupted() if last else good),
        'failing': distil(good, selection=Failing(), num_graphs=5),
    }
    ranks = Ranks(distributed=True)
    doing = 'mining' if last else 'counting'
    out['stage'] = caught(lambda: ranks.all_gather(lambda: 1, doing))
    (Path(folder) / 'file').write_text('')
    out['folder'] = distil(good, root=f'{folder}/file')
    # After all that, the group works as before.
    out['good'] = distil(good)
    return out


def expected_sets(world_size: int) -> list[MirageDataset]:
    out = []
    for storage.BLOCK, options in CASES:
        out.append(MirageDataset(GRAPHS, 2, **options))
    storage.BLOCK = 4096
    scoring.MAX_GRAPHS = 20
    out.append(MirageDataset(GRAPHS, 2, budget=0.6))
    scoring.MAX_GRAPHS = 4096
    for selection in (Random(), FrequentTrees()):
        out += [MirageDataset(named_graphs(), 2, selection=selection)] * 3
    bounds = BOUNDS[world_size]
    turned = GRAPHS[: bounds[-2]] + GRAPHS[bounds[-2] :][::-1]
    out.append(MirageDataset(turned, 2, selection=FrequentTrees()))
    out += [MirageDataset(GRAPHS, 2, selection='lossless')] * 2
    out.append(MirageDataset(GRAPHS[:1], 1))
    return out


def check_errors(by_rank: list[dict[str, str]]) -> None:
    first, last = by_rank[0], by_rank[-1]
    size = len(by_rank)
    assert all('\n' not in text for said in by_rank for text in said.values())
    # The process that failed tells its own error, the others who it was.
    for name, word in [
        ('nan', 'must not hold NaN'),
        ('none', "'NoneType'"),
        ('once', 'second time'),
        ('interrupted', 'KeyboardInterrupt'),
        ('bad option', "'budget' must be"),
        ('failing', 'out of memory'),
    ]:
        assert word in last[name]
        assert f'process {size - 1} of' not in last[name]
        for other in by_rank[:-1]:
            assert f'process {size - 1} of {size} failed' in other[name]
            assert word in other[name]
    for said in by_rank:
        assert "'edge_attr'" in said['shape']
        assert 'at least one graph' in said['empty']
        assert 'max_sets=1' in said['sets']
        assert 'too small' in said['budget']
        assert 'same options' in said['support']
        assert f'in process {size - 1}' in said['support']
        assert 'force_reload=False in process 0' in said['force']
        assert "source_id='b' in process 0" in said['source_id']
        assert 'same options' in said['root']
        assert 'root=None' in said['folder']
        assert said['good'] == 'nothing'
    assert 'failed while counting' in first['stage']


@pytest.mark.slow
@pytest.mark.parametrize('world_size', [2, 3])
def test_any_number_of_processes(world_size: int, tmp_path: Path) -> None:
    mp.spawn(distil_all, args=(world_size, str(tmp_path)), nprocs=world_size)
    expected = [plain(kept) for kept in expected_sets(world_size)]
    said = []
    for rank in range(world_size):
        found, texts = torch.load(tmp_path / f'{rank}.pt', weights_only=False)
        said.append(texts)
        assert len(found) == len(expected)
        for (graphs, report, num_classes), (items, wanted, number) in zip(
            found, expected, strict=True
        ):
            assert same(graphs, items)
            assert type(graphs[0]) is type(items[0])
            assert report == wanted
            assert num_classes == number
    # One cache of each source, written by one process.
    for name, number in [('root', 3), ('given', 1), ('errors', 1)]:
        files = [p for p in (tmp_path / name).rglob('*') if p.is_file()]
        assert [file.suffix for file in files] == ['.pt'] * number, name
    check_errors(said)


class Fatal(list):
    """Ends the process that reads it, as if it were out of memory."""

    def __len__(self) -> int:
        time.sleep(1)
        os._exit(0)


def lose_one(rank: int, world_size: int, folder: str) -> None:
    start(rank, world_size, folder)
    mine: Any = GRAPHS if rank == 0 else Fatal()
    text = caught(
        lambda: MirageDataset(
            mine, 2, budget=0.5, root=f'{folder}/root', distributed=True
        )
    )
    Path(folder, 'said').write_text(text)
    os._exit(0)


@pytest.mark.slow
def test_a_process_that_is_lost(tmp_path: Path) -> None:
    mp.spawn(lose_one, args=(2, str(tmp_path)), nprocs=2)
    text = (tmp_path / 'said').read_text()
    assert text.startswith('RuntimeError: a process was lost')
    assert '\n' not in text
    assert not (tmp_path / 'root').exists()


def test_one_process(process_group: None) -> None:
    toy = ToyMolecules(num_graphs=60, log=False)
    found = MirageDataset(toy, 2, budget=0.3, distributed=True)
    assert same(found, MirageDataset(toy, 2, budget=0.3))
    ranks = Ranks(distributed=False)
    assert ranks.all_gather(lambda: 3, 'counting') == [3]
    assert ranks.on_rank_zero(lambda: 3, 'counting') == 3
    with pytest.raises(ZeroDivisionError):
        ranks.all_gather(lambda: 1 // 0, 'counting')


def test_without_a_group() -> None:
    with pytest.raises(RuntimeError, match='init_process_group') as info:
        MirageDataset(GRAPHS, 2, distributed=True)
    assert '\n' not in str(info.value)
