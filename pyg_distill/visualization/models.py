"""Figures of models: their attention, and their accuracy and speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pyg_distill.nn import Distiller
from pyg_distill.visualization.style import (
    COLORMAP,
    MARKERS,
    MUTED,
    PALETTE,
    foreground,
    log_scale,
    new_axes,
    text_on,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Numbers in more cells are too small to read.
_MAX_NUMBERS = 24


def plot_attention(
    attention: Tensor | torch.nn.Module | Mapping[str, Tensor],
    teacher_names: Sequence[str] | None = None,
    student_names: Sequence[str] | None = None,
    *,
    node_type: str | None = None,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    r"""Draws the weights of all pairs of a teacher layer and a student layer.

    .. code-block:: python

        distiller.loss(F.cross_entropy(out[train_mask], y[train_mask]))
        fig, ax = plot_attention(distiller)

    Args:
        attention (torch.Tensor or torch.nn.Module or dict): Weights of shape
            :obj:`[T, S]`, a loss after its first call, such as
            :class:`~pyg_distill.nn.ABKDLoss` (its :obj:`last_attention` is
            drawn), or a :class:`~pyg_distill.nn.Distiller` with one such loss.
        teacher_names (list, optional): The names of the :math:`T` teacher
            layers; if not given, those of the
            :class:`~pyg_distill.nn.Distiller`, or numbers. A cached teacher
            has no names. (default: :obj:`None`)
        student_names (list, optional): The names of the :math:`S` student
            layers. (default: :obj:`None`)
        node_type (str, optional): The node type, if there are weights for
            several. (default: :obj:`None`)
        ax (matplotlib.axes.Axes, optional): The axes to draw into; a new
            figure if not given. (default: :obj:`None`)

    Returns:
        tuple: The figure and its axes. The image has a row for each teacher
        layer, the first one on top.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If there is no attention (yet), names have another length,
            or there are several losses or node types to choose from.
    """
    known: Any = {}
    if isinstance(attention, Distiller):
        sides = ('teacher', 'student')
        known = dict(zip(sides, attention.layer_names, strict=True))
        attention = _attention_loss(attention)
    weights = _weights(attention, node_type)
    rows, columns = weights.size()
    teacher = _names('teacher', teacher_names, known, rows)
    student = _names('student', student_names, known, columns)

    longest = max(map(len, teacher))
    has_numbers = max(rows, columns) <= _MAX_NUMBERS
    fig, ax = new_axes(
        ax,
        min(12.0, 2.4 + 0.07 * longest + 0.8 * columns),
        min(12.0, 1.2 + (0.42 if rows <= _MAX_NUMBERS else 0.2) * rows),
    )
    image = ax.imshow(
        weights.numpy(),
        cmap=COLORMAP,
        vmin=0.0,
        # Attention sums to one, so that colours mean the same in all figures.
        vmax=max(float(weights.max()), 1.0),
        aspect='auto',
    )
    small: Any = {'fontsize': 'small', 'ha': 'center', 'va': 'center'}
    for i, row in enumerate(weights.tolist() if has_numbers else []):
        for j, value in enumerate(row):
            paint = text_on(image.cmap(image.norm(value)))
            ax.text(j, i, f'{value:.2f}', color=paint, **small)
    ax.set_yticks(range(rows), teacher)
    turn = max(map(len, student)) > 8 and columns > 3
    ax.set_xticks(
        range(columns),
        student,
        rotation=30 if turn else 0,
        ha='right' if turn else 'center',
        rotation_mode='anchor',
    )
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_ylabel('teacher layer')
    ax.set_xlabel('student layer')
    if not has_numbers:
        fig.colorbar(image, ax=ax, label='attention')
    return fig, ax


def plot_latency(
    latency: Sequence[float],
    accuracy: Sequence[float],
    names: Sequence[str],
    deviation: Sequence[float] | None = None,
    teacher: int | None = 0,
    *,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    r"""Plots the accuracy of models against the time that they take.

    .. code-block:: python

        names = ['teacher', 'labels alone', 'distilled']
        fig, ax = plot_latency([9.6, 1.1, 1.1], [0.85, 0.76, 0.84], names)

    Args:
        latency (list[float]): The time that each of :math:`M` models takes, in
            milliseconds. Its axis is logarithmic.
        accuracy (list[float]): The accuracy of each model.
        names (list[str]): The name of each model in the legend.
        deviation (list[float], optional): The standard deviation of each
            accuracy, drawn as an error bar if it is above zero.
            (default: :obj:`None`)
        teacher (int, optional): The position of the teacher, drawn as a star
            with a line at its accuracy, or :obj:`None`. (default: :obj:`0`)
        ax (matplotlib.axes.Axes, optional): The axes to draw into; a new
            figure if not given. (default: :obj:`None`)

    Returns:
        tuple: The figure and its axes.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If lists have different lengths.
    """
    if deviation is None:
        deviation = [0.0] * len(names)
    if {*map(len, (latency, accuracy, deviation))} != {len(names)}:
        raise ValueError(
            f"'names' must have one name a model (got {len(names)} for "
            f'{len(latency)} times); pass lists of the same length'
        )
    fig, ax = new_axes(ax)
    student = 0
    for i, name in enumerate(names):
        marker, size, paint = '*', 14.0, foreground()
        if i != teacher:
            # A star is the teacher; pale colours come last.
            marker, size = MARKERS[student % 7], 7.0
            paint = PALETTE[student % 6]
            student += 1
        ax.errorbar(
            latency[i],
            accuracy[i],
            deviation[i] or None,
            label=name,
            marker=marker,
            markersize=size,
            color=paint,
            capsize=3,
            linestyle='none',
        )
    if teacher is not None:
        line: dict[str, Any] = {'color': foreground(), 'alpha': MUTED}
        line |= {'linewidth': 1, 'linestyle': '--', 'zorder': 0}
        ax.axhline(accuracy[teacher], **line)
    log_scale(ax)
    ax.set_xlabel('milliseconds')
    ax.set_ylabel('accuracy')
    ax.margins(x=0.25, y=0.15)
    tidy(ax)
    ax.legend(frameon=False, fontsize='small')
    return fig, ax


def _weights(attention: Any, node_type: str | None) -> Tensor:
    """Reads a matrix from weights, a loss, or a dictionary by node type."""
    if hasattr(type(attention), 'last_attention'):
        attention = attention.last_attention
    if isinstance(attention, Mapping):
        if node_type is None and len(attention) == 1:
            (node_type,) = attention
        if node_type not in attention:
            raise ValueError(
                f"'node_type' must be one of {list(attention)} (got "
                f'{node_type!r}); a figure shows one of them'
            )
        attention = attention[node_type]
    if not isinstance(attention, Tensor) or attention.dim() != 2:
        raise ValueError(
            f"'attention' must be a matrix, or a loss or distiller that was "
            f"called (got '{type(attention).__name__}'); pass an ABKDLoss"
        )
    return attention.detach().float().cpu()


def _attention_loss(distiller: Distiller) -> torch.nn.Module:
    losses = {
        name: loss
        for name, loss in distiller.losses.items()
        if hasattr(type(loss), 'last_attention')
    }
    if len(losses) != 1:
        raise ValueError(
            f"'attention' must be a distiller with one loss that has attention "
            f"(got {list(losses)}); pass distiller.losses['name']"
        )
    (loss,) = losses.values()
    return loss


def _names(
    side: str, given: Sequence[str] | None, known: Any, size: int
) -> list[str]:
    if given is None:
        names = known.get(side) or []
        return (
            names if len(names) == size else list(map(str, range(1, size + 1)))
        )
    if isinstance(given, str) or len(given) != size:
        raise ValueError(
            f"'{side}_names' must hold the names of {size} layers (got "
            f'{given!r:.60}); try LayerRecorder({side}).names'
        )
    return list(given)
