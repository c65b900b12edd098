"""Options that cannot be meant are refused in one line, with a remedy."""

import re
from ast import literal_eval
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from pyg_distill.datasets import MirageDataset
from tests.datasets.sources import path, random_graphs

GRAPHS = random_graphs(12)


def message(error: type[Exception], *args: Any, **kwargs: Any) -> str:
    with pytest.raises(error, match=r'.') as info:
        MirageDataset(*args, **kwargs)
    text = str(info.value)
    assert '\n' not in text
    assert len(text) > 30
    return text


@pytest.mark.parametrize('value', [0, 1.5, -1, float('nan'), 0.0, -0.1])
def test_a_support_is_a_share_or_a_count(value: float) -> None:
    for given in (value, {0: 0.1, 1: value}):
        text = message(ValueError, GRAPHS, 1, given)
        assert f'got {value}' in text
        assert "'min_support'" in text
        assert '1.0 is all' in text


@pytest.mark.parametrize('value', [True, '0.1', [0.1], torch.ones(1)])
def test_a_support_is_a_number(value: Any) -> None:
    for given in (value, {0: 0.1, 1: value}):
        text = message(TypeError, GRAPHS, 1, given)
        assert f'got {value!r}' in text


@pytest.mark.parametrize('given', [{}, {0: 0.1}, {0: 0.1, 1: 0.1, 2: 0.1}])
def test_a_dictionary_of_supports_names_all_classes(given: dict) -> None:
    text = message(ValueError, GRAPHS, 1, given)
    assert '[0, 1]' in text
    assert str(sorted(given)) in text


def test_a_dictionary_of_supports_has_labels_as_keys() -> None:
    for given in ({'0': 0.1, '1': 0.1}, {None: 1, 0: 1}, {0.5: 1, 1: 1}):
        assert 'class labels as keys' in message(TypeError, GRAPHS, 1, given)


def test_a_count_is_at_most_the_size_of_the_class() -> None:
    graphs = [path(1)] * 5 + [path(1, y=1)] * 3
    for given in (4, {0: 1, 1: 4}):
        text = message(ValueError, graphs, 1, given)
        assert 'the 3 graphs of class 1 (got 4)' in text
        assert 'share' in text
    MirageDataset(graphs, 1, {0: 4, 1: 3})


@pytest.mark.parametrize(
    'name', ['selection', 'patterns', 'shared', 'root_count', 'balance']
)
@pytest.mark.parametrize('value', ['unknown', 3, ''])
def test_names_are_those_of_the_documentation(name: str, value: Any) -> None:
    text = message(ValueError, GRAPHS, 1, **{name: value})
    assert f"'{name}' must be one of" in text
    assert f'got {value!r}' in text


@pytest.mark.parametrize(
    'options',
    [
        {'min_support': 0.2},
        {'patterns': 'all'},
        {'shared': 'drop', 'root_count': 'one'},
        {'max_patterns': None},
        {'max_size': 2},
    ],
    ids=str,
)
def test_options_of_patterns_say_nothing_of_lossless(options: dict) -> None:
    text = message(ValueError, GRAPHS, 1, selection='lossless', **options)
    assert ', '.join(options) in text
    assert "selection='patterns'" in text


@pytest.mark.parametrize(
    ('error', 'value'),
    [(ValueError, -1), (TypeError, 2.0), (TypeError, None), (TypeError, True)],
)
def test_depths_are_whole_numbers(error: type, value: Any) -> None:
    assert f'got {value!r}' in message(error, GRAPHS, value)


@pytest.mark.parametrize('name', ['max_patterns', 'max_size'])
def test_bounds_are_whole_numbers(name: str) -> None:
    for error, value in [
        (ValueError, 0),
        (ValueError, -3),
        (TypeError, 2.5),
        (TypeError, '3'),
        (TypeError, True),
    ]:
        text = message(error, GRAPHS, 1, **{name: value})
        assert f"'{name}'" in text
        assert f'got {value!r}' in text
        assert 'None' in text


def test_one_name_is_no_list_of_names() -> None:
    text = message(TypeError, GRAPHS, 1, exclude_keys='pos')
    assert "pass ['pos']" in text


def suggestion(text: str) -> dict[int, float]:
    found = re.search(r'try min_support=(\{.*?\})', text)
    assert found is not None, text
    return literal_eval(found.group(1))


