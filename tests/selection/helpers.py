"""Small data sets to select from, and what selectors are asked about them."""

import inspect
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch

from pyg_distill.datasets import MirageDataset
from pyg_distill.selection import Selector
from tests.datasets.sources import (  # noqa: F401
    Graphs,
    equal,
    path,
    random_graphs,
    same,
)

# What every item has, besides features.
FORM = {
    *('edge_index', 'root_index', 'root_count', 'num_layers', 'y'),
    *('target', 'weight', 'support', 'graph_id'),
}


class Stream:
    """Starts anew each time, and knows neither its length nor an index."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items
        self.rounds = 0

    def __iter__(self) -> Iterator[Any]:
        self.rounds += 1
        yield from self.items


class LargestGraphs(Selector):
    """What a user writes."""

    def __init__(self, by: str = 'num_nodes') -> None:
        self.by = by

    def select(self, statistics: Any, budget: Any) -> torch.Tensor:
        size = getattr(statistics, self.by)
        return budget.fill(size.argsort(descending=True, stable=True))


def cut(graphs: Sequence[Any], *bounds: int) -> list[Any]:
    """The graphs in several parts."""
    return [graphs[a:b] for a, b in pairwise((0, *bounds, len(graphs)))]


def alike(found: MirageDataset, expected: MirageDataset) -> bool:
    """Whether two data sets and their reports differ in the time only."""
    reports = [d.report.to_dict() for d in (found, expected)]
    for report in reports:
        del report['seconds'], report['file_size']
    return same(found, expected) and reports[0] == reports[1]


def keep(
    source: Any, num_layers: int, selection: Any = 'auto', **options: Any
) -> MirageDataset:
    """A distilled data set; options that it does not know are a selector's."""
    known = inspect.signature(MirageDataset).parameters
    own = {key: options.pop(key) for key in {*options} - {*known}}
    own |= options.pop('selection_kwargs', {})
    return MirageDataset(
        source, num_layers, selection=selection, selection_kwargs=own, **options
    )


def message(error: Any, *args: Any, **kwargs: Any) -> str:
    """The one line with which a data set is refused."""
    with pytest.raises(error, match=r'.') as info:
        keep(*args, **kwargs)
    text = str(info.value)
    assert '\n' not in text
    assert len(text) > 30
    return text
