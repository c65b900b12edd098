"""The frequent tree sets of each class, against trying every set."""

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from pyg_distill.datasets import MirageDataset
from tests.datasets.brute_force import distil
from tests.datasets.sources import Graphs, path, random_graphs
from tests.oracles import tree_set


def summary(dataset: MirageDataset) -> list[tuple]:
    """What the oracle says of each distilled graph, read from its tensors."""
    num_layers = dataset.report.options['num_layers']
    return [
        (
            int(data.y),
            frozenset(tree_set(data, num_layers).items()),
            int(data.support),
            pytest.approx(float(data.weight)),
        )
        for data in dataset
    ]


def check(graphs: list[Data], num_layers: int, **kwargs: Any) -> None:
    options = {k: v for k, v in kwargs.items() if k != 'compact'}
    expected = distil(graphs, num_layers, **options)
    if {row[0] for row in expected} != {int(data.y) for data in graphs}:
        with pytest.raises(ValueError, match='class'):
            MirageDataset(graphs, num_layers, **kwargs)
        return
    found = summary(MirageDataset(graphs, num_layers, **kwargs))
    assert len(found) == len(expected)
    by_set = {row[:3]: row[3] for row in expected}
    assert {row[:3] for row in found} == set(by_set)
    assert all(by_set[row[:3]] == row[3] for row in found)


SUPPORTS = st.sampled_from([1, 2, 0.1, 0.3, 0.5, 2 / 3, 1.0])


@settings(max_examples=120)
@given(
    seed=st.integers(0, 10_000),
    labels=st.sampled_from([(0, 1), (0, 3, 7), (0, 1, 2, 3), (2,)]),
    num_layers=st.integers(0, 3),
    min_support=SUPPORTS,
    patterns=st.sampled_from(['closed', 'maximal', 'all']),
    shared=st.sampled_from(['keep', 'drop']),
    root_count=st.sampled_from(['mean', 'one']),
    max_size=st.sampled_from([None, 1, 2, 3]),
    balance=st.sampled_from(['source', 'uniform', 'none']),
    compact=st.booleans(),
    kind=st.sampled_from(['x', 'edge_attr', 'edge_weight', 'none']),
)
def test_agrees_with_brute_force(
    seed: int, labels: tuple, kind: str, **kwargs: Any
) -> None:
    graphs = random_graphs(
        12,
        labels,
        num_features=None if kind == 'none' else 3,
        edge_attr=kind == 'edge_attr',
        edge_weight=kind == 'edge_weight',
        seed=seed,
    )
    check(graphs, **kwargs)


@settings(max_examples=15)
@given(st.integers(0, 1000), st.data())
def test_dictionary_of_supports(seed: int, data: st.DataObject) -> None:
    labels = (0, 3, 7)
    support = {label: data.draw(SUPPORTS) for label in labels}
    check(random_graphs(15, labels, seed=seed), 1, min_support=support)


def test_an_example_by_hand() -> None:
    # Depth 0: the trees are the labels. {1} is in all three graphs of class
    # 0, {1, 2} in two of them, so both are closed; {2} is not.
    graphs = [
        path(1, 1, 1, 2, y=0),
        path(1, 2, 2, 2, y=0),
        path(1, 1, y=0),
        path(5, y=1),
    ]
    dataset = MirageDataset(graphs, 0, min_support=2 / 3)
    assert dataset.y.tolist() == [0, 0, 1]
    assert dataset.support.tolist() == [3, 2, 1]
    first, second, _ = dataset
    assert first.x.tolist() == [[1]]
    # It is held 3, 1 and 2 times.
    assert first.root_count.tolist() == [2]
    pairs = zip(
        second.x[second.root_index].view(-1).tolist(),
        second.root_count.tolist(),
        strict=True,
    )
    # 1 is held 3 and 1 times, 2 is held 1 and 3 times.
    assert dict(pairs) == {1: 2, 2: 2}
    # Classes weigh 3/4 and 1/4 of the sum, which is 3.
    assert dataset.weight.tolist() == pytest.approx([1.35, 0.9, 0.75])


def test_means_are_rounded_half_up() -> None:
    # 1 and 2 times, 2 and 3 times: 1.5 and 2.5; bankers' rounding gives 2, 2.
    graphs = [path(1, 2, 2), path(1, 1, 2, 2, 2)]
    data = MirageDataset(graphs, 0, min_support=1.0)[0]
    label = data.x[data.root_index].view(-1).tolist()
    counts = dict(zip(label, data.root_count.tolist(), strict=True))
    assert counts == {1: 2, 2: 3}


