"""Small graphs to test on."""

from collections.abc import Sequence
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from pyg_distill.trees import Forest, Graphs

FLOATS = torch.tensor([0.0, -0.0, 1.0, -1.5, 1e-40, float('inf')])


def random_graph(
    num_nodes: int = 12,
    num_edges: int = 8,
    edge_dim: int | None = None,
    connected: bool = False,
    self_loops: bool = False,
    seed: int = 0,
) -> Data:
    """An undirected graph with two labels, so that trees repeat.

    It either is connected, or its second half is a copy of the first.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(high: int, *size: int) -> Tensor:
        return torch.randint(high, size, generator=generator)

    size = num_nodes if connected else num_nodes // 2
    source, target = draw(size, 2, num_edges)
    target = torch.where(source == target, (target + 1) % size, target)
    pair = torch.stack([source, target])
    if connected:
        path = torch.arange(size - 1)
        pair = torch.cat([pair, torch.stack([path, path + 1])], dim=1)
    if self_loops:
        pair = torch.cat([pair, torch.tensor([[0, 1], [0, 1]])], dim=1)
    pair = torch.unique(pair.sort(dim=0).values, dim=1)
    x = torch.nn.functional.one_hot(draw(2, size), 2).float()
    attr = draw(2, pair.size(1), edge_dim or 0).float()
    if not connected:
        x, attr = x.repeat(2, 1), attr.repeat(2, 1)
        pair = torch.cat([pair, pair + size], dim=1)
    edge_index, attr = to_undirected(pair, attr, size * 2, reduce='max')
    data = Data(x=x, edge_index=edge_index)
    if edge_dim is not None:
        data.edge_attr = attr
    return data


def cycle(num_nodes: int, **kwargs: Any) -> Data:
    """An undirected cycle."""
    source = torch.arange(num_nodes)
    edge_index = to_undirected(torch.stack([source, (source + 1) % num_nodes]))
    return Data(edge_index=edge_index, num_nodes=num_nodes, **kwargs)


def in_tree(child: list, x: list) -> Data:
    """A forest given by the children of each node."""
    pairs = [(u, v) for v, sources in enumerate(child) for u in sources]
    edge_index = torch.tensor(pairs, dtype=torch.long).view(-1, 2).t()
    return Data(x=torch.tensor(x), edge_index=edge_index)


@st.composite
def values(draw: Any, num_rows: int, one_dim: bool = False) -> Tensor:
    """Features of any kind with few distinct values, so that rows repeat."""
    sizes = [()] if one_dim else [(), (1,), (3,), (70,), (2, 2)]
    index = torch.zeros(num_rows, *draw(st.sampled_from(sizes))).long()
    # Wide rows are almost all zero, so that they differ in few columns.
    for row in index:
        column = draw(st.integers(0, min(row.numel(), 3) - 1))
        row.view(-1)[-1 - column] = draw(st.integers(0, 5))
    kind = draw(st.sampled_from(['int', 'float', 'bool', 'double']))
    if kind == 'int':
        return index - 2
    if kind == 'bool':
        return index % 2 == 1
    return FLOATS[index].to(torch.double if kind == 'double' else torch.float)


@st.composite
def graphs(draw: Any, max_nodes: int = 6, max_edges: int = 9) -> Data:
    """Any graph: directed, with self-loops and parallel edges, or empty."""
    num_nodes = draw(st.integers(0, max_nodes))
    node = st.integers(0, max(0, num_nodes - 1))
    pairs = draw(
        st.lists(st.tuples(node, node), max_size=max_edges if num_nodes else 0)
    )
    if draw(st.booleans()):
        pairs = (pairs + [(v, u) for u, v in pairs])[:max_edges]
    edge_index = torch.tensor(pairs, dtype=torch.long).view(-1, 2).t()
    data = Data(edge_index=edge_index, num_nodes=num_nodes)
    if draw(st.booleans()):
        data.x = draw(values(num_nodes))
    if draw(st.booleans()):
        data.edge_attr = draw(values(len(pairs)))
    if draw(st.booleans()):
        data.edge_weight = draw(values(len(pairs), one_dim=True))
    return data


def permute(data: Data, seed: int = 0) -> tuple[Data, Tensor]:
    """Renumbers nodes and reorders edges: node v becomes position[v]."""
    generator = torch.Generator().manual_seed(seed)
    node = torch.randperm(data.num_nodes, generator=generator)
    edge = torch.randperm(data.num_edges, generator=generator)
    position = torch.empty_like(node)
    position[node] = torch.arange(data.num_nodes)
    out = data.clone()
    out.edge_index = position[data.edge_index[:, edge]]
    if 'x' in data:
        out.x = data.x[node]
    for key in ('edge_attr', 'edge_weight'):
        if key in data:
            out[key] = data[key][edge]
    return out, position


def random_graphs(
    num_graphs: int = 12,
    max_nodes: int = 5,
    num_features: int | None = 3,
    edge_attr: bool = False,
    edge_weight: bool = False,
    seed: int = 0,
) -> list[Data]:
    """Directed graphs with loops and parallel edges; trees repeat."""
    generator = torch.Generator().manual_seed(seed)

    def draw(high: int, *size: int) -> Tensor:
        return torch.randint(high, size, generator=generator)

    out = []
    for i in range(num_graphs):
        num_nodes = int(draw(max_nodes + 1, 1)) or int(i < 2)
        num_edges = int(draw(num_nodes + 2, 1)) if num_nodes else 0
        data = Data(edge_index=draw(max(1, num_nodes), 2, num_edges))
        data.num_nodes = num_nodes
        if num_features is not None:
            index = draw(2, num_nodes)
            data.x = torch.nn.functional.one_hot(index, num_features).float()
        if edge_attr:
            data.edge_attr = draw(2, num_edges, 1)
        if edge_weight:
            data.edge_weight = draw(2, num_edges).float()
        out.append(data)
    return out


def joined(
    graphs: Sequence[Data], names: Sequence[str] | None = None
) -> Graphs:
    """Graphs numbered through, with the features that the first one has."""
    if names is None:
        names = ('x', 'edge_attr', 'edge_weight')
    return Graphs.from_local(
        torch.cat([data.edge_index for data in graphs], dim=1),
        torch.tensor([data.num_nodes for data in graphs]),
        torch.tensor([data.num_edges for data in graphs]),
        **{
            name: torch.cat([data[name] for data in graphs])
            for name in names
            if name in graphs[0]
        },
    )


def forest_of(graphs: Sequence[Data], num_layers: int) -> Forest:
    """All trees of some graphs."""
    return Forest(joined(graphs), num_layers)
