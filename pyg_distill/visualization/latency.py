"""What a student loses, and how much faster it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyg_distill.visualization.labels import label_points
from pyg_distill.visualization.style import (
    MARKERS,
    MUTED,
    color,
    foreground,
    log_scale,
    new_axes,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_latency(
    latency: Sequence[float],
    accuracy: Sequence[float],
    names: Sequence[str],
    deviation: Sequence[float] | None = None,
    teacher: int | None = 0,
    *,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    r"""Plots how good models are against how long they take.

    .. code-block:: python

        names = ['teacher', 'labels alone', 'distilled']
        fig, ax = plot_latency([9.6, 1.1, 1.1], [0.85, 0.76, 0.84], names)

    Args:
        latency (list[float]): The time that each of :math:`M` models takes, in
            milliseconds. Its axis is logarithmic.
        accuracy (list[float]): What each of them reaches.
        names (list[str]): What is written beside each point.
        deviation (list[float], optional): The deviation of each accuracy,
            drawn as an error bar where it is above zero.
            (default: :obj:`None`)
        teacher (int, optional): Which of the models is the teacher, drawn as
            a star with a line at its accuracy, or :obj:`None`.
            (default: :obj:`0`)
        ax (matplotlib.axes.Axes, optional): Where to draw; by default, into a
            new figure. (default: :obj:`None`)

    Returns:
        tuple: The figure and its axes.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If the lists have different lengths or are empty, or hold
            other than finite numbers or times of zero.
    """
    times = _numbers('latency', latency, len(names))
    values = _numbers('accuracy', accuracy, len(names))
    errors = np.zeros(len(names))
    if deviation is not None:
        errors = _numbers('deviation', deviation, len(names))
    _check(names, times, errors, teacher)

    fig, ax = new_axes(ax, 6.4, 4.2)
    student = 0
    for i, (x, y, error) in enumerate(zip(times, values, errors, strict=True)):
        marker, size, paint = '*', 14.0, foreground()
        if i != teacher:
            marker = MARKERS[student % 7]
            size, paint = 7.0, color(student % 6)
            student += 1
        ax.errorbar(
            x,
            y,
            error or None,
            marker=marker,
            markersize=size,
            color=paint,
            capsize=3,
            linestyle='none',
        )
    if teacher is not None:
        ax.axhline(
            values[teacher],
            color=foreground(),
            alpha=MUTED,
            linewidth=1,
            linestyle='--',
            zorder=0,
        )
    log_scale(ax)
    ax.set_xlabel('milliseconds')
    ax.set_ylabel('accuracy')
    ax.margins(x=0.25, y=0.15)
    tidy(ax)
    level = None if teacher is None else values[teacher]
    label_points(ax, times, values, errors, names, level)
    return fig, ax


def _numbers(name: str, values: Any, size: int) -> np.ndarray:
    out = np.asarray(values, dtype=float)
    if out.shape != (size,) or not np.isfinite(out).all():
        raise ValueError(
            f"'{name}' must hold a finite number for each of {size} names (got "
            f'{values!r:.60}); pass lists of the same length'
        )
    return out


def _check(
    names: Any, times: np.ndarray, errors: np.ndarray, teacher: int | None
) -> None:
    if isinstance(names, str) or len(names) == 0:
        raise ValueError(
            f"'names' must hold the name of each model (got {names!r:.60}); "
            f'pass a list'
        )
    if bool((times <= 0).any()):
        raise ValueError(
            f"'latency' must hold times above 0 (got {times.min():g}); pass "
            f'milliseconds'
        )
    if bool((errors < 0).any()):
        raise ValueError(
            f"'deviation' must hold numbers of 0 or more (got "
            f'{errors.min():g}); pass standard deviations'
        )
    if teacher is not None and not 0 <= teacher < len(names):
        raise ValueError(
            f"'teacher' must be the position of a model, or None (got "
            f'{teacher!r} for {len(names)} names); try 0'
        )
