import pickle
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mlxtend.frequent_patterns import fpgrowth, fpmax

from pyg_distill.trees import (
    FrequentSets,
    TooManySets,
    frequent_sets,
    mining,
    support_count,
)

KINDS = ['all', 'closed', 'maximal']


def to_incidences(rows):
    pairs = [(i, t) for t, row in enumerate(rows) for i in row]
    item, transaction = torch.tensor(pairs).view(-1, 2).t()
    return item.long(), transaction.long(), len(rows)


def mine(rows, *args, **kwargs):
    return frequent_sets(*to_incidences(rows), *args, **kwargs)


def to_list(sets: FrequentSets):
    ptr = sets.ptr.tolist()
    return [
        (tuple(sets.item[a:b].tolist()), support)
        for a, b, support in zip(
            ptr[:-1], ptr[1:], sets.support.tolist(), strict=True
        )
    ]


def to_dict(sets: FrequentSets):
    found = to_list(sets)
    assert len(dict(found)) == len(found) == len(sets)
    return dict(found)


def brute_force(rows, min_support, kind, max_size=None):
    support = {}
    items = sorted({i for row in rows for i in row})
    for size in range(1, len(items) + 1):
        for subset in combinations(items, size):
            count = sum(set(subset) <= set(row) for row in rows)
            if count >= min_support:
                support[subset] = count

    def is_kept(subset):
        above = [x for x in support if set(subset) < set(x)]
        if kind == 'closed':
            return all(support[x] < support[subset] for x in above)
        return kind == 'all' or not above

    return {
        subset: count
        for subset, count in support.items()
        if is_kept(subset) and (max_size is None or len(subset) <= max_size)
    }


def diagonal(size):
    # Every set of items is closed: each transaction lacks one item only.
    return [[i for i in range(size) if i != t] for t in range(size)]


def random_rows(seed, num_rows=120, num_items=18, density=0.35):
    # Items of unequal density that come in correlated pairs.
    rng = np.random.default_rng(seed)
    held = rng.random((num_rows, num_items)) < rng.uniform(
        0, 2 * density, num_items
    )
    held[:, 1::2] |= held[:, ::2] & (rng.random(held[:, ::2].shape) < 0.7)
    return [np.flatnonzero(row).tolist() for row in held]


def mlxtend(miner, rows, min_support, max_len=None):
    num_items = max(max(row, default=0) for row in rows) + 1
    held = np.zeros((len(rows), num_items), dtype=bool)
    for t, row in enumerate(rows):
        held[t, row] = True
    found = miner(pd.DataFrame(held), min_support=min_support, max_len=max_len)
    return {
        tuple(sorted(int(i) for i in items)): round(support * len(rows))
        for support, items in zip(
            found['support'], found['itemsets'], strict=True
        )
    }


@st.composite
def problems(draw):
    # Identifiers far apart, as hashes would be.
    ids = [0, 3, 4, 70, 500, 2**40, 2**62 - 1]
    row = st.lists(st.sampled_from(ids[: draw(st.integers(1, 7))]), max_size=9)
    rows = draw(st.lists(row, min_size=1, max_size=9))
    if draw(st.booleans()):
        rows = [[*r, 9] for r in rows]
    return rows, draw(st.integers(1, len(rows)))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(problems(), st.sampled_from(KINDS), st.none() | st.integers(1, 4))
def test_frequent_sets_against_brute_force(problem, kind, max_size):
    rows, min_support = problem
    found = mine(rows, min_support, kind, max_size=max_size)
    assert to_dict(found) == brute_force(rows, min_support, kind, max_size)


@settings(max_examples=50, deadline=None)
@given(problems(), st.sampled_from(KINDS), st.randoms())
def test_frequent_sets_order_and_transactions(problem, kind, random):
    rows, min_support = problem
    item, transaction, num_transactions = to_incidences(rows)
    found = frequent_sets(
        item, transaction, num_transactions, min_support, kind
    )

    for p, (items, support) in enumerate(to_list(found)):
        holding = [t for t, r in enumerate(rows) if set(items) <= set(r)]
        assert found.transactions(p).tolist() == holding
        assert support == len(holding)
        assert list(items) == sorted(set(items))
    expected = sorted(to_list(found), key=lambda x: (-x[1], -len(x[0]), x[0]))
    assert to_list(found) == expected

    order = list(range(item.numel())) * 2
    random.shuffle(order)
    again = frequent_sets(
        item[order], transaction[order], num_transactions, min_support, kind
    )
    assert to_list(again) == to_list(found)
    assert again.tids == found.tids


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('fraction', [0.05, 0.1, 0.3])
def test_frequent_sets_against_mlxtend(seed, fraction):
    rows = random_rows(seed)
    count = support_count(fraction, len(rows))
    for max_size in [None, 2]:
        assert to_dict(
            mine(rows, count, 'all', max_sets=None, max_size=max_size)
        ) == mlxtend(fpgrowth, rows, fraction, max_size)
    assert to_dict(mine(rows, count, 'maximal')) == mlxtend(
        fpmax, rows, fraction
    )


