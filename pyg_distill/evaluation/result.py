"""The result of training several models on several training sets."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from itertools import product
from statistics import fmean, stdev
from typing import Any, Literal, TypeAlias

Metric: TypeAlias = Literal['auc', 'accuracy']
Cell: TypeAlias = tuple[str, str, str]

_TITLES = {'auc': 'ROC-AUC', 'accuracy': 'Accuracy'}
_SIZES = (
    ('graphs', 'num_graphs', ',.0f'),
    ('nodes', 'num_nodes', ',.0f'),
    ('edges', 'num_edges', ',.0f'),
    ('bytes', 'num_bytes', ',.0f'),
    ('compressed bytes', 'compressed_bytes', ',.0f'),
    ('s to distil', 'seconds', '.2f'),
)


@dataclass(frozen=True)
class Record:
    """One training.

    Attributes:
        dataset: The name of the task.
        train_set: The name of the training set.
        model: The name of the model.
        readout: The readout.
        run: The number of the run, which is its seed.
        accuracy: The accuracy on the test graphs, at the chosen step.
        auc: The ROC-AUC on the test graphs, at the chosen step.
        val_auc: The ROC-AUC on the validation graphs, at the chosen step.
        val_loss: Their mean cross entropy, at the chosen step.
        step: The step that the validation graphs chose.
        seconds: The time that training took, validation included.
    """

    dataset: str
    train_set: str
    model: str
    readout: str
    run: int
    accuracy: float
    auc: float
    val_auc: float
    val_loss: float
    step: int
    seconds: float

    @property
    def cell(self) -> Cell:
        """The task, the model and the readout."""
        return self.dataset, self.model, self.readout


@dataclass(frozen=True)
class SetRecord:
    """The training set of one run.

    Attributes:
        dataset: The name of the task.
        train_set: The name of the training set.
        run: The number of the run.
        num_graphs: The number of graphs.
        num_nodes: The number of nodes.
        num_edges: The number of edges.
        num_bytes: The bytes of all tensors.
        compressed_bytes: The compressed size, if the data set reports it.
        seconds: The time that distilling took, if the data set reports it.
    """

    dataset: str
    train_set: str
    run: int
    num_graphs: int
    num_nodes: int
    num_edges: int
    num_bytes: int
    compressed_bytes: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class ComparedCell:
    """The difference of two training sets for one model and readout.

    Attributes:
        cell: The task, the model and the readout.
        num_runs: The number of runs that both have.
        difference: The mean difference over the runs, first minus second.
        std: Its standard deviation over the runs.
        p: The p-value of the two-sided paired t-test, corrected for the
            number of cells (Holm, 1979).
    """

    cell: Cell
    num_runs: int
    difference: float
    std: float
    p: float


@dataclass(frozen=True)
class Comparison:
    """Two training sets, compared over runs; prints as a table.

    Attributes:
        title: What is compared.
        cells: The difference for each model and readout.
    """

    title: str
    cells: Sequence[ComparedCell]

    @property
    def difference(self) -> float:
        """The mean difference over all cells."""
        return fmean(cell.difference for cell in self.cells)

    def better(self, level: float = 0.05) -> list[ComparedCell]:
        """The cells in which the first is better, at a corrected level."""
        return [c for c in self.cells if c.p < level and c.difference > 0]

    def worse(self, level: float = 0.05) -> list[ComparedCell]:
        """The cells in which the first is worse, at a corrected level."""
        return [c for c in self.cells if c.p < level and c.difference < 0]

    def __str__(self) -> str:
        rows = [(self.title, ['difference', 'runs', 'p'])]
        for c in self.cells:
            texts = [f'{c.difference:+.3f} ± {c.std:.3f}', str(c.num_runs)]
            title = ' '.join(filter(None, c.cell))
            rows.append((title, [*texts, f'{c.p:.3f}']))
        return (
            f'{_align(rows)}\n{self.difference:+.3f} on average; significantly '
            f'better in {len(self.better())} of {len(self.cells)} cells, worse '
            f'in {len(self.worse())}'
        )


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Accuracy, ROC-AUC, sizes and times; prints as tables.

    Attributes:
        records: The results of each training.
        set_records: The size of each training set in each run.
        options: The training options, by the name of the task.
    """

    records: Sequence[Record]
    set_records: Sequence[SetRecord]
    options: dict[str, dict[str, Any]]

    @property
    def train_sets(self) -> list[str]:
        """The names of the training sets."""
        return list(dict.fromkeys(r.train_set for r in self.records))

    def _by_cell(
        self, metric: Metric
    ) -> dict[Cell, dict[str, dict[int, float]]]:
        """The result of each run, by cell, training set and run."""
        out: dict[Cell, dict[str, dict[int, float]]] = {}
        for r in self.records:
            runs = out.setdefault(r.cell, {}).setdefault(r.train_set, {})
            runs[r.run] = getattr(r, metric)
        return out

    def ranks(self, metric: Metric = 'auc') -> dict[str, float]:
        """The mean rank of each training set over all cells, 1 for the best.

        The means over the runs are ranked; equal ones share their ranks.

        Args:
            metric (str, optional): :obj:`"auc"` or :obj:`"accuracy"`.
                (default: :obj:`"auc"`)

        Raises:
            ImportError: If SciPy is not installed.
            ValueError: If a training set lacks a cell.
        """
        stats, names = require('scipy.stats', 'ranks'), self.train_sets
        ranks = []
        for cell, sets in self._by_cell(metric).items():
            if missing := {*names} - {*sets}:
                raise ValueError(
                    f"'ranks' needs results of every training set in every "
                    f'cell (got no {cell} of {sorted(missing)}); evaluate them'
                )
            means = [-fmean(sets[name].values()) for name in names]
            ranks.append(stats.rankdata(means))
        return {n: float(fmean(r)) for n, *r in zip(names, *ranks, strict=True)}

    def compare(
        self, first: str, second: str, metric: Metric = 'auc'
    ) -> Comparison:
        """Compares two training sets, paired over runs.

        Each cell has a two-sided paired t-test over the runs that both have,
        and its p-value is corrected for the number of cells (Holm, 1979).

        Args:
            first (str): The name of a training set.
            second (str): The name of the other.
            metric (str, optional): :obj:`"auc"` or :obj:`"accuracy"`.
                (default: :obj:`"auc"`)

        Raises:
            ImportError: If SciPy is not installed.
            ValueError: If they do not share a cell of two runs or more.
        """
        differences: dict[Cell, list[float]] = {}
        for cell, sets in self._by_cell(metric).items():
            one, other = sets.get(first, {}), sets.get(second, {})
            shared = [one[run] - other[run] for run in one if run in other]
            if len(shared) > 1:
                differences[cell] = shared
        if not differences:
            raise ValueError(
                f"'compare' needs two training sets with two runs or more (got "
                f'fewer of {first!r} and {second!r}); choose from '
                f'{self.train_sets}, or evaluate with more runs'
            )
        p = _holm([_paired_p_value(d) for d in differences.values()])
        cells = [
            ComparedCell(cell, len(d), *_mean_and_std(d), p_cell)
            for (cell, d), p_cell in zip(differences.items(), p, strict=True)
        ]
        title = f'{_TITLES[metric]}, {first!r} minus {second!r}'
        return Comparison(title, cells)

    def table(self, metric: Metric = 'auc') -> str:
        """A text table of means ± standard deviations over the runs.

        There is one line for each cell, whose largest mean is marked, and one
        column for each training set. Sizes and times stand below.

        Args:
            metric (str, optional): :obj:`"auc"` or :obj:`"accuracy"`.
                (default: :obj:`"auc"`)
        """
        names, by_cell = self.train_sets, self._by_cell(metric)
        rows = [(_TITLES[metric], [f'{name}  ' for name in names])]
        for cell, sets in by_cell.items():
            stats = {k: _mean_and_std([*v.values()]) for k, v in sets.items()}
            best = max(stats.values())[0] if len(names) > 1 else math.inf
            numbers = {
                name: f'{mean:.3f} ± {std:.3f} {"*" if mean == best else " "}'
                for name, (mean, std) in stats.items()
            }
            title = ' '.join(filter(None, cell))
            rows.append((title, [numbers.get(name, '-  ') for name in names]))
        complete = all(len(sets) == len(names) for sets in by_cell.values())
        if complete and len(names) > 1:
            ranks = self.ranks(metric).values()
            rows.append(('mean rank', [f'{rank:.2f}  ' for rank in ranks]))
        columns: list[tuple[Sequence[Any], str, str, str]] = [
            *((self.set_records, *size) for size in _SIZES),
            (self.records, 's to train', 'seconds', '.2f'),
        ]
        tasks = dict.fromkeys(r.dataset for r in self.records)
        for task, (records, title, key, style) in product(tasks, columns):
            texts = []
            for name in names:
                chosen = [r for r in records if r.train_set == name]
                values = [getattr(r, key) for r in chosen if r.dataset == task]
                # A mean over some of the runs would not fit the other lines.
                unknown = not values or None in values
                texts.append('-  ' if unknown else f'{fmean(values):{style}}  ')
            if {*texts} != {'-  '}:
                rows.append((f'{task} {title}'.strip(), texts))
        return _align(rows)

    def __str__(self) -> str:
        return f'{self.table("auc")}\n\n{self.table("accuracy")}'

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain dictionaries and lists, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> 'Evaluation':
        """The result that :meth:`to_dict` was called on.

        Args:
            values (dict): The output of :meth:`to_dict`.
        """
        return cls(
            [Record(**r) for r in values['records']],
            [SetRecord(**s) for s in values['set_records']],
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
        if len({(r.cell, r.train_set, r.run) for r in records}) < len(records):
            raise ValueError(
                "'evaluations' must have different trainings (got one of them "
                'twice); merge other runs, training sets or tasks'
            )
        options: dict[str, dict[str, Any]] = {}
        for name, used in (o for e in evaluations for o in e.options.items()):
            if options.setdefault(name, used) != used:
                raise ValueError(
                    f"'evaluations' must have the same options for {name!r} "
                    f'(got {options[name]} and {used}); pass another name=...'
                )
        sets = {
            (s.dataset, s.train_set, s.run): s
            for e in evaluations
            for s in e.set_records
        }
        return cls(records, [*sets.values()], options)


def require(module: str, caller: str, extra: str = 'evaluation') -> Any:
    """Imports an optional dependency, or says how to install it."""
    try:
        return import_module(module)
    except ImportError:
        raise ImportError(
            f"'{caller}' needs '{module}' (it is not installed); pip install "
            f'"pyg-distill[{extra}]"'
        ) from None


def _paired_p_value(difference: Sequence[float]) -> float:
    stats = require('scipy.stats', 'compare')
    if len({*difference}) == 1:  # The statistic divides by the deviation.
        return float(difference[0] == 0)
    return float(stats.ttest_1samp(difference, 0.0).pvalue)


def _mean_and_std(values: Sequence[float]) -> tuple[float, float]:
    return fmean(values), stdev(values) if len(values) > 1 else 0.0


def _holm(p: Sequence[float]) -> list[float]:
    """Ascending, the i-th of m is the largest of min(1, (m - j + 1) p_j)."""
    out, last = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        last = max(last, min(1.0, (len(p) - rank) * p[i]))
        out[i] = last
    return out


def _align(rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    left = max(len(title) for title, _ in rows)
    columns = zip(*(texts for _, texts in rows), strict=True)
    width = [max(map(len, column)) for column in columns]
    return '\n'.join(
        f'{title:{left}}  '
        + '  '.join(f'{t:>{w}}' for t, w in zip(texts, width, strict=True))
        for title, texts in rows
    )
