r"""Figures of data sets, trees and models; they need matplotlib.

Every function returns the figure and its axes, draws into :obj:`ax` if it is
given, and follows the style that is set
(:obj:`plt.style.context("dark_background")`, for example).
"""

from pyg_distill.visualization.accuracy import plot_accuracy
from pyg_distill.visualization.attention import plot_attention
from pyg_distill.visualization.compression import plot_compression
from pyg_distill.visualization.computation_tree import plot_computation_tree
from pyg_distill.visualization.coverage import plot_coverage
from pyg_distill.visualization.latency import plot_latency
from pyg_distill.visualization.tree_frequency import plot_tree_frequency
from pyg_distill.visualization.tree_set import plot_tree_set

of_trees = [
    'plot_tree_frequency',
    'plot_coverage',
    'plot_computation_tree',
    'plot_tree_set',
]
of_datasets = ['plot_compression', 'plot_accuracy']
of_models = ['plot_attention', 'plot_latency']

__all__ = of_trees + of_datasets + of_models
