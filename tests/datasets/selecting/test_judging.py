"""A ridge regression on what random features see of trees, written out."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Data

from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.datasets.selecting import judging
from pyg_distill.datasets.selecting.judging import Judge, area_under_curve
from tests.datasets.sources import path, random_graphs

SIZES = {0: 12, 1: 12}


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.5, 1.0, 2.0]), st.booleans()),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=40)
def test_area_under_curve(pairs: list[tuple[float, bool]]) -> None:
    high = [score for score, positive in pairs if positive]
    low = [score for score, positive in pairs if not positive]
    wins = [(a > b) + 0.5 * (a == b) for a in high for b in low]
    expected = sum(wins) / len(wins) if wins else 0.5
    score, positive = map(torch.tensor, zip(*pairs, strict=True))
    assert area_under_curve(score, positive) == pytest.approx(expected)


def described(
    judge: Judge, data: Data, num_layers: int, averaged: bool
) -> list[float]:
    """The same by hand: one tree after the other, spelt out node by node."""
    start = data.get('root_index')
    roots = range(data.num_nodes) if start is None else start.tolist()
    counts = data.get('root_count')
    counts = [1] * len(roots) if counts is None else counts.tolist()
    total = [0.0] * judging.NUM_FEATURES
    for root, count in zip(roots, counts, strict=True):
        hops, front = [], [root]
        for _ in range(num_layers + 1):
            rows = [
                torch.cat([torch.ones(1), one_hot(data.x[i])]) for i in front
            ]
            hops.append(sum(rows, torch.zeros(4)))
            source, target = data.edge_index.tolist()
            front = [
                s
                for i in front
                for s, t in zip(source, target, strict=True)
                if t == i
            ]
        point = torch.cat([hop.sqrt() / 2**k for k, hop in enumerate(hops)])
        point = ((point * 64).round() / 64).double()
        feature = (point @ judge._weight + judge._bias).clamp(min=0)
        total = [a + count * float(b) for a, b in zip(total, feature)]  # noqa: B905
    size = max(1, sum(counts))
    return [t / size for t in total] if averaged else total


def one_hot(x: Tensor) -> Tensor:
    return torch.tensor([float(x[0] == c) for c in (1.0, 2.0, 3.0)])


def noisy_paths(num_graphs: int) -> list[Data]:
    generator = torch.Generator().manual_seed(0)
    out = []
    for i in range(num_graphs):
        size = int(torch.randint(2, 6, (1,), generator=generator))
        labels = torch.randint(1, 4, (size,), generator=generator)
        out.append(path(*labels.tolist(), y=int(i % 3 == 0)))
    return out


GRAPHS = noisy_paths(24)


def expected_area(
    judge: Judge, graphs: list[Data], weights: list[float], averaged: bool
) -> float:
    rows, tests = (
        torch.tensor(
            [described(judge, data, 1, averaged) for data in source],
            dtype=torch.double,
        )
        for source in (graphs, GRAPHS)
    )
    mean = torch.tensor([described(judge, d, 1, True) for d in graphs])
    bias = judging.BIAS * (mean**2).sum(dim=1).mean() ** 0.5
    rows, tests = (
        torch.cat([part, bias.expand(len(part), 1)], dim=1)
        for part in (rows, tests)
    )
    weight = torch.tensor(weights, dtype=torch.double)
    target = torch.tensor([1.0 if data.y == 1 else -1.0 for data in graphs])
    length = sum(
        w * float(row @ row) for w, row in zip(weights, rows, strict=True)
    )
    # The kernel form, where the code solves for coefficients.
    kernel = rows @ rows.t() + torch.diag(judging.RIDGE * length / weight)
    score = tests @ rows.t() @ torch.linalg.solve(kernel, target.double())
    # Of equal graphs, neither is ahead.
    score = score.round(decimals=6)
    wins = [
        float(score[i] > score[j]) + 0.5 * float(score[i] == score[j])
        for i in range(24)
        for j in range(24)
        if GRAPHS[i].y > GRAPHS[j].y
    ]
    return sum(wins) / len(wins)


@pytest.mark.parametrize(
    'index', [[0, 3, 1], [0, 1, 5, 6, 7, 8], [1, 2, 3, 4, 6, 9], [*range(24)]]
)
def test_judging_is_ridge_regression(index: list[int]) -> None:
    judge = Judge(GRAPHS, 1, {0: 16, 1: 8}, 'source')
    graphs, support = [], []
    for i in index:
        support.append(1 + i * i % 7)
        graphs.append(GRAPHS[i].clone())
        graphs[-1].support = torch.tensor([support[-1]])
    label = [int(data.y) for data in graphs]
    total = [
        sum(s for s, y in zip(support, label, strict=True) if y == c)
        for c in (0, 1)
    ]
    weights = [
        len(label) * (2 / 3, 1 / 3)[y] * s / total[y]
        for s, y in zip(support, label, strict=True)
    ]
    areas = [
        expected_area(judge, graphs, weights, averaged)
        for averaged in (False, True)
    ]
    assert judge(graphs) == pytest.approx(sum(areas) / 2, abs=5e-4)


def two_kinds(one: int, other: int, y: int) -> Data:
    return path(*[1] * one, *[2] * other, y=y)


def large_and_small() -> list[Data]:
    """Class 0 has larger graphs, of the same nodes."""
    sizes = [8 + i % 5 + 28 * (i % 2) for i in range(24)]
    return [two_kinds(size, 0, int(size < 20)) for size in sizes]


def test_a_bias_is_learned_where_nothing_else_tells() -> None:
    # Averages do not. There are so many of class 1 that without a bias more
    # nodes mean that.
    judge = Judge(large_and_small(), 0, {0: 12, 1: 12}, 'none')
    few = [two_kinds(38, 0, 0)] + 9 * [two_kinds(10, 0, 1)]
    assert judge(few) == 0.75


def test_what_networks_see_first_is_preferred_to_a_bias(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Some nodes of another kind explain the large graph.
    source = [*large_and_small(), two_kinds(30, 8, 0)]
    few = [two_kinds(30, 8, 0)] + 9 * [two_kinds(10, 0, 1)]

    def score() -> float:
        return Judge(source, 0, {0: 13, 1: 12}, 'none')(few)

    assert score() < 0.35
    monkeypatch.setattr(judging, 'BIAS', 10.0)
    assert score() > 0.75


def test_tree_sets_are_judged_by_their_roots() -> None:
    # Everything with its multiplicity is as good as the graphs themselves.
    source = random_graphs(24, max_nodes=6)
    judge = Judge(source, 2, SIZES, 'source')
    lossless = MirageDataset(source, 2, selection='lossless')
    assert judge(list(lossless)) == judge(source) > 0.6
    few = [lossless[i] for i in (0, 3, 8, 11)]
    assert judge(few) == judge([source[i] for i in (0, 3, 8, 11)])
    bare = [Data(x=d.x, edge_index=d.edge_index, y=d.y) for d in few]
    assert judge(few) != judge(bare)


def test_weights_count() -> None:
    source = random_graphs(24, max_nodes=6)
    judge = Judge(source, 1, SIZES, 'none')
    heavy = [data.clone() for data in source]
    for i, data in enumerate(heavy):
        data.support = torch.tensor([50 if i in (0, 1) else 1])
    assert judge(heavy) != judge(source)


@pytest.mark.parametrize('labels', [(0, 1), (0, 1, 2)])
def test_labels_that_say_nothing_are_worth_nothing(labels: Any) -> None:
    # Pure noise against the rule that made the labels.
    source = list(ToyMolecules(num_graphs=300, log=False))
    for i, data in enumerate(source):
        del data.edge_attr
        data.y = torch.tensor([labels[i % len(labels)]])
    sizes = {c: 300 // len(labels) for c in labels}
    noise = Judge(source[:150], 2, sizes, 'source')(source[150:])
    assert abs(noise - 0.5) < 0.1
    share = torch.tensor(
        [float((d.x[:, 0] == 0).float().mean()) for d in source]
    )
    bounds = share.quantile(torch.arange(1, len(labels)) / len(labels))
    for data, c in zip(source, torch.bucketize(share, bounds), strict=True):
        data.y = c.view(1)
    sizes = {c: sum(int(d.y) == c for d in source) for c in labels}
    assert Judge(source[:150], 2, sizes, 'source')(source[150:]) > 0.8


def test_one_class_cannot_be_judged() -> None:
    source = random_graphs(8, (0,))
    assert Judge(source, 1, {0: 8}, 'source')(source) == 0.5
