"""Names beside points, where they hide neither points nor each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pyg_distill.visualization.style import MUTED, figure_of, foreground

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import BboxBase

# The side of a point on which a name may be, the best one first, and its
# distance in points. Names that are far away have a line to their point.
_SIDES = ((1, 0), (0, 1), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
_DISTANCES = (8, 18, 30, 42)
_PLACES = tuple((d, *side) for d in _DISTANCES for side in _SIDES)
_HORIZONTAL: dict[int, Literal['left', 'center', 'right']] = {
    1: 'left',
    0: 'center',
    -1: 'right',
}
_VERTICAL: dict[int, Literal['bottom', 'center', 'top']] = {
    1: 'bottom',
    0: 'center',
    -1: 'top',
}


def label_points(
    ax: Axes,
    x: np.ndarray,
    y: np.ndarray,
    error: np.ndarray,
    names: Sequence[str],
    level: float | None = None,
) -> None:
    """Writes names beside points, each at the best place that is free.

    Args:
        ax (matplotlib.axes.Axes): The axes, complete apart from the names.
        x (numpy.ndarray): The positions of the points, :obj:`[M]`.
        y (numpy.ndarray): The positions of the points, :obj:`[M]`.
        error (numpy.ndarray): How far their error bars reach, :obj:`[M]`.
        names (list[str]): Their names.
        level (float, optional): The height of a line that names should not be
            on. (default: :obj:`None`)
    """
    from matplotlib.transforms import Bbox

    fig = figure_of(ax)
    fig.draw_without_rendering()
    point = fig.dpi / 72
    inside = ax.get_window_extent()
    low, high = (
        ax.transData.transform(np.column_stack([x, y + sign * error]))
        for sign in (-1, 1)
    )
    taken: list[BboxBase] = [
        Bbox([a - 5 * point, b + 5 * point])
        for a, b in zip(low, high, strict=True)
    ]
    if level is not None:
        height = float(ax.transData.transform((x[0], level))[1])
        taken.append(
            Bbox([[inside.x0, height - point], [inside.x1, height + point]])
        )
    for x_i, y_i, name in zip(x, y, names, strict=True):
        best, least = _PLACES[0], np.inf
        for place in _PLACES:
            text = _write(ax, x_i, y_i, name, *place)
            box = text.get_window_extent()
            text.remove()
            hidden = sum(_overlap(box, other) for other in taken)
            hidden += 10 * (_area(box) - _overlap(box, inside))
            # As large as a point, so that rounding moves no name away.
            if hidden < least - point**2:
                best, least = place, hidden
            if least == 0:
                break
        text = _write(ax, x_i, y_i, name, *best)
        taken.append(text.get_window_extent())
        if best[0] > _DISTANCES[0]:
            text.remove()
            line = {
                'arrowstyle': '-',
                'color': foreground(),
                'alpha': MUTED,
                'linewidth': 0.8,
                'shrinkA': 0,
                'shrinkB': 4,
            }
            _write(ax, x_i, y_i, name, *best, line)


def _write(
    ax: Axes,
    x: float,
    y: float,
    name: str,
    distance: int,
    side: int,
    over: int,
    line: dict[str, Any] | None = None,
) -> Annotation:
    return ax.annotate(
        name,
        (x, y),
        xytext=(side * distance, over * distance),
        textcoords='offset points',
        ha=_HORIZONTAL[side],
        va=_VERTICAL[over],
        fontsize='small',
        arrowprops=line,
    )


def _area(box: BboxBase) -> float:
    return float(box.width * box.height)


def _overlap(first: BboxBase, second: BboxBase) -> float:
    from matplotlib.transforms import Bbox

    shared = Bbox.intersection(first, second)
    return 0.0 if shared is None else _area(shared)
