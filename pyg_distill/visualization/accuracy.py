"""What models learn from training sets of different sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pyg_distill.evaluation import Evaluation
from pyg_distill.evaluation.comparison import mean_and_std
from pyg_distill.visualization.style import (
    MARKERS,
    foreground,
    line_style,
    log_scale,
    new_axes,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TITLES = {'auc': 'ROC-AUC', 'accuracy': 'accuracy'}


class Point(NamedTuple):
    """A training set.

    Attributes:
        size: Its mean bytes over the runs.
        mean: What models reach with it, the mean over runs.
        std: The standard deviation over runs, 0 of one run.
    """

    size: float
    mean: float
    std: float


def plot_accuracy(
    evaluation: Evaluation | Sequence[Evaluation],
    metric: str = 'auc',
    dataset: str | None = None,
    lines: Mapping[str, str] | Callable[[str], str] | None = None,
    full: str = 'full',
    train_sets: Sequence[str] | None = None,
    *,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    r"""Plots what models reach against the bytes of their training set.

    Each point is the mean over models and readouts, then over runs; its error
    bar is the deviation over runs, as in :obj:`evaluation.table()`. Training
    sets of the same name in several evaluations are the points of a line, or
    those that :obj:`lines` puts together. The set of all graphs is a
    horizontal line.

    .. code-block:: python

        results = [evaluate(sets_of(budget), test, val) for budget in budgets]
        fig, ax = plot_accuracy(results)

    Args:
        evaluation (Evaluation or list): What
            :meth:`~pyg_distill.evaluation.evaluate` returned, one or more.
        metric (str, optional): :obj:`"auc"` or :obj:`"accuracy"`.
            (default: :obj:`"auc"`)
        dataset (str, optional): The name of the task, if there are several.
            (default: :obj:`None`)
        lines (dict or callable, optional): The name of the line of each
            training set by its name, such as :obj:`{"random 2 %": "random"}`.
            Names that it lacks are lines of their own. (default: :obj:`None`)
        full (str, optional): The name of the set of all graphs, if there is
            one. (default: :obj:`"full"`)
        train_sets (list, optional): The names of the training sets that are
            drawn; by default, all. (default: :obj:`None`)
        ax (matplotlib.axes.Axes, optional): Where to draw; by default, into a
            new figure. (default: :obj:`None`)

    Returns:
        tuple: The figure and its axes.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If there is something else than evaluations.
        ValueError: If there are several tasks and :obj:`dataset` names none,
            or a training set lacks a cell in some run.
    """
    results = _check(evaluation, metric)
    dataset = _task(results, dataset)
    _check_sets(results, train_sets)
    packed = all(
        s.packed_bytes is not None
        for result in results
        for s in result.set_records
        if s.dataset == dataset and s.train_set != full
    )
    found: dict[str, list[Point]] = {}
    level: Point | None = None
    for result in results:
        for name in result.train_sets:
            point = point_of(result, name, dataset, metric, packed)
            if train_sets is not None and name not in train_sets:
                continue
            if name == full:
                level = point or level
                continue
            # Sets of other tasks, too: a line looks the same in all figures.
            line = found.setdefault(_line(name, lines), [])
            if point is not None:
                line.append(point)

    fig, ax = new_axes(ax, 6.4, 4.2)
    if level is not None:
        label = f'{_line(full, lines)} ({level.mean:.3f})'
        ax.axhline(level.mean, color=foreground(), linewidth=1.2, label=label)
        ax.axhspan(
            level.mean - level.std,
            level.mean + level.std,
            color=foreground(),
            alpha=0.1,
            linewidth=0,
        )
    for i, (name, points) in enumerate(found.items()):
        if not points:
            continue
        size, mean, std = zip(*sorted(points), strict=True)
        _, caps, bars = ax.errorbar(
            size,
            mean,
            std if any(std) else None,
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
    ax.set_xlabel('packed bytes' if packed else 'tensor bytes')
    ax.set_ylabel(f'test {_TITLES[metric]}')
    if dataset:
        ax.set_title(dataset)
    tidy(ax)
    ax.legend(frameon=False, fontsize='small')
    return fig, ax


def point_of(
    result: Evaluation, name: str, dataset: str, metric: str, packed: bool
) -> Point | None:
    """The mean of a training set, if the task was learned from it.

    Args:
        result (Evaluation): The result.
        name (str): The name of the training set.
        dataset (str): The name of the task.
        metric (str): The attribute of the records.
        packed (bool): Whether bytes are those of the packed form.
    """
    runs: dict[int, list[float]] = {}
    cells: dict[int, set] = {}
    for r in result.records:
        if r.train_set == name and r.dataset == dataset:
            runs.setdefault(r.run, []).append(getattr(r, metric))
            cells.setdefault(r.run, set()).add(r.cell)
    if not runs:
        return None
    if len({frozenset(c) for c in cells.values()}) > 1:
        raise ValueError(
            f"'evaluation' must have the same models and readouts in every run "
            f'(got others of {name!r} in some of the runs {sorted(runs)}); '
            f'leave out what is not complete'
        )
    sizes = [
        s.packed_bytes if packed and s.packed_bytes is not None else s.num_bytes
        for s in result.set_records
        if s.train_set == name and s.dataset == dataset
    ]
    mean, std = mean_and_std([sum(v) / len(v) for v in runs.values()])
    return Point(sum(sizes) / len(sizes), mean, std)


def _line(name: str, lines: Any) -> str:
    if callable(lines):
        return str(lines(name))
    return name if lines is None else lines.get(name, name)


def _check(evaluation: Any, metric: str) -> list[Evaluation]:
    results = [evaluation] if isinstance(evaluation, Evaluation) else evaluation
    if (
        isinstance(results, str)
        or not isinstance(results, Sequence)
        or not all(isinstance(result, Evaluation) for result in results)
    ):
        raise TypeError(
            f"'evaluation' must be what evaluate() returned, or a list of it "
            f'(got {type(evaluation).__name__}); make it of stored results '
            f'with Evaluation.from_dict'
        )
    if metric not in _TITLES:
        raise ValueError(
            f"'metric' must be one of {', '.join(_TITLES)} (got {metric!r}); "
            f'try the first'
        )
    return list(results)


def _check_sets(
    results: Sequence[Evaluation], train_sets: Sequence[str] | None
) -> None:
    known = {name for result in results for name in result.train_sets}
    for name in train_sets or []:
        if name not in known:
            raise ValueError(
                f"'train_sets' must be names of training sets (got {name!r}); "
                f'choose from {sorted(known)}'
            )


def _task(results: Sequence[Evaluation], dataset: str | None) -> str:
    known = list(
        dict.fromkeys(r.dataset for result in results for r in result.records)
    )
    if not known:
        raise ValueError(
            "'evaluation' must hold results (got none); pass what evaluate() "
            'returned'
        )
    if dataset is None and len(known) == 1:
        return known[0]
    if dataset not in known:
        raise ValueError(
            f"'dataset' must be one of the tasks {known} (got {dataset!r}); "
            f'a figure shows one of them'
        )
    return dataset