def test_frequent_sets_result():
    item = torch.tensor([7, 7, 7, 2, 2, 900, 7])
    transaction = torch.tensor([0, 1, 3, 3, 0, 3, 0])
    found = frequent_sets(item, transaction, 5, 1)
    assert len(found) == 3
    assert found.item.tolist() == [7, 2, 7, 2, 7, 900]
    assert found.ptr.tolist() == [0, 1, 3, 6]
    assert found.support.tolist() == [3, 2, 1]
    assert found.transactions(1).tolist() == [0, 3]
    for x in [found.item, found.ptr, found.support, found.transactions(0)]:
        assert x.dtype == torch.long
    with pytest.raises(IndexError):
        found.transactions(3)


@pytest.mark.parametrize('kind', KINDS)
def test_frequent_sets_without_sets(kind):
    for rows in [[[]] * 3, [[1], [2], []]]:
        found = mine(rows, 2, kind)
        assert len(found) == 0
        assert found.item.dtype == found.support.dtype == torch.long
        assert found.item.numel() == found.support.numel() == 0
        assert found.ptr.tolist() == [0]


@pytest.mark.slow
def test_depth():
    # Sets are found hundreds of items deep.
    rows = [list(range(t, 300)) for t in range(300)]
    ((items, support),) = to_list(mine(rows, 100, 'maximal'))
    assert items == tuple(range(99, 300))
    assert support == 100
    assert len(mine(rows, 100, 'closed')) == 201
    with pytest.raises(TooManySets, match='max_sets'):
        mine(diagonal(500), 10, 'maximal', max_sets=3)


@pytest.mark.parametrize('max_size', [None, 3, 40])
@pytest.mark.parametrize('kind', KINDS)
def test_items_of_the_same_transactions(kind, max_size):
    # Groups of equal items, whose items are numbered in turn.
    groups = random_rows(1, num_rows=40, num_items=8)
    rows = [
        [g + 8 * k for g in row for k in range(1 + g % 4)] for row in groups
    ]
    if kind == 'all':
        rows = [[i for i in row if i < 16] for row in rows]
    found = mine(rows, 12, kind, max_sets=None, max_size=max_size)
    everything = mlxtend(fpgrowth, rows, 12 / 40)
    extended = {}
    for items, support in everything.items():
        for i in range(len(items)):
            part = items[:i] + items[i + 1 :]
            extended[part] = max(extended.get(part, 0), support)
    expected = {
        'all': everything,
        'closed': {x: s for x, s in everything.items() if extended.get(x) != s},
        'maximal': {x: s for x, s in everything.items() if x not in extended},
    }[kind]
    assert to_dict(found) == {
        x: s
        for x, s in expected.items()
        if max_size is None or len(x) <= max_size
    }
    assert len(found) > 0 or (kind, max_size) == ('maximal', 3)


def test_rare_items_are_cheap():
    # Bit sets as wide as all items would take more than a gigabyte.
    rows = [[0, *range(1 + 3000 * t, 3001 + 3000 * t)] for t in range(50)]
    found = mine(rows, 1, 'closed')
    assert found.support.tolist() == [50] + [1] * 50
    assert found.ptr.diff().tolist() == [1] + [3001] * 50


def test_many_items_stop_at_the_cap():
    # As trees of molecules: a few are common, and most are in one only.
    rng = np.random.default_rng(0)
    common = [np.flatnonzero(r) for r in rng.random((2000, 200)) < 0.1]
    rows = [
        [*row.tolist(), *range(200 + 6 * t, 206 + 6 * t)]
        for t, row in enumerate(common)
    ]
    with pytest.raises(TooManySets, match='max_sets'):
        mine(rows, 1, 'closed')
    with pytest.raises(TooManySets, match='max_sets'):
        mine(rows, 1, 'closed', max_size=50)


@pytest.mark.parametrize('kind', KINDS)
def test_search_stops_at_one_set_too_many(kind, monkeypatch):
    total = len(mine(random_rows(0), 12, kind, max_sets=None))
    assert len(mine(random_rows(0), 12, kind, max_sets=total)) == total
    with pytest.raises(TooManySets):
        mine(random_rows(0), 12, kind, max_sets=total - 1)
    number = 0

    def count(patterns):
        nonlocal number
        for pattern in patterns:
            number += 1
            yield pattern

    miner = getattr(mining, f'{kind}_sets')
    monkeypatch.setattr(
        mining, f'{kind}_sets', lambda *args: count(miner(*args))
    )
    with pytest.raises(TooManySets):
        mine(random_rows(0), 3, kind, max_sets=50)
    assert number == 51


