"""Figures of distilled data sets: their size, and what models reach."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pyg_distill.datasets import DistillationReport
from pyg_distill.evaluation import Evaluation
from pyg_distill.visualization.style import (
    MARKERS,
    MUTED,
    PALETTE,
    foreground,
    line_style,
    log_scale,
    new_axes,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_METRICS = {'auc': 'ROC-AUC', 'accuracy': 'accuracy'}
# The mean bytes of a training set, and mean and deviation over runs.
_Point = tuple[float, float, float]


def plot_compression(
    reports: DistillationReport
    | Sequence[DistillationReport]
    | Mapping[str, DistillationReport],
    *,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    r"""Plots the size of distilled data sets as shares of their source.

    There is a group of bars for graphs, nodes, edges and compressed bytes, and
    a bar in it for each data set. The pale bar behind is the source. If a
    report has no compressed size of the source, the bytes are those of the
    tensors, for all reports.

    .. code-block:: python

        reports = {'2 %': small.report, '10 %': large.report}
        fig, ax = plot_compression(reports)

    Args:
        reports (DistillationReport or list or dict): :obj:`dataset.report` of
            one or more data sets, or a dictionary with their names for the
            legend.
        ax (matplotlib.axes.Axes, optional): The axes to draw into; a new
            figure if not given. (default: :obj:`None`)

    Returns:
        tuple: The figure and its axes. The length of a bar is a share, 1 for
        the source.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    if isinstance(reports, DistillationReport):
        reports = {'': reports}
    elif not isinstance(reports, Mapping):
        reports = {f'data set {i + 1}': r for i, r in enumerate(reports)}
    named = dict(reports)
    rows = [_sizes(report, named) for report in named.values()]
    # A source without edges has no share of them.
    titles = [t for t in rows[0] if all(row[t][0] > 0 for row in rows)]
    fig, ax = new_axes(ax, 6.4, 0.9 + len(titles) * (0.35 + 0.28 * len(rows)))
    from matplotlib.ticker import PercentFormatter

    height = 0.8 / len(rows)
    largest = 0.0
    for i, (name, row) in enumerate(zip(named, rows, strict=True)):
        shares = [row[title][1] / row[title][0] for title in titles]
        largest = max(largest, *shares)
        y = np.arange(len(titles)) + (i - (len(rows) - 1) / 2) * height
        ax.barh(y, 1.0, 0.85 * height, color=foreground(), alpha=0.1)
        paint = PALETTE[i % len(PALETTE)]
        ax.barh(y, shares, 0.85 * height, color=paint, label=name)
        for y_i, share, title in zip(y, shares, titles, strict=True):
            before, after = row[title]
            percent = f'{share:.2%}' if share < 0.1 else f'{share:.0%}'
            text = f'  {after:,} of {before:,}  ({percent})'
            ax.text(share, y_i, text, va='center', fontsize='small')
    ax.set_yticks(range(len(titles)), titles)
    ax.invert_yaxis()
    # The text beside a long bar needs room.
    end = max(1.0, largest)
    ax.set_xlim(0, max(end, largest + 0.6 * end))
    ax.set_xticks([tick for tick in ax.get_xticks() if tick <= end])
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel('share of the source')
    tidy(ax, grid='x')
    ax.spines['left'].set_alpha(MUTED)
    ax.tick_params(axis='y', length=0)
    if any(named):
        above: Any = {'loc': 'lower center', 'bbox_to_anchor': (0.5, 1.0)}
        ax.legend(ncols=len(rows), frameon=False, **above)
    return fig, ax


