import csv
import json
import sys
from itertools import product
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from pyg_distill.evaluation import Evaluation, Record, SetRecord
from pyg_distill.evaluation.comparison import holm, paired_p_value
from pyg_distill.evaluation.cross.metrics import accuracy, roc_auc

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
            packed_bytes=77 if name == 'best' else None,
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
    two = evaluation().ranks('accuracy', ['full', 'random'])
    assert two == pytest.approx({'full': 4.5 / 3, 'random': 4.5 / 3})


def test_ranks_of_what_is_missing_are_refused() -> None:
    whole = evaluation()
    lacking = [r for r in whole.records if r.cell[0] == 'task']
    lacking += [r for r in whole.records if r.cell[0] == 'other'][:2]
    part = Evaluation(lacking, whole.set_records, whole.options)
    with pytest.raises(ValueError, match='must be tested in every cell'):
        part.ranks()
    assert part.ranks(train_sets=['full']) == {'full': 1}
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
    assert lines['task bytes pack'] == ['ed', '-', '-', '77']
    assert str(result).count('Accuracy') == 1
    assert str(result) == f'{table}\n\n{result.table("accuracy")}'
    assert max(map(len, table.split('\n'))) < 80
    with pytest.raises(ValueError, match="'metric' must be one of auc, acc"):
        result.table('f1')


def test_round_trips(tmp_path: Path) -> None:
    result = evaluation()
    values = json.loads(json.dumps(result.to_dict()))
    again = Evaluation.from_dict(values)
    assert again.records == result.records
    assert again.set_records == result.set_records
    assert again.options == result.options
    assert str(again) == str(result)

    result.to_csv(tmp_path / 'result.csv')
    with open(tmp_path / 'result.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(result.records)
    for row, r in zip(rows, result.records, strict=True):
        assert float(row['auc']) == r.auc
        assert float(row['seconds']) == 2.0
        assert int(row['num_bytes']) == 10_000 * (r.run + 1)
        assert (row['train_set'], row['model']) == (r.train_set, r.model)
        assert row['packed_bytes'] == ('77' if r.train_set == 'best' else '')
        assert row['distil_seconds'] == ('0.5' if r.train_set == 'best' else '')


def test_merge() -> None:
    whole = evaluation()
    parts = [evaluation({name: rows}) for name, rows in VALUES.items()]
    merged = Evaluation.merge(parts)
    assert merged.records == whole.records
    assert {*merged.set_records} == {*whole.set_records}
    assert merged.ranks() == whole.ranks()
    with pytest.raises(ValueError, match='is there twice'):
        Evaluation.merge([parts[0], whole])
    parts[1].options['task']['lr'] = 0.2
    with pytest.raises(ValueError, match='different options'):
        Evaluation.merge(parts)


def test_comparison() -> None:
    rows = [[0.8, 0.9, 0.7, 0.75], [0.6, 0.5, 0.7, 0.6], [0.9, 0.9, 0.9, 0.9]]
    others = [[0.6, 0.65, 0.5, 0.6], [0.5, 0.7, 0.6, 0.65], [0.9] * 4]
    result = evaluation({'a': rows, 'b': others})
    found = result.compare('a', 'b')
    p = [ttest_rel(rows[i], others[i]).pvalue for i in range(2)] + [1.0]
    assert [c.p for c in found.cells] == pytest.approx(p)
    assert found.cells[0].p_holm == pytest.approx(3 * p[0])
    assert found.cells[0].difference == pytest.approx(0.2)
    assert found.better() == [found.cells[0]]
    assert found.worse() == []
    assert result.compare('b', 'a').worse()[0].p == found.cells[0].p
    assert 'better in 1 of 3 cells, worse in 0' in str(found)
    with pytest.raises(ValueError, match=r"must name training sets.*'c'"):
        result.compare('a', 'c')
    single = evaluation({'a': [r[:1] for r in rows], 'b': others})
    with pytest.raises(ValueError, match='two runs or more'):
        single.compare('a', 'b')


def test_p_values_without_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert paired_p_value([0.5, 0.5]) == 0.0
    monkeypatch.setitem(sys.modules, 'scipy.stats', None)
    with pytest.raises(ImportError, match=r'pyg-distill\[evaluation\]'):
        evaluation().compare('full', 'random')


def test_holm() -> None:
    # The example of Holm's correction by hand, out of order.
    assert holm([0.03, 0.01, 0.04, 0.5]) == pytest.approx(
        [0.09, 0.04, 0.09, 0.5]
    )


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
    if label.unique().numel() < 2:
        return
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
    right = [row.index(max(row)) for row in out.tolist()]
    expected = sum(a == b for a, b in zip(right, label, strict=True))
    assert accuracy(label, out) == pytest.approx(float(expected) / len(rows))
