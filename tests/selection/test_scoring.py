"""A ridge regression on what random features see of trees, written out."""

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from pyg_distill.data import GraphTable
from pyg_distill.data.sources import Source
from pyg_distill.data.statistics import collect_statistics
from pyg_distill.datasets import MirageDataset
from pyg_distill.selection import (
    Auto,
    Budget,
    BudgetTooSmall,
    Lossless,
    Scorer,
    Selected,
    scoring,
)
from pyg_distill.selection.scoring import area_under_curve
from tests.selection.helpers import path, random_graphs


def known(graphs: Any, num_layers: int, needs: Any = ()) -> Any:
    return collect_statistics(Source(graphs, num_layers), needs)


def chosen(graphs: list[Data], support: list[int] | None = None) -> Selected:
    label = torch.tensor([int(data.y) for data in graphs])
    return Selected(
        GraphTable.from_list(graphs),
        label,
        torch.ones_like(label) if support is None else torch.tensor(support),
        label,
        {},
    )


def score(
    source: Any, num_layers: int, graphs: list[Data], **options: Any
) -> float:
    weight = options.pop('class_weight', 'source')
    scorer = Scorer(known(source, num_layers), weight)
    return scorer(chosen(graphs, **options))


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
    value, positive = map(torch.tensor, zip(*pairs, strict=True))
    assert area_under_curve(value, positive) == pytest.approx(expected)


def described(
    scorer: Scorer, data: Data, num_layers: int, averaged: bool
) -> list[float]:
    """What features see of a graph: one tree after the other, spelt out."""
    total = [0.0] * scoring.NUM_FEATURES
    for root in range(data.num_nodes):
        hops, front = [], [root]
        for _ in range(num_layers + 1):
            rows = [
                [1.0, *(float(data.x[i]) == c for c in (1, 2, 3))]
                for i in front
            ]
            hops.append(torch.tensor(rows).sum(dim=0))
            pairs = data.edge_index.t().tolist()
            front = [s for i in front for s, t in pairs if t == i]
        point = torch.cat([hop.sqrt() / 2**k for k, hop in enumerate(hops)])
        point = ((point * 64).round() / 64).double()
        feature = (point @ scorer._weight + scorer._bias).clamp(min=0)
        total = [a + float(b) for a, b in zip(total, feature, strict=True)]
    size = data.num_nodes if averaged else 1
    return [t / size for t in total]


def noisy_paths(num_graphs: int) -> list[Data]:
    generator = torch.Generator().manual_seed(0)
    out = []
    for i in range(num_graphs):
        size = int(torch.randint(2, 6, (1,), generator=generator))
        labels = torch.randint(1, 4, (size,), generator=generator)
        out.append(path(*labels.tolist(), y=int(i % 3 == 0)))
    return out


PATHS = noisy_paths(24)


def expected_area(
    scorer: Scorer, graphs: list[Data], weights: list[float], averaged: bool
) -> float:
    rows, tests = (
        torch.tensor(
            [described(scorer, data, 1, averaged) for data in source]
        ).double()
        for source in (graphs, PATHS)
    )
    mean = torch.tensor([described(scorer, d, 1, True) for d in graphs])
    bias = scoring.BIAS * (mean**2).sum(dim=1).mean() ** 0.5
    rows, tests = (
        torch.cat([part, bias.expand(len(part), 1)], dim=1)
        for part in (rows, tests)
    )
    weight = torch.tensor(weights).double()
    target = torch.tensor([1.0 if data.y == 1 else -1.0 for data in graphs])
    length = float((weight * rows.square().sum(dim=1)).sum())
    # The kernel form, where the code solves for coefficients.
    kernel = rows @ rows.t() + torch.diag(scoring.RIDGE * length / weight)
    value = tests @ rows.t() @ torch.linalg.solve(kernel, target.double())
    value = value.round(decimals=6)  # Of equal graphs, neither is ahead.
    wins = [
        float(value[i] > value[j]) + 0.5 * float(value[i] == value[j])
        for i in range(24)
        for j in range(24)
        if PATHS[i].y > PATHS[j].y
    ]
    return sum(wins) / len(wins)


@pytest.mark.parametrize(
    'index', [[0, 3, 1], [0, 1, 5, 6, 7, 8], [1, 2, 3, 4, 6, 9], [*range(24)]]
)
def test_scores_are_those_of_ridge_regression(index: list[int]) -> None:
    scorer = Scorer(known(PATHS, 1), 'source')
    graphs = [PATHS[i] for i in index]
    support = [1 + i * i % 7 for i in index]
    label = [int(data.y) for data in graphs]
    total = Counter()
    for s, y in zip(support, label, strict=True):
        total[y] += s
    weights = [
        len(label) * (2 / 3, 1 / 3)[y] * s / total[y]
        for s, y in zip(support, label, strict=True)
    ]
    areas = [
        expected_area(scorer, graphs, weights, averaged)
        for averaged in (False, True)
    ]
    found = scorer(chosen(graphs, support))
    assert found == pytest.approx(sum(areas) / 2, abs=6e-4)


