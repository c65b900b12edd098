"""Draws graphs and trees: labels, positions, circles and lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from pyg_distill.visualization.style import (
    MUTED,
    PALETTE,
    TIMES,
    background,
    figure_of,
    foreground,
    new_axes,
    require,
    text_on,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Linked nodes are about one unit apart.
RADIUS = 0.36

Edge = tuple[int, int]
Label = tuple[str, int]  # The text in a node, and the number of its colour.
Labels = Tensor | Sequence[Any]
Names = Sequence[str] | Mapping[Any, str]


def label_nodes(
    x: Tensor | None,
    num_nodes: int,
    node_labels: Labels | None,
    names: Names | None,
) -> list[Label]:
    """Labels nodes by the given labels, else by their features."""
    values = _feature_labels(x) if node_labels is None else list(node_labels)
    if isinstance(node_labels, Tensor):
        values = node_labels.tolist()
    if values is None:
        if names is not None:
            raise ValueError(
                "'names' must name labels (got nodes without labels, as 'x' is "
                'neither one-hot nor whole numbers); pass node_labels, too'
            )
        return [('', 0)] * num_nodes
    if isinstance(node_labels, str) or len(values) != num_nodes:
        raise ValueError(
            f"'node_labels' must hold one label a node (got {len(values)} for "
            f"{num_nodes} nodes); pass the text for each label as 'names'"
        )
    # A whole number has the same colour in every figure.
    kinds = {v: i for i, v in enumerate(sorted(set(values), key=str))}
    if all(isinstance(value, int) for value in values):
        kinds = {value: value for value in values}
    texts: Any = {value: str(value) for value in values}
    if names is not None:
        known = isinstance(names, Mapping)
        texts = names if known else dict(enumerate(names))
        missing = [value for value in kinds if value not in texts]
        if missing or isinstance(names, str):
            raise ValueError(
                f"'names' must hold the name of every label (got {names!r:.60} "
                f'without {missing}); pass a list by number or a dictionary'
            )
    return [(texts[value], kinds[value]) for value in values]


def _feature_labels(x: Tensor | None) -> list[Any] | None:
    """Reads labels from one-hot features or whole numbers."""
    if x is None or x.numel() == 0 or x.is_complex():
        return None
    x = x.detach().cpu().double()
    x = x.flatten(1) if x.dim() > 1 else x.unsqueeze(1)
    if x.size(1) > 1:
        one_hot = ((x == 0) | (x == 1)).all() and (x.sum(dim=1) == 1).all()
        return x.argmax(dim=1).tolist() if one_hot else None
    whole = x.isfinite() & (x == x.round()) & (x >= 0)
    return x.view(-1).long().tolist() if bool(whole.all()) else None


def graph_layout(num_nodes: int, edges: Sequence[Edge]) -> np.ndarray:
    """Places each component of a graph by Kamada and Kawai (1989)."""
    nx = require('networkx')
    require('scipy')
    graph = nx.empty_graph(num_nodes)
    graph.add_edges_from(edges)
    position = np.zeros((num_nodes, 2))
    right = 0.0
    for nodes in nx.connected_components(graph):
        part = graph.subgraph(nodes)
        place = nx.kamada_kawai_layout(part)
        points = np.array([place[v] for v in part])
        lengths = [np.linalg.norm(place[u] - place[v]) for u, v in part.edges]
        points *= 1.15 / (np.mean(lengths) if lengths else 1.0)
        # The longer side lies flat.
        points -= points.mean(axis=0)
        points = points @ np.linalg.svd(points)[2].T
        points[:, 0] += right - points[:, 0].min()
        right = points[:, 0].max() + 1.5
        position[list(part)] = points
    return position


def layered_layout(num_nodes: int, edges: Sequence[Edge]) -> np.ndarray:
    """Places an acyclic graph in layers, roots on top, with few crossings.

    Each layer is sorted by the mean position of the neighbours in other layers
    (Sugiyama et al., 1981), and then moved towards them.
    """
    nx = require('networkx')
    graph = nx.empty_graph(num_nodes, create_using=nx.DiGraph)
    graph.add_edges_from((parent, child) for child, parent in edges)
    try:
        layers = [sorted(v) for v in nx.topological_generations(graph)]
    except nx.NetworkXUnfeasible as error:
        raise ValueError(
            "'data' must be a tree set (got a cycle of edges); pass the output "
            'of ToComputationTrees'
        ) from error
    x, y = np.zeros((2, num_nodes))
    for i, layer in enumerate(layers):
        x[layer] = np.arange(len(layer)) - (len(layer) - 1) / 2
        y[layer] = -i

    above, below = graph.predecessors, graph.successors
    around = graph.to_undirected().neighbors
    for near in [above, below] * 12 + [around] * 12 + [below]:
        for layer in layers[::-1] if near is below else layers:
            wanted = np.array([x[list(near(v)) or [v]].mean() for v in layer])
            order = np.argsort(wanted, kind='stable')
            layer[:] = [layer[i] for i in order]
            # The mean of the leftmost and rightmost places one apart.
            rank = np.arange(len(layer))
            free = wanted[order] - rank
            right = np.maximum.accumulate(free)
            left = np.minimum.accumulate(free[::-1])[::-1]
            x[layer] = (left + right) / 2 + rank
    # Wide drawings need height, too.
    y *= max(1.7, 0.15 * np.ptp(x)) if num_nodes else 1.0
    return np.stack([x, y], axis=1)


def draw_graph(
    position: np.ndarray,
    edges: Mapping[Edge, int],
    labels: Sequence[Label],
    roots: Mapping[int, int | None],
    arrows: bool,
    ax: Axes | None,
) -> tuple[Figure, Axes]:
    """Draws nodes as labelled circles, and edges as lines between them.

    Edges that exist several times are thicker and have their number. Roots have
    a ring and, above it, their number if there is one.
    """
    corners = position if len(position) else np.zeros((1, 2))
    top = 0.6 if set(roots.values()) <= {None} else 1.1
    low = corners.min(axis=0) - np.array([0.7, 0.6])
    high = corners.max(axis=0) + np.array([0.7, top])
    width, height = high - low
    inch = min(0.5, 14 / width, 9 / height)
    fig, ax = new_axes(ax, max(2.0, inch * width), max(1.0, inch * height))
    ax.set_axis_off()
    ax.set_aspect('equal')
    ax.set_xlim(low[0], high[0])
    ax.set_ylim(low[1], high[1])
    box = ax.get_window_extent()
    scale = min(box.width / width, box.height / height)
    scale *= 72 / figure_of(ax).dpi  # Points for each unit.
    _draw_edges(ax, position, edges, arrows, scale)
    _draw_nodes(ax, position, labels, roots, scale)
    return fig, ax


def _draw_edges(
    ax: Axes,
    position: np.ndarray,
    edges: Mapping[Edge, int],
    arrows: bool,
    scale: float,
) -> None:
    style: dict[str, Any]
    box = {'facecolor': background(ax), 'edgecolor': 'none'}
    box['boxstyle'] = 'round,pad=0.1'
    multiple = 0
    degree = np.bincount(np.ravel(list(edges)).astype(int))
    from_left = sorted(edges, key=lambda edge: position[list(edge), 0].sum())
    for source, target in from_left:
        start, end = position[source], position[target]
        number = edges[source, target]
        style = {
            'arrowstyle': '-|>' if arrows else '-',
            'color': foreground(),
            'alpha': MUTED,
            'linewidth': 1.2 + 0.9 * (min(number, 5) - 1),
            'shrinkA': 0,
            'shrinkB': scale * RADIUS if arrows else 0,
        }
        ax.annotate('', end, start, arrowprops=style, zorder=2, gid='edge')
        if number > 1:
            # There is more room at the end where fewer edges meet, and
            # neighbouring numbers are at different heights.
            share = (0.28, 0.44)[multiple % 2]
            share = share if degree[source] < degree[target] else 1 - share
            x, y = start + share * (end - start)
            multiple += 1
            size, text = max(6.0, 0.26 * scale), f'{TIMES}{number}'
            style = {'ha': 'center', 'va': 'center', 'zorder': 5, 'bbox': box}
            ax.text(x, y, text, fontsize=size, gid='multiplicity', **style)


def _draw_nodes(
    ax: Axes,
    position: np.ndarray,
    labels: Sequence[Label],
    roots: Mapping[int, int | None],
    scale: float,
) -> None:
    from matplotlib.patches import Circle

    style: dict[str, Any]
    centred: dict[str, Any] = {'ha': 'center', 'zorder': 4}
    for (x, y), (text, kind) in zip(position, labels, strict=True):
        fill = PALETTE[kind % len(PALETTE)]
        size = RADIUS * scale * min(1.0, 2.4 / max(1, len(text)))
        node = Circle((x, y), RADIUS, facecolor=fill, zorder=3, gid='node')
        ax.add_patch(node)
        style = {'color': text_on(fill), 'va': 'center_baseline', **centred}
        ax.text(x, y, text, fontsize=size, gid='label', **style)
    for root, count in roots.items():
        x, y = position[root]
        style = {'edgecolor': foreground(), 'linewidth': 1.8, 'zorder': 3}
        ring = Circle((x, y), RADIUS + 0.09, fill=False, gid='ring', **style)
        ax.add_patch(ring)
        if count is not None:
            y += RADIUS + 0.2
            size, text = max(6.0, 0.32 * scale), f'{TIMES}{count}'
            ax.text(x, y, text, fontsize=size, gid='count', **centred)
