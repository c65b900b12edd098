"""Nothing but the given split is read."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Subset, random_split
from torch_geometric.data import Data

from pyg_distill.datasets import MirageDataset
from tests.datasets.sources import Graphs, random_graphs, same

TRAIN = [0, 1, 2, 3, 5, 6, 8, 9]
HELD_OUT = [4, 7, 10, 11]


def poison(graphs: list[Data]) -> list[Data]:
    """Ruins the held-out graphs, so that reading one raises or shows."""
    for i in HELD_OUT:
        data = graphs[i]
        data.edge_index = torch.full((2, 4), 10**6)
        for key in ('x', 'edge_attr'):
            if key in data:
                rows = data.num_nodes if key == 'x' else 4
                width = data[key].size(1)
                data[key] = torch.full((rows, width), float('nan'))
        if 'x' not in data:
            data.num_nodes = 10**6
        data.y = torch.tensor([1])
        data.target = torch.tensor([float('nan')])
    return graphs


def mask(values: Sequence[int]) -> torch.Tensor:
    out = torch.zeros(12, dtype=torch.bool)
    out[list(values)] = True
    return out


@pytest.mark.parametrize(
    'select',
    [
        lambda d: d[TRAIN],
        lambda d: d[tuple(TRAIN)],
        lambda d: d[torch.tensor(TRAIN)],
        lambda d: d[mask(TRAIN)],
        lambda d: d[np.array(TRAIN)],
        lambda d: d[mask(TRAIN).numpy()],
        lambda d: d[[*TRAIN, *HELD_OUT]][: len(TRAIN)],
        lambda d: d[[*HELD_OUT, *TRAIN]][4:][list(range(8))],
        lambda d: d[[i - 12 for i in TRAIN]],
        lambda d: Subset(d, TRAIN),
        lambda d: Subset(d, torch.tensor(TRAIN)),
        lambda d: Subset(d, np.array(TRAIN)),
        lambda d: Subset(Subset(d, [*TRAIN, *HELD_OUT]), range(8)),
        lambda d: Subset(d[[*TRAIN, 4]], range(8)),
        lambda d: Subset(list(d), TRAIN),
        lambda d: [d[i] for i in TRAIN],
        lambda d: d.copy(TRAIN),
    ],
)
@pytest.mark.parametrize('num_features', [3, None])
@pytest.mark.parametrize('selection', ['patterns', 'lossless'])
def test_held_out_graphs_are_not_read(
    select: Callable, num_features: int | None, selection: str
) -> None:
    def graphs() -> list[Data]:
        out = random_graphs(12, num_features=num_features, edge_attr=True)
        for i, data in enumerate(out):
            data.target = torch.tensor([float(i)])
            data.edge_attr = data.edge_attr.float()
        return out

    whole = graphs()
    expected = MirageDataset([whole[i] for i in TRAIN], 2, selection=selection)
    found = MirageDataset(
        select(Graphs(poison(graphs()))), 2, selection=selection
    )
    assert same(found, expected)
    assert found.report.source == expected.report.source
    assert found.report.classes == expected.report.classes


def test_poison_is_poison() -> None:
    graphs = poison(random_graphs(12))
    for i in HELD_OUT:
        with pytest.raises(ValueError, match='edge_index'):
            MirageDataset(Graphs(graphs)[[0, 1, i]], 1, 0.1)


@pytest.mark.parametrize('num_features', [3, None])
@pytest.mark.parametrize('selection', ['patterns', 'lossless'])
def test_graphs_may_repeat_in_any_order(
    num_features: int | None, selection: str
) -> None:
    graphs = random_graphs(6, num_features=num_features)
    index = [5, 0, 0, 1, 4, 1, 1, 3, 2]
    expected = MirageDataset([graphs[i] for i in index], 1, selection=selection)
    found = MirageDataset(Graphs(graphs)[index], 1, selection=selection)
    assert same(found, expected)
    assert found.report.source == expected.report.source
    assert found.report.source.num_graphs == 9


@pytest.mark.parametrize('shift', [1, 5])
def test_the_order_of_graphs_does_not_matter(shift: int) -> None:
    source = Graphs(random_graphs(12, (0, 1, 2)))
    permuted = [(shift * 5 * i + shift) % 12 for i in range(12)]
    assert sorted(permuted) == list(range(12))
    assert same(
        MirageDataset(source[permuted], 2, 0.1), MirageDataset(source, 2, 0.1)
    )


def test_random_split_is_a_slice() -> None:
    source = Graphs(random_graphs(20, (0, 1, 2)))
    generator = torch.Generator().manual_seed(1)
    train, _ = random_split(source, [0.7, 0.3], generator=generator)
    inner, _ = random_split(train, [0.8, 0.2], generator=generator)
    for part in (train, inner):
        expected = MirageDataset([source[i] for i in _flat(part)], 1, 0.1)
        assert same(MirageDataset(part, 1, 0.1), expected)


def _flat(part: Any) -> list[int]:
    index = list(part.indices)
    if isinstance(part.dataset, Subset):
        return [part.dataset.indices[i] for i in index]
    return index


@pytest.mark.parametrize(
    'select',
    [
        lambda d: d,
        lambda d: d[[0, 1, 3, 4]],
        lambda d: Subset(d, [0, 1, 3, 4]),
        lambda d: Subset(Subset(d, range(6)), [0, 1, 3, 4]),
    ],
)
@pytest.mark.parametrize('dtype', [torch.long, torch.float])
def test_a_split_without_a_class_has_the_classes_of_the_data_set(
    select: Callable, dtype: torch.dtype
) -> None:
    graphs = random_graphs(12, (0, 3, 7))
    for data in graphs:
        data.y = data.y.to(dtype)
    dataset = MirageDataset(select(Graphs(graphs)), 1, 0.1)
    assert dataset.num_classes == dataset.report.num_classes == 8
    assert dataset.num_features == 3


def test_a_list_has_the_classes_that_it_shows() -> None:
    assert MirageDataset(random_graphs(6, (0, 4)), 1, 0.1).num_classes == 5


def test_a_data_set_may_declare_its_classes() -> None:
    class Declared(Graphs):
        @property
        def num_classes(self) -> int:
            return 10

    assert MirageDataset(Declared(random_graphs(6)), 1, 0.1).num_classes == 10


def test_held_out_labels_that_are_missing_are_no_class() -> None:
    graphs = random_graphs(9)
    for i, data in enumerate(graphs):
        data.y = data.y.float() if i < 6 else torch.tensor([float('nan')])
    assert MirageDataset(Graphs(graphs)[:6], 1, 0.1).num_classes == 2
