"""Indices of graphs -> a mini-batch of merged trees."""

from collections.abc import Sequence

import torch
from torch_geometric.data import Data
from torch_geometric.data.collate import collate

from pyg_distill.loader.tree_set_batch import TreeSetBatch
from pyg_distill.loader.tree_sets import TreeSets
from pyg_distill.trees.csr import pointer


class TreeSetCollater:
    """Merges the equal trees of some graphs.

    Args:
        sets (TreeSets): The tree sets of all graphs.
        follow_batch (list): Attributes that get a batch vector.
    """

    def __init__(self, sets: TreeSets, follow_batch: Sequence[str]) -> None:
        self.sets = sets
        self.follow_batch = follow_batch

    def __call__(self, index: Sequence[int]) -> TreeSetBatch:
        """Makes a mini-batch of the graphs of some indices."""
        sets, trees = self.sets, self.sets.trees
        # Counts from the end where an index is negative, and refuses others.
        number = torch.arange(len(sets), device=trees.ptr.device)
        graph = number[torch.as_tensor(index)]
        row, position = sets.root.rows(graph)
        merged = trees.merge(sets.root.take(row))

        out = TreeSetBatch()
        out._num_graphs = graph.numel()
        if trees.x is None:
            out.num_nodes = merged.node.numel()
        else:
            out.x = trees.x[merged.node]
        out.edge_index = merged.edge_index
        for name in ('edge_attr', 'edge_weight'):
            value = getattr(trees, name)
            if value is not None:
                out[name] = value[merged.edge]
        out.root_index = merged.root_index
        out.root_count = sets.root_count[row]
        out.root_index_batch = position
        for name in ('root_index', 'root_count'):
            self._follow(out, name, position)
        for name, column in sets.columns.items():
            row, position = column.rows(graph)
            out[name] = column.take(row)
            self._follow(out, name, position)
        if sets.others:
            data, _, _ = collate(
                Data,
                [sets.others[i] for i in graph.tolist()],
                add_batch=False,
                follow_batch=self.follow_batch,
            )
            out.update(data.to_dict())
        return out

    def _follow(
        self, out: TreeSetBatch, name: str, position: torch.Tensor
    ) -> None:
        if name in self.follow_batch:
            out[f'{name}_batch'] = position
            size = torch.bincount(position, minlength=out.num_graphs)
            out[f'{name}_ptr'] = pointer(size)
