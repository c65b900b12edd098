"""The default type of tensors, which others set, changes no result."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_distill.datasets import CoresetDataset, MirageDataset
from pyg_distill.datasets.selecting.judging import area_under_curve
from pyg_distill.transforms import ToComputationTrees
from tests.datasets.sources import name_of, random_graphs, same

GRAPHS = random_graphs(60, (0, 1, 2), 9, edge_attr=True, edge_weight=True)


@contextmanager
def default(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def kept(dtype: torch.dtype, *args: Any, **kwargs: Any) -> tuple[list, Any]:
    with default(dtype):
        dataset = MirageDataset(*args, **kwargs)
        return list(dataset), dataset.report


@pytest.mark.parametrize('dtype', [torch.double, torch.half])
@pytest.mark.parametrize(
    'options',
    [
        {},
        {'budget': 0.3, 'balance': 'uniform'},
        {'selection': 'patterns', 'budget': 0.2},
        {'min_support': 0.1},
        {'selection': 'multisets', 'budget': 0.2},
        {'num_trees': 9, 'num_graphs': 9, 'verify': True, 'compact': False},
        {'selection': 'graphs', 'budget': 0.2},
        {'selection': 'lossless'},
    ],
    ids=name_of,
)
def test_distilling(options: dict[str, Any], dtype: torch.dtype) -> None:
    found, report = kept(dtype, GRAPHS, 2, **options)
    expected, known = kept(torch.float, GRAPHS, 2, **options)
    assert same(found, expected)
    assert report.scores == known.scores
    assert report.packed_bytes == known.packed_bytes
    assert report.sharing == known.sharing


def test_real_features(real_dataset: Callable) -> None:
    source = real_dataset('MUTAG')
    found, report = kept(torch.double, source, 2)
    expected, known = kept(torch.float, source, 2)
    assert same(found, expected)
    assert report.scores == known.scores
    assert len(known.scores) == 3


@pytest.mark.parametrize('normalize', ['hellinger', 'none', 'sqrt', 'l2'])
@pytest.mark.parametrize('method', ['random', 'herding', 'k_center'])
def test_coresets(method: str, normalize: str) -> None:
    # Without features, many graphs are equally far, but for rounding errors.
    for source in (random_graphs(60, num_features=None), GRAPHS):
        found = []
        for dtype in (torch.float, torch.double, torch.half):
            with default(dtype):
                coreset = CoresetDataset(
                    source, method, budget=0.3, normalize=normalize
                )
                found.append(list(coreset))
        assert same(found[0], found[1])
        assert same(found[0], found[2])


def test_trees_of_single_graphs() -> None:
    def trees(dtype: torch.dtype) -> list[Data]:
        with default(dtype):
            return [ToComputationTrees(2)(data) for data in GRAPHS]

    assert same(trees(torch.double), trees(torch.float))


def perfect(num_positive: int) -> tuple[Tensor, Tensor]:
    score = torch.arange(num_positive + 1)
    return score, score > 0


@pytest.mark.parametrize('dtype', [torch.half, torch.float, torch.double])
@pytest.mark.parametrize('num_positive', [3, 4095, 29_999])
def test_areas_of_many_graphs(num_positive: int, dtype: torch.dtype) -> None:
    with default(dtype):
        assert area_under_curve(*perfect(num_positive)) == 1
