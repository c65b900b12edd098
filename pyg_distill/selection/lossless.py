"""All computation trees of all graphs, with their multiplicities."""

import torch

from pyg_distill.data.statistics import TreeStatistics
from pyg_distill.data.tree_sets import concatenate_sets, lossless
from pyg_distill.selection.base import Selected, Selector, summarize
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
        label = statistics.label
        support = torch.ones_like(label)
        sets.attributes['support'] = support, torch.arange(len(label) + 1)
        coverage = {
            c: (known.num_graphs, 1.0, 1.0)
            for c, known in statistics.by_class().items()
        }
        return Selected(
            graphs=sets,
            label=label,
            support=support,
            graph_id=torch.arange(len(label)),
            classes=summarize(statistics, coverage),
        )
