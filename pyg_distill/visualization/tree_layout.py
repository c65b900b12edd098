"""Where the nodes of layers go: parents above the middle of their children."""

from __future__ import annotations

import numpy as np

# Sweeps down and up; the order of a handful of nodes settles at once.
_SWEEPS = 12
# Between children of different parents there is more room.
_COUSINS = 0.4


def layout_tree(parent: list[int], depth: list[int]) -> np.ndarray:
    """Places a tree whose nodes are listed level by level.

    Leaves are side by side, and a parent is above the middle of its children.

    Args:
        parent (list[int]): The parent of each node, -1 for the root.
        depth (list[int]): The level of each node.

    Returns:
        numpy.ndarray: Positions of shape :obj:`[N, 2]`, the root at height 0
        and each level one lower.
    """
    children: list[list[int]] = [[] for _ in parent]
    for node, above in enumerate(parent):
        if above >= 0:
            children[above].append(node)
    x = np.zeros(len(parent))
    right = 0.0
    last = -1

    def place(node: int) -> None:
        nonlocal right, last
        if not children[node]:
            if last >= 0:
                right += 1 if parent[node] == parent[last] else 1 + _COUSINS
            x[node], last = right, node
            return
        for child in children[node]:
            place(child)
        x[node] = (x[children[node][0]] + x[children[node][-1]]) / 2

    place(0)
    return np.stack([x, -np.asarray(depth, dtype=float)], axis=1)


def layers_from_top(num_nodes: int, edges: list[tuple[int, int]]) -> list[int]:
    """The longest way from each node to one that nothing is above.

    Args:
        num_nodes (int): The number of nodes.
        edges (list): Pairs of a child and its parent.

    Raises:
        ValueError: If there is a circle.
    """
    layer = [0] * num_nodes
    for _ in range(num_nodes + 1):
        changed = False
        for child, parent in edges:
            if layer[child] <= layer[parent]:
                layer[child] = layer[parent] + 1
                changed = True
        if not changed:
            return layer
    raise ValueError(
        "'data' must be a tree set, in which edges lead from child to parent "
        '(got a circle of edges); pass what ToComputationTrees returns'
    )


def layout_layers(
    num_nodes: int, edges: list[tuple[int, int]], layer: list[int]
) -> np.ndarray:
    """Places an acyclic graph in layers, with few crossings.

    Each layer is sorted by the mean position of a node's neighbours in the
    other layers, again and again (Sugiyama et al., 1981), and then pulled
    towards them with a distance of at least one.

    Args:
        num_nodes (int): The number of nodes.
        edges (list): Pairs of a child and its parent.
        layer (list[int]): The layer of each node.

    Returns:
        numpy.ndarray: Positions of shape :obj:`[N, 2]`, the topmost layer at
        height 0 and each layer one lower.
    """
    rows = [
        [v for v in range(num_nodes) if layer[v] == i]
        for i in range(max(layer, default=-1) + 1)
    ]
    above: list[list[int]] = [[] for _ in range(num_nodes)]
    below: list[list[int]] = [[] for _ in range(num_nodes)]
    for child, parent in edges:
        above[child].append(parent)
        below[parent].append(child)
    x = np.zeros(num_nodes)
    for row in rows:
        x[row] = np.arange(len(row)) - (len(row) - 1) / 2

    def mean(node: int, others: list[int]) -> float:
        return float(np.mean(x[others])) if others else float(x[node])

    for sweep in range(2 * _SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else rows[::-1]:
            near = above if down else below
            wanted = {v: mean(v, near[v]) for v in row}
            row.sort(key=lambda v: wanted[v])
            x[row] = spread(np.array([wanted[v] for v in row]))
    for _ in range(_SWEEPS):
        for row in rows:
            wanted_x = [mean(v, above[v] + below[v]) for v in row]
            x[row] = spread(np.array(wanted_x))
    return np.stack([x, -np.asarray(layer, dtype=float)], axis=1)


def spread(wanted: np.ndarray) -> np.ndarray:
    """The nearest positions in the same order that are one apart or more.

    Less its rank, each position may not be below the one before: this is
    isotonic regression, solved by pooling neighbours that violate it.

    Args:
        wanted (numpy.ndarray): The positions that are aimed at, :obj:`[n]`.
    """
    blocks: list[list[float]] = []  # Pairs of a sum and a number.
    for i, value in enumerate(wanted):
        blocks.append([value - i, 1.0])
        while len(blocks) > 1 and _falls(*blocks[-2:]):
            total, number = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += number
    level = [s / n for s, n in blocks for _ in range(int(n))]
    return np.asarray(level) + np.arange(len(wanted))


def _falls(first: list[float], second: list[float]) -> bool:
    return first[0] / first[1] > second[0] / second[1]
