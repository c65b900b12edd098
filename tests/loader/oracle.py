"""Merging, written out with unrolled trees and loops; slow."""

from collections import Counter

from tests.oracles import trees_of


def roots_by_graph(data, num_layers):
    """The trees of each graph of a merged mini-batch, with their counts."""
    trees = trees_of(data, num_layers)
    out = [Counter() for _ in range(data.num_graphs)]
    for r, c, g in zip(
        data.root_index.tolist(),
        data.root_count.tolist(),
        data.root_index_batch.tolist(),
        strict=True,
    ):
        out[g][trees[r]] += c
    return out


def merged_size(graphs, num_layers):
    """How many nodes and edges are needed for the trees of some graphs.

    A node for each distinct tree, and a second one where the only tree of a
    stem (its first L - 1 layers) is a child of itself.
    """
    stems, degree, loops = {}, {}, set()
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
