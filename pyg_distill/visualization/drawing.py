"""Circles with text in them, and the lines between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyg_distill.visualization.node_labels import NodeLabels
from pyg_distill.visualization.style import (
    MUTED,
    TIMES,
    color,
    figure_of,
    foreground,
    text_on,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of circles whose centres are one apart.
RADIUS = 0.36
# Where on an edge its number may be.
_PLACES = (0.38, 0.5, 0.32, 0.58, 0.66, 0.44)


def frame(ax: Axes, position: np.ndarray, top: float = 0.7) -> None:
    """Makes room for all nodes, at equal scales, without axes.

    Args:
        ax (matplotlib.axes.Axes): The axes.
        position (numpy.ndarray): The centres of the nodes, :obj:`[N, 2]`.
        top (float, optional): The room above. (default: :obj:`0.7`)
    """
    ax.set_axis_off()
    ax.set_aspect('equal')
    if len(position):
        low, high = position.min(axis=0), position.max(axis=0)
        ax.set_xlim(low[0] - 0.7, high[0] + 0.7)
        ax.set_ylim(low[1] - 0.6, high[1] + top)


def font_size(ax: Axes, units: float = 1.0) -> float:
    """The size in points of text as high as some units of the axes.

    Args:
        ax (matplotlib.axes.Axes): The axes, their limits set.
        units (float, optional): The height. (default: :obj:`1.0`)
    """
    box = ax.get_window_extent()
    width, height = (abs(np.subtract(*f())) for f in (ax.get_xlim, ax.get_ylim))
    pixels = min(box.width / width, box.height / height)
    return float(units * pixels * 72 / figure_of(ax).dpi)


def draw_nodes(
    ax: Axes,
    position: np.ndarray,
    labels: NodeLabels,
    marked: Sequence[int] = (),
) -> None:
    """Draws nodes as coloured circles, some of them with a ring.

    Args:
        ax (matplotlib.axes.Axes): The axes, their limits set.
        position (numpy.ndarray): The centres of the nodes, :obj:`[N, 2]`.
        labels (NodeLabels): The labels of the nodes.
        marked (list[int], optional): The nodes with a ring.
            (default: :obj:`()`)
    """
    from matplotlib.patches import Circle

    for i in marked:
        ring = Circle(
            position[i],
            RADIUS + 0.09,
            fill=False,
            edgecolor=foreground(),
            linewidth=1.8,
            zorder=3,
            gid='ring',
        )
        ax.add_patch(ring)
    size = font_size(ax, RADIUS)
    for centre, text, kind in zip(position, *labels, strict=True):
        fill = color(kind)
        circle = Circle(centre, RADIUS, facecolor=fill, zorder=3, gid='node')
        ax.add_patch(circle)
        if text:
            ax.text(
                centre[0],
                centre[1],
                text,
                color=text_on(fill),
                fontsize=size * (1.0 if len(text) < 3 else 2.4 / len(text)),
                ha='center',
                va='center_baseline',
                zorder=4,
            )


def draw_edges(
    ax: Axes,
    position: np.ndarray,
    edges: Sequence[tuple[int, int]],
    times: Sequence[int] | None = None,
    arrows: bool = False,
) -> None:
    """Draws edges as straight lines.

    Args:
        ax (matplotlib.axes.Axes): The axes, their limits set.
        position (numpy.ndarray): The centres of the nodes, :obj:`[N, 2]`.
        edges (list): Pairs of nodes.
        times (list[int], optional): How often each edge is there; more than
            once makes it thicker, with the number beside it.
            (default: :obj:`None`)
        arrows (bool, optional): Whether edges have a direction.
            (default: :obj:`False`)
    """
    times = [1] * len(edges) if times is None else times
    degree = np.bincount(np.ravel(edges).astype(int), minlength=len(position))
    written: list[np.ndarray] = []
    for (source, target), number in zip(edges, times, strict=True):
        start, end = position[source], position[target]
        width = 1.2 + 0.9 * (min(number, 5) - 1)
        if arrows:
            ax.annotate(
                '',
                end,
                start,
                arrowprops={
                    'arrowstyle': '-|>',
                    'color': foreground(),
                    'alpha': MUTED,
                    'linewidth': width,
                    'shrinkA': 0,
                    'shrinkB': font_size(ax, RADIUS),
                },
                zorder=2,
            )
        else:
            ax.plot(
                *zip(start, end, strict=True),
                color=foreground(),
                alpha=MUTED,
                linewidth=width,
                solid_capstyle='round',
                zorder=2,
                gid='edge',
            )
        if number > 1:
            # Where fewer edges meet there is more room.
            from_start = degree[source] < degree[target]
            ends = (start, end) if from_start else (end, start)
            written.append(_free_place(*ends, written))
            ax.text(
                written[-1][0],
                written[-1][1],
                f'{TIMES}{number}',
                fontsize=max(6.0, font_size(ax, 0.26)),
                ha='center',
                va='center',
                zorder=5,
                bbox={
                    'boxstyle': 'round,pad=0.1',
                    'facecolor': background(ax),
                    'edgecolor': 'none',
                },
            )


def _free_place(
    near: np.ndarray, far: np.ndarray, taken: Sequence[np.ndarray]
) -> np.ndarray:
    places = [near + share * (far - near) for share in _PLACES]
    apart = [
        min((_apart(place - other) for other in taken), default=1.0)
        for place in places
    ]
    free = [p for p, d in zip(places, apart, strict=True) if d >= 1.0]
    return free[0] if free else places[int(np.argmax(apart))]


def _apart(offset: np.ndarray) -> float:
    # Numbers are wider than high.
    return float(max(abs(offset[0]) / 0.6, abs(offset[1]) / 0.32))


def background(ax: Axes) -> Any:
    """The colour behind what is drawn."""
    face: Any = ax.get_facecolor()
    return face if face[3] > 0 else figure_of(ax).get_facecolor()
