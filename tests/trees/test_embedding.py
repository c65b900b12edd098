"""Points of trees are the histograms that unrolling finds, hop by hop."""

from collections.abc import Callable
from math import copysign, sqrt
from statistics import mean, stdev

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from pyg_distill.trees.embedding import (
    GRID,
    MAX_CATEGORIES,
    FeatureCode,
    TreeCode,
)
from tests.graphs import forest_of as forest
from tests.graphs import graphs as any_graphs
from tests.graphs import permute, random_graphs
from tests.oracles import Tree, rows, trees_of

Column = tuple[list[float], tuple[float, float] | None]


def path(*labels: int) -> Data:
    """An undirected path of labelled nodes."""
    source = torch.arange(max(0, len(labels) - 1))
    edge_index = to_undirected(torch.stack([source, source + 1]))
    x = torch.tensor(labels, dtype=torch.float).view(-1, 1)
    return Data(x=x, edge_index=edge_index)


def columns(table: list[tuple]) -> list[Column]:
    """How each column is encoded: its values, or their mean and deviation."""
    out: list[Column] = []
    for column in zip(*table, strict=True):
        known = sorted({float(value) for value in column})
        if len(known) > MAX_CATEGORIES:
            out.append(([], (mean(known), stdev(known))))
        else:
            out.append((known[len(known) == 2 :] if known[1:] else [], None))
    return out


def encode(code: list[Column], row: tuple) -> list[float]:
    kinds, scaled = [], []
    for (known, scale), value in zip(code, row, strict=True):
        kinds += [float(value == other) for other in known]
        if scale is not None:
            scaled.append((value - scale[0]) / scale[1])
    return kinds + scaled


def describe(
    tree: Tree,
    num_layers: int,
    x: list[Column],
    edges: tuple[list[Column], list[Column]],
) -> list[float]:
    """Walks through the tree, and adds up what is found at each hop."""
    nodes: list[list[list[float]]] = [[] for _ in range(num_layers + 1)]
    links: list[list[list[float]]] = [[] for _ in range(num_layers + 1)]

    def walk(tree: Tree, hop: int) -> None:
        nodes[hop].append([1.0, *encode(x, tree[0])])
        for (attr, weight), child in tree[1]:
            attr_code, weight_code = edges
            row = encode(attr_code, attr) + encode(weight_code, weight)
            links[hop + 1].append(row)
            walk(child, hop + 1)

    walk(tree, 0)
    width = 1 + len(encode(x, tree[0]))
    edge_width = sum(
        len(known) + (scale is not None)
        for code in edges
        for known, scale in code
    )
    out = []
    for hop in range(num_layers + 1):
        total = [sum(row[i] for row in nodes[hop]) for i in range(width)]
        if hop:
            total += [
                sum(row[i] for row in links[hop]) for i in range(edge_width)
            ]
        for value in total:
            root = copysign(sqrt(abs(value)), value) / 2**hop
            out.append(round(root / GRID) * GRID)
    return out


def expected(graphs: list[Data], num_layers: int) -> dict[Tree, list[float]]:
    table: dict[str, list[tuple]] = {'x': [], 'attr': [], 'weight': []}
    for data in graphs:
        table['x'] += rows(data.get('x'), data.num_nodes)
        table['attr'] += rows(data.get('edge_attr'), data.num_edges)
        table['weight'] += rows(data.get('edge_weight'), data.num_edges)
    code = {name: columns(value) for name, value in table.items()}
    edges = code['attr'], code['weight']
    return {
        tree: describe(tree, num_layers, code['x'], edges)
        for data in graphs
        for tree in trees_of(data, num_layers)
    }


def found(graphs: list[Data], num_layers: int) -> dict[Tree, list[float]]:
    trees = forest(graphs, num_layers)
    distinct = trees.distinct()
    point = TreeCode.fit(trees)(trees)
    named = [tree for data in graphs for tree in trees_of(data, num_layers)]
    assert point.size(0) == len(set(named))
    assert point.dtype == torch.float
    first = distinct.first.tolist()
    return {named[v]: point[i].tolist() for i, v in enumerate(first)}


def close(a: dict[Tree, list[float]], b: dict[Tree, list[float]]) -> bool:
    assert set(a) == set(b)
    # A number between two of the grid may be rounded either way.
    return all(
        len(a[tree]) == len(b[tree])
        and all(
            abs(p - q) <= GRID for p, q in zip(a[tree], b[tree], strict=True)
        )
        for tree in a
    )


def coded(kind: str, num_nodes: int) -> Tensor | None:
    label = torch.randint(0, 4, (num_nodes,))
    return {
        'one-hot': torch.nn.functional.one_hot(label, 5).float(),
        'categories': torch.stack([label * 7 - 3, label % 2], dim=1),
        'flat': label,
        'bool': (label > 1).view(-1, 1),
        'wide': label.view(-1, 1, 1).repeat(1, 2, 2),
        'continuous': torch.randn(num_nodes, 2),
        'mixed': torch.stack([label.double(), torch.randn(num_nodes)], 1),
        'constant': torch.ones(num_nodes, 3),
        'none': None,
    }[kind]