def test_a_bias_is_learned_where_nothing_else_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def kinds(one: int, other: int, y: int) -> Data:
        return path(*[1] * one, *[2] * other, y=y)

    # Class 0 has larger graphs of the same nodes; averages do not tell them.
    sizes = [8 + i % 5 + 28 * (i % 2) for i in range(24)]
    large = [kinds(size, 0, int(size < 20)) for size in sizes]
    few = [kinds(38, 0, 0)] + 9 * [kinds(10, 0, 1)]
    assert score(large, 0, few, class_weight='none') == 0.75
    # Nodes of another kind explain the large graph, as networks see it.
    source = [*large, kinds(30, 8, 0)]
    few = [kinds(30, 8, 0)] + 9 * [kinds(10, 0, 1)]
    assert score(source, 0, few, class_weight='none') < 0.35
    monkeypatch.setattr(scoring, 'BIAS', 10.0)
    assert score(source, 0, few, class_weight='none') > 0.75


def test_tree_sets_are_scored_by_their_roots() -> None:
    # Everything with its multiplicity is as good as the graphs themselves.
    source = random_graphs(24, max_nodes=6)
    statistics = known(source, 2)
    scorer = Scorer(statistics, 'source')
    lossless = Lossless()(statistics, Budget(statistics))
    assert scorer(lossless) == scorer(chosen(source)) > 0.6
    heavy = [50 if i in (0, 1) else 1 for i in range(24)]
    assert scorer(chosen(source, heavy)) != scorer(chosen(source))
    one = random_graphs(8, (0,))
    assert score(one, 1, one) == 0.5


@pytest.mark.parametrize('period', [1, 3, 30])
def test_a_sample_is_scored_on(
    period: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = random_graphs(60, max_nodes=6)
    statistics = known(source, 1)
    for size in (15, 45, 60, 61):
        monkeypatch.setattr(scoring, 'MAX_GRAPHS', size)
        index = scoring._sample(statistics).tolist()
        assert index == sorted({*index})
        assert len(index) == min(size, 60)
        # Labels that repeat are all in the sample.
        assert min(Counter(i // period % 2 for i in index).values()) > size / 4
    half = int(statistics.num_nodes.sum()) // 2
    monkeypatch.setattr(scoring, 'MAX_NODES', half)
    assert scoring._sample(statistics).numel() in (29, 30)


@pytest.mark.parametrize(
    ('scores', 'winner'),
    [
        ([0.60, 0.62, 0.80], 2),
        ([0.60, 0.80, 0.82], 1),
        ([0.60, 0.62, 0.62], 0),
        ([0.60, 0.55, 0.64], 2),
        ([0.60, 0.70, 0.72], 1),
        ([0.0, 0.0, 0.0], 0),
    ],
)
def test_the_first_unless_another_is_clearly_better(
    scores: list[float], winner: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, left = [], iter(scores)

    def rate(self: Scorer, selected: Selected) -> float:
        asked.append(selected)
        return next(left)

    monkeypatch.setattr(Scorer, '__call__', rate)
    kept = MirageDataset(random_graphs(60, max_nodes=6), 2, budget=400)
    assert [*kept.report.scores.values()] == scores
    assert [*kept.report.scores] == ['herding', 'herding (both)', 'frequent']
    assert kept.source_index.equal(asked[winner].graph_id)
    assert bool((kept.source_index < 0).all()) == (winner == 2)


def test_candidates_that_do_not_fit_are_left_out() -> None:
    # All graphs of class 1 are large, and have one short path in common.
    source = [path(1, 2) for _ in range(30)]
    source += [
        path(7, 7, 7, *range(100 * i, 100 * i + 60), y=1) for i in range(1, 6)
    ]
    needed = {}
    for selection in ('herding', 'frequent', 'auto'):
        with pytest.raises(BudgetTooSmall, match='too small') as info:
            MirageDataset(source, 1, selection=selection, budget=1)
        needed[selection] = info.value.num_bytes
    assert needed['auto'] == needed['frequent'] < needed['herding']
    kept = MirageDataset(source, 1, budget=int(needed['auto']))
    assert [*kept.report.scores] == ['frequent']
    assert kept.report.selection == 'frequent'


def test_trees_are_left_out_where_they_cannot_carry_attributes() -> None:
    source = random_graphs(40, max_nodes=6)
    for data in source:
        data.pos = torch.rand(data.num_nodes, 2)
    kept = MirageDataset(source, 2, budget=0.5)
    assert [*kept.report.scores] == ['herding', 'herding (both)']
    assert all(data.pos.size() == (data.num_nodes, 2) for data in kept)
    kept = MirageDataset(source, 2, budget=0.5, exclude_keys=['pos'])
    assert 'frequent' in kept.report.scores
    assert (
        'frequent' not in MirageDataset(source, 2, num_graphs=7).report.scores
    )


def test_equally_good_candidates_and_bad_options() -> None:
    kept = MirageDataset(random_graphs(20, (0,)), 1, budget=200)
    assert {*kept.report.scores.values()} == {0.5}
    assert kept.report.selection == 'herding'
    assert repr(Auto()) == 'Auto()'