@pytest.mark.parametrize('num_layers', [0, 2])
@pytest.mark.parametrize(
    'given', [1.0, 5, {0: 5, 1: 1.0, 2: 0.1}, {0: 1, 1: 5, 2: 1.0}], ids=str
)
def test_a_class_without_frequent_sets_says_what_works(
    num_layers: int, given: Any
) -> None:
    # In classes 0 and 1, no label is in more than two graphs.
    graphs = [path(i, i + 1) for i in range(5)]
    graphs += [path(i, i + 10, i + 11, y=1) for i in range(5)]
    graphs += [path(3, 4, y=2)] * 5
    text = message(ValueError, graphs, num_layers, given)
    assert 'of its 5 graphs' in text
    least = suggestion(text)
    dataset = MirageDataset(graphs, num_layers, least)
    assert dataset.y.unique().tolist() == [0, 1, 2]
    # The highest one that works, and nothing else is changed.
    for label, value in least.items():
        old = given[label] if isinstance(given, dict) else given
        if value != old:
            with pytest.raises(ValueError, match=f'class {label}'):
                MirageDataset(graphs, num_layers, least | {label: value + 1})


def exploding_graphs() -> list[Data]:
    """Class 1 holds all sets of 12 labels, and fewer with more support."""
    graphs = [path(1, 2)] * 3
    labels = torch.arange(12)
    graphs += [path(*labels[labels != i].tolist(), y=1) for i in range(12)]
    return graphs


@pytest.mark.parametrize('patterns', ['closed', 'maximal', 'all'])
@pytest.mark.parametrize('given', [0.5, 3, {0: 2, 1: 0.5}], ids=str)
def test_too_many_sets_name_a_support_that_works(
    patterns: str, given: Any
) -> None:
    graphs = exploding_graphs()
    options = {'patterns': patterns, 'max_patterns': 70}
    text = message(ValueError, graphs, 0, given, **options)
    assert 'class 1 has more than max_patterns=' in text
    assert 'max_patterns=70' in text
    assert 'max_sets' not in text
    assert 'mode=' not in text
    least = suggestion(text)
    dataset = MirageDataset(graphs, 0, least, **options)
    assert 0 < int((dataset.y == 1).sum()) <= 70


def test_too_many_sets_name_other_options_that_work() -> None:
    graphs = exploding_graphs()
    options = {'min_support': {0: 1, 1: 6}, 'max_patterns': 1000}
    text = message(ValueError, graphs, 0, patterns='all', **options)
    assert "patterns='closed'" in text
    text = message(ValueError, graphs, 0, **options)
    assert "patterns='maximal'" in text
    MirageDataset(graphs, 0, **options, patterns='maximal')
    MirageDataset(graphs, 0, **options, max_size=3)
    MirageDataset(graphs, 0, {0: 1, 1: 6}, max_patterns=None)


def test_sets_larger_than_allowed_say_so() -> None:
    graphs = [path(1, 2, 3)] * 4
    for patterns in ('closed', 'maximal'):
        options = {'patterns': patterns, 'max_size': 2}
        text = message(ValueError, graphs, 0, **options)
        assert 'max_size=2' in text
        assert "patterns='all'" in text
    assert len(MirageDataset(graphs, 0, 0.1, patterns='all', max_size=2)) == 6
    assert len(MirageDataset(graphs, 0, 0.1, max_size=3)) == 1


def test_classes_that_share_everything_say_so() -> None:
    graphs = [path(1, 2), path(1, 2, y=1)]
    text = message(ValueError, graphs, 1, shared='drop')
    assert "shared='keep'" in text
    MirageDataset(graphs, 1, 0.1, shared='keep')


def test_unrolling_too_much_says_so() -> None:
    star = path(*[1] * 2)
    star.edge_index = torch.tensor([[0, 1] * 40, [1, 0] * 40])
    text = message(ValueError, [star], 8, compact=False)
    assert 'compact=True' in text
    assert len(MirageDataset([star], 8, 0.1)) == 1


def test_too_many_sets_of_two_classes_name_supports_that_work() -> None:
    graphs = exploding_graphs()
    graphs += [data.clone() for data in graphs if int(data.y) == 1]
    for data in graphs[-12:]:
        data.y = torch.tensor([2])
    text = message(ValueError, graphs, 0, 2, max_patterns=70)
    dataset = MirageDataset(graphs, 0, suggestion(text), max_patterns=70)
    assert dataset.y.unique().tolist() == [0, 1, 2]


def test_the_folder_is_not_the_source() -> None:
    with pytest.raises(TypeError, match='root='):
        MirageDataset('folder', [path(1, 2)], 2)


def test_structure_cannot_be_left_out() -> None:
    with pytest.raises(ValueError, match='edge_index'):
        MirageDataset([path(1, 2)], 2, 0.1, exclude_keys=['edge_index'])


def test_numpy_integers_are_integers() -> None:
    dataset = MirageDataset([path(1, 2)], np.int64(2), 0.1)
    assert dataset.report.options['num_layers'] == 2
