r"""Any collection of graphs as one table, and its size in bytes."""

from pyg_distill.data.sources import Source, read_table
from pyg_distill.data.statistics import TreeStatistics
from pyg_distill.data.storage import compressed_size
from pyg_distill.data.table import GraphTable
from pyg_distill.data.tree_sets import TreeSets

tables = ['GraphTable', 'TreeSets', 'Source', 'TreeStatistics']
functions = ['read_table', 'compressed_size']

__all__ = tables + functions
