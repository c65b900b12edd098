"""Several processes give what one gives, or all of them an error."""

import dataclasses
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
from torch_geometric.data import Data

from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.datasets.counting.processes import Processes
from tests.datasets.sources import Graphs, path, random_graphs, same

GRAPHS = random_graphs(24, (0, 1, 2), edge_attr=True, edge_weight=True)

OPTIONS: list[dict[str, Any]] = [
    {'min_support': 0.1},
    {'selection': 'lossless'},
    {'patterns': 'all', 'root_count': 'one', 'balance': 'none'},
    {'shared': 'drop', 'min_support': {0: 1, 1: 1, 2: 1}},
    {
        'min_support': 0.1,
        'verify': True,
        'compact': False,
        'exclude_keys': ['edge_attr'],
    },
]


def shard_of(graphs: list[Data], rank: int, world_size: int) -> list[Data]:
    """A run of the graphs, so that the order of all is kept."""
    bounds = [len(graphs) * i // world_size for i in range(world_size + 1)]
    return graphs[bounds[rank] : bounds[rank + 1]]


def start(rank: int, world_size: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo',
        init_method=f'file://{folder}/init',
        rank=rank,
        world_size=world_size,
        timeout=timedelta(seconds=60),
    )


def stop() -> None:
    # The thread of gloo needs Python's lock to let go of the last tensors, and
    # whoever ends the group waits for that thread with the lock in his hands.
    time.sleep(0.5)
    dist.destroy_process_group()


def distil_all(rank: int, world_size: int, folder: str) -> None:
    start(rank, world_size, folder)
    mine = shard_of(GRAPHS, rank, world_size)
    out = []
    for options in OPTIONS:
        # The shards may be of any kind, and in any number of chunks.
        source = Graphs(mine) if rank == 0 else [mine[:2], mine[2:]]
        found = MirageDataset(source, 2, **options, distributed=True)
        out.append(found)
    few = shard_of(GRAPHS[:1], rank, world_size)
    out.append(MirageDataset(few, 1, 0.1, distributed=True))
    toy = ToyMolecules(num_graphs=200)
    bounds = [200 * i // world_size for i in range(world_size + 1)]
    toy = toy[bounds[rank] : bounds[rank + 1]]
    out.append(MirageDataset(toy, 2, 0.2, distributed=True))
    for _ in range(2):
        root = f'{folder}/root'
        out.append(MirageDataset(mine, 2, 0.1, root=root, distributed=True))
    # What any of them reads is part of the name.
    last = mine[::-1] if rank == world_size - 1 else mine
    root = f'{folder}/root'
    out.append(MirageDataset(last, 2, 0.1, root=root, distributed=True))
    named = {
        'min_support': 0.1,
        'root': f'{folder}/named',
        'source_id': 'a',
        'distributed': True,
    }
    out.append(MirageDataset(mine, 2, **named))
    out.append(MirageDataset(None, 2, **named))
    torch.save(
        [(list(d), d.report, d.num_classes) for d in out],
        f'{folder}/{rank}.pt',
    )
    stop()


@pytest.mark.parametrize('world_size', [2, 3])
def test_any_number_of_processes(world_size: int, tmp_path: Path) -> None:
    mp.spawn(distil_all, args=(world_size, str(tmp_path)), nprocs=world_size)
    expected = [MirageDataset(GRAPHS, 2, **options) for options in OPTIONS]
    expected.append(MirageDataset(GRAPHS[:1], 1, 0.1))
    expected.append(MirageDataset(ToyMolecules(num_graphs=200), 2, 0.2))
    expected += [MirageDataset(GRAPHS, 2, 0.1)] * 5
    for rank in range(world_size):
        found = torch.load(tmp_path / f'{rank}.pt', weights_only=False)
        assert len(found) == len(expected)
        for (graphs, report, num_classes), want in zip(
            found, expected, strict=True
        ):
            assert same(graphs, want)
            assert num_classes == want.num_classes
            times = {'seconds': 0.0, 'file_size': None}
            assert dataclasses.replace(report, **times) == dataclasses.replace(
                want.report, **times
            )
    # One cache of each source, written by one process.
    for name, number in [('root', 2), ('named', 1)]:
        files = [*(tmp_path / name / 'processed').iterdir()]
        suffixes = sorted(file.suffix for file in files)
        assert suffixes == ['.json'] * number + ['.pt'] * number


def caught(call: Callable[[], Any]) -> str:
    try:
        call()
    except BaseException as error:
        return f'{type(error).__name__}: {error}'
    return 'nothing'


def fail_in_turn(rank: int, world_size: int, folder: str) -> None:
    start(rank, world_size, folder)
    root = f'{folder}/root'
    good = shard_of(GRAPHS, rank, world_size)
    bad = [data.clone() for data in good]
    bad[0].x[:] = float('nan')
    last = rank == world_size - 1

    class Once:
        """Gives its graphs the first time only."""

        def __init__(self) -> None:
            self.rounds = 0

        def __iter__(self) -> Any:
            self.rounds += 1
            yield from [] if self.rounds > 1 else [Graphs(good), Graphs(good)]

    class Interrupted(list):
        def __len__(self) -> int:
            raise KeyboardInterrupt

    def distil(source: Any, **options: Any) -> str:
        if 'selection' not in options:
            options = {'min_support': 0.1, **options}
        return caught(
            lambda: MirageDataset(
                source, 2, root=root, distributed=True, **options
            )
        )

    out = [
        distil(bad if last else good),
        distil(None if last else good),
        distil(good, min_support=2 if last else 1),
        distil([path(1)] if last else good),
        distil([]),
        distil(good, max_patterns=1, min_support=1),
        distil(good[::-1] if last else good, shared='drop', min_support=1.0),
    ]
    for options in (
        {'min_support': 0 if last else 0.1},
        {'force_reload': last},
        {'source_id': 'a' if last else 'b'},
        {'source_id': 'a' if last else None},
    ):
        out.append(distil(good, **options))
    out.append(distil(Once() if last else good))
    out.append(distil(Once() if last else good, selection='lossless'))
    out.append(distil(Interrupted() if last else good))
    processes = Processes(distributed=True)
    doing = 'mining' if last else 'counting'
    out.append(caught(lambda: processes.gather(lambda: 1, doing)))
    if last:
        root = None
    out.append(distil(good))
    root = f'{folder}/root'
    # After all that, the group is as good as new.
    out.append(distil(good))
    torch.save(out, f'{folder}/{rank}.pt')
    stop()


def test_what_fails_in_one_process_is_told_in_all(tmp_path: Path) -> None:
    world_size = 3
    mp.spawn(fail_in_turn, args=(world_size, str(tmp_path)), nprocs=world_size)
    by_rank = [torch.load(tmp_path / f'{r}.pt') for r in range(world_size)]
    first, _, last = by_rank
    assert all('\n' not in text for texts in by_rank for text in texts)
    # The process that failed tells its own error, the others who it was.
    for i, named in enumerate(['must not hold NaN', "'NoneType'"]):
        assert named in last[i]
        assert 'RuntimeError' not in last[i]
        for other in by_rank[:2]:
            assert other[i].startswith('RuntimeError: process 2 of 3 failed')
            assert named in other[i]
    assert first[2].startswith('ValueError: all processes must be given')
    assert 'min_support=1 in process 0 and 2 in process 2' in first[2]
    assert 'all processes must be given' in last[2]
    assert "'edge_attr'" in first[3]
    assert 'at least one graph' in first[4]
    assert "tree sets of patterns='closed'" in first[5]
    assert "tree sets of patterns='closed'" in last[5]
    assert first[6].startswith('ValueError')
    assert "'min_support' must be a count" in last[7]
    assert 'process 2 of 3 failed while comparing options' in first[7]
    for i, named in enumerate(
        ['force_reload=False', "source_id='b'", 'source_id=None'], start=8
    ):
        assert f'got {named} in process 0' in first[i]
        assert f'got {named} in process 0' in last[i]
    for i in (11, 12):
        assert 'second time' in last[i]
        assert 'process 2 of 3 failed' in first[i]
    assert last[13] == 'KeyboardInterrupt: '
    assert first[13].endswith('so that all of them stop: KeyboardInterrupt')
    assert 'process 2 of 3 failed while counting' in first[14]
    assert 'it is mining already' in first[14]
    assert 'root=' in first[15]
    assert 'in process 0 and None in process 2' in last[15]
    assert all(texts[16] == 'nothing' for texts in by_rank)
    files = sorted((tmp_path / 'root' / 'processed').iterdir())
    assert [file.suffix for file in files] == ['.json', '.pt']


class Fatal(list):
    """Ends the process that reads it, as one that runs out of memory."""

    def __len__(self) -> int:
        time.sleep(1)
        os._exit(0)


def lose_one(rank: int, world_size: int, folder: str) -> None:
    start(rank, world_size, folder)
    mine: Any = GRAPHS if rank == 0 else Fatal()
    text = caught(
        lambda: MirageDataset(
            mine, 2, 0.1, root=f'{folder}/root', distributed=True
        )
    )
    Path(folder, 'said').write_text(text)
    os._exit(0)


def test_a_process_that_is_lost(tmp_path: Path) -> None:
    mp.spawn(lose_one, args=(2, str(tmp_path)), nprocs=2)
    text = (tmp_path / 'said').read_text()
    assert text.startswith('RuntimeError: a process was lost while')
    assert 'no cache is left half written' in text
    assert 'timeout of the group' in text
    assert '\n' not in text
    assert not (tmp_path / 'root').exists()


def test_without_a_group() -> None:
    with pytest.raises(RuntimeError, match='init_process_group') as info:
        MirageDataset(GRAPHS, 2, 0.1, distributed=True)
    assert '\n' not in str(info.value)


def test_a_group_of_one(process_group: None) -> None:
    found = MirageDataset(GRAPHS, 2, 0.1, distributed=True)
    assert same(found, MirageDataset(GRAPHS, 2, 0.1))


def test_alone() -> None:
    processes = Processes(distributed=False)
    assert processes.gather(lambda: 3, 'counting') == [3]
    assert processes.in_first(lambda: 3, 'counting') == 3
    assert processes.share(3, 'counting') == 3
    assert processes.is_first
    with pytest.raises(ZeroDivisionError):
        processes.gather(lambda: 1 // 0, 'counting')
