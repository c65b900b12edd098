"""The frequent tree sets of each class, against trying every set."""

import re
from ast import literal_eval
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from pyg_distill.datasets import MirageDataset
from tests.oracles import tree_set
from tests.selection import helpers
from tests.selection.brute_force import distil
from tests.selection.helpers import Graphs, path, random_graphs

SUPPORTS = st.sampled_from([1, 2, 0.1, 0.3, 0.5, 2 / 3, 1.0])


def keep(
    graphs: Any, num_layers: int, min_support: Any = 0.1, **options: Any
) -> MirageDataset:
    options['min_support'] = min_support
    return helpers.keep(graphs, num_layers, 'frequent', **options)


def message(
    error: Any, graphs: Any, num_layers: int, *args: Any, **options: Any
) -> str:
    options |= {'min_support': args[0]} if args else {}
    return helpers.message(error, graphs, num_layers, 'frequent', **options)


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
            keep(graphs, num_layers, **kwargs)
        return
    found = summary(keep(graphs, num_layers, **kwargs))
    assert len(found) == len(expected)
    by_set = {row[:3]: row[3] for row in expected}
    assert {row[:3] for row in found} == set(by_set)
    assert all(by_set[row[:3]] == row[3] for row in found)


@pytest.mark.slow
@settings(max_examples=100)
@given(
    seed=st.integers(0, 10_000),
    labels=st.sampled_from([(0, 1), (0, 3, 7), (0, 1, 2, 3), (2,)]),
    num_layers=st.integers(0, 3),
    min_support=SUPPORTS,
    kind=st.sampled_from(['closed', 'maximal', 'all']),
    drop_shared=st.booleans(),
    multiplicity=st.sampled_from(['mean', 'one']),
    max_size=st.sampled_from([None, 1, 2, 3]),
    class_weight=st.sampled_from(['source', 'uniform', 'none']),
    compact=st.booleans(),
    features=st.sampled_from(['x', 'edge_attr', 'edge_weight', 'none']),
)
def test_agrees_with_brute_force(
    seed: int, labels: tuple, features: str, **kwargs: Any
) -> None:
    graphs = random_graphs(
        12,
        labels,
        num_features=None if features == 'none' else 3,
        edge_attr=features == 'edge_attr',
        edge_weight=features == 'edge_weight',
        seed=seed,
    )
    check(graphs, **kwargs)


@settings(max_examples=10)
@given(st.integers(0, 1000), st.data())
def test_dictionary_of_supports(seed: int, data: st.DataObject) -> None:
    labels = (0, 3, 7)
    support = {label: data.draw(SUPPORTS) for label in labels}
    check(random_graphs(15, labels, seed=seed), 1, min_support=support)


def test_an_example_by_hand() -> None:
    # Depth 0: the trees are the labels. {1} is in all three graphs of class
    # 0, {1, 2} in two of them, so both are closed; {2} is not.
    graphs = [path(1, 1, 1, 2), path(1, 2, 2, 2), path(1, 1), path(5, y=1)]
    kept = keep(graphs, 0, 2 / 3)
    found = {
        int(d.support): (int(d.y), sorted(d.x.view(-1)), float(d.weight))
        for d in kept
    }
    # Classes weigh 3/4 and 1/4 of the sum, which is 3.
    assert found[3] == (0, [1], pytest.approx(1.35))
    assert found[2] == (0, [1, 2], pytest.approx(0.9))
    assert found[1] == (1, [5], pytest.approx(0.75))
    # 1 is held 3, 1 and 2 times; where 2 is, 3 and 1 times, and 2 as well.
    counts = {int(d.support): d.root_count.tolist() for d in kept}
    assert counts == {3: [2], 2: [2, 2], 1: [1]}


def test_means_are_rounded_half_up_over_graphs_that_hold_the_set() -> None:
    # 1 and 2 times, 2 and 3 times: 1.5 and 2.5; bankers' rounding gives 2, 2.
    graphs = [path(1, 2, 2), path(1, 1, 2, 2, 2)]
    data = keep(graphs, 0, 1.0)[0]
    label = data.x[data.root_index].view(-1).tolist()
    counts = dict(zip(label, data.root_count.tolist(), strict=True))
    assert counts == {1: 2, 2: 3}
    graphs = [path(1, 2), path(1, 2), *[path(*[1] * 9)] * 3]
    found = {int(d.support): d.root_count.tolist() for d in keep(graphs, 0, 2)}
    assert found == {2: [1, 1], 5: [6]}  # (1 + 1 + 27) / 5 = 5.8.


