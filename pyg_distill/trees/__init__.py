r"""Computation trees as pure functions on tensors.

Nothing here knows of data sets or models.
"""

from pyg_distill.trees.build import BuiltTrees, Forest
from pyg_distill.trees.embedding import TreeCode
from pyg_distill.trees.facility_location import facility_steps, nearest
from pyg_distill.trees.graphs import Graphs
from pyg_distill.trees.grouping import (
    IncomingEdges,
    UniqueKeys,
    pointer,
    ragged_range,
    ragged_rows,
    unique_keys,
)
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
from pyg_distill.trees.sharing import (
    MergedTrees,
    SharedTrees,
    expected_size,
    share_trees,
)

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
    'edge_keys',
    'expected_size',
    'facility_steps',
    'frequent_sets',
    'hash_features',
    'keyed_histograms',
    'nearest',
    'pointer',
    'ragged_range',
    'ragged_rows',
    'share_trees',
    'support_count',
    'tree_histograms',
    'tree_keys',
    'unique_keys',
]
