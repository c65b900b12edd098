"""Collections of graphs of every kind, and a slow comparison of graphs."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data, Dataset, OnDiskDataset
from torch_geometric.edge_index import EdgeIndex

from tests.selection.helpers import path, random_graphs


class OnDisk(OnDiskDataset):
    def __init__(self, root: str, graphs: list[Data]) -> None:
        super().__init__(root)
        if len(self.db) == 0:
            self.extend(graphs)


class Lazy(Dataset):
    """A data set that makes its graphs as they are asked for."""

    def __init__(
        self, graphs: list[Data], transform: Callable | None = None
    ) -> None:
        super().__init__(None, transform)
        self.graphs = graphs

    def len(self) -> int:
        return len(self.graphs)

    def get(self, idx: int) -> Data:
        return self.graphs[idx].clone()


class Minimal:
    """Has a length and items, as any data set of PyTorch."""

    def __init__(self, graphs: list[Data]) -> None:
        self.graphs = graphs

    def __len__(self) -> int:
        return len(self.graphs)

    def __getitem__(self, i: int) -> Data:
        return self.graphs[i]


class IterableGraphs(torch.utils.data.IterableDataset):
    """Has a length, as its loader wants to know, but no items."""

    def __init__(self, graphs: list[Data]) -> None:
        self.graphs = graphs

    def __len__(self) -> int:
        return len(self.graphs)

    def __iter__(self) -> Iterator[Data]:
        yield from self.graphs


class Typed(Data):
    """Batches some attributes in its own way."""

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        if key == 'anchor':
            return self.anchor_nodes.size(0)
        return super().__inc__(key, value, *args, **kwargs)

    def __cat_dim__(self, key: str, value: Any, *args: Any, **kw: Any) -> Any:
        if key == 'stamp':
            return None
        return 1 if key == 'wide' else super().__cat_dim__(key, value, *args)


def with_all_attributes(num_graphs: int = 9) -> list[Data]:
    graphs = random_graphs(num_graphs, edge_attr=True, edge_weight=True)
    for i, data in enumerate(graphs):
        size = data.num_nodes
        data.x = torch.randn(size, 2, 2).double()
        data.edge_attr = torch.randint(9, (data.num_edges, 1)).to(torch.int8)
        data.edge_weight = torch.rand(data.num_edges).bfloat16()
        data.score = torch.rand(1, 2, 3).half()
        data.flag = torch.tensor([i % 2 == 0])
        data.wave = torch.randn(size, 2, dtype=torch.cfloat)
        data.scalar = torch.tensor(i / 2)
        data.ragged = torch.arange(i % 4).short()
        data.node_index = torch.arange(size)
        data.count = 3 * i
        data.share = i / 8
        data.smiles = f'C{i}'
        data.words = ['a', i]
        data.pair = [torch.tensor([i]), torch.ones(i % 3, 2)]
        data.table = {'a': torch.tensor([i]), 'b': f'{i}'}
    return graphs


def typed(num_graphs: int = 9) -> list[Data]:
    out = []
    for i, data in enumerate(random_graphs(num_graphs)):
        data = Typed.from_dict(data.to_dict())
        # The first graph has nothing to count on from.
        data.anchor_nodes = torch.rand(i, 2)
        data.anchor = torch.arange(i)
        data.stamp = torch.rand(2, 3)
        data.wide = torch.rand(2, i % 3)
        out.append(data)
    return out


def without_features(given: bool) -> list[Data]:
    graphs = random_graphs(9, num_features=None)
    for data in graphs:
        if not given:
            del data.num_nodes
            data.pos = torch.rand(5, 2)
    return graphs


def padded() -> list[Data]:
    """Graphs that give the number of nodes and features."""
    graphs = random_graphs(9)
    for data in graphs:
        data.num_nodes = data.num_nodes
    return graphs


def edge_index_objects() -> list[Data]:
    graphs = random_graphs(9)
    for data in graphs:
        size = (data.num_nodes, data.num_nodes)
        data.edge_index = EdgeIndex(data.edge_index, sparse_size=size)
    return graphs


GRAPHS: dict[str, Callable[[], list[Data]]] = {
    'all attributes': with_all_attributes,
    'own class': typed,
    'number of nodes': lambda: without_features(True),
    'inferred number of nodes': lambda: without_features(False),
    'features and number of nodes': padded,
    'EdgeIndex': edge_index_objects,
    'empty': lambda: [path(), path(1), path(), path(1, 2), path()] * 2,
    'nothing but empty': lambda: [path() for _ in range(9)],
}


def raw(value: Tensor) -> tuple:
    """What a dense tensor is, bit by bit."""
    content = value.detach().clone(memory_format=torch.contiguous_format)
    content = content.reshape(-1)
    return value.dtype, value.size(), content.view(torch.uint8).tolist()


def assert_same(found: Any, expected: Any) -> None:
    if isinstance(expected, Tensor):
        assert type(found) is Tensor
        found = found.view(()) if expected.dim() == 0 else found
        assert raw(found) == raw(expected)
    elif isinstance(expected, int | float):
        # PyG makes numbers tensors where it stores them.
        assert float(found) == expected
    else:
        assert type(found) is type(expected)
        if isinstance(expected, dict):
            expected, found = [*expected.items()], [*found.items()]
        if isinstance(expected, list | tuple):
            assert len(found) == len(expected)
            for a, b in zip(found, expected, strict=True):
                assert_same(a, b)
        else:
            assert found == expected


def assert_graphs(found: list[Data], expected: list[Data]) -> None:
    """Compares all attributes bit by bit."""
    assert len(found) == len(expected)
    for out, data in zip(found, expected, strict=True):
        assert type(out) is type(data)
        attributes = data.to_dict()
        assert {*out.to_dict()} - {'num_nodes'} == {*attributes} - {'num_nodes'}
        assert out.num_nodes == data.num_nodes
        for key, value in attributes.items():
            if isinstance(value, EdgeIndex):
                value = value.as_tensor()
            if key != 'num_nodes':
                assert_same(out[key], value)