def test_a_shared_set_is_compared_with_the_support_of_the_other_class() -> None:
    # Half of class 1 holds {1}.
    graphs = [path(1, 2), path(1, 2), path(1, 3, y=1), path(3, y=1)]
    for share, expected in ((1.0, {0: 3, 1: 1}), (0.5, {0: 2, 1: 2})):
        sets = keep(graphs, 0, {0: 1.0, 1: share}, kind='all', drop_shared=True)
        assert Counter(sets.y.tolist()) == expected


@pytest.mark.parametrize('shape', [(), (1,), (1, 1)])
@pytest.mark.parametrize('dtype', [torch.long, torch.float, torch.uint8])
@pytest.mark.parametrize('collated', [True, False])
def test_labels_keep_their_shape_and_are_long(
    shape: tuple, dtype: torch.dtype, collated: bool
) -> None:
    graphs = random_graphs(9, (0, 3, 7))
    expected = keep(graphs, 1)
    for data in graphs:
        data.y = data.y.to(dtype).view(shape)
    kept = keep(Graphs(graphs) if collated else graphs, 1)
    # Without dimensions, PyG itself makes it one when it collates.
    assert kept[0].y.size() == (shape or (1,))
    assert kept[0].y.dtype == torch.long
    assert kept.y.view(-1).equal(expected.y)
    assert kept.num_classes == kept[0].target.size(1) == 8


def test_numbers_of_numpy_are_numbers(tmp_path: Any) -> None:
    graphs = random_graphs(10)
    for value, plain in [
        (np.int64(2), 2),
        (np.float64(0.5), 0.5),
        ({np.int64(0): np.float32(0.5), np.int64(1): 2}, {0: 0.5, 1: 2}),
    ]:
        kept = keep(graphs, 1, value, root=str(tmp_path), max_size=np.int64(3))
        options = kept.report.options['selection_kwargs']
        assert options['min_support'] == plain
        assert summary(kept) == summary(keep(graphs, 1, plain, max_size=3))


def test_the_paper_keeps_all_sets_once() -> None:
    graphs = random_graphs(12)
    kept = MirageDataset.paper(graphs, 2, 2)
    expected: dict[str, Any] = {
        'min_support': 2,
        'kind': 'all',
        'multiplicity': 'one',
        'compact': False,
    }
    same_sets = keep(graphs, 2, class_weight='none', **expected)
    assert summary(kept) == summary(same_sets)
    assert expected.items() <= kept.report.options['selection_kwargs'].items()
    assert bool((kept.root_count == 1).all())
    mean = kept.support / kept.support.float().mean()
    assert kept.weight.tolist() == pytest.approx(mean.tolist())
    other = MirageDataset.paper(graphs, 2, 2, max_size=1, class_weight='source')
    assert other.report.options['selection_kwargs']['max_size'] == 1
    assert other.report.options['class_weight'] == 'source'


@pytest.mark.parametrize(
    'value', [0, 1.5, -1, float('nan'), 0.0, -0.1, True, '0.1', [0.1]]
)
def test_a_support_is_a_share_or_a_count(value: Any) -> None:
    error = ValueError if type(value) in (int, float) else TypeError
    for support in (value, {0: 0.1, 1: value}):
        text = message(error, random_graphs(12), 1, support)
        assert f'got {value!r}' in text
        assert "'min_support'" in text
        assert '1.0 is all' in text


def test_a_dictionary_of_supports_names_all_classes() -> None:
    graphs = random_graphs(12)
    for given_keys in ({}, {0: 0.1}, {0: 0.1, 1: 0.1, 2: 0.1}):
        text = message(ValueError, graphs, 1, given_keys)
        assert '[0, 1]' in text
        assert str(sorted(given_keys)) in text
    for odd in ({'0': 0.1, '1': 0.1}, {None: 1, 0: 1}, {0.5: 1, 1: 1}):
        message(TypeError, graphs, 1, odd)
    graphs = [path(1)] * 5 + [path(1, y=1)] * 3
    for support in (4, {0: 1, 1: 4}):
        text = message(ValueError, graphs, 1, support)
        assert "'min_support' must be in 1..3" in text
    keep(graphs, 1, {0: 4, 1: 3})


