"""What the judge tests on, where it cannot be all graphs."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from torch_geometric.data import Data

from pyg_distill.datasets import MirageDataset
from pyg_distill.datasets.selecting import by_judgement
from pyg_distill.datasets.selecting.judging import Judge
from tests.datasets.sources import Graphs, equal, path, random_graphs, same
from tests.datasets.test_distributed import shard_of, start, stop
from tests.datasets.test_streaming import Stream, cut

# Their labels repeat: 0, 1, 0, 1, ...
GRAPHS = random_graphs(60, max_nodes=6)
NUM_NODES = sum(data.num_nodes for data in GRAPHS)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[list[Data]]:
    """The graphs that each judge was given."""
    out = []

    class Asked(Judge):
        def __init__(self, graphs: list[Data], *args: object) -> None:
            out.append(graphs)
            super().__init__(graphs, *args)

    monkeypatch.setattr(by_judgement, 'Judge', Asked)
    return out


def classes(graphs: list[Data]) -> Counter:
    return Counter(int(data.y) for data in graphs)


def at_most(
    monkeypatch: pytest.MonkeyPatch, graphs: int = 4096, nodes: int = 200_000
) -> None:
    monkeypatch.setattr(by_judgement, 'MAX_GRAPHS', graphs)
    monkeypatch.setattr(by_judgement, 'MAX_NODES', nodes)


@pytest.mark.parametrize('size', [15, 30, 31, 45, 59])
@pytest.mark.parametrize('period', [1, 2, 3, 4, 30])
def test_labels_that_repeat(
    size: int,
    period: int,
    given: list[list[Data]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = [data.clone() for data in GRAPHS]
    for i, data in enumerate(source):
        data.y = torch.tensor([i // period % 2])
    at_most(monkeypatch, graphs=size)
    MirageDataset(source, 1, num_graphs=4)
    assert len(given[0]) == size
    assert min(classes(given[0])[c] for c in (0, 1)) > size / 4


def test_as_many_nodes_as_may_be(
    given: list[list[Data]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for nodes, size in ((NUM_NODES // 2, 29), (3 * NUM_NODES // 4, 44), (1, 1)):
        at_most(monkeypatch, nodes=nodes)
        MirageDataset(GRAPHS, 1, num_graphs=4)
        assert len(given[-1]) in (size, size + 1)
    without = [path(y=i % 2) for i in range(9)]
    at_most(monkeypatch, graphs=5)
    MirageDataset(without, 1, selection='auto', num_graphs=2)
    assert len(given[-1]) == 5


@pytest.mark.parametrize('size', [60, 61, 4096])
def test_all_if_all_fit(
    size: int, given: list[list[Data]], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_most(monkeypatch, size, max(NUM_NODES, size))
    MirageDataset(GRAPHS, 1, num_graphs=4)
    for found, expected in zip(given[0], GRAPHS, strict=True):
        assert found.x.equal(expected.x)
        assert found.y.equal(expected.y)


def test_the_same_every_time_and_in_the_order_of_the_source(
    given: list[list[Data]], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = [data.clone() for data in GRAPHS]
    for i, data in enumerate(source):
        data.number = torch.tensor([i])
    at_most(monkeypatch, graphs=20)
    for seed in (0, 1):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        MirageDataset(source, 1, num_graphs=4)
        assert torch.get_rng_state().equal(before)
    number = [[int(data.number) for data in graphs] for graphs in given]
    assert number[0] == number[1] == sorted({*number[0]})
    assert len({b - a for a, b in zip(number[0], number[0][1:])}) > 2  # noqa: B905


@pytest.mark.parametrize(
    'wrap',
    [
        lambda g: Stream(cut(g, 3, 4, 20)),
        lambda g: [Graphs(part) for part in cut(g, 5, 11)],
        Graphs,
    ],
)
def test_any_chunks(
    wrap: Callable, given: list[list[Data]], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_most(monkeypatch, graphs=20)
    expected = MirageDataset(GRAPHS, 2, budget=200)
    found = MirageDataset(wrap(GRAPHS), 2, budget=200)
    assert same(found, expected)
    assert found.report.scores == expected.report.scores
    for one, other in zip(*given, strict=True):
        assert one.x.equal(other.x)
        assert one.y.equal(other.y)
    assert not all(equal(*pair) for pair in zip(given[0], GRAPHS, strict=False))


def distil(rank: int, world_size: int, folder: str) -> None:
    start(rank, world_size, folder)
    by_judgement.MAX_GRAPHS = 20
    mine = shard_of(GRAPHS, rank, world_size)
    found = MirageDataset(mine, 2, budget=200, distributed=True)
    torch.save((list(found), found.report.scores), f'{folder}/{rank}.pt')
    stop()


def test_any_number_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mp.spawn(distil, args=(2, str(tmp_path)), nprocs=2)
    at_most(monkeypatch, graphs=20)
    expected = MirageDataset(GRAPHS, 2, budget=200)
    for rank in range(2):
        graphs, scores = torch.load(tmp_path / f'{rank}.pt', weights_only=False)
        assert same(graphs, expected)
        assert scores == expected.report.scores
