import os
import pickle
import re
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mlxtend.frequent_patterns import fpgrowth, fpmax

from pyg_distill.trees.mining import (
    FrequentSets,
    TooManySets,
    frequent,
    frequent_sets,
    support_count,
)
from pyg_distill.trees.mining.bitsets import (
    Rows,
    in_order,
    to_columns,
    to_tensors,
)
from pyg_distill.trees.mining.closed import Candidates
from pyg_distill.trees.mining.limit import surely_more

MODES = ['all', 'closed', 'maximal']


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


def brute_force(rows, min_support, mode, max_size=None):
    support = {}
    items = sorted({i for row in rows for i in row})
    for size in range(1, len(items) + 1):
        for subset in combinations(items, size):
            count = sum(set(subset) <= set(row) for row in rows)
            if count >= min_support:
                support[subset] = count

    def is_kept(subset):
        above = [x for x in support if set(subset) < set(x)]
        if mode == 'closed':
            return all(support[x] < support[subset] for x in above)
        return mode == 'all' or not above

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


@settings(max_examples=300, deadline=None)
@given(problems(), st.sampled_from(MODES), st.none() | st.integers(1, 4))
def test_frequent_sets_against_brute_force(problem, mode, max_size):
    rows, min_support = problem
    found = mine(rows, min_support, mode, max_size=max_size)
    assert to_dict(found) == brute_force(rows, min_support, mode, max_size)


