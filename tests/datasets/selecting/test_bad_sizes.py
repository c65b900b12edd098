"""Sizes that cannot be meant are refused in one line."""

from typing import Any

import pytest

from pyg_distill.datasets import MirageDataset
from tests.datasets.sources import random_graphs

GRAPHS = random_graphs(12)


@pytest.mark.parametrize(
    ('options', 'word'),
    [
        ({'budget': 0.5, 'min_support': 0.1}, 'min_support'),
        ({'selection': 'graphs', 'num_trees': 5}, 'num_trees'),
        ({'selection': 'patterns', 'num_graphs': 5}, 'num_graphs'),
        ({'selection': 'lossless', 'budget': 0.5}, 'budget'),
        ({'selection': 'multisets', 'min_support': 0.5}, 'min_support'),
        ({'selection': 'graphs', 'compact': False}, 'compact'),
        ({'selection': 'all'}, 'selection'),
        ({'budget': 0}, 'budget'),
        ({'budget': -5}, 'budget'),
        ({'budget': 1.5}, 'budget'),
        ({'budget': 0.0}, 'budget'),
        ({'budget': float('nan')}, 'budget'),
        ({'budget': True}, 'budget'),
        ({'budget': 'x'}, 'budget'),
        ({'num_graphs': 0}, 'num_graphs'),
        ({'num_graphs': 1}, 'num_graphs'),
        ({'num_graphs': 13}, 'num_graphs'),
        ({'num_graphs': 2.0}, 'num_graphs'),
        ({'num_trees': 0}, 'num_trees'),
        ({'num_trees': 10_000}, 'num_trees'),
        ({'num_trees': '7'}, 'num_trees'),
    ],
)
def test_sizes(options: dict[str, Any], word: str) -> None:
    with pytest.raises((TypeError, ValueError), match=word) as info:
        MirageDataset(GRAPHS, 1, **options)
    assert '\n' not in str(info.value)
    assert len(str(info.value)) > 30
