from itertools import islice

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch_geometric.loader import DataLoader

from pyg_distill.datasets import ToyMolecules
from pyg_distill.evaluation import training
from pyg_distill.evaluation.training import LabelledGraphs, roc_auc
from pyg_distill.transforms import ToComputationTrees

TOY = ToyMolecules(60)


def read(source, batch_size: int = 6) -> LabelledGraphs:
    return LabelledGraphs(source, 'data', batch_size, None, [], 'cpu')


def numbered(num_graphs: int) -> list:
    """Graphs whose class is their number."""
    graphs = [data.clone() for data in TOY[:num_graphs]]
    for i, data in enumerate(graphs):
        data.y = torch.tensor([i])
    return graphs


def epochs(graphs: LabelledGraphs, seed: int, shared: list, number: int):
    batches = graphs.mini_batches(seed, shared)
    return [data.y.tolist() for data in islice(batches, number)]


def test_batches_of_an_epoch_are_of_equal_size() -> None:
    found = epochs(read(numbered(13)), 1, [], 6)
    assert [len(y) for y in found] == [5, 4, 4, 5, 4, 4]
    for epoch in (found[:3], found[3:]):
        assert sorted(y for batch in epoch for y in batch) == list(range(13))
    assert found[:3] != found[3:]
    assert found != epochs(read(numbered(13)), 2, [], 6)
    whole = read(numbered(6)).mini_batches(1, [])
    assert next(whole) is next(whole)


@pytest.mark.parametrize('limit', [0, 10_000, 2**29])
@pytest.mark.parametrize('num_graphs', [6, 13])
def test_models_share_mini_batches(monkeypatch, limit, num_graphs) -> None:
    monkeypatch.setattr(training, '_MAX_SHARED_BYTES', limit)
    graphs, shared = read(numbered(num_graphs)), []
    expected = epochs(graphs, 1, [], 20)
    for number in (4, 20, 9):
        assert epochs(graphs, 1, shared, number) == expected[:number]
    first = list(islice(graphs.mini_batches(1, shared), len(shared)))
    assert all(a is b for a, b in zip(first, shared, strict=True))
    if num_graphs == 6:
        assert len(shared) == 1
    else:
        assert len(shared) == (20 if limit == 2**29 else len(shared))
        assert (len(shared) == 0) == (limit == 0)
        assert limit != 10_000 or 0 < len(shared) < 20


def test_batches_are_those_of_pyg() -> None:
    trees = [ToComputationTrees(2)(data) for data in TOY]
    for dataset in (TOY, TOY[10:40], trees):
        graphs = read(dataset, batch_size=2)
        assert len(graphs.in_order()) > 1
        expected = DataLoader(dataset, batch_size=8)
        for data, want in zip(graphs.in_order(), expected, strict=True):
            for name in ('x', 'edge_index', 'batch', 'edge_attr', 'y'):
                assert torch.equal(data[name], want[name])
            for name in ('root_index', 'root_count'):
                assert (name in data) == (dataset is trees)
                assert name not in data or torch.equal(data[name], want[name])


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(-3, 3), st.integers(-3, 3)),
        min_size=2,
        max_size=12,
    ),
    st.booleans(),
)
def test_roc_auc_counts_pairs(rows, three: bool) -> None:
    label = torch.tensor([row[0] if three else row[0] % 2 for row in rows])
    assume(label.unique().numel() > 1)
    out = torch.tensor([[0.0, a, b][: 3 if three else 2] for _, a, b in rows])
    # Equal rows tie, others do not tie but for rounding errors.
    out *= 1 + torch.arange(len(rows)).view(-1, 1) / 100
    score = out.double().softmax(dim=-1)

    def area(c: int) -> float:
        wins = [
            0.5 if abs(s - r) < 1e-12 else float(s > r)
            for s in score[label == c, c].tolist()
            for r in score[label != c, c].tolist()
        ]
        return sum(wins) / len(wins)

    classes = label.unique().tolist() if three else [1]
    expected = sum(map(area, classes)) / len(classes)
    assert roc_auc(label, out) == pytest.approx(expected)


def test_large_logits_do_not_tie() -> None:
    out = torch.tensor([[0.0, 60.0], [0.0, 61.0]])
    assert roc_auc(torch.tensor([0, 1]), out) == 1
