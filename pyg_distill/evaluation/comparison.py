"""Is one training set better than another, or was it luck?"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class ComparedCell:
    """The difference of two training sets for one model and readout.

    Attributes:
        dataset: The name of the task.
        model: The name of the model.
        readout: The readout.
        num_runs: The number of runs that both have.
        difference: The mean difference over the runs, first minus second.
        std: Its standard deviation over the runs.
        p: The p-value of the two-sided paired t-test.
        p_holm: The same, corrected for the number of cells (Holm).
    """

    dataset: str
    model: str
    readout: str
    num_runs: int
    difference: float
    std: float
    p: float
    p_holm: float


@dataclass(frozen=True)
class Comparison:
    """Two training sets, compared over runs; prints as a table.

    Attributes:
        first: The name of one.
        second: The name of the other.
        metric: What is compared.
        cells: The difference for each model and readout.
    """

    first: str
    second: str
    metric: str
    cells: Sequence[ComparedCell]

    @property
    def difference(self) -> float:
        """The mean difference over all cells."""
        return statistics.fmean(cell.difference for cell in self.cells)

    def better(self, level: float = 0.05) -> list[ComparedCell]:
        """The cells in which the first is better, at a corrected level."""
        return [c for c in self.cells if c.p_holm < level and c.difference > 0]

    def worse(self, level: float = 0.05) -> list[ComparedCell]:
        """The cells in which the first is worse, at a corrected level."""
        return [c for c in self.cells if c.p_holm < level and c.difference < 0]

    def __str__(self) -> str:
        names = [
            ' '.join(filter(None, (c.dataset, c.model, c.readout)))
            for c in self.cells
        ]
        width = max(map(len, names))
        lines = [
            f'{self.metric} of {self.first!r} minus that of {self.second!r}',
            f'{"":{width}}  {"difference":>15}  {"runs":>4}  {"p":>6}  '
            f'{"Holm":>6}',
        ]
        for name, c in zip(names, self.cells, strict=True):
            number = f'{c.difference:+.3f} ± {c.std:.3f}'
            lines.append(
                f'{name:{width}}  {number:>15}  {c.num_runs:>4}  {c.p:>6.3f}  '
                f'{c.p_holm:>6.3f}'
            )
        lines.append(
            f'{self.difference:+.3f} on average; significantly better in '
            f'{len(self.better())} of {len(self.cells)} cells, worse in '
            f'{len(self.worse())}'
        )
        return '\n'.join(lines)


def paired_p_value(difference: Sequence[float]) -> float:
    """The p-value of the two-sided paired t-test, from two runs or more."""
    stats = require('scipy.stats', 'compare')
    mean, std = mean_and_std(difference)
    if std == 0:  # The statistic would divide by it.
        return 1.0 if mean == 0 else 0.0
    return float(stats.ttest_1samp(difference, 0.0).pvalue)


def mean_and_std(values: Sequence[float]) -> tuple[float, float]:
    """The mean and the standard deviation of a sample (0 of one value)."""
    std = statistics.stdev(values) if len(values) > 1 else 0.0
    return statistics.fmean(values), std


def holm(p: Sequence[float]) -> list[float]:
    r"""Corrects p-values for their number (Holm, 1979).

    In ascending order, the :math:`i`-th of :math:`m` becomes :math:`\max_{j
    \leq i} \min(1, (m - j + 1) p_j)`.
    """
    out, last = [0.0] * len(p), 0.0
    order = sorted(range(len(p)), key=lambda i: p[i])
    for rank, i in enumerate(order):
        last = max(last, min(1.0, (len(p) - rank) * p[i]))
        out[i] = last
    return out


def require(module: str, caller: str) -> Any:
    """Imports an optional dependency, or says how to install it."""
    try:
        return import_module(module)
    except ImportError:
        raise ImportError(
            f"'{caller}' needs '{module}' (it is not installed); pip install "
            f'"pyg-distill[evaluation]"'
        ) from None
