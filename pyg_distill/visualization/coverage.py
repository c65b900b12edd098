"""How many nodes a vocabulary of the most frequent trees covers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch_geometric.data import Data
from torch_geometric.data.dataset import Dataset

from pyg_distill.visualization.reading import tree_counts
from pyg_distill.visualization.style import (
    MARKERS,
    line_style,
    new_axes,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_coverage(
    dataset: Dataset | Iterable[Data] | Data,
    num_layers: int | Sequence[int] = 2,
    exclude_keys: Sequence[str] | None = None,
    *,
    mark: int | None = 100,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    r"""Plots the share of nodes whose tree is among the most frequent ones.

    The steeper it is, the smaller is the vocabulary of trees that stands for
    the data set.

    .. code-block:: python

        fig, ax = plot_coverage(ToyMolecules(), num_layers=3)
        fig.savefig('coverage.png')

    Args:
        dataset (Dataset or list or Data): The graphs, all of which are read
            into memory. Trees are compared by :obj:`x`, :obj:`edge_attr` and
            :obj:`edge_weight`; labels :obj:`y` are not read.
        num_layers (int or list, optional): The depths of the trees, a line
            each, or the largest one: all from 1 to there are drawn.
            (default: :obj:`2`)
        exclude_keys (list, optional): Names of node and edge attributes that
            are left out. (default: :obj:`None`)
        mark (int, optional): The number of trees at which the share is written
            down for each line that has as many. (default: :obj:`100`)
        ax (matplotlib.axes.Axes, optional): Where to draw; by default, into a
            new figure. (default: :obj:`None`)

    Returns:
        tuple: The figure and its axes. Each line has :math:`U` points, the
        number of distinct trees, and shares from 0 to 1.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If :obj:`dataset` is no collection of homogeneous graphs.
        ValueError: If there are no nodes, or other node or edge attributes
            than trees compare.
    """
    counts = tree_counts(dataset, num_layers, exclude_keys, 'plot_coverage')
    fig, ax = new_axes(ax, 6.4, 4.2)
    from matplotlib.ticker import PercentFormatter

    for i, (depth, count) in enumerate(counts.items()):
        share = (count.cumsum(0) / count.sum()).cpu().numpy()
        ax.semilogx(
            np.arange(1, len(share) + 1),
            share,
            label=f'depth {depth}: {len(share):,} trees',
            linewidth=2,
            **line_style(i),
        )
        if mark is not None and 1 <= mark <= len(share):
            ax.annotate(
                f'{share[mark - 1]:.0%}',
                (mark, share[mark - 1]),
                xytext=(-6, 4),
                textcoords='offset points',
                ha='right',
            )
            ax.plot(
                mark,
                share[mark - 1],
                MARKERS[i % len(MARKERS)],
                color=line_style(i)['color'],
            )
    ax.set_xlabel('number of most frequent trees')
    ax.set_ylabel('nodes with one of them')
    ax.set_ylim(0, 1.03)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    tidy(ax)
    ax.legend(frameon=False)
    return fig, ax
