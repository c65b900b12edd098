"""Whole graphs have no trees that a transform could ruin."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch_geometric.transforms as T

from pyg_distill.datasets import MirageDataset
from tests.data.collections import assert_graphs
from tests.datasets.sources import name_of, random_graphs

GRAPHS = random_graphs(40, max_nodes=6)
OPTIONS = {'selection': 'herding', 'budget': 0.3, 'log': False}
TRANSFORMS = [
    lambda data: data,
    T.NormalizeFeatures(),
    T.AddSelfLoops(),
    T.GCNNorm(),
    T.OneHotDegree(20),
    T.Compose([T.ToUndirected(), T.AddRandomWalkPE(3, 'walk')]),
]


@pytest.mark.parametrize('transform', TRANSFORMS, ids=name_of)
def test_any_transform_of_whole_graphs(
    transform: Callable, tmp_path: Path
) -> None:
    plain = MirageDataset(GRAPHS, 2, **OPTIONS)
    expected = [transform(data.clone()) for data in plain]
    for root in (None, str(tmp_path), str(tmp_path)):
        dataset = MirageDataset(
            GRAPHS, 2, **OPTIONS, root=root, transform=transform
        )
        assert_graphs(list(dataset), expected)
    later = plain[1:]
    later.transform = transform
    assert_graphs(list(later), expected[1:])


def test_several_views_of_whole_graphs() -> None:
    plain = MirageDataset(GRAPHS, 2, **OPTIONS)
    dataset = plain.copy()
    dataset.transform = lambda data: (data, T.AddSelfLoops()(data.clone()))
    for views, data in zip(dataset, plain, strict=True):
        assert_graphs(list(views), [data, T.AddSelfLoops()(data.clone())])
    # New nodes would not be roots.
    dataset.transform = T.VirtualNode()
    with pytest.raises(ValueError, match='roots'):
        dataset[0]