def plot_accuracy(
    evaluation: Evaluation | Sequence[Evaluation],
    metric: Literal['auc', 'accuracy'] = 'auc',
    dataset: str | None = None,
    lines: Mapping[str, str] | None = None,
    full: str = 'full',
    train_sets: Sequence[str] | None = None,
    *,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    r"""Plots the accuracy of models against the bytes of their training set.

    Each point is the mean over models and readouts, then over runs. Its error
    bar is the standard deviation over runs, as in :obj:`evaluation.table()`.
    A line joins training sets of the same name from several evaluations, or
    those that :obj:`lines` gives the same name. The training set of all graphs
    is a horizontal line.

    .. code-block:: python

        results = [evaluate(sets_of(budget), test, val) for budget in budgets]
        fig, ax = plot_accuracy(results)

    Args:
        evaluation (Evaluation or list): One or more results of
            :meth:`~pyg_distill.evaluation.evaluate`.
        metric (str, optional): :obj:`"auc"` or :obj:`"accuracy"`.
            (default: :obj:`"auc"`)
        dataset (str, optional): The name of the task, if there are several.
            (default: :obj:`None`)
        lines (dict, optional): The name of the line for the name of each
            training set, such as :obj:`{"random 2 %": "random"}`. Other
            training sets keep their names. (default: :obj:`None`)
        full (str, optional): The name of the training set of all graphs.
            (default: :obj:`"full"`)
        train_sets (list, optional): The names of the training sets to draw;
            all if not given. (default: :obj:`None`)
        ax (matplotlib.axes.Axes, optional): The axes to draw into; a new
            figure if not given. (default: :obj:`None`)

    Returns:
        tuple: The figure and its axes.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If there are several tasks and :obj:`dataset` names none,
            or a training set lacks a model or readout in some run.
    """
    results = [evaluation] if isinstance(evaluation, Evaluation) else evaluation
    tasks = sorted({r.dataset for result in results for r in result.records})
    dataset = tasks[0] if dataset is None and len(tasks) == 1 else dataset
    if dataset not in tasks:
        raise ValueError(
            f"'dataset' must be one of the tasks {tasks} (got {dataset!r}); a "
            f'figure shows one of them'
        )
    compressed = all(
        record.compressed_bytes is not None
        for result in results
        for record in result.set_records
        if record.dataset == dataset and record.train_set != full
    )
    lines = lines or {}
    points: dict[str, list[_Point]] = {}
    level: _Point | None = None
    for result in results:
        for name in result.train_sets:
            if train_sets is not None and name not in train_sets:
                continue
            point = _point(result, name, dataset, metric, compressed)
            if name == full:
                level = point or level
                continue
            # Training sets that this task lacks count, too, so that a line
            # looks the same in the figure of each task.
            line = points.setdefault(lines.get(name, name), [])
            line += [point] if point else []

    fig, ax = new_axes(ax)
    if level is not None:
        _, mean, std = level
        label = f'{lines.get(full, full)} ({mean:.3f})'
        ax.axhline(mean, color=foreground(), linewidth=1.2, label=label)
        band: dict[str, Any] = {'color': foreground(), 'alpha': 0.1}
        ax.axhspan(mean - std, mean + std, linewidth=0, **band)
    for i, (name, line) in enumerate(points.items()):
        if not line:
            continue
        num_bytes, means, stds = zip(*sorted(line), strict=True)
        _, caps, bars = ax.errorbar(
            num_bytes,
            means,
            stds if any(stds) else None,
            label=name,
            marker=MARKERS[i % len(MARKERS)],
            markersize=5.5,
            linewidth=1.6,
            elinewidth=1,
            capsize=2.5,
            **line_style(i),
        )
        for part in (*caps, *bars):
            part.set_alpha(0.5)
    log_scale(ax)
    ax.set_xlabel('compressed bytes' if compressed else 'tensor bytes')
    ax.set_ylabel(f'test {_METRICS[metric]}')
    ax.set_title(dataset)
    tidy(ax)
    ax.legend(frameon=False, fontsize='small')
    return fig, ax


def _sizes(
    report: DistillationReport, named: Mapping[str, DistillationReport]
) -> dict[str, tuple[int, int]]:
    before, after = report.source, report.distilled
    sizes = {
        'graphs': (before.num_graphs, after.num_graphs),
        'nodes': (before.num_nodes, after.num_nodes),
        'edges': (before.num_edges, after.num_edges),
    }
    if any(r.source_compressed_bytes is None for r in named.values()):
        return sizes | {'tensor bytes': (before.num_bytes, after.num_bytes)}
    source = report.source_compressed_bytes or 0
    return sizes | {'compressed bytes': (source, report.compressed_bytes)}


def _point(
    result: Evaluation, name: str, dataset: str, metric: str, compressed: bool
) -> _Point | None:
    """Summarises a training set, if the task has it."""
    runs: dict[int, dict[Any, float]] = defaultdict(dict)
    for record in result.records:
        if (record.train_set, record.dataset) == (name, dataset):
            runs[record.run][record.cell] = getattr(record, metric)
    if not runs:
        return None
    if len({frozenset(cells) for cells in runs.values()}) > 1:
        raise ValueError(
            f"'evaluation' must have the same models and readouts in every run "
            f'(got others of {name!r} in some); leave out incomplete runs'
        )
    sizes = [
        (compressed and record.compressed_bytes) or record.num_bytes
        for record in result.set_records
        if (record.train_set, record.dataset) == (name, dataset)
    ]
    means = [fmean(cells.values()) for cells in runs.values()]
    std = stdev(means) if len(means) > 1 else 0.0
    return fmean(sizes), fmean(means), std