def test_what_to_try_works():
    rows = [list(range(40))] * 60 + [[40 + i] for i in range(3)]
    hints = {'all': "try kind='closed'", 'closed': "try kind='maximal'"}
    for kind, hint in hints.items():
        with pytest.raises(TooManySets, match=hint) as info:
            mine(rows, 1, kind, max_sets=3)
        message = str(info.value)
        assert 'max_sets=3' in message
        assert 'min_support of 1 out of 63' in message
        assert '\n' not in message
    assert len(mine(rows, 1, 'closed', max_sets=4)) == 4
    assert len(mine(rows, 2, 'closed', max_sets=1)) == 1
    assert len(mine(rows, 2, 'maximal', max_sets=1)) == 1
    assert len(mine(rows, 6, 'all', max_size=2)) == 40 + 780
    assert str(pickle.loads(pickle.dumps(info.value))) == message


@pytest.mark.slow
@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('max_size', [None, 3, 20])
def test_nasty_transactions(kind, max_size):
    # There are more than 2 ** 50 sets, of which no kind may see many.
    if kind == 'maximal' and max_size == 3:
        assert len(mine(diagonal(60), 6, kind, max_size=max_size)) == 0
    else:
        with pytest.raises(TooManySets):
            mine(diagonal(60), 6, kind, max_size=max_size)


def test_search_without_results_stops():
    # Maximal sets have 100 items or so, hence none has few, but telling so
    # takes a look at every small set.
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(r).tolist() for r in rng.random((300, 120)) < 0.9]
    with pytest.raises(TooManySets, match='out of proportion'):
        mine(rows, 3, 'maximal', max_size=10)


def test_select():
    found = mine([[1, 2], [2, 3], [2]], 1)
    some = found.select(found.support < 3)
    assert to_list(some) == to_list(found)[1:]
    assert some.transactions(0).tolist() == found.transactions(1).tolist()


def test_support_count():
    assert support_count(0.1, 30) == 3
    assert support_count(0.07, 100) == 7
    assert support_count(1.0, 30) == 30
    assert support_count(1, 30) == 1
    assert support_count(30, 30) == 30
    assert support_count(1e-12, 30) == 1
    assert support_count(np.int64(3), 30) == 3
    assert support_count(np.float64(0.5), 3) == 2
    for size in range(1, 100):
        for count in range(1, size + 1):
            assert support_count(count / size, size) == count


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 3000),
    st.floats(1e-6, 1) | st.integers(1, 1000).map(lambda x: x / 1000),
)
def test_support_count_is_smallest(num_transactions, fraction):
    count = support_count(fraction, num_transactions)
    reaches = np.arange(1, num_transactions + 1) / num_transactions >= fraction
    assert count == int(reaches.argmax()) + 1


@pytest.mark.parametrize(
    'value', [0, -1, 11, 0.0, -0.5, 1.5, float('nan'), float('inf')]
)
def test_support_count_range(value):
    with pytest.raises(ValueError, match=r'must .*got the .* 1 is a count'):
        support_count(value, 10)
    with pytest.raises(ValueError, match='got 0'):
        support_count(0.5, 0)
    for kind in [True, '1', None]:
        with pytest.raises(TypeError, match=r'must .*got .* 1 is a count'):
            support_count(kind, 10)
    for kind in [0.5, 1.0, True]:
        with pytest.raises(TypeError, match=f'a count here.*got {kind}'):
            mine([[0], [0]], kind)


@pytest.mark.parametrize(
    ('change', 'match'),
    [
        ({'min_support': 0}, 'must be in 1..3'),
        ({'min_support': 4}, 'must be in 1..3'),
        ({'kind': 'open'}, "must be one of 'all', .*got 'open'"),
        ({'max_sets': 0}, "'max_sets' must be 1 or more .got 0"),
        ({'max_size': 0}, "'max_size' must be 1 or more .got 0"),
        (
            {'item': torch.tensor([0, -1])},
            "'item' must be at least 0 .*got -1 to 0",
        ),
        (
            {'item': torch.tensor([0.0, 1.0])},
            "'item' must be long .*got torch.float32",
        ),
        (
            {'item': torch.tensor([[0, 1]])},
            r'got torch.int64 of shape \[1, 2\]',
        ),
        ({'transaction': torch.tensor([0, 3])}, 'less than 3 .got 0 to 3'),
        (
            {'transaction': torch.tensor([0])},
            r'transaction.* must .* shape \[2\]',
        ),
    ],
)
def test_frequent_sets_bad_input(change, match):
    kwargs = {
        'item': torch.tensor([0, 1]),
        'transaction': torch.tensor([0, 2]),
        'num_transactions': 3,
        'min_support': 1,
    }
    frequent_sets(**kwargs)
    with pytest.raises(ValueError, match=match) as info:
        frequent_sets(**{**kwargs, **change})
    assert '\n' not in str(info.value)
    assert 'try' in str(info.value) or '1 is a count' in str(info.value)
