"""Draws computation trees, tree sets and graphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch_geometric.data import Data

from pyg_distill.data.attributes import check_num_layers, to_plain
from pyg_distill.visualization.drawing import (
    Edge,
    Labels,
    Names,
    draw_graph,
    graph_layout,
    label_nodes,
    layered_layout,
)
from pyg_distill.visualization.frequency import read_graphs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_computation_tree(
    data: Data,
    root: int,
    num_layers: int = 2,
    node_labels: Labels | None = None,
    names: Names | None = None,
    exclude_keys: Sequence[str] | None = None,
    *,
    max_nodes: int = 100,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    r"""Draws the computation tree of a node.

    The root is on top and has a ring. The children of a node are the nodes
    that send it messages; the node that a message goes to is one of them
    wherever the edge exists in both directions. Edge features are not drawn.

    .. code-block:: python

        names = ToyMolecules.atom_types
        fig, ax = plot_computation_tree(dataset[0], root=3, names=names)

    Args:
        data (torch_geometric.data.Data): The graph.
        root (int): The node.
        num_layers (int, optional): The depth :math:`L` of the tree, the
            number of message passing layers. (default: :obj:`2`)
        node_labels (torch.Tensor or list, optional): The label of each node
            of the graph, of length :math:`N`. It sets the colour and is
            written into the node. By default, the position of the one in
            one-hot features :obj:`x`, or :obj:`x` itself if it is one whole
            number a node; other features have no label.
            (default: :obj:`None`)
        names (list or dict, optional): The text for each label.
            (default: :obj:`None`)
        exclude_keys (list, optional): Names of node and edge attributes to
            leave out. (default: :obj:`None`)
        max_nodes (int, optional): The largest tree that is drawn.
            (default: :obj:`100`)
        ax (matplotlib.axes.Axes, optional): The axes to draw into; a new
            figure if not given. (default: :obj:`None`)

    Returns:
        tuple: The figure and its axes.

    Raises:
        ImportError: If matplotlib or networkx is not installed.
        TypeError: If :obj:`data` is no homogeneous graph.
        ValueError: If the tree is too large, there is no such node, or labels
            do not fit the graph.
    """
    num_layers = check_num_layers(num_layers)
    data = to_plain(data, 'plot_computation_tree')
    graphs = read_graphs(data, exclude_keys, 'plot_computation_tree')
    num_nodes = graphs.num_nodes
    if not 0 <= root < num_nodes:
        raise ValueError(
            f"'root' must be a node of the graph (got {root}); pass an integer "
            f'from 0 to {num_nodes - 1}'
        )
    labels = label_nodes(graphs.x, num_nodes, node_labels, names)
    source, target = graphs.edge_index.cpu()
    size = torch.ones(num_nodes, dtype=torch.double)
    for _ in range(num_layers):
        size = torch.ones_like(size).index_add(0, target, size[source])
    if size[root] > max_nodes:
        raise ValueError(
            f"'max_nodes' must be at least the size of the tree (got "
            f'{max_nodes}, and {float(size[root]):,.0f} nodes); try a lower '
            f'num_layers or another root'
        )

    senders: list[list[int]] = [[] for _ in range(num_nodes)]
    for u, v in zip(source.tolist(), target.tolist(), strict=True):
        senders[v].append(u)
    nodes, level = [root], range(1)
    edges: dict[Edge, int] = {}
    for _ in range(num_layers):
        for parent in level:
            # Siblings with equal labels stand side by side.
            for child in sorted(senders[nodes[parent]], key=labels.__getitem__):
                edges[len(nodes), parent] = 1
                nodes.append(child)
        level = range(level.stop, len(nodes))
    position = layered_layout(len(nodes), list(edges))
    labels = [labels[node] for node in nodes]
    return draw_graph(position, edges, labels, {0: None}, False, ax)


def plot_tree_set(
    data: Data,
    node_labels: Labels | None = None,
    names: Names | None = None,
    *,
    max_nodes: int = 150,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    r"""Draws a graph of a distilled data set, or an ordinary one.

    In a tree set, edges lead from child up to parent, and trees share their
    common subtrees. An edge that stands for several equal children is thicker
    and has their number. A root has a ring and, above it, the number of nodes
    that it stands for (:obj:`root_count`).

    A whole graph, in which every node is a root that is counted once, is drawn
    like an ordinary graph: without rings, and with arrows where edges go one
    way only.

    .. code-block:: python

        train = MirageDataset(dataset, num_layers=2, budget=0.02)
        fig, ax = plot_tree_set(train[0], names=ToyMolecules.atom_types)

    Args:
        data (torch_geometric.data.Data): The tree set or graph.
        node_labels (torch.Tensor or list, optional): The label of each node
            of :obj:`data`, as in :meth:`plot_computation_tree`.
            (default: :obj:`None`)
        names (list or dict, optional): The text for each label.
            (default: :obj:`None`)
        max_nodes (int, optional): The largest graph that is drawn.
            (default: :obj:`150`)
        ax (matplotlib.axes.Axes, optional): The axes to draw into; a new
            figure if not given. (default: :obj:`None`)

    Returns:
        tuple: The figure and its axes.

    Raises:
        ImportError: If matplotlib, networkx or scipy is not installed.
        TypeError: If :obj:`data` is no homogeneous graph.
        ValueError: If it is a batch, or too large, or labels do not fit it.
    """
    data = to_plain(data, 'plot_tree_set', allow_tree_sets=True)
    plain = Data(data.get('x'), data.edge_index, num_nodes=data.num_nodes)
    graphs = read_graphs(plain, None, 'plot_tree_set')
    num_nodes = graphs.num_nodes
    if num_nodes > max_nodes:
        raise ValueError(
            f"'max_nodes' must be at least the size of the graph (got "
            f'{max_nodes}, and {num_nodes:,} nodes); try a smaller graph or a '
            f'larger max_nodes'
        )
    labels = label_nodes(graphs.x, num_nodes, node_labels, names)
    pairs: list[Any] = [tuple(pair) for pair in graphs.edge_index.t().tolist()]
    roots = _roots(data)
    if roots is not None:
        edges: dict[Edge, int] = Counter(pairs)
        position = layered_layout(num_nodes, list(edges))
        return draw_graph(position, edges, labels, roots, False, ax)
    linked = {pair for pair in pairs if pair[0] != pair[1]}
    arrows = linked != {(v, u) for u, v in linked}
    edges = {pair: 1 for pair in sorted(linked) if arrows or pair[0] < pair[1]}
    position = graph_layout(num_nodes, list(edges))
    return draw_graph(position, edges, labels, {}, arrows, ax)


def _roots(data: Data) -> dict[int, int | None] | None:
    """The count of each root, or None for a whole graph."""
    if 'root_index' not in data:
        return None
    index, count = data.root_index, data.root_count
    every_node = torch.arange(data.num_nodes or 0, device=index.device)
    if index.equal(every_node) and bool((count == 1).all()):
        return None
    return dict(zip(index.tolist(), count.tolist(), strict=True))
