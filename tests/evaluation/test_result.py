import json
import math
import sys
from itertools import product

import pytest

from pyg_distill.evaluation import Evaluation, Record, SetRecord
from pyg_distill.evaluation.result import _holm, _paired_p_value

VALUES = {
    # Of two runs in each of three cells.
    'full': [(0.9, 0.8), (0.7, 0.7), (0.5, 0.7)],
    'random': [(0.6, 0.6), (0.8, 0.8), (0.6, 0.6)],
    'best': [(0.9, 1.0), (0.7, 0.7), (0.4, 0.4)],
}
CELLS = [('task', 'GIN', 'sum'), ('task', 'GIN', 'mean'), ('other', 'GCN', '')]


def evaluation(values=VALUES) -> Evaluation:
    records = [
        Record(
            *(cell[0], name, cell[1], cell[2], run),
            accuracy=auc / 2,
            auc=auc,
            val_auc=auc,
            val_loss=1.0,
            step=50,
            seconds=2.0,
        )
        for name, rows in values.items()
        for cell, row in zip(CELLS, rows, strict=True)
        for run, auc in enumerate(row)
    ]
    sizes = [
        SetRecord(
            *(task, name, run),
            num_graphs=10,
            num_nodes=200,
            num_edges=400,
            num_bytes=10_000 * (run + 1),
            compressed_bytes=77 if name == 'best' else None,
            seconds=0.5 if name == 'best' else None,
        )
        for task, name, run in product(('task', 'other'), values, range(2))
    ]
    return Evaluation(records, sizes, {'task': {'lr': 0.1}, 'other': {}})


def test_ranks() -> None:
    # Means of .85, .7, .6 / .6, .8, .6 / .95, .7, .4.
    found = evaluation().ranks()
    assert found == pytest.approx(
        {
            'full': (2 + 2.5 + 1.5) / 3,
            'random': (3 + 1 + 1.5) / 3,
            'best': (1 + 2.5 + 3) / 3,
        }
    )
    two = {name: VALUES[name] for name in ('full', 'random')}
    found = evaluation(two).ranks('accuracy')
    assert found == pytest.approx({'full': 4.5 / 3, 'random': 4.5 / 3})


def test_ranks_of_what_is_missing_are_refused() -> None:
    whole = evaluation()
    lacking = [r for r in whole.records if r.cell[0] == 'task']
    lacking += [r for r in whole.records if r.cell[0] == 'other'][:2]
    part = Evaluation(lacking, whole.set_records, whole.options)
    with pytest.raises(ValueError, match='every cell'):
        part.ranks()
    assert 'mean rank' not in part.table()
    assert '-' in part.table()


def test_tables() -> None:
    result = evaluation()
    table = result.table()
    lines = {line[:15].strip(): line[15:].split() for line in table.split('\n')}
    assert lines['ROC-AUC'] == ['full', 'random', 'best']
    assert ' '.join(lines['task GIN sum']) == (
        '0.850 ± 0.071 0.600 ± 0.000 0.950 ± 0.071 *'
    )
    # Those that lose are there, and ties are marked twice.
    assert ' '.join(lines['other GCN']) == (
        '0.600 ± 0.141 * 0.600 ± 0.000 * 0.400 ± 0.000'
    )
    assert lines['mean rank'] == ['2.00', '1.83', '2.17']
    assert lines['task bytes'] == ['15,000'] * 3
    assert lines['task compressed'] == ['bytes', '-', '-', '77']
    assert str(result).count('Accuracy') == 1
    assert str(result) == f'{table}\n\n{result.table("accuracy")}'
    assert max(map(len, table.split('\n'))) < 80


def test_round_trips() -> None:
    result = evaluation()
    values = json.loads(json.dumps(result.to_dict()))
    again = Evaluation.from_dict(values)
    assert again.records == result.records
    assert again.set_records == result.set_records
    assert again.options == result.options
    assert str(again) == str(result)


def test_merge() -> None:
    whole = evaluation()
    parts = [evaluation({name: rows}) for name, rows in VALUES.items()]
    merged = Evaluation.merge(parts)
    assert merged.records == whole.records
    assert {*merged.set_records} == {*whole.set_records}
    assert merged.ranks() == whole.ranks()
    with pytest.raises(ValueError, match=r'different trainings.*twice'):
        Evaluation.merge([parts[0], whole])
    parts[1].options['task']['lr'] = 0.2
    with pytest.raises(ValueError, match='same options'):
        Evaluation.merge(parts)


def t_test(one: list[float], other: list[float]) -> float:
    """The two-sided paired test, with Student's density summed up slowly."""
    d = [x - y for x, y in zip(one, other, strict=True)]
    n, mean = len(d), sum(d) / len(d)
    variance = sum((x - mean) ** 2 for x in d) / (n - 1)
    t, df, width = abs(mean) / math.sqrt(variance / n), n - 1, 1e-4
    scale = math.gamma((df + 1) / 2) / math.gamma(df / 2)
    scale /= math.sqrt(df * math.pi)
    middle = ((i + 0.5) * width for i in range(round(t / width)))
    area = sum((1 + x * x / df) ** (-(df + 1) / 2) for x in middle)
    return 1 - 2 * scale * area * width


def test_comparison() -> None:
    rows = [[0.8, 0.9, 0.7, 0.75], [0.6, 0.5, 0.7, 0.6], [0.9, 0.9, 0.9, 0.9]]
    others = [[0.6, 0.65, 0.5, 0.6], [0.5, 0.7, 0.6, 0.65], [0.9] * 4]
    result = evaluation({'a': rows, 'b': others})
    found = result.compare('a', 'b')
    p = [*map(t_test, rows[:2], others[:2]), 1.0]
    assert found.cells[0].p == pytest.approx(3 * p[0], abs=3e-4)
    assert found.cells[2].p == p[2]
    assert found.cells[0].difference == pytest.approx(0.2)
    assert found.better() == [found.cells[0]]
    assert found.worse() == []
    assert result.compare('b', 'a').worse()[0].p == found.cells[0].p
    assert 'better in 1 of 3 cells, worse in 0' in str(found)
    with pytest.raises(ValueError, match=r"'c'.*choose from"):
        result.compare('a', 'c')
    # Only runs that both have are compared.
    part = evaluation({'a': rows, 'b': [r[:3] for r in others]})
    for names in (('a', 'b'), ('b', 'a')):
        cell = part.compare(*names).cells[0]
        assert cell.num_runs == 3
        p = t_test(rows[0][:3], others[0][:3])
        assert cell.p == pytest.approx(3 * p, abs=3e-4)
    single = evaluation({'a': [r[:1] for r in rows], 'b': others})
    with pytest.raises(ValueError, match='two runs or more'):
        single.compare('a', 'b')


def test_equal_differences_have_no_variance() -> None:
    assert _paired_p_value([0.5, 0.5]) == 0.0
    assert _paired_p_value([0.0, 0.0]) == 1.0


@pytest.mark.parametrize('call', ['compare', 'ranks'])
def test_missing_scipy(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    monkeypatch.setitem(sys.modules, 'scipy.stats', None)
    args = ('full', 'random') if call == 'compare' else ()
    with pytest.raises(ImportError, match=rf"'{call}'.*\[evaluation\]"):
        getattr(evaluation(), call)(*args)


def test_holm() -> None:
    # The example of Holm's correction by hand, out of order.
    assert _holm([0.03, 0.01, 0.04, 0.5]) == pytest.approx(
        [0.09, 0.04, 0.09, 0.5]
    )
