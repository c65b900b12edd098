"""How much of a data set is left of its graphs, nodes, edges and bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyg_distill.datasets import CoresetReport, DistillationReport
from pyg_distill.visualization.style import (
    MUTED,
    color,
    foreground,
    new_axes,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Report = DistillationReport | CoresetReport
Amount = tuple[str, int, int]

_HEIGHT = 0.8  # Of all bars of a group, which are one apart.


def plot_compression(
    reports: Report | Sequence[Report] | Mapping[str, Report],
    names: Sequence[str] | None = None,
    *,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    r"""Plots what is left of the source as shares of it.

    A group of bars stands for the graphs, the nodes, the edges and the packed
    bytes, a bar in it for a data set. The pale bar behind is the source.
    Where a report does not know how large the packed source is (a budget in
    bytes, or none), the bytes are those of the tensors, for all reports.

    .. code-block:: python

        reports = {'2 %': small.report, '10 %': large.report}
        fig, ax = plot_compression(reports)

    Args:
        reports (DistillationReport or list or dict): What
            :obj:`dataset.report` is, one or more, or by name.
        names (list, optional): The names of the data sets in the legend.
            (default: :obj:`None`)
        ax (matplotlib.axes.Axes, optional): Where to draw; by default, into a
            new figure. (default: :obj:`None`)

    Returns:
        tuple: The figure and its axes. Bars are as long as shares, 1 is the
        source.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If there is something else than reports.
        ValueError: If there is no report, names do not fit, or a source is
            empty.
    """
    named = _check(reports, names)
    rows = [amounts(report, _packed(named)) for report in named.values()]
    fig, ax = new_axes(ax, 6.4, 0.9 + len(rows[0]) * (0.35 + 0.28 * len(rows)))
    from matplotlib.ticker import PercentFormatter

    group = np.arange(len(rows[0]), dtype=float)
    height = _HEIGHT / len(rows)
    shares = [[after / before for _, before, after in row] for row in rows]
    largest = max(max(share) for share in shares)
    for i, (name, row) in enumerate(zip(named, rows, strict=True)):
        share = shares[i]
        y = group + (i - (len(rows) - 1) / 2) * height
        ax.barh(y, 1.0, 0.85 * height, color=foreground(), alpha=0.1)
        ax.barh(y, share, 0.85 * height, color=color(i), label=name)
        for at, part, (_, before, after) in zip(y, share, row, strict=True):
            ax.annotate(
                f'{after:,} of {before:,}  ({_percent(part)})',
                (part, at),
                xytext=(5, 0),
                textcoords='offset points',
                va='center',
                fontsize='small',
            )
    ax.set_yticks(group, [title for title, _, _ in rows[0]])
    ax.invert_yaxis()
    # The source has to be seen, and the label of the longest bar.
    end = max(1.0, largest)
    ax.set_xlim(0, max(end, largest + 0.6 * end))
    ax.set_xticks([tick for tick in ax.get_xticks() if tick <= end])
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel('share of the source')
    tidy(ax, grid='x')
    ax.spines['left'].set_alpha(MUTED)
    ax.tick_params(axis='y', length=0)
    if len(rows) > 1 or next(iter(named)):
        ax.legend(
            loc='lower center',
            bbox_to_anchor=(0.5, 1.0),
            ncols=len(rows),
            frameon=False,
        )
    return fig, ax


def amounts(report: Report, packed: bool) -> list[Amount]:
    """What a report tells of the source and of the result, by title.

    Args:
        report (DistillationReport): The report.
        packed (bool): Whether bytes are those of the packed form.
    """
    out = []
    for name in ('graphs', 'nodes', 'edges'):
        sizes = [getattr(s, f'num_{name}') for s in _sizes(report)]
        out.append((name, *sizes))
    if packed:
        before = report.source_packed_bytes or 0
        out.append(('packed bytes', before, report.packed_bytes))
    else:
        out.append(('tensor bytes', *(s.num_bytes for s in _sizes(report))))
    # A source without edges has no share of them.
    return [amount for amount in out if amount[1] > 0]


def _sizes(report: Report) -> tuple[Any, Any]:
    return report.source, report.distilled


def _packed(named: Mapping[str, Report]) -> bool:
    return all(r.source_packed_bytes is not None for r in named.values())


def _percent(share: float) -> str:
    return f'{share:.2%}' if share < 0.1 else f'{share:.0%}'


def _check(
    reports: Any, names: Sequence[str] | None
) -> dict[str, DistillationReport | CoresetReport]:
    if isinstance(reports, Report):
        reports = [reports]
    if isinstance(reports, Mapping):
        names = list(reports) if names is None else names
        reports = list(reports.values())
    if isinstance(reports, str) or not isinstance(reports, Sequence):
        raise TypeError(
            f"'reports' must be reports of data sets (got "
            f'{type(reports).__name__}); pass dataset.report'
        )
    for report in reports:
        if not isinstance(report, Report):
            raise TypeError(
                f"'reports' must hold reports of data sets (got "
                f'{type(report).__name__}); pass dataset.report'
            )
    if not reports:
        raise ValueError(
            "'reports' must hold at least one (got none); pass dataset.report"
        )
    if names is None:
        many = len(reports) > 1
        names = [
            f'data set {i + 1}' if many else '' for i in range(len(reports))
        ]
    if isinstance(names, str) or len(set(names)) != len(reports):
        raise ValueError(
            f"'names' must hold a different name for each of {len(reports)} "
            f'reports (got {names!r:.60}); pass a list, or a dictionary of '
            f'reports'
        )
    return dict(zip(names, reports, strict=True))