@settings(max_examples=50, deadline=None)
@given(problems(), st.sampled_from(MODES), st.randoms())
def test_frequent_sets_order_and_transactions(problem, mode, random):
    rows, min_support = problem
    item, transaction, num_transactions = to_incidences(rows)
    found = frequent_sets(
        item, transaction, num_transactions, min_support, mode
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
        item[order], transaction[order], num_transactions, min_support, mode
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


@pytest.mark.parametrize('seed', range(4))
def test_frequent_sets_modes_agree(seed):
    # Beyond the reach of brute force: both condensed forms follow from `all`.
    rows = random_rows(seed)
    all_sets = to_dict(mine(rows, 6, 'all', max_sets=None))
    closed = to_dict(mine(rows, 6, 'closed', max_sets=None))
    maximal = to_dict(mine(rows, 6, 'maximal', max_sets=None))
    extended = {}
    for items, support in all_sets.items():
        for i in range(len(items)):
            part = items[:i] + items[i + 1 :]
            extended[part] = max(extended.get(part, 0), support)
    assert 0 < len(maximal) < len(closed) < len(all_sets)
    assert maximal == {x: s for x, s in all_sets.items() if x not in extended}
    assert closed == {
        x: s for x, s in all_sets.items() if extended.get(x, 0) < s
    }


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


@pytest.mark.parametrize('mode', MODES)
def test_frequent_sets_without_sets(mode):
    for rows in [[[]] * 3, [[1], [2], []]]:
        found = mine(rows, 2, mode)
        assert len(found) == 0
        assert found.item.dtype == found.support.dtype == torch.long
        assert found.item.numel() == found.support.numel() == 0
        assert found.ptr.tolist() == [0]


@pytest.mark.parametrize('mode', ['closed', 'maximal'])
def test_frequent_sets_of_co_occurring_items(mode):
    rows = [list(range(5000))] * 3 + [[]]
    ((items, support),) = to_list(mine(rows, 2, mode))
    assert items == tuple(range(5000))
    assert support == 3


def test_frequent_sets_depth(monkeypatch):
    rows = [list(range(t, 300)) for t in range(300)]
    ((items, support),) = to_list(mine(rows, 100, 'maximal'))
    assert items == tuple(range(99, 300))
    assert support == 100
    assert len(mine(rows, 100, 'closed')) == 201

    # The first maximal set is found more than a thousand items deep.
    monkeypatch.setattr(frequent, '_SECONDS', -1e6)
    monkeypatch.setattr(frequent, '_WORK', 1000)
    with pytest.raises(TooManySets, match='more than'):
        mine(diagonal(1040), 10, 'maximal', max_sets=3)


@pytest.mark.parametrize('mode', ['all', 'closed'])
def test_glance_is_never_wrong(mode):
    told = 0
    for seed in range(20):
        rows = random_rows(seed, num_rows=30, num_items=8)
        for count in (2, 8, 15):
            total = len(brute_force(rows, count, mode))
            _, columns = to_columns(*to_incidences(rows), count)
            for max_sets in range(1, total + 5):
                is_more = surely_more(columns, count, mode, max_sets)
                assert not is_more or total > max_sets
                told += is_more
    assert told > 100


def test_glance_is_enough():
    # Ten thousand closed sets would take half a minute to find.
    for mode in ('all', 'closed'):
        with pytest.raises(TooManySets):
            mine(diagonal(2000), 500, mode)


def test_glance_sees_past_rare_items():
    # Those numbered first are in one transaction, and no pair of them counts.
    rare = list(range(20_000))
    common = [[20_000 + i for i in row] for row in diagonal(200)]
    incidences = to_incidences([rare, *common])
    for mode in ('all', 'closed'):
        _, columns = to_columns(*incidences, 1)
        assert surely_more(columns, 2, mode, 10_000)
        # There are 200 items and 19,900 pairs of them.
        assert not surely_more(columns, 198, mode, 200 + 19_900)
        assert not surely_more(columns, 199, mode, 200)
        assert surely_more(columns, 199, mode, 199)


@pytest.mark.parametrize('num_transactions', [1, 8, 61])
@pytest.mark.parametrize('num_items', [1, 16, 23, 300])
def test_rows(num_items, num_transactions):
    rng = np.random.default_rng(num_items)
    held = rng.random((num_items, num_transactions)) < 0.4
    columns = [
        (1 << i, sum(1 << int(t) for t in row.nonzero()[0]))
        for i, row in enumerate(held)
    ]
    rng.shuffle(columns)
    for part in (columns, columns[: num_items // 3]):
        rows = Rows(part, num_transactions, lambda amount: None)
        for t in range(num_transactions):
            assert rows[t] == sum(bit for bit, tids in part if tids >> t & 1)


@given(
    st.lists(st.sets(st.integers(0, 11)), min_size=1, max_size=9),
    st.sets(st.integers(0, 11)),
    st.data(),
)
def test_hold_any(rows, items, draw):
    tids = draw.draw(st.sets(st.integers(0, len(rows) - 1), min_size=1))
    held = {i: {t for t, row in enumerate(rows) if i in row} for i in range(12)}
    tail = [
        (1 << i, sum(1 << t for t in held[i])) for i in range(12) if held[i]
    ]
    candidates = Candidates(tail, len(rows), lambda amount: None)
    assert candidates.hold_any(
        sum(1 << i for i in items), sum(1 << t for t in tids)
    ) == any(tids <= held[i] for i in items)


@given(
    st.lists(
        st.tuples(st.integers(1, 2**70), st.integers(0, 2**70)),
        unique_by=lambda p: p[0],
    )
)
def test_in_order(patterns):
    expected = sorted(
        patterns, key=lambda p: (-p[1].bit_count(), -p[0].bit_count(), -p[0])
    )
    assert in_order(patterns) == expected


@pytest.mark.parametrize('num_items', [1, 8, 13, 900])
def test_to_tensors(num_items):
    # More patterns than are unpacked at a time, and one without items.
    rng = np.random.default_rng(num_items)
    values = 3 + np.arange(num_items) * 2**40
    held = rng.random((5000, num_items)) < 0.01
    held[7], held[8] = False, True
    patterns = [
        (sum(1 << (num_items - 1 - int(i)) for i in row.nonzero()[0]), t)
        for t, row in enumerate(held)
    ]
    item, ptr, support = to_tensors(values, patterns)
    assert item.tolist() == [
        3 + int(i) * 2**40 for row in held for i in row.nonzero()[0]
    ]
    assert ptr.diff().tolist() == held.sum(axis=1).tolist()
    assert support.tolist() == [t.bit_count() for t in range(5000)]


def test_closed_sets_of_many_items():
    # Every transaction shares one item with the next.
    size = 20
    rows = [list(range(t * size, t * size + size + 1)) for t in range(1000)]
    expected = [((t * size,), 2) for t in range(1, 1000)]
    expected += [(tuple(row), 1) for row in rows]
    assert to_list(mine(rows, 1, 'closed')) == expected


def test_many_items_stop_at_the_cap(monkeypatch):
    # As trees of molecules: a few are common, and most are in one only.
    rng = np.random.default_rng(0)
    common = [np.flatnonzero(r) for r in rng.random((4000, 200)) < 0.1]
    rows = [
        [*row.tolist(), *range(200 + 6 * t, 206 + 6 * t)]
        for t, row in enumerate(common)
    ]
    monkeypatch.setattr(frequent, 'surely_more', lambda *args: False)
    with pytest.raises(TooManySets, match='more than') as info:
        mine(rows, 1, 'closed')
    assert info.value.suggestion is not None


def test_suggestion_after_a_long_search(monkeypatch):
    # The search itself takes all of the time meant for both.
    clock = iter([0.0] + [1e6] * 9)
    monkeypatch.setattr(frequent, 'perf_counter', lambda: next(clock))
    path = 'pyg_distill.trees.mining.budget.perf_counter'
    monkeypatch.setattr(path, lambda: 1e6)
    with pytest.raises(TooManySets, match='the smallest that fits'):
        mine(random_rows(0), 3, 'closed', max_sets=50)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('max_size', [None, 3])
@pytest.mark.parametrize('max_sets', [5, 30])
@pytest.mark.parametrize('seed', [0, 1, 2])
def test_suggestion(mode, max_size, max_sets, seed, monkeypatch):
    monkeypatch.setattr(frequent, '_SECONDS', 1e6)
    rows = random_rows(seed, num_rows=300, num_items=16)
    # Maximal sets are not the most at the smallest support.
    too_small = next(
        count
        for count in range(1, len(rows))
        if len(mine(rows, count, mode, None, max_size)) > max_sets
    )
    with pytest.raises(TooManySets, match='more than') as info:
        mine(rows, too_small, mode, max_sets, max_size)
    count, message = info.value.suggestion, str(info.value)
    assert info.value.limit == max_sets
    assert '\n' not in message
    share = float(re.search(r'the fraction ([\d.]+)', message)[1])
    assert f'try {count} ' in message
    assert support_count(share, len(rows)) == count
    assert 0 < len(mine(rows, count, mode, max_sets, max_size)) <= max_sets
    if mode != 'maximal':
        assert 'the smallest that fits' in message
        with pytest.raises(TooManySets):
            mine(rows, count - 1, mode, max_sets, max_size)


def test_cap_is_not_exceeded_by_one():
    rows = random_rows(0)
    for mode in MODES:
        total = len(mine(rows, 12, mode, max_sets=None))
        assert len(mine(rows, 12, mode, max_sets=total)) == total
        with pytest.raises(TooManySets):
            mine(rows, 12, mode, max_sets=total - 1)


@pytest.mark.parametrize('mode', MODES)
def test_held_patterns(mode, monkeypatch):
    # Counts the patterns that are alive in the miner's consumer.
    alive, peak, seen = 0, 0, 0

    class Tracked(tuple):
        def __del__(self):
            nonlocal alive
            alive -= 1

    def track(patterns):
        nonlocal alive, peak, seen
        for pattern in patterns:
            tracked = Tracked(pattern)
            alive += 1
            seen += 1
            peak = max(peak, alive)
            yield tracked
            del tracked

    miner = frequent._MINERS[mode]
    monkeypatch.setattr(frequent, 'surely_more', lambda *args: False)
    monkeypatch.setitem(
        frequent._MINERS, mode, lambda *args: track(miner(*args))
    )
    monkeypatch.setattr(frequent, '_SECONDS', 1e6)
    with pytest.raises(TooManySets):
        mine(random_rows(0), 3, mode, max_sets=50)
    assert seen > 2 * 51
    # One more, as the miner's own name for it lives until it is resumed.
    assert 51 <= peak <= 51 + 1


def test_impossible_caps():
    rows = [list(range(40))] * 60
    with pytest.raises(TooManySets, match='no min_support fits') as info:
        mine(rows, 6, 'all')
    assert info.value.suggestion is None
    assert "mode='closed'" in str(info.value)
    assert 'max_size' in str(info.value)
    assert len(mine(rows, 6, 'closed')) == 1
    assert len(mine(rows, 6, 'all', max_size=2)) == 40 + 780
    # A support that no set at all reaches is of no use either.
    with pytest.raises(TooManySets, match='no min_support fits'):
        mine([*rows, []], 6, 'all')


def test_suggestion_has_sets():
    # The sets of two items or less end where the larger ones go on.
    rows = [[0, 1, 2, 3, 4]] * 4 + [[10], [11], [12]] * 2
    assert len(mine(rows, 3, 'closed', max_sets=2, max_size=2)) == 0
    with pytest.raises(TooManySets) as info:
        mine(rows, 2, 'closed', max_sets=2, max_size=2)
    assert info.value.suggestion is None


def test_suggestion_without_time(monkeypatch):
    monkeypatch.setattr(frequent, '_SECONDS', -1e6)
    with pytest.raises(TooManySets, match='was found to fit in time') as info:
        mine(random_rows(0), 3, 'closed', max_sets=50)
    assert info.value.suggestion is None


def test_suggestion_at_the_deadline(monkeypatch):
    clock = iter(range(10**9))
    for module in ('frequent', 'budget'):
        path = f'pyg_distill.trees.mining.{module}.perf_counter'
        monkeypatch.setattr(path, lambda: next(clock))
    monkeypatch.setattr(frequent, '_SECONDS', 60)
    rows = random_rows(0)
    with pytest.raises(TooManySets, match='one that fits') as info:
        mine(rows, 3, 'closed', max_sets=50)
    count = info.value.suggestion
    assert 0 < len(mine(rows, count, 'closed', max_sets=50)) <= 50


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('max_size', [None, 3, 20])
def test_nasty_transactions(mode, max_size):
    # There are more than 2 ** 50 sets, of which no mode may see many.
    if mode == 'maximal' and max_size == 3:
        assert len(mine(diagonal(60), 6, mode, max_size=max_size)) == 0
    else:
        with pytest.raises(TooManySets):
            mine(diagonal(60), 6, mode, max_size=max_size)


def test_search_without_results_stops():
    # Maximal sets have 100 items or so, hence none has few, but telling so
    # takes a look at every small set.
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(r).tolist() for r in rng.random((300, 120)) < 0.9]
    with pytest.raises(TooManySets, match='out of proportion') as info:
        mine(rows, 3, 'maximal', max_size=10)
    count = info.value.suggestion
    if count is not None:
        assert len(mine(rows, count, 'maximal', max_size=10)) > 0


def test_too_many_sets_can_be_pickled():
    error = pickle.loads(pickle.dumps(TooManySets('message', 5, 7)))
    assert (str(error), error.limit, error.suggestion) == ('message', 5, 7)


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


@pytest.mark.parametrize('value', [True, False, '1', None])
def test_support_count_type(value):
    with pytest.raises(TypeError, match=r'must .*got .* 1 is a count'):
        support_count(value, 10)


@pytest.mark.parametrize(
    'value', [0, -1, 11, 0.0, -0.5, 1.5, float('nan'), float('inf')]
)
def test_support_count_range(value):
    with pytest.raises(ValueError, match=r'must .*got the .* 1 is a count'):
        support_count(value, 10)
    with pytest.raises(ValueError, match='got 0'):
        support_count(0.5, 0)


@pytest.mark.parametrize(
    ('change', 'match'),
    [
        ({'min_support': 0}, 'must be in 1..3'),
        ({'min_support': 4}, 'must be in 1..3'),
        ({'mode': 'open'}, "must be one of 'all', .*got 'open'"),
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


@pytest.mark.parametrize('value', [0.5, 1.0, True])
def test_frequent_sets_needs_a_count(value):
    with pytest.raises(TypeError, match=f'must be a count here.*got {value}'):
        mine([[0], [0]], value)


@pytest.mark.skipif(
    'PYG_DISTILL_DATA' not in os.environ,
    reason='needs the folder of data sets in PYG_DISTILL_DATA',
)
def test_frequent_sets_of_molecules():
    from torch_geometric.datasets import TUDataset

    root = os.path.join(os.environ['PYG_DISTILL_DATA'], 'TUDataset')
    number, rows = {}, []
    for data in TUDataset(root, 'NCI1'):
        if int(data.y) != 0:
            continue
        label = data.x.argmax(dim=1).tolist()
        around = [[] for _ in label]
        for source, target in data.edge_index.t().tolist():
            around[target].append(label[source])
        trees = {(x, *sorted(n)) for x, n in zip(label, around, strict=True)}
        rows.append([number.setdefault(x, len(number)) for x in trees])

    assert len(rows) > 2000
    count = support_count(0.05, len(rows))
    all_sets = to_dict(mine(rows, count, 'all'))
    assert len(all_sets) > 1000
    assert all_sets == mlxtend(fpgrowth, rows, 0.05)
    assert to_dict(mine(rows, count, 'maximal')) == mlxtend(fpmax, rows, 0.05)
    closed = {
        x
        for x, s in all_sets.items()
        if not any(
            all_sets.get(tuple(sorted((*x, i)))) == s
            for i in range(len(number))
            if i not in x
        )
    }
    assert set(to_dict(mine(rows, count, 'closed'))) == closed
