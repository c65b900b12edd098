"""What came out of training several models on several training sets."""

import csv
from collections.abc import Sequence
from dataclasses import asdict
from os import PathLike
from typing import Any

from pyg_distill.evaluation.comparison import (
    ComparedCell,
    Comparison,
    holm,
    mean_and_std,
    paired_p_value,
)
from pyg_distill.evaluation.cross.format import format_evaluation
from pyg_distill.evaluation.cross.records import Record, SetRecord

METRICS = ('auc', 'accuracy')

Cell = tuple[str, str, str]


class Evaluation:
    """Accuracy, ROC-AUC, sizes and times; prints as tables.

    Attributes:
        records (tuple): What was measured in each training.
        set_records (tuple): The size of each training set in each run.
        options (dict): How was trained, by the name of the task.

    Args:
        records (list): What was measured in each training.
        set_records (list): The size of each training set in each run.
        options (dict): How was trained, by the name of the task.
    """

    def __init__(
        self,
        records: Sequence[Record],
        set_records: Sequence[SetRecord],
        options: dict[str, dict[str, Any]],
    ) -> None:
        self.records = tuple(records)
        self.set_records = tuple(set_records)
        self.options = options

    @property
    def train_sets(self) -> list[str]:
        """The names of the training sets."""
        return list(dict.fromkeys(r.train_set for r in self.records))

    @property
    def cells(self) -> list[Cell]:
        """All combinations of task, model and readout."""
        return list(dict.fromkeys(r.cell for r in self.records))

    def values(
        self, train_set: str, cell: Cell, metric: str = 'auc'
    ) -> dict[int, float]:
        """What each run reached, by the number of the run.

        Args:
            train_set (str): The name of the training set.
            cell (tuple): The task, the model and the readout.
            metric (str, optional): :obj:`"auc"` or :obj:`"accuracy"`.
                (default: :obj:`"auc"`)
        """
        _check_metric(metric)
        return {
            r.run: getattr(r, metric)
            for r in self.records
            if r.train_set == train_set and r.cell == cell
        }

    def means(self, metric: str = 'auc') -> dict[Cell, dict[str, float]]:
        """The mean over the runs, for each cell and training set.

        Args:
            metric (str, optional): :obj:`"auc"` or :obj:`"accuracy"`.
                (default: :obj:`"auc"`)
        """
        _check_metric(metric)
        found: dict[Cell, dict[str, list[float]]] = {}
        for r in self.records:
            of_cell = found.setdefault(r.cell, {})
            of_cell.setdefault(r.train_set, []).append(getattr(r, metric))
        return {
            cell: {key: mean_and_std(values)[0] for key, values in sets.items()}
            for cell, sets in found.items()
        }

    def ranks(
        self,
        metric: str = 'auc',
        train_sets: Sequence[str] | None = None,
    ) -> dict[str, float]:
        """The mean rank of each training set over all cells, 1 for the best.

        The means over the runs are ranked; equal ones share their ranks.

        Args:
            metric (str, optional): :obj:`"auc"` or :obj:`"accuracy"`.
                (default: :obj:`"auc"`)
            train_sets (list, optional): The names of those that compete; all
                of them if not given. (default: :obj:`None`)

        Raises:
            ValueError: If one lacks a cell, so that ranks mean nothing.
        """
        names = self.train_sets if train_sets is None else list(train_sets)
        ranks: dict[str, list[float]] = {name: [] for name in names}
        for cell, means in self.means(metric).items():
            missing = [name for name in names if name not in means]
            if missing:
                raise ValueError(
                    f"'train_sets' must be tested in every cell (got no "
                    f'{" ".join(cell).strip()} of {missing}); rank those '
                    f'alone that are, with train_sets=[...]'
                )
            for name in names:
                here = [means[other] for other in names]
                above = sum(m > means[name] for m in here)
                equal = sum(m == means[name] for m in here)
                ranks[name].append(above + (equal + 1) / 2)
        return {name: sum(r) / len(r) for name, r in ranks.items()}

    def compare(
        self, first: str, second: str, metric: str = 'auc'
    ) -> Comparison:
        """Compares two training sets, paired over runs.

        Each cell has a two-sided paired t-test over the runs that both have,
        and its p-value is corrected for the number of cells (Holm).

        Args:
            first (str): The name of a training set.
            second (str): The name of the other.
            metric (str, optional): :obj:`"auc"` or :obj:`"accuracy"`.
                (default: :obj:`"auc"`)

        Raises:
            ImportError: If SciPy is not installed.
            ValueError: If they do not share a cell of two runs or more.
        """
        for name in (first, second):
            if name not in self.train_sets:
                raise ValueError(
                    f"'train_sets' must name training sets of the result (got "
                    f'{name!r}); pass one of '
                    f'{", ".join(map(repr, self.train_sets))}'
                )
        found = []
        for cell in self.cells:
            one = self.values(first, cell, metric)
            other = self.values(second, cell, metric)
            shared = [one[run] - other[run] for run in one if run in other]
            if len(shared) > 1:
                found.append((cell, shared))
        if not found:
            raise ValueError(
                f"'compare' needs two runs or more of both (got fewer of "
                f'{first!r} and {second!r} in every cell); evaluate with '
                f'more runs'
            )
        p = [paired_p_value(difference) for _, difference in found]
        cells = [
            ComparedCell(*cell, len(d), *mean_and_std(d), p_cell, p_holm)
            for (cell, d), p_cell, p_holm in zip(found, p, holm(p), strict=True)
        ]
        return Comparison(first, second, metric, cells)

    def table(self, metric: str = 'auc') -> str:
        """A text table of means ± standard deviations over the runs.

        Args:
            metric (str, optional): :obj:`"auc"` or :obj:`"accuracy"`.
                (default: :obj:`"auc"`)
        """
        _check_metric(metric)
        return format_evaluation(self.records, self.set_records, metric)

    def __str__(self) -> str:
        return '\n\n'.join(self.table(metric) for metric in METRICS)

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}({self.train_sets}, '
            f'cells={len(self.cells)}, trainings={len(self.records)})'
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain dictionaries and lists, ready for JSON."""
        return {
            'records': [asdict(r) for r in self.records],
            'set_records': [asdict(r) for r in self.set_records],
            'options': self.options,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> 'Evaluation':
        """The result that :meth:`to_dict` was called on.

        Args:
            values (dict): What :meth:`to_dict` returned.
        """
        return cls(
            [Record(**r) for r in values['records']],
            [SetRecord(**r) for r in values['set_records']],
            values['options'],
        )

    @classmethod
    def merge(cls, evaluations: 'Sequence[Evaluation]') -> 'Evaluation':
        """Joins results: other runs, other training sets or other tasks.

        Args:
            evaluations (list): The results.

        Raises:
            ValueError: If a training is in several of them, or one task was
                trained with different options.
        """
        records = [r for e in evaluations for r in e.records]
        known: set[tuple] = set()
        for r in records:
            key = (*r.cell, r.train_set, r.run)
            if key in known:
                raise ValueError(
                    f'a training is there twice (got run {r.run} of '
                    f'{r.train_set!r}, {" ".join(r.cell).strip()}); merge '
                    f'different runs, training sets or names of tasks'
                )
            known.add(key)
        options: dict[str, dict[str, Any]] = {}
        for e in evaluations:
            for name, given in e.options.items():
                if options.setdefault(name, given) != given:
                    raise ValueError(
                        f'{name!r} was trained with different options (got '
                        f'{options[name]} and {given}); merge what was '
                        f'trained alike, or give them names'
                    )
        sets = {
            (s.dataset, s.train_set, s.run): s
            for e in evaluations
            for s in e.set_records
        }
        return cls(records, list(sets.values()), options)

    def to_csv(self, path: str | PathLike) -> None:
        """Writes one line a training, with the size of its training set.

        Args:
            path (str): The file.
        """
        of_set = {(s.dataset, s.train_set, s.run): s for s in self.set_records}
        rows = []
        for r in self.records:
            size = asdict(of_set[r.dataset, r.train_set, r.run])
            size['distil_seconds'] = size.pop('seconds')
            rows.append(size | asdict(r))
        with open(path, 'w', newline='', encoding='utf-8') as file:
            names = list(dict.fromkeys(key for row in rows for key in row))
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)


def _check_metric(metric: str) -> None:
    if metric not in METRICS:
        raise ValueError(
            f"'metric' must be one of {', '.join(METRICS)} (got {metric!r}); "
            f'pass metric={METRICS[0]!r}'
        )
