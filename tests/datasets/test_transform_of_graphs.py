"""Whole graphs have no trees that a transform could ruin."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch_geometric.transforms as T
from torch_geometric.loader import DataLoader

from pyg_distill.datasets import MirageDataset
from tests.datasets.sources import name_of, path, random_graphs, same

GRAPHS = random_graphs(40, max_nodes=6)


@pytest.mark.parametrize(
    'transform',
    [
        lambda data: data,
        T.NormalizeFeatures(),
        T.AddSelfLoops(),
        T.VirtualNode(),
        T.GCNNorm(),
        T.OneHotDegree(20),
        T.Compose([T.ToUndirected(), T.AddRandomWalkPE(3, 'walk')]),
    ],
    ids=name_of,
)
@pytest.mark.parametrize('selection', ['graphs', None])
def test_any_transform_of_whole_graphs(
    transform: Callable, selection: str | None, tmp_path: Path
) -> None:
    options = {'selection': selection, 'budget': 0.3}
    plain = MirageDataset(GRAPHS, 2, **options)
    assert plain.report.selection == 'graphs'
    expected = [transform(data) for data in plain]
    for root in (None, str(tmp_path), str(tmp_path)):
        given = MirageDataset(
            GRAPHS, 2, **options, root=root, transform=transform
        )
        assert same(given, expected)
    later = plain[1:]
    later.transform = transform
    assert same(later, expected[1:])


def test_several_views_and_no_graph_at_all() -> None:
    plain = MirageDataset(GRAPHS, 2)
    kept = plain.copy()
    kept.transform = lambda data: (data, T.AddSelfLoops()(data))
    views = [(data, T.AddSelfLoops()(data)) for data in plain]
    for found, expected in zip(kept, views, strict=True):
        assert same(found, expected)
    kept.transform = lambda data: data.num_nodes
    assert list(kept) == [data.num_nodes for data in plain]


def test_mini_batches_of_transformed_graphs() -> None:
    kept = MirageDataset(GRAPHS, 2, transform=T.OneHotDegree(20, cat=False))
    (batch,) = DataLoader(kept, batch_size=99)
    assert batch.num_features == 21
    assert kept[:2][0].num_features == 21


# One class has large graphs, for which there is no room.
LARGE = [path(1, 2) for _ in range(30)]
LARGE += [path(7, 7, 7, *range(100 * i, 100 * i + 60), y=1) for i in range(5)]


def test_tree_sets_that_a_judge_kept_have_trees_to_lose() -> None:
    kept = MirageDataset(LARGE, 1, budget=60, transform=T.AddSelfLoops())
    assert kept.report.selection == 'patterns'
    with pytest.raises(ValueError, match='ruins its trees'):
        list(kept)
    kept.transform = T.NormalizeFeatures()
    assert len(list(kept)) > 1
    with pytest.raises(ValueError, match="'OneHotDegree' computes with edges"):
        MirageDataset(LARGE, 1, budget=60, transform=T.OneHotDegree(9))


@pytest.mark.parametrize('selection', ['multisets', 'patterns', 'lossless'])
def test_trees_are_known_before_anything_is_read(selection: str) -> None:
    with pytest.raises(ValueError, match="'OneHotDegree' computes with edges"):
        MirageDataset(
            ['no graph'], 1, selection=selection, transform=T.OneHotDegree(9)
        )
