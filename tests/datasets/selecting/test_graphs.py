"""Graphs that are kept are those of the source, as they are."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import coalesce

from pyg_distill.datasets import MirageDataset
from tests.datasets.selecting.test_multisets import check_herded
from tests.datasets.sources import path, random_graphs
from tests.oracles import rows, trees_of


def keep(graphs: Any, num_layers: int, **kw: Any) -> MirageDataset:
    return MirageDataset(graphs, num_layers, selection='graphs', **kw)


def edges(data: Data) -> list[tuple]:
    """The edges with all that they carry, in any order."""
    columns = [data.edge_index.t().tolist()]
    columns += [
        rows(data.get(name), data.num_edges)
        for name in ('edge_attr', 'edge_weight')
    ]
    return sorted(tuple(map(tuple, row)) for row in zip(*columns, strict=True))


def numbered(graphs: list[Data]) -> list[Data]:
    for i, data in enumerate(graphs):
        data.number = torch.tensor([i])
        data.target = torch.randn(1, 2)
    return graphs


@pytest.mark.parametrize('num_features', [3, None])
@pytest.mark.parametrize('num_graphs', [2, 7, 16])
def test_graphs_are_unchanged(
    num_features: int | None, num_graphs: int
) -> None:
    source = numbered(
        random_graphs(
            16, num_features=num_features, edge_attr=True, edge_weight=True
        )
    )
    kept = keep(source, 2, num_graphs=num_graphs)
    assert len({int(data.number) for data in kept}) == len(kept) == num_graphs
    for data in kept:
        own = source[int(data.number)]
        assert set(data.keys()) - {'support', 'weight'} == set(own.keys())
        assert data.num_nodes == own.num_nodes
        assert edges(data) == edges(own)
        for name in ('x', 'target', 'y'):
            if name in own:
                assert torch.equal(data[name], own[name])
                assert data[name].dtype == own[name].dtype
        for name in ('edge_index', 'edge_attr', 'edge_weight'):
            assert data[name].dtype == own[name].dtype
        assert 'root_index' not in data
        assert data.support.tolist() == [1]


def test_features_are_kept_bit_by_bit() -> None:
    source = numbered(random_graphs(9))
    for data in source:
        data.x = torch.randn(data.num_nodes, 3, dtype=torch.double)
        data.x[data.x > 1] = -0.0
    for data in keep(source, 2, num_graphs=9):
        own = source[int(data.number)].x
        assert torch.equal(data.x.view(torch.long), own.view(torch.long))


def test_graphs_are_herded_by_numbers_and_shares_of_trees() -> None:
    source = numbered(random_graphs(12, (0,), max_nodes=6))
    deepest = [Counter(trees_of(data, 1)) for data in source]
    every = [
        Counter((depth, t) for depth in (0, 1) for t in trees_of(data, depth))
        for data in source
    ]
    # Rows of the deepest trees have a squared length of the number of nodes.
    mean = sum(c.total() for c in deepest) / 12
    share = sum(c.total() > 0 for c in every) / 12
    columns = [sorted(set().union(*counts)) for counts in (deepest, every)]
    points = [
        [(a[t] / mean) ** 0.5 for t in columns[0]]
        + [(b[t] / max(1, b.total()) / share) ** 0.5 for t in columns[1]]
        for a, b in zip(deepest, every, strict=True)
    ]
    picked = []
    for k in range(1, 13):
        kept = keep(source, 1, num_graphs=k)
        picked.append([points[int(data.number)] for data in kept])
    check_herded(points, picked)


@pytest.mark.parametrize('selection', ['graphs', 'multisets'])
def test_classes_keep_their_shares(selection: str) -> None:
    source = [
        path(i % 4, i % 3, y=int(i >= 8) + int(i >= 31)) for i in range(40)
    ]
    for num_graphs in (3, 4, 9, 17, 30, 40):
        kept = MirageDataset(
            source, 1, selection=selection, num_graphs=num_graphs
        )
        size = Counter(kept.y.tolist())
        assert size.total() == num_graphs
        for label, total in enumerate((8, 23, 9)):
            share = total / 40 * num_graphs
            assert size[label] >= 1
            assert abs(size[label] - share) < 1 or num_graphs < 8
        sums = torch.zeros(3).index_add_(0, kept.y, kept.weight)
        shares = torch.tensor([8, 23, 9]) / 40
        assert torch.allclose(sums / num_graphs, shares)


@pytest.mark.parametrize('balance', ['source', 'uniform', 'none'])
@pytest.mark.parametrize('selection', ['graphs', 'multisets'])
def test_weights(selection: str, balance: str) -> None:
    source = [path(i % 4, y=int(i >= 8)) for i in range(40)]
    kept = MirageDataset(
        source, 1, selection=selection, num_graphs=9, balance=balance
    )
    first = int((kept.y == 0).sum())
    share = {'source': 0.2, 'uniform': 0.5, 'none': first / 9}[balance]
    assert float(kept.weight.mean()) == pytest.approx(1)
    got = float(kept.weight[kept.y == 0].sum()) / 9
    assert got == pytest.approx(share)


def test_graphs_without_nodes_or_edges() -> None:
    kept = keep([path(), path(), path(y=1)], 2, num_graphs=2)
    assert [data.num_nodes for data in kept] == [0, 0]
    kept = keep([path(1), path(2), path(2, 2, y=1), path()], 1, num_graphs=4)
    assert sorted(data.num_nodes for data in kept) == [0, 1, 1, 2]
    assert len(keep([path(1, 2)], 1)) == 1


def test_a_real_data_set(real_dataset: Callable) -> None:
    source = real_dataset('MUTAG')
    kept = keep(source, 2, budget=0.2)
    whole = {(edges(d)[0], len(edges(d)), int(d.y)) for d in source}
    for data in kept:
        assert (edges(data)[0], len(edges(data)), int(data.y)) in whole
        index = coalesce(data.edge_index, sort_by_row=False)
        assert index.size() == data.edge_index.size()
    assert kept.report.packed_bytes <= 0.2 * kept.report.source_packed_bytes