KINDS = [
    *('one-hot', 'categories', 'flat', 'bool', 'wide', 'continuous'),
    *('mixed', 'constant', 'none'),
]


def random_set(kind: str, on_edges: bool = False) -> list[Data]:
    out = random_graphs(30, 9, num_features=None)
    for data in out:
        data.x = coded(kind, data.num_nodes)
        if data.x is None:
            del data.x
        if on_edges and kind != 'none':
            data.edge_attr = coded(kind, data.num_edges)
    return out


@pytest.mark.parametrize('num_layers', [0, 1, 2])
@pytest.mark.parametrize('kind', KINDS)
def test_any_encoding(kind: str, num_layers: int) -> None:
    graphs = random_set(kind, on_edges=num_layers == 2)
    assert close(found(graphs, num_layers), expected(graphs, num_layers))


@settings(max_examples=30)
@given(st.lists(any_graphs(5, 6), min_size=1, max_size=1), st.integers(0, 2))
def test_any_graph(graphs: list[Data], num_layers: int) -> None:
    if any(
        not bool(graphs[0][name].isfinite().all())
        for name in ('x', 'edge_attr', 'edge_weight')
        if name in graphs[0]
    ):
        return
    assert found(graphs, num_layers) == expected(graphs, num_layers)


@pytest.mark.parametrize('kind', KINDS)
def test_equal_trees_are_equal_points(kind: str) -> None:
    graphs = random_set(kind, on_edges=True)
    whole = forest(graphs, 2)
    code = TreeCode.fit(whole)
    point = code(whole)[whole.distinct().inverse]
    start = whole.graphs.node_ptr.tolist()
    for i, data in enumerate(graphs):
        # Elsewhere, in another order, and among other trees.
        moved, position = permute(data, seed=i)
        parts = [graphs[(i + 1) % 30].clone(), moved]
        some = forest(parts, 2)
        other = code(some)[some.distinct().inverse]
        other = other[parts[0].num_nodes :][position]
        assert torch.equal(point[start[i] : start[i + 1]], other)


@pytest.mark.parametrize('kind', KINDS)
def test_what_is_fitted_does_not_depend_on_how_often_it_is_there(
    kind: str,
) -> None:
    graphs = random_set(kind, on_edges=True)
    again = [graphs[i] for i in [*range(29, -1, -1), 3, 3, 3, 7]]
    first = TreeCode.fit(forest(graphs, 1))
    other = TreeCode.fit(forest(again, 1))
    codes = [(first.x, other.x)] if first.x is not None else []
    codes += [(first.edge[name], other.edge[name]) for name in first.edge]
    for a, b in codes:
        assert a is not None
        assert b is not None
        assert a.scale == b.scale
        assert a.categories.keys() == b.categories.keys()
        assert all(
            torch.equal(a.categories[i], b.categories[i]) for i in a.categories
        )


def test_kinds_and_quantities() -> None:
    many = torch.arange(MAX_CATEGORIES + 1.0)
    few = many % MAX_CATEGORIES
    both = (many > 3).float()
    table = torch.stack([many, few, both, torch.ones_like(many)], dim=1)
    code = FeatureCode.fit(table)
    assert code.scale == {0: (32.0, float(many.double().std()))}
    assert {i: v.numel() for i, v in code.categories.items()} == {1: 64, 2: 1}
    assert code(table).size() == (65, 64 + 1 + 1)


def test_unseen_values_are_no_kind_that_is_known() -> None:
    code = FeatureCode.fit(torch.tensor([[0], [1], [2]]))
    assert code(torch.tensor([[5], [1]])).tolist() == [[0, 0, 0], [0, 1, 0]]
    value = torch.arange(100.0).view(-1, 1)
    value[0], value[1] = float('inf'), -float('inf')
    code = FeatureCode.fit(value)(value)
    assert bool(code.isfinite().all())
    assert float(code[0]) > 100 * float(code[2:].max())
    assert float(code[1]) < 100 * float(code[2:].min())
    seen = forest([path(0, 1, 2)], 1)
    other = forest([path(7, 1)], 1)
    point = TreeCode.fit(seen)(other)
    at = point[other.distinct().inverse]
    half = [0.5, 0.0, 0.0, 0.0]
    assert at[0].tolist() == [1, 0, 0, 0, 0.5, 0, 0.5, 0]
    assert at[1].tolist() == [1, 0, 1, 0, *half]


def test_no_trees() -> None:
    empty = forest([path(), path()], 2)
    code = TreeCode.fit(empty)
    assert code(empty).size(0) == 0
    assert code(forest([path(1, 2)], 2)).size(0) == 2
    lonely = forest([path(1), path(2)], 3)
    point = TreeCode.fit(lonely)(lonely)
    assert point[:, 2:].count_nonzero() == 0


def test_points_of_a_real_data_set(real_dataset: Callable) -> None:
    graphs = list(real_dataset('MUTAG')[:20])
    assert found(graphs, 3) == expected(graphs, 3)
    trees = forest(graphs, 2)
    point = TreeCode.fit(trees)(trees)
    # Sums of products are exact.
    assert torch.equal(point / GRID, (point / GRID).round())
    exact = (point.double() @ point.double().t()).float()
    assert torch.equal(point.flip(1) @ point.flip(1).t(), exact)
