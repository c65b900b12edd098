"""How often computation trees occur in a data set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch_geometric.data import Data
from torch_geometric.data.dataset import Dataset

from pyg_distill.data import read_table
from pyg_distill.data.attributes import check_exclude_keys, check_num_layers
from pyg_distill.data.table import refuse_uncarried
from pyg_distill.trees import Forest, Graphs, unique_keys
from pyg_distill.visualization.style import (
    MARKERS,
    MINUS,
    line_style,
    new_axes,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The slope is that of the frequent trees. Most trees are rare and occur once,
# so that a fit to all trees would describe the rare ones alone.
_FITTED = 1000
_MARKED = 100


def plot_tree_frequency(
    dataset: Dataset | Iterable[Data] | Data,
    num_layers: int | Sequence[int] = 2,
    exclude_keys: Sequence[str] | None = None,
    *,
    slope: bool = True,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    r"""Plots how often each distinct computation tree occurs, by its rank.

    Both axes are logarithmic, so that a power law is a straight line. Mirage
    relies on such skewed frequencies (Gupta et al., `"Mirage: Model-Agnostic
    Graph Distillation for Graph Classification"
    <https://arxiv.org/abs/2310.09486>`_, ICLR 2024).

    .. code-block:: python

        fig, ax = plot_tree_frequency(ToyMolecules(), num_layers=3)
        fig.savefig('trees.png')

    Args:
        dataset (Dataset or list or Data): The graphs. All of them are read
            into memory. Trees are compared by :obj:`x`, :obj:`edge_attr` and
            :obj:`edge_weight`; labels :obj:`y` are not read.
        num_layers (int or list, optional): The depths of the trees, with one
            line each. An integer stands for all depths from 1 up to it.
            (default: :obj:`2`)
        exclude_keys (list, optional): Names of node and edge attributes to
            leave out. (default: :obj:`None`)
        slope (bool, optional): Whether the legend shows the slope of the
            least-squares line through :math:`\log_{10} \textrm{count}` over
            :math:`\log_{10} \textrm{rank}` of the 1,000 most frequent trees.
            (default: :obj:`True`)
        ax (matplotlib.axes.Axes, optional): The axes to draw into; a new
            figure if not given. (default: :obj:`None`)

    Returns:
        tuple: The figure and its axes. Each line has :math:`U` points, the
        number of distinct trees.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If :obj:`dataset` is no collection of homogeneous graphs.
        ValueError: If there are no nodes, or node or edge attributes by which
            trees are not compared.
    """
    counts = _tree_counts(
        dataset, num_layers, exclude_keys, 'plot_tree_frequency'
    )
    fig, ax = new_axes(ax)
    for i, (depth, count) in enumerate(counts.items()):
        rank = np.arange(1, len(count) + 1)
        label = _label(depth, count)
        if slope and len(count) > 1:
            top = np.log10(rank[:_FITTED]), np.log10(count[:_FITTED])
            label += f', slope {np.polyfit(*top, 1)[0]:.2f}'.replace('-', MINUS)
        ax.loglog(rank, count, label=label, linewidth=2, **line_style(i))
    ax.set_xlabel('rank of the tree')
    ax.set_ylabel('nodes with this tree')
    tidy(ax)
    ax.legend(frameon=False)
    return fig, ax


def plot_coverage(
    dataset: Dataset | Iterable[Data] | Data,
    num_layers: int | Sequence[int] = 2,
    exclude_keys: Sequence[str] | None = None,
    *,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    r"""Plots the share of nodes whose tree is among the most frequent ones.

    The steeper the line, the fewer trees describe most of the data set. The
    share of the 100 most frequent trees is written on each line.

    .. code-block:: python

        fig, ax = plot_coverage(ToyMolecules(), num_layers=3)
        fig.savefig('coverage.png')

    Args:
        dataset (Dataset or list or Data): The graphs, as in
            :meth:`plot_tree_frequency`.
        num_layers (int or list, optional): The depths of the trees, with one
            line each. An integer stands for all depths from 1 up to it.
            (default: :obj:`2`)
        exclude_keys (list, optional): Names of node and edge attributes to
            leave out. (default: :obj:`None`)
        ax (matplotlib.axes.Axes, optional): The axes to draw into; a new
            figure if not given. (default: :obj:`None`)

    Returns:
        tuple: The figure and its axes. Each line has :math:`U` points, the
        number of distinct trees, and shares from 0 to 1.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError, ValueError: As for :meth:`plot_tree_frequency`.
    """
    counts = _tree_counts(dataset, num_layers, exclude_keys, 'plot_coverage')
    fig, ax = new_axes(ax)
    from matplotlib.ticker import PercentFormatter

    for i, (depth, count) in enumerate(counts.items()):
        style = line_style(i)
        share = count.cumsum() / count.sum()
        rank, label = np.arange(1, len(share) + 1), _label(depth, share)
        ax.semilogx(rank, share, label=label, linewidth=2, **style)
        if len(share) >= _MARKED:
            x, y = _MARKED, share[_MARKED - 1]
            ax.text(x, y, f'{y:.0%}  ', ha='right', va='bottom')
            ax.plot(x, y, marker=MARKERS[i % 8], color=style['color'])
    ax.set_xlabel('number of most frequent trees')
    ax.set_ylabel('nodes with one of them')
    ax.set_ylim(0, 1.03)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    tidy(ax)
    ax.legend(frameon=False)
    return fig, ax


def _label(depth: int, values: np.ndarray) -> str:
    return f'depth {depth}: {len(values):,} trees'


def read_graphs(
    source: Any, exclude_keys: Sequence[str] | None, caller: str
) -> Graphs:
    """Reads all graphs of a source at once, without their labels."""
    if isinstance(source, Data):
        source = [source]
    elif isinstance(source, Iterable) and not hasattr(source, '__len__'):
        source = list(source)
    left_out = [*check_exclude_keys(exclude_keys), 'y']
    table = read_table(source, exclude_keys=left_out, caller=caller)
    refuse_uncarried(table.uncarried)
    return table.graphs


def _tree_counts(
    dataset: Any,
    num_layers: Any,
    exclude_keys: Sequence[str] | None,
    caller: str,
) -> dict[int, np.ndarray]:
    """Counts distinct trees of each depth, the most frequent first."""
    if isinstance(num_layers, Sequence) and not isinstance(num_layers, str):
        depths = sorted({check_num_layers(depth) for depth in num_layers})
    else:
        depths = list(range(1, check_num_layers(num_layers) + 1)) or [0]
    graphs = read_graphs(dataset, exclude_keys, caller)
    if graphs.num_nodes == 0:
        raise ValueError(
            f"'{caller}' needs graphs with nodes (got none); pass other graphs"
        )
    keys = Forest(graphs, max(depths)).keys
    return {
        depth: np.sort(unique_keys(keys[depth]).count.cpu().numpy())[::-1]
        for depth in depths
    }
