"""Small data sets to distil."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.utils import to_undirected


class Graphs(InMemoryDataset):
    """Graphs as a data set of PyG, collated in memory."""

    def __init__(
        self, graphs: Sequence[Data], transform: Callable | None = None
    ) -> None:
        super().__init__(None, transform)
        self.data, self.slices = self.collate(list(graphs))


def path(*labels: int, y: int = 0, **kwargs: Any) -> Data:
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
        edge_index = draw(max(1, num_nodes), 2, num_edges)
        data = Data(
            edge_index=edge_index, y=torch.tensor([labels[i % len(labels)]])
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
    return len(first) == len(second) and all(
        equal(a, b) for a, b in zip(first, second, strict=True)
    )


def name_of(value: Any) -> str:
    """The name of a test's argument, the same in every process."""
    name = getattr(value, '__name__', None) or str(value)
    return name.partition(' at 0x')[0]
