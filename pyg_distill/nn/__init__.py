r"""Readout over the roots of computation trees."""

from pyg_distill.nn.hops import num_hops
from pyg_distill.nn.pool import global_root_pool
from pyg_distill.nn.root_aggregation import RootAggregation
from pyg_distill.nn.root_readout import RootReadout

readouts = ['global_root_pool', 'RootAggregation', 'RootReadout']
tools = ['num_hops']

__all__ = readouts + tools
