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
