"""Which graphs hold a tree set, and how often its trees occur there."""

from functools import reduce
from operator import and_

import numpy as np
import torch
from torch import Tensor

from pyg_distill.datasets.selection import Occurrences
from pyg_distill.trees.mining import FrequentSets


def num_holders(
    sets: FrequentSets, occurrences: Occurrences, num_graphs: int
) -> Tensor:
    """Counts the graphs that hold all trees of each set.

    Args:
        sets (FrequentSets): The :math:`P` tree sets.
        occurrences (Occurrences): The trees of the graphs.
        num_graphs (int): The number of graphs.

    Returns:
        torch.Tensor: The numbers of shape :obj:`[P]`.
    """
    holders = dict.fromkeys(sets.item.tolist(), 0)
    for tree, (graph, _) in _by_tree(occurrences, sets).items():
        row = np.zeros(num_graphs, dtype=np.uint8)
        row[graph] = 1
        packed = np.packbits(row, bitorder='little').tobytes()
        holders[tree] = int.from_bytes(packed, 'little')
    number = [
        reduce(and_, (holders[tree] for tree in trees.tolist())).bit_count()
        for trees in sets.item.split(sets.ptr.diff().tolist())
    ]
    return sets.support.new_tensor(number)


def mean_counts(
    sets: FrequentSets, occurrences: Occurrences, num_graphs: int
) -> Tensor:
    """Averages how often a tree occurs over the graphs that hold its set.

    Args:
        sets (FrequentSets): The tree sets.
        occurrences (Occurrences): The trees of the graphs that were mined.
        num_graphs (int): The number of graphs.

    Returns:
        torch.Tensor: The means, rounded half up, one for each entry of
        :obj:`sets.item`; at least 1, as these graphs hold all the trees.
    """
    by_tree = _by_tree(occurrences, sets)
    held = np.zeros(num_graphs, dtype=bool)
    out = []
    trees = sets.item.split(sets.ptr.diff().tolist())
    for p, support in enumerate(sets.support.tolist()):
        graphs = sets.transactions(p).cpu().numpy()
        held[graphs] = True
        for tree in trees[p].tolist():
            graph, count = by_tree[tree]
            total = int(count[held[graph]].sum())
            out.append((2 * total + support) // (2 * support))
        held[graphs] = False
    return sets.item.new_tensor(out)


def _by_tree(
    occurrences: Occurrences, sets: FrequentSets
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    kept = torch.isin(occurrences.tree, sets.item)
    tree, graph, count = (
        column[kept].cpu().numpy()
        for column in (occurrences.tree, occurrences.graph, occurrences.count)
    )
    order = np.argsort(tree, kind='stable')
    tree, graph, count = tree[order], graph[order], count[order]
    value, start = np.unique(tree, return_index=True)
    return {
        int(v): (g, c)
        for v, g, c in zip(
            value,
            np.split(graph, start[1:]),
            np.split(count, start[1:]),
            strict=False,  # If there are none, they split into one.
        )
    }
