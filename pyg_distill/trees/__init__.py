r"""Computation trees as pure functions on tensors.

Nothing here knows of data sets or models.
"""

from pyg_distill.trees.build import BuiltTrees, build_trees
from pyg_distill.trees.embedding import TreeCode
from pyg_distill.trees.facility_location import (
    facility_steps,
    nearest,
)
from pyg_distill.trees.forest import Forest
from pyg_distill.trees.graphs import Graphs
from pyg_distill.trees.histograms import (
    KeyedHistograms,
    keyed_histograms,
    tree_histograms,
)
from pyg_distill.trees.keys import edge_keys, hash_features, tree_keys
from pyg_distill.trees.mining import (
    FrequentSets,
    TooManySets,
    frequent_sets,
    support_count,
)
from pyg_distill.trees.ragged import IncomingEdges, pointer, ragged_range
from pyg_distill.trees.sharing import (
    MergedTrees,
    SharedTrees,
    expected_size,
    share_trees,
)
from pyg_distill.trees.unique import UniqueKeys, unique_keys

__all__ = [
    'BuiltTrees',
    'Forest',
    'FrequentSets',
    'Graphs',
    'IncomingEdges',
    'KeyedHistograms',
    'MergedTrees',
    'SharedTrees',
    'TooManySets',
    'TreeCode',
    'UniqueKeys',
    'build_trees',
    'edge_keys',
    'expected_size',
    'facility_steps',
    'frequent_sets',
    'hash_features',
    'keyed_histograms',
    'nearest',
    'pointer',
    'ragged_range',
    'share_trees',
    'support_count',
    'tree_histograms',
    'tree_keys',
    'unique_keys',
]