def suggestion(text: str) -> dict[int, float]:
    listed = re.search(r'try min_support=(\{.*?\})', text)
    assert listed is not None, text
    return literal_eval(listed.group(1))


@pytest.mark.parametrize('num_layers', [0, 2])
@pytest.mark.parametrize(
    'support', [1.0, 5, {0: 5, 1: 1.0, 2: 0.1}, {0: 1, 1: 5, 2: 1.0}], ids=str
)
def test_a_class_without_frequent_sets_says_what_works(
    num_layers: int, support: Any
) -> None:
    # In classes 0 and 1, no label is in more than two graphs.
    graphs = [path(i, i + 1) for i in range(5)]
    graphs += [path(i, i + 10, i + 11, y=1) for i in range(5)]
    graphs += [path(3, 4, y=2)] * 5
    text = message(ValueError, graphs, num_layers, support)
    assert 'of its 5 graphs' in text
    least = suggestion(text)
    assert keep(graphs, num_layers, least).y.unique().tolist() == [0, 1, 2]
    # The highest one that works, and nothing else is changed.
    for label, value in least.items():
        old = support[label] if isinstance(support, dict) else support
        if value != old:
            with pytest.raises(ValueError, match=f'class {label}'):
                keep(graphs, num_layers, least | {label: value + 1})


def test_too_many_sets_name_options_that_work() -> None:
    # Class 1 holds all sets of 12 labels, and fewer with more support.
    graphs = [path(1, 2)] * 3
    labels = torch.arange(12)
    graphs += [path(*labels[labels != i].tolist(), y=1) for i in range(12)]
    for kind in ('closed', 'maximal', 'all'):
        support = {0: 2, 1: 6}
        text = message(ValueError, graphs, 0, support, kind=kind, max_sets=70)
        assert f'class 1 has more than max_sets=70 {kind} tree sets' in text
    options: Any = {'min_support': {0: 1, 1: 6}, 'max_sets': 1000}
    text = message(ValueError, graphs, 0, kind='all', **options)
    for word in ('min_support', 'max_sets', 'max_size', "kind='maximal'"):
        assert word in text
    keep(graphs, 0, **options, kind='maximal')
    keep(graphs, 0, **options, max_size=3)
    keep(graphs, 0, {0: 1, 1: 6}, max_sets=None)
    keep(graphs, 0, {0: 1, 1: 11}, max_sets=70)


def test_options_that_leave_nothing_say_so() -> None:
    graphs = [path(1, 2, 3)] * 4
    for kind in ('closed', 'maximal'):
        text = message(ValueError, graphs, 0, kind=kind, max_size=2)
        assert 'max_size=2' in text
        assert "kind='all'" in text
    assert len(keep(graphs, 0, kind='all', max_size=2)) == 6
    assert len(keep(graphs, 0, max_size=3)) == 1
    text = message(
        ValueError, [path(1, 2), path(1, 2, y=1)], 1, 0.1, drop_shared=True
    )
    assert 'drop_shared=False' in text
    star = path(1, 1)
    star.edge_index = torch.tensor([[0, 1] * 40, [1, 0] * 40])
    assert 'compact=True' in message(ValueError, [star], 8, 1, compact=False)
    assert len(keep([star], 8)) == 1


@pytest.mark.parametrize('options', [{'min_support': 0.1}, {'budget': 900}])
def test_classes_without_nodes_are_named(options: dict) -> None:
    graphs = [*[path(1, 2), path(3)] * 4, path(y=1), path(y=1)]
    text = message(ValueError, graphs, 1, **options)
    assert 'class 1' in text
    # All other selections keep them.
    for selection in ('auto', 'herding', 'kcenter', 'random', 'multisets'):
        kept = MirageDataset(graphs, 1, num_graphs=10, selection=selection)
        assert kept.y.sum() == 2
    kept = MirageDataset(graphs, 1, budget=900)
    assert 'frequent' not in kept.report.scores


def test_continuous_features_are_named() -> None:
    graphs = random_graphs(20, max_nodes=8)
    torch.manual_seed(0)
    for data in graphs:
        data.x = torch.randn(data.num_nodes, 3)
    with pytest.warns(UserWarning, match="'x' holds continuous"):
        text = message(ValueError, graphs, 1, 1)
    assert "'x' holds continuous values" in text
    assert 'exclude_keys' in text
    MirageDataset(
        graphs, 1, selection='frequent', budget=900, exclude_keys=['x']
    )
