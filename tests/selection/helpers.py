"""Small data sets to select from, and what selectors are asked about them."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.utils import to_undirected

from pyg_distill.datasets import MirageDataset
from pyg_distill.selection import Selector

# What every item has, besides features.
FORM = {
    *('edge_index', 'root_index', 'root_count', 'num_layers', 'y'),
    *('target', 'weight', 'support', 'graph_id'),
}


class Graphs(InMemoryDataset):
    """Graphs as a data set of PyG, collated in memory."""

    def __init__(
        self, graphs: Sequence[Data], transform: Callable | None = None
    ) -> None:
        super().__init__(None, transform)
        self.data, self.slices = self.collate(list(graphs))


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


def path(*labels: float, y: int = 0, **kwargs: Any) -> Data:
    """An undirected path of labelled nodes; any two labels give a tree."""
    num_nodes = len(labels)
    source = torch.arange(max(0, num_nodes - 1))
    edge_index = torch.stack([source, source + 1])
    return Data(
        x=torch.tensor(labels, dtype=torch.float).view(num_nodes, 1),
        edge_index=to_undirected(edge_index, num_nodes=num_nodes),
        y=torch.tensor([y]),
        **kwargs,
    )


def random_graphs(
    num_graphs: int = 12,
    labels: Sequence[int] = (0, 1),
    max_nodes: int = 5,
    num_features: int | None = 3,
    edge_attr: bool = False,
    edge_weight: bool = False,
    seed: int = 0,
) -> list[Data]:
    """Graphs so small that trees repeat; every class has some of them.

    They may be directed, and have self-loops, parallel edges or no nodes.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(high: int, *size: int) -> torch.Tensor:
        return torch.randint(high, size, generator=generator)

    out = []
    for i in range(num_graphs):
        num_nodes = int(draw(max_nodes + 1, 1)) or int(i < len(labels))
        num_edges = int(draw(num_nodes + 2, 1)) if num_nodes else 0
        data = Data(
            edge_index=draw(max(1, num_nodes), 2, num_edges),
            y=torch.tensor([labels[i % len(labels)]]),
        )
        if num_features is None:
            data.num_nodes = num_nodes
        else:
            index = draw(2, num_nodes)
            data.x = torch.nn.functional.one_hot(index, num_features).float()
        if edge_attr:
            data.edge_attr = draw(2, num_edges, 1)
        if edge_weight:
            data.edge_weight = draw(2, num_edges).float()
        out.append(data)
    return out


def cut(graphs: Sequence[Any], *bounds: int) -> list[Any]:
    """The graphs in several parts."""
    return [graphs[a:b] for a, b in pairwise((0, *bounds, len(graphs)))]


def equal(first: Data, second: Data) -> bool:
    """Whether two graphs hold the very same attributes."""
    first, second = first.to_dict(), second.to_dict()
    return set(first) == set(second) and all(
        torch.equal(value, second[key]) and value.dtype == second[key].dtype
        if isinstance(value, torch.Tensor)
        else value == second[key]
        for key, value in first.items()
    )


def same(first: Sequence[Data], second: Sequence[Data]) -> bool:
    """Whether two data sets hold the very same graphs, in one order."""
    return len(first) == len(second) and all(map(equal, first, second))


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
