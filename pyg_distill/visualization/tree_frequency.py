"""How often the most frequent tree occurs, the second, the third, ..."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch_geometric.data import Data
from torch_geometric.data.dataset import Dataset

from pyg_distill.visualization.reading import tree_counts
from pyg_distill.visualization.style import MINUS, line_style, new_axes, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The rare trees are many, all of them occur once, and they say nothing of how
# the frequent ones fall off.
_FITTED = 1000


def plot_tree_frequency(
    dataset: Dataset | Iterable[Data] | Data,
    num_layers: int | Sequence[int] = 2,
    exclude_keys: Sequence[str] | None = None,
    *,
    slope: bool = True,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    r"""Plots how often each distinct computation tree occurs, by its rank.

    Both axes are logarithmic: a straight line is a power law, which is what
    Mirage lives on (Gupta et al., `"Mirage: Model-Agnostic Graph Distillation
    for Graph Classification" <https://arxiv.org/abs/2310.09486>`_, ICLR 2024).

    .. code-block:: python

        fig, ax = plot_tree_frequency(ToyMolecules(), num_layers=3)
        fig.savefig('trees.png')

    Args:
        dataset (Dataset or list or Data): The graphs, all of which are read
            into memory. Trees are compared by :obj:`x`, :obj:`edge_attr` and
            :obj:`edge_weight`; labels :obj:`y` are not read.
        num_layers (int or list, optional): The depths of the trees, a line
            each, or the largest one: all from 1 to there are drawn.
            (default: :obj:`2`)
        exclude_keys (list, optional): Names of node and edge attributes that
            are left out. (default: :obj:`None`)
        slope (bool, optional): Whether the legend tells the slope of the
            least-squares line through :math:`\log_{10} \textrm{count}` over
            :math:`\log_{10} \textrm{rank}` of the 1,000 most frequent trees.
            (default: :obj:`True`)
        ax (matplotlib.axes.Axes, optional): Where to draw; by default, into a
            new figure. (default: :obj:`None`)

    Returns:
        tuple: The figure and its axes. Each line has :math:`U` points, the
        number of distinct trees.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If :obj:`dataset` is no collection of homogeneous graphs.
        ValueError: If there are no nodes, or other node or edge attributes
            than trees compare.
    """
    counts = tree_counts(
        dataset, num_layers, exclude_keys, 'plot_tree_frequency'
    )
    fig, ax = new_axes(ax, 6.4, 4.2)
    for i, (depth, count) in enumerate(counts.items()):
        number = count.cpu().numpy()
        rank = np.arange(1, len(number) + 1)
        label = f'depth {depth}: {len(number):,} trees'
        if slope and len(number) > 1:
            value = f'{fitted_slope(number):.2f}'.replace('-', MINUS)
            label += f', slope {value}'
        ax.loglog(rank, number, label=label, linewidth=2, **line_style(i))
    ax.set_xlabel('rank of the tree')
    ax.set_ylabel('nodes with this tree')
    tidy(ax)
    ax.legend(frameon=False)
    return fig, ax


def fitted_slope(count: np.ndarray) -> float:
    """The slope of the line through the logarithms of counts and ranks."""
    top = np.log10(count[:_FITTED])
    return float(np.polyfit(np.log10(np.arange(1, len(top) + 1)), top, 1)[0])
