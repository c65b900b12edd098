"""Which graphs hold a tree set, and how often its trees occur there."""

from collections.abc import Iterator

import torch
from torch import Tensor

from pyg_distill.datasets.selection import Occurrences
from pyg_distill.trees.mining import FrequentSets

_CELLS = 1 << 22


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
    out = torch.zeros_like(sets.support)
    for holds, number, _, _ in _blocks(sets, occurrences, num_graphs):
        out[number] = holds.sum(dim=0)
    return out


def mean_counts(
    sets: FrequentSets, occurrences: Occurrences, num_graphs: int
) -> Tensor:
    """Averages how often a tree occurs over the graphs that hold its set.

    Args:
        sets (FrequentSets): The tree sets.
        occurrences (Occurrences): The trees of the graphs that were mined.
        num_graphs (int): The number of graphs.

    Returns:
        torch.Tensor: The rounded means, one for each entry of
        :obj:`sets.item`; at least 1, as these graphs hold all the trees.
    """
    out = torch.empty_like(sets.item)
    for holds, number, column, count in _blocks(sets, occurrences, num_graphs):
        total = holds.t().to(count.dtype) @ count
        start, end = int(sets.ptr[number[0]]), int(sets.ptr[number[-1] + 1])
        row = (number - number[0]).repeat_interleave(sets.ptr.diff()[number])
        mean = total[row, column] / sets.support[number][row]
        out[start:end] = (mean + 0.5).floor().long()
    return out


def _blocks(
    sets: FrequentSets, occurrences: Occurrences, num_graphs: int
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    # Dense matrices of graphs x trees and of graphs x some sets: as few
    # trees are frequent, both are small, and a product decides all pairs.
    tree = sets.item.unique()
    kept = torch.isin(occurrences.tree, tree)
    row = occurrences.graph[kept]
    column = torch.searchsorted(tree, occurrences.tree[kept])
    count = tree.new_zeros(num_graphs, tree.numel(), dtype=torch.double)
    count[row, column] = occurrences.count[kept].double()
    present = (count > 0).float()

    member = torch.searchsorted(tree, sets.item)
    size = sets.ptr.diff()
    width = max(1, _CELLS // max(1, num_graphs + tree.numel()))
    for number in torch.arange(len(sets), device=tree.device).split(width):
        start, end = int(sets.ptr[number[0]]), int(sets.ptr[number[-1] + 1])
        column = member[start:end]
        belongs = present.new_zeros(number.numel(), tree.numel())
        row = (number - number[0]).repeat_interleave(size[number])
        belongs[row, column] = 1.0
        holds = (present @ belongs.t()) == size[number].float()
        yield holds, number, column, count
