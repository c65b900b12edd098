"""What a message passing network sees of a node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch_geometric.data import Data

from pyg_distill.transforms.levels import check_exclude_keys
from pyg_distill.transforms.reading import read_graph
from pyg_distill.transforms.to_computation_trees import check_num_layers
from pyg_distill.trees import Forest
from pyg_distill.trees.unroll import unrolled_size
from pyg_distill.visualization.drawing import draw_edges, draw_nodes, frame
from pyg_distill.visualization.node_labels import Labels, Names, label_nodes
from pyg_distill.visualization.reading import check_root
from pyg_distill.visualization.style import new_axes
from pyg_distill.visualization.tree_layout import layers_from_top, layout_tree

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
    r"""Draws the computation tree of a node, unrolled.

    The root, with a ring, is on top; below each node are those that send it
    messages (walking back along an edge counts). Edge features tell trees
    apart, but are not drawn.

    .. code-block:: python

        names = ToyMolecules.atom_types
        fig, ax = plot_computation_tree(dataset[0], root=3, names=names)

    Args:
        data (torch_geometric.data.Data): The graph.
        root (int): The node.
        num_layers (int, optional): The depth :math:`L` of the tree, the
            number of message passing layers. (default: :obj:`2`)
        node_labels (torch.Tensor or list, optional): The label of each node
            of the graph, of length :math:`N`, which colours it and is written
            into it. By default, the position of the one in one-hot features
            :obj:`x`, or :obj:`x` itself if it is one whole number a node;
            other features have no label. (default: :obj:`None`)
        names (list or dict, optional): What is written for each label.
            (default: :obj:`None`)
        exclude_keys (list, optional): Names of node and edge attributes that
            are left out. (default: :obj:`None`)
        max_nodes (int, optional): The number of nodes above which an error is
            raised instead, since nobody could read it. (default: :obj:`100`)
        ax (matplotlib.axes.Axes, optional): Where to draw; by default, into a
            new figure. (default: :obj:`None`)

    Returns:
        tuple: The figure and its axes.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If :obj:`data` is no homogeneous graph.
        ValueError: If the tree is too large, there is no such node, or labels
            do not fit the graph.
    """
    check_exclude_keys(exclude_keys)
    num_layers = check_num_layers(num_layers)
    left_out = [*(exclude_keys or []), 'y']
    graphs, _ = read_graph(data, left_out, 'plot_computation_tree')
    node = check_root(root, graphs.num_nodes)
    size = unrolled_size(graphs.edge_index, graphs.num_nodes, num_layers)
    if size[node] > max_nodes:
        raise ValueError(
            f"'max_nodes' must be at least the size of the tree (got "
            f'{max_nodes}, and {float(size[node]):,.0f} nodes to depth '
            f'{num_layers}); try a lower num_layers or another root'
        )
    labels = label_nodes(graphs.x, graphs.num_nodes, node_labels, names)

    node = node.to(graphs.edge_index.device)
    forest = Forest(graphs, num_layers)
    tree = forest.build(node, torch.zeros_like(node), 1, compact=False)
    child, parent = tree.edge_index.tolist()
    above = [-1] * tree.node.numel()
    for c, p in zip(child, parent, strict=True):
        above[c] = p
    edges = list(zip(child, parent, strict=True))
    position = layout_tree(above, layers_from_top(len(above), edges))
    # Flat trees are as hard to read as high ones.
    width = float(position[:, 0].max() - position[:, 0].min()) + 1.4
    position[:, 1] *= max(1.5, 0.13 * width)
    height = float(-position[:, 1].min()) + 1.4
    inch = min(0.5, 14 / width)
    fig, ax = new_axes(ax, max(2.0, inch * width), max(1.0, inch * height))
    frame(ax, position)
    draw_edges(ax, position, edges)
    draw_nodes(ax, position, labels.take(tree.node), marked=[0])
    return fig, ax
