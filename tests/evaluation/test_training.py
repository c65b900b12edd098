from itertools import islice

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GIN, PNA

from pyg_distill.datasets import ToyMolecules
from pyg_distill.evaluation import training
from pyg_distill.evaluation.training import (
    GraphClassifier,
    LabelledGraphs,
    roc_auc,
    weighted_loss,
)
from pyg_distill.loader import TreeSetBatch
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


def epochs(graphs: LabelledGraphs, seed: int, number: int):
    batches = graphs.mini_batches(seed)
    return [data.y.tolist() for data in islice(batches, number)]


def test_batches_of_an_epoch_are_of_equal_size() -> None:
    found = epochs(read(numbered(13)), 1, 6)
    assert [len(y) for y in found] == [5, 4, 4, 5, 4, 4]
    for epoch in (found[:3], found[3:]):
        assert sorted(y for batch in epoch for y in batch) == list(range(13))
    assert found[:3] != found[3:]
    assert found != epochs(read(numbered(13)), 2, 6)
    whole = read(numbered(6)).mini_batches(1)
    assert next(whole) is next(whole)


@pytest.mark.parametrize('limit', [0, 10_000, 2**29])
@pytest.mark.parametrize('num_graphs', [6, 13])
def test_models_share_mini_batches(monkeypatch, limit, num_graphs) -> None:
    monkeypatch.setattr(training, '_MAX_SHARED_BYTES', limit)
    graphs = read(numbered(num_graphs))
    expected = epochs(graphs, 1, 20)
    for number in (4, 20, 9):
        assert epochs(graphs, 1, number) == expected[:number]
    shared = graphs._shared[1, None]
    again = list(islice(graphs.mini_batches(1), len(shared)))
    assert all(a is b for a, b in zip(again, shared, strict=True))
    if num_graphs == 6:
        assert len(shared) == 1
    else:
        assert (len(shared) == 0) == (limit == 0)
        assert (len(shared) == 20) == (limit == 2**29)
    next(graphs.mini_batches(2))
    assert list(graphs._shared) == [(2, None)]


@pytest.mark.parametrize('source', ['graphs', 'trees'])
def test_equal_trees_are_merged_where_nothing_changes(source: str) -> None:
    torch.manual_seed(1)
    dataset = [data.clone() for data in TOY]
    for data in dataset:
        del data.edge_attr
    if source == 'trees':
        dataset = [ToComputationTrees(2)(data) for data in dataset]
    graphs, gnn = read(dataset, batch_size=20), GIN(9, 8, 2)
    model = GraphClassifier(gnn, 8, 3, 'mean')
    sides = (islice(graphs.mini_batches(1, g), 4) for g in (gnn, None))
    for merged, plain in zip(*sides, strict=True):
        assert isinstance(merged, TreeSetBatch)
        assert merged.num_nodes < 0.8 * plain.num_nodes
        assert torch.equal(merged.y, plain.y)
        grads = []
        for batch in (merged, plain):
            model.zero_grad()
            weighted_loss(model(batch), batch).backward()
            grads.append([p.grad.clone() for p in model.parameters()])
        for one, other in zip(*grads, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)
    for other in (
        GIN(9, 8, 2, dropout=0.1),
        GIN(9, 8, 2, norm='batch_norm'),
        GIN(9, 8, 2, act='gelu'),
        PNA(
            9,
            8,
            2,
            aggregators=['sum'],
            scalers=['identity'],
            deg=torch.ones(2),
        ),
        torch.nn.Sequential(),
        *([GIN(9, 8, 3)] if source == 'trees' else []),
    ):
        assert not isinstance(next(graphs.mini_batches(1, other)), TreeSetBatch)


def test_merging_is_left_out_where_it_does_not_pay() -> None:
    dataset = [data.clone() for data in TOY]
    for data in dataset:
        data.x = torch.rand(data.num_nodes, 9)
    batches = read(dataset).mini_batches(1, GIN(9, 8, 2))
    assert not isinstance(next(batches), TreeSetBatch)


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
