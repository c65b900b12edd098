r"""Figures of data sets, trees and models; they need matplotlib.

Each function returns a figure and its axes, draws into :obj:`ax` if given, and
follows the current style (for example
:obj:`plt.style.context("dark_background")`).
"""

from pyg_distill.visualization.datasets import plot_accuracy, plot_compression
from pyg_distill.visualization.frequency import (
    plot_coverage,
    plot_tree_frequency,
)
from pyg_distill.visualization.models import plot_attention, plot_latency
from pyg_distill.visualization.trees import plot_computation_tree, plot_tree_set

of_trees = [
    'plot_tree_frequency',
    'plot_coverage',
    'plot_computation_tree',
    'plot_tree_set',
]
of_datasets = ['plot_compression', 'plot_accuracy']
of_models = ['plot_attention', 'plot_latency']

__all__ = of_trees + of_datasets + of_models
