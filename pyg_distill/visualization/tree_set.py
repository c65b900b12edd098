"""One graph of a distilled data set."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from torch_geometric.data import Data

from pyg_distill.transforms.opening import open_graph
from pyg_distill.visualization.drawing import (
    RADIUS,
    draw_edges,
    draw_nodes,
    font_size,
    frame,
)
from pyg_distill.visualization.graph_layout import layout_graph
from pyg_distill.visualization.node_labels import Labels, Names, label_nodes
from pyg_distill.visualization.style import TIMES, foreground, new_axes
from pyg_distill.visualization.tree_layout import layers_from_top, layout_layers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_tree_set(
    data: Data,
    node_labels: Labels | None = None,
    names: Names | None = None,
    *,
    max_nodes: int = 150,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    r"""Draws a graph of a distilled data set, or an ordinary one.

    Of a tree set, edges lead from child up to parent, subtrees that trees have
    in common are there once, and an edge that stands for several equal
    children is thicker, with their number. Roots have a ring and, above it,
    the number of nodes that they stand for. A graph without
    :obj:`root_index`, such as those of :obj:`selection="graphs"`, is drawn
    such that nodes are as far apart as in the graph; edges that go one way
    only are arrows.

    .. code-block:: python

        train = MirageDataset(dataset, num_layers=2, budget=0.02)
        fig, ax = plot_tree_set(train[0], names=ToyMolecules.atom_types)

    Args:
        data (torch_geometric.data.Data): The tree set or graph.
        node_labels (torch.Tensor or list, optional): The label of each node
            of :obj:`data`, of length :math:`N`, which colours it and is
            written into it. By default, the position of the one in one-hot
            features :obj:`x`, or :obj:`x` itself if it is one whole number a
            node; other features have no label. (default: :obj:`None`)
        names (list or dict, optional): What is written for each label.
            (default: :obj:`None`)
        max_nodes (int, optional): The number of nodes above which an error is
            raised instead, since nobody could read it. (default: :obj:`150`)
        ax (matplotlib.axes.Axes, optional): Where to draw; by default, into a
            new figure. (default: :obj:`None`)

    Returns:
        tuple: The figure and its axes.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If :obj:`data` is no homogeneous graph.
        ValueError: If it is a batch, or too large, or labels do not fit it.
    """
    roots: list[int] = []
    counts: list[int] = []
    plain = data
    if isinstance(data, Data) and 'root_index' in data:
        roots = data.root_index.tolist()
        given = data.get('root_count')
        counts = [1] * len(roots) if given is None else given.tolist()
        plain = Data(
            x=data.get('x'),
            edge_index=data.edge_index,
            num_nodes=data.num_nodes,
        )
        if 'batch' in data:
            plain = data
    graph = open_graph(plain, 'plot_tree_set')
    num_nodes = graph.num_nodes
    if num_nodes > max_nodes:
        raise ValueError(
            f"'max_nodes' must be at least the size of the graph (got "
            f'{max_nodes}, and {num_nodes:,} nodes); try a smaller one, or '
            f'allow for more'
        )
    labels = label_nodes(graph.get('x'), num_nodes, node_labels, names)
    pairs = list(map(tuple, graph.edge_index.t().tolist()))
    if roots or 'root_index' in data:
        times = Counter(pairs)
        layer = layers_from_top(num_nodes, list(times))
        position = layout_layers(num_nodes, list(times), layer)
        width = float(np.ptp(position[:, 0])) if num_nodes else 0.0
        position[:, 1] *= max(1.9, 0.16 * width)
        arrows = False
    else:
        position = 1.15 * layout_graph(graph.edge_index, num_nodes).numpy()
        arrows = {(v, u) for u, v in pairs} != set(pairs)
        times = Counter(
            pair if arrows else tuple(sorted(pair))
            for pair in set(pairs)
            if pair[0] != pair[1]
        )
        times = Counter(dict.fromkeys(times, 1))

    size = np.ptp(position, axis=0) + 1.5 if num_nodes else np.ones(2)
    inch = min(0.5, 10 / size[0], 9 / size[1])
    fig, ax = new_axes(ax, max(2.0, inch * size[0]), max(1.2, inch * size[1]))
    frame(ax, position, top=1.1 if roots else 0.6)
    draw_edges(ax, position, list(times), list(times.values()), arrows)
    draw_nodes(ax, position, labels, marked=roots)
    for root, count in zip(roots, counts, strict=True):
        ax.text(
            position[root][0],
            position[root][1] + RADIUS + 0.2,
            f'{TIMES}{count}',
            color=foreground(),
            fontsize=max(6.0, font_size(ax, 0.32)),
            ha='center',
            va='bottom',
            gid='count',
        )
    return fig, ax
