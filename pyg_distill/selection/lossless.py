"""All computation trees of all graphs, with their multiplicities."""

import torch

from pyg_distill.data.statistics import TreeStatistics
from pyg_distill.data.tree_sets import concatenate_sets, lossless
from pyg_distill.selection.base import Selected, Selector
from pyg_distill.selection.budget import Budget


class Lossless(Selector):
    """Turns every graph into the set of its distinct computation trees.

    Nothing is lost for message passing networks of at most
    :obj:`num_layers` layers, and equal trees of a graph are computed once.

    Args:
        compact (bool, optional): If set to :obj:`False`, trees are unrolled
            instead of sharing equal subtrees. (default: :obj:`True`)
    """

    name = 'lossless'
    limits = ()
    builds_trees = True

    def __init__(self, compact: bool = True) -> None:
        self.compact = compact

    def select(self, statistics: TreeStatistics, budget: Budget) -> Selected:
        """Keeps everything."""
        parts = statistics.source.map(
            lambda chunk: lossless(
                chunk.table, chunk.forest, self.compact
            ).shrink(),
            'Building trees',
            concatenate_sets,
        )
        sets = concatenate_sets(parts)
        # One chunk still shares these with the source.
        for name, (value, ptr) in sets.attributes.items():
            sets.attributes[name] = value.clone(), ptr
        index = torch.arange(statistics.num_graphs)
        return Selected.from_graphs(
            statistics, index, sets, statistics.num_nodes
        )
