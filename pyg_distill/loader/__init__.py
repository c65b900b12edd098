r"""Mini-batches in which equal trees are computed once."""

from pyg_distill.loader.tree_set_loader import TreeSetBatch, TreeSetLoader

loaders = ['TreeSetLoader']
batches = ['TreeSetBatch']

__all__ = loaders + batches
