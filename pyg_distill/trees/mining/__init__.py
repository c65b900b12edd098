"""Frequent item sets: all, closed or maximal ones."""

from pyg_distill.trees.mining.frequent import frequent_sets
from pyg_distill.trees.mining.limit import TooManySets
from pyg_distill.trees.mining.sets import FrequentSets
from pyg_distill.trees.mining.support import support_count

__all__ = ['FrequentSets', 'TooManySets', 'frequent_sets', 'support_count']
