r"""Transforms of single graphs."""

from pyg_distill.transforms.to_computation_trees import ToComputationTrees

graph_transforms = ['ToComputationTrees']

__all__ = graph_transforms