def test_means_are_over_graphs_that_hold_the_whole_set() -> None:
    graphs = [path(1, 2), path(1, 2), *[path(*[1] * 9)] * 3]
    dataset = MirageDataset(graphs, 0, min_support=2)
    found = {int(d.support): d.root_count.tolist() for d in dataset}
    assert found[2] == [1, 1]
    assert found[5] == [6]  # (1 + 1 + 27) / 5 = 5.8.


def test_order_is_by_class_then_by_support() -> None:
    dataset = MirageDataset(random_graphs(30, (0, 3, 7)), 1, min_support=2)
    order = list(
        zip(dataset.y.tolist(), (-dataset.support).tolist(), strict=True)
    )
    assert order == sorted(order)


def test_a_shared_set_is_judged_by_the_other_class_threshold() -> None:
    # Half of class 1 holds {1}.
    graphs = [path(1, 2), path(1, 2), path(1, 3, y=1), path(3, y=1)]
    kept = {0: 1.0, 1: 1.0}
    dropped = {0: 1.0, 1: 0.5}
    options = {'patterns': 'all', 'shared': 'drop'}
    sets = MirageDataset(graphs, 0, kept, **options)
    assert Counter(sets.y.tolist()) == {0: 3, 1: 1}  # 1, 2, 12 and 3.
    sets = MirageDataset(graphs, 0, dropped, **options)
    assert Counter(sets.y.tolist()) == {0: 2, 1: 2}  # 2, 12 and 3, 13.


@pytest.mark.parametrize('shape', [(), (1,), (1, 1)])
@pytest.mark.parametrize('dtype', [torch.long, torch.float, torch.uint8])
@pytest.mark.parametrize('collated', [True, False])
def test_labels_keep_their_shape_and_are_long(
    shape: tuple, dtype: torch.dtype, collated: bool
) -> None:
    graphs = random_graphs(9, (0, 3, 7))
    expected = MirageDataset(graphs, 1, 0.1)
    for data in graphs:
        data.y = data.y.to(dtype).view(shape)
    dataset = MirageDataset(Graphs(graphs) if collated else graphs, 1, 0.1)
    # Without dimensions, PyG itself makes it one when it collates.
    assert dataset[0].y.size() == (shape or (1,))
    assert dataset[0].y.dtype == torch.long
    assert dataset.y.view(-1).equal(expected.y)
    assert dataset.num_classes == 8


def test_labels_may_be_python_numbers_or_booleans() -> None:
    graphs = random_graphs(8)
    expected = MirageDataset(graphs, 1, 0.1)
    for kind in (int, bool, float):
        for data in graphs:
            data.y = kind(data.y)
        assert MirageDataset(graphs, 1, 0.1).y.equal(expected.y)


@pytest.mark.parametrize(
    ('min_support', 'like'),
    [(1.0, 6), (0.5, 3), (0.51, 4), (1e-9, 1), (1, 1), (6, 1.0)],
)
def test_a_share_is_reached_by_the_smallest_count(
    min_support: float, like: float
) -> None:
    graphs = [path(1, 2), *[path(1, 3)] * 2, *[path(1)] * 3]
    first = MirageDataset(graphs, 0, min_support, patterns='all')
    second = MirageDataset(graphs, 0, like, patterns='all')
    assert summary(first) == summary(second)


def test_numpy_numbers_are_numbers(tmp_path: Any) -> None:
    np = pytest.importorskip('numpy')
    graphs = random_graphs(10)
    for given_value, plain in [
        (np.int64(2), 2),
        (np.float64(0.5), 0.5),
        ({np.int64(0): np.float32(0.5), np.int64(1): 2}, {0: 0.5, 1: 2}),
    ]:
        dataset = MirageDataset(graphs, 1, given_value, root=str(tmp_path))
        assert dataset.report.options['min_support'] == plain
        assert summary(dataset) == summary(MirageDataset(graphs, 1, plain))


@pytest.mark.parametrize('verify', [True, False])
def test_verify_changes_nothing(verify: bool) -> None:
    graphs = random_graphs(10, edge_attr=True)
    found = MirageDataset(graphs, 2, 0.1, verify=verify)
    assert summary(found) == summary(MirageDataset(graphs, 2, 0.1))


def test_the_paper_keeps_all_sets_once() -> None:
    graphs = random_graphs(12)
    found = MirageDataset.paper(graphs, 2, 2)
    check(
        graphs,
        2,
        min_support=2,
        patterns='all',
        root_count='one',
        balance='none',
        compact=False,
    )
    expected = {'patterns': 'all', 'root_count': 'one', 'balance': 'none'}
    assert expected.items() <= found.report.options.items()
    assert not found.report.options['compact']
    assert bool((found.root_count == 1).all())
    assert set(found.weight.tolist()) == set(
        (found.support / found.support.float().mean()).tolist()
    )
