r"""Computation trees as pure functions on tensors.

Nothing here knows of data sets or models.
"""

from pyg_distill.trees.build import BuiltTrees, build_trees
from pyg_distill.trees.forest import Forest
from pyg_distill.trees.graphs import Graphs
from pyg_distill.trees.keys import edge_keys, tree_keys
from pyg_distill.trees.mining import (
    FrequentSets,
    TooManySets,
    frequent_sets,
    support_count,
)
from pyg_distill.trees.unique import UniqueKeys, unique_keys
from pyg_distill.trees.verify import verify_keys

__all__ = [
    'BuiltTrees',
    'Forest',
    'FrequentSets',
    'Graphs',
    'TooManySets',
    'UniqueKeys',
    'build_trees',
    'edge_keys',
    'frequent_sets',
    'support_count',
    'tree_keys',
    'unique_keys',
    'verify_keys',
]
