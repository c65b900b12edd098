"""The definitions, written out slowly in plain Python, to test against.

Nothing here uses the code under test. A tree is a pair: the features of its
root, and the sorted pairs of an edge's features and the child it leads to, in
full down to the leaves.
"""

from __future__ import annotations

from collections import Counter
from functools import cache

import torch
from torch import Tensor
from torch_geometric.data import Data

Row = tuple
Tree = tuple


def rows(value: Tensor | None, num_rows: int) -> list[Row]:
    """The features of each node or edge, as numbers."""
    if value is None:
        return [()] * num_rows
    # In Python as in features, -0.0 == 0.0 and hash(-0.0) == hash(0.0).
    return [tuple(row.reshape(-1).tolist()) for row in value]


def trees_of(data: Data, depth: int) -> list[Tree]:
    """Unrolls the tree of every node down to a depth."""
    node = rows(data.get('x'), data.num_nodes)
    attr = rows(data.get('edge_attr'), data.num_edges)
    weight = rows(data.get('edge_weight'), data.num_edges)
    incoming: list[list] = [[] for _ in node]
    for e, (u, v) in enumerate(data.edge_index.t().tolist()):
        incoming[v].append(((attr[e], weight[e]), u))

    @cache
    def unroll(v: int, depth: int) -> Tree:
        if depth == 0:
            return node[v], ()
        children = [(edge, unroll(u, depth - 1)) for edge, u in incoming[v]]
        return node[v], tuple(sorted(children))

    return [unroll(v, depth) for v in range(data.num_nodes)]


def tree_size(tree: Tree) -> int:
    """Counts the nodes of a tree."""
    return 1 + sum(tree_size(child) for _, child in tree[1])


def subtrees(tree: Tree) -> set[Tree]:
    """All distinct subtrees of a tree, itself included."""
    found = {tree}
    for _, child in tree[1]:
        if child not in found:
            found |= subtrees(child)
    return found


def tree_set(data: Data, num_layers: int) -> Counter:
    """Unrolls the roots of a graph in tree-set form, with their counts.

    One more layer is unrolled than there should be, so that trees that are
    too deep (or cyclic) show.
    """
    trees = trees_of(data, num_layers + 1)
    out: Counter = Counter()
    root, count = data.root_index.tolist(), data.root_count.tolist()
    for r, c in zip(root, count, strict=True):
        out[trees[r]] += c
    return out


def pool(
    x: Tensor,
    batch: list[int],
    root_index: list[int],
    root_count: list[int],
    size: int,
    reduce: str,
) -> Tensor:
    """Reads roots out by a loop over the nodes that they stand for."""
    out = torch.zeros(size, x.size(1), dtype=torch.double)
    for i in range(size):
        values = [
            x[r].double()
            for r, c in zip(root_index, root_count, strict=True)
            for _ in range(c)
            if batch[r] == i
        ]
        if values:
            stack = torch.stack(values)
            out[i] = {
                'sum': stack.sum(0),
                'add': stack.sum(0),
                'mean': stack.mean(0),
                'max': stack.max(0).values,
                'min': stack.min(0).values,
            }[reduce]
    return out


def merged_size(graphs: list[Data], num_layers: int) -> tuple[int, int]:
    """How many nodes and edges are needed for the trees of some graphs.

    A node for each distinct tree, and a second one where the only tree of a
    stem (its first L - 1 layers) is a child of itself.
    """
    stems: dict[Tree, set[Tree]] = {}
    degree: dict[Tree, int] = {}
    loops = set()
    for data in graphs:
        trees = trees_of(data, num_layers)
        if num_layers == 0:
            degree |= dict.fromkeys(trees, 0)
            stems |= {tree: {tree} for tree in trees}
            continue
        for tree, stem in zip(
            trees, trees_of(data, num_layers - 1), strict=True
        ):
            stems.setdefault(stem, set()).add(tree)
            children = [child for _, child in tree[1]]
            degree[tree] = len(children)
            if stem in children:
                loops.add((tree, stem))
    copied = [tree for tree, stem in loops if stems[stem] == {tree}]
    nodes = [*degree, *copied]
    return len(nodes), sum(degree[tree] for tree in nodes)
