r"""Computation trees as pure functions on tensors.

Nothing here knows of data sets or models.
"""

from pyg_distill.trees.keys import edge_keys, tree_keys
from pyg_distill.trees.unique import UniqueKeys, unique_keys

__all__ = ['UniqueKeys', 'edge_keys', 'tree_keys', 'unique_keys']
