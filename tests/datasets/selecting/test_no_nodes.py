"""Classes whose graphs have no nodes, and so no trees."""

from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from torch_geometric.data import Data

from pyg_distill.datasets import MirageDataset
from tests.datasets.sources import path, same
from tests.datasets.test_bad_options import message
from tests.datasets.test_distributed import caught, shard_of, start, stop

SOME = [path(1, 2), path(1, 2), path(y=1), path(y=1)] * 4
# The class without nodes is the largest, the first or the last, or all are.
SOURCES = {
    0: [path(), path(), path(1, y=2), path()],
    1: SOME,
    2: [path(1), path(1, y=1), path(2, 1, y=1), path(y=2)],
    3: [path(y=3), path(y=5)],
}


@pytest.mark.parametrize('label', SOURCES)
@pytest.mark.parametrize('budget', [0.9, 100])
def test_patterns_name_the_class(label: int, budget: float) -> None:
    source = SOURCES[label]
    options = {'selection': 'patterns', 'budget': budget}
    text = message(ValueError, source, 1, **options)
    number = sum(int(data.y) == label for data in source)
    assert f'no nodes in the {number} graphs of class {label})' in text
    assert "selection='graphs'" in text


@pytest.mark.parametrize('label', SOURCES)
@pytest.mark.parametrize('options', [{}, {'budget': 1.0}, {'budget': 100}])
def test_a_judge_leaves_patterns_out(label: int, options: dict) -> None:
    source = SOURCES[label]
    kept = MirageDataset(source, 1, **options)
    assert kept.report.selection == 'graphs'
    assert [*kept.report.scores] == ['graphs by share', 'graphs']
    assert {*kept.y.tolist()} == {int(data.y) for data in source}


@pytest.mark.parametrize('selection', ['graphs', 'multisets', 'lossless'])
def test_all_others_keep_them(selection: str) -> None:
    options = {} if selection == 'lossless' else {'budget': 100}
    kept = MirageDataset(SOME, 1, selection=selection, **options)
    assert {*kept.y.tolist()} == {0, 1}


def distil(rank: int, world_size: int, folder: str) -> None:
    start(rank, world_size, folder)
    mine: list[Data] = shard_of(SOME, rank, world_size)
    kept = MirageDataset(mine, 1, budget=100, distributed=True)
    text = caught(
        lambda: MirageDataset(
            mine, 1, selection='patterns', budget=100, distributed=True
        )
    )
    torch.save((list(kept), text), f'{folder}/{rank}.pt')
    stop()


def test_in_all_processes(tmp_path: Path) -> None:
    mp.spawn(distil, args=(2, str(tmp_path)), nprocs=2)
    expected = MirageDataset(SOME, 1, budget=100)
    for rank in range(2):
        kept, text = torch.load(tmp_path / f'{rank}.pt', weights_only=False)
        assert same(kept, expected)
        assert text.startswith('NoRoom')
        assert 'of class 1' in text
