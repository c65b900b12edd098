"""PyTorch's subsets and concatenations of graphs that are in memory."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.data import ConcatDataset, Subset, random_split
from torch_geometric.data import Data

from pyg_distill.datasets import CoresetDataset, MirageDataset, payload
from pyg_distill.datasets.reading.collection import as_slice
from tests.datasets.selecting.test_sources import GRAPHS
from tests.datasets.sources import Graphs, same
from tests.datasets.test_bad_options import message
from tests.datasets.test_sources import Lazy, Minimal
from tests.datasets.test_streaming import Stream

EVERY = range(len(GRAPHS))
ODD = [i for i in EVERY if i % 2]


def double(data: Data) -> Data:
    data.x = 2 * data.x
    return data


def noise(data: Data) -> Data:
    data.x = data.x + torch.rand(data.num_nodes, 1)
    return data


class Doubled(Subset):
    """A subset that reads graphs in a way of its own."""

    def __getitem__(self, i: int) -> Data:
        return double(self.dataset[self.indices[i]].clone())

    def __getitems__(self, index: list[int]) -> list[Data]:
        return [self[i] for i in index]


@pytest.mark.parametrize(
    'wrap',
    [
        lambda g: Subset(g, EVERY),
        lambda g: Subset(tuple(g), list(EVERY)),
        lambda g: Subset(Subset(g[::-1], EVERY), torch.tensor(EVERY).flip(0)),
        lambda g: ConcatDataset([g[:9], tuple(g[9:])]),
        lambda g: ConcatDataset([Graphs(g[:9]), g[9:10], Graphs(g)[10:]]),
        lambda g: ConcatDataset([Subset(g, range(9)), Graphs(g)[9:]]),
        lambda g: Subset(
            ConcatDataset([g[9:], Graphs(g[:9])]), [*EVERY[15:], *EVERY[:15]]
        ),
    ],
)
@pytest.mark.parametrize('options', [{}, {'budget': 0.6}, {'min_support': 0.2}])
def test_are_read_as_a_list_of_them(wrap: Callable, options: dict) -> None:
    expected = MirageDataset(GRAPHS, 2, **options)
    found = MirageDataset(wrap(GRAPHS), 2, **options)
    assert same(found, expected)
    assert found.report.scores == expected.report.scores
    assert found.report.source == expected.report.source


def test_a_random_split_of_a_list() -> None:
    train, rest = random_split(
        GRAPHS, [16, 8], generator=torch.Generator().manual_seed(0)
    )
    by_hand = [GRAPHS[i] for i in train.indices]
    found = MirageDataset(train, 2)
    assert same(found, MirageDataset(by_hand, 2))
    assert found.report.options.get('budget') is None
    assert payload(rest) == payload([GRAPHS[i] for i in rest.indices])
    coreset = CoresetDataset(train, 'herding', budget=0.7)
    assert same(coreset, CoresetDataset(by_hand, 'herding', budget=0.7))


def test_transforms_of_parts_are_applied_once() -> None:
    parts = [Graphs(GRAPHS[:9], transform=double), GRAPHS[9:]]
    by_hand = [double(d.clone()) for d in GRAPHS[:9]] + GRAPHS[9:]
    for source in (ConcatDataset(parts), Subset(ConcatDataset(parts), EVERY)):
        assert same(as_slice(source), by_hand)
        assert same(MirageDataset(source, 2), MirageDataset(by_hand, 2))
    assert torch.equal(parts[0]._data.x, Graphs(GRAPHS[:9])._data.x)


def test_subsets_that_read_in_a_way_of_their_own() -> None:
    by_hand = [double(GRAPHS[i].clone()) for i in ODD]
    expected = MirageDataset(by_hand, 2)
    for whole in (GRAPHS, Graphs(GRAPHS)):
        assert same(MirageDataset(Doubled(whole, ODD), 2), expected)
        inner = Subset(Doubled(whole, ODD), range(len(ODD)))
        assert same(MirageDataset(inner, 2), expected)
    options = {'budget': 90}
    assert same(
        MirageDataset(Doubled(Lazy(GRAPHS), ODD), 2, **options),
        MirageDataset(by_hand, 2, **options),
    )


def test_what_is_random_is_refused() -> None:
    parts = ConcatDataset([GRAPHS[:9], Graphs(GRAPHS[9:], transform=noise)])
    for source in (parts, Subset(parts, range(5, 20)), [parts, GRAPHS[:1]]):
        assert 'random' in message(ValueError, source, 2, 0.1)


def test_nothing_outside_of_a_split_is_read() -> None:
    read: list[int] = []

    def note(data: Data) -> Data:
        read.append(int(data.number))
        return data

    graphs = [data.clone() for data in GRAPHS]
    for i, data in enumerate(graphs):
        data.number = torch.tensor([i])
    whole = ConcatDataset([Graphs(graphs[:9], note), Graphs(graphs[9:], note)])
    split = Subset(Subset(whole, ODD), range(2, 7))
    MirageDataset(split, 2, exclude_keys=['number'])
    assert {*read} == {*ODD[2:7]}


@pytest.mark.parametrize(
    'source',
    [
        Lazy(GRAPHS),
        Minimal(GRAPHS),
        Subset(Minimal(GRAPHS), EVERY),
        Doubled(Lazy(GRAPHS), EVERY),
        ConcatDataset([Lazy(GRAPHS[:9]), GRAPHS[9:]]),
        ConcatDataset([GRAPHS[:9], Minimal(GRAPHS[9:])]),
        Subset(ConcatDataset([GRAPHS[:9], Lazy(GRAPHS[9:])]), EVERY),
        ConcatDataset([Subset(Lazy(GRAPHS), EVERY), GRAPHS]),
    ],
    ids=lambda source: type(source).__name__,
)
def test_what_is_lazy_stays_lazy(source: Any) -> None:
    assert as_slice(source) is source
    text = message(ValueError, source, 2)
    assert '(got the share 0.1, which is the default)' in text
    text = message(ValueError, source, 2, budget=0.1)
    assert '(got the share 0.1)' in text


def test_subsets_of_lazy_data_sets_are_slices_of_them() -> None:
    found = as_slice(Subset(Subset(Lazy(GRAPHS), ODD), [0, 2]))
    assert isinstance(found, Lazy)
    assert [*found.indices()] == [ODD[0], ODD[2]]


def test_streams_have_no_share_by_default() -> None:
    assert 'which is the default' in message(ValueError, Stream(GRAPHS), 2)


@pytest.mark.parametrize(
    'source', [Subset(GRAPHS, []), Subset(Graphs(GRAPHS), []), Doubled([], [])]
)
def test_none_at_all(source: Any) -> None:
    name = type(source).__name__
    text = message(ValueError, source, 2)
    assert f"at least one graph (got an empty '{name}')" in text
