"""Which layers of a student each layer of a teacher looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pyg_distill.nn import Distiller
from pyg_distill.visualization.style import COLORMAP, new_axes, text_on

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Numbers in more cells than that are too small to be read.
_MAX_VALUES = 24


def plot_attention(
    attention: Tensor | torch.nn.Module | Mapping[str, Tensor],
    teacher_names: Sequence[str] | None = None,
    student_names: Sequence[str] | None = None,
    *,
    node_type: str | None = None,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    r"""Draws the weights of all pairs of a teacher's and a student's layer.

    .. code-block:: python

        distiller.loss(F.cross_entropy(out[train_mask], y[train_mask]))
        fig, ax = plot_attention(distiller)

    Args:
        attention (torch.Tensor or torch.nn.Module or dict): The weights of
            shape :obj:`[T, S]`, a loss that has been called, such as
            :class:`~pyg_distill.nn.ABKDLoss` (its :obj:`last_attention` is
            drawn), or a :class:`~pyg_distill.nn.Distiller` with one such loss.
        teacher_names (list, optional): The names of the :math:`T` layers of
            the teacher. By default, what a :class:`~pyg_distill.nn.Distiller`
            knows of them (a cached teacher does not), or their numbers.
            (default: :obj:`None`)
        student_names (list, optional): The names of the :math:`S` layers of
            the student. (default: :obj:`None`)
        node_type (str, optional): The node type, if weights are given for
            several. (default: :obj:`None`)
        ax (matplotlib.axes.Axes, optional): Where to draw; by default, into a
            new figure. (default: :obj:`None`)

    Returns:
        tuple: The figure and its axes. The image has a row for each layer of
        the teacher, the first one on top.

    Raises:
        ImportError: If matplotlib is not installed.
        RuntimeError: If the loss has not been called yet.
        TypeError: If it has no attention.
        ValueError: If weights or names have another shape, or there are
            several losses or node types to choose from.
    """
    known: tuple[Any, Any] = (None, None)
    if isinstance(attention, Distiller):
        known = _layer_names(attention)
        attention = _only_loss(attention)
    weights = _weights(attention, node_type)
    rows, columns = weights.shape
    teacher = _names('teacher', teacher_names, known[0], rows)
    student = _names('student', student_names, known[1], columns)

    longest = max(len(name) for name in teacher)
    fig, ax = new_axes(
        ax,
        min(12.0, 2.4 + 0.07 * longest + 0.8 * columns),
        min(12.0, 1.2 + (0.42 if rows <= _MAX_VALUES else 0.2) * rows),
    )
    fits = rows <= _MAX_VALUES and columns <= _MAX_VALUES
    image = ax.imshow(
        weights.numpy(),
        cmap=COLORMAP,
        vmin=0.0,
        # Shares of one, whose colours are the same in every figure.
        vmax=max(float(weights.max()), 1.0),
        aspect='auto',
    )
    for i, row in enumerate(weights.tolist() if fits else []):
        for j, value in enumerate(row):
            ax.text(
                j,
                i,
                f'{value:.2f}',
                color=text_on(image.cmap(image.norm(value))),
                fontsize='small',
                ha='center',
                va='center',
            )
    ax.set_yticks(range(rows), teacher)
    turn = max(len(name) for name in student) > 8 and columns > 3
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
    if not fits:
        fig.colorbar(image, ax=ax, label='attention')
    return fig, ax


def _weights(attention: Any, node_type: str | None) -> Tensor:
    if isinstance(attention, torch.nn.Module):
        if not hasattr(type(attention), 'last_attention'):
            raise TypeError(
                f"'attention' must be weights, or a loss or a distiller that "
                f'has some (got {type(attention).__name__}); try ABKDLoss'
            )
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
    try:
        weights = torch.as_tensor(attention, dtype=torch.float).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"'attention' must be weights, or a loss or a distiller that has "
            f'some (got {type(attention).__name__}); pass a matrix'
        ) from error
    if weights.dim() != 2 or weights.numel() == 0:
        raise ValueError(
            f"'attention' must have a row for each layer of the teacher and a "
            f'column for each of the student (got shape '
            f'{list(weights.size())}); pass a matrix'
        )
    if not bool(weights.isfinite().all()) or bool((weights < 0).any()):
        raise ValueError(
            f"'attention' must hold finite weights of at least 0 (got values "
            f'from {float(weights.min()):g} to {float(weights.max()):g}); try '
            f'last_attention of a loss'
        )
    return weights


def _only_loss(distiller: Distiller) -> torch.nn.Module:
    found = {
        name: loss
        for name, loss in distiller.losses.items()
        if hasattr(type(loss), 'last_attention')
    }
    if len(found) != 1:
        raise ValueError(
            f"'attention' must be a distiller with one loss that attends (got "
            f"{list(found)}); pass distiller.losses['name']"
        )
    (loss,) = found.values()
    return loss


def _layer_names(distiller: Distiller) -> tuple[Any, Any]:
    teacher = getattr(distiller._teacher, 'recorder', None)
    recorders = teacher, distiller._recorder
    first, second = (None if r is None else r.names for r in recorders)
    return first, second


def _names(
    side: str, given: Sequence[str] | None, known: Any, size: int
) -> list[str]:
    if given is None:
        if known is not None and len(known) == size:
            return list(known)
        return [str(i + 1) for i in range(size)]
    if isinstance(given, str) or len(given) != size:
        raise ValueError(
            f"'{side}_names' must hold the names of {size} layers (got "
            f'{given!r:.60}); try LayerRecorder({side}).names'
        )
    return list(given)
