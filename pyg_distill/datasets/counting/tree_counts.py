"""How many graphs of each class hold each tree: mergeable counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_distill.datasets.counting.part import Part
from pyg_distill.trees import unique_keys


@dataclass(frozen=True)
class TreeCounts:
    r"""The supports of single trees, from any number of graphs.

    Shapes:
        - **label**, **key:** a class and a tree of it :math:`(K)`,
          :math:`(K, 2)`, sorted by class, then by key,
        - **support:** the graphs of the class that hold the tree
          :math:`(K)`.
    """

    label: Tensor
    key: Tensor
    support: Tensor

    @classmethod
    def of(cls, part: Part) -> 'TreeCounts':
        """Counts the graphs of one part."""
        found, key = part.occurrences, part.key
        num_trees = max(1, key.size(0))
        code = part.source.label[found.graph] * num_trees + found.tree
        code, support = torch.unique(code, return_counts=True)
        return cls(code // num_trees, key[code % num_trees], support)

    @classmethod
    def merge(cls, counts: Sequence['TreeCounts']) -> 'TreeCounts':
        """Adds counts of different graphs up."""
        label = torch.cat([c.label for c in counts])
        key = torch.cat([c.key for c in counts])
        support = torch.cat([c.support for c in counts])
        tree = unique_keys(key, label)
        total = torch.zeros_like(tree.count)
        total.index_add_(0, tree.inverse, support)
        return cls(label[tree.first], key[tree.first], total)

    def num_trees(self) -> int:
        """The number of distinct trees of all classes."""
        return unique_keys(self.key).first.numel()

    def frequent(self, least: Mapping[int, int]) -> Tensor:
        """Finds the trees that are frequent in any class.

        Args:
            least (dict): The number of graphs of each class that must hold a
                tree.

        Returns:
            torch.Tensor: Their keys of shape :obj:`[V, 2]`, ascending.
        """
        kept = torch.zeros_like(self.label, dtype=torch.bool)
        for label, count in least.items():
            kept |= (self.label == label) & (self.support >= count)
        key = self.key[kept]
        return key[unique_keys(key).first]

    def most_frequent(self, k: int) -> Tensor:
        """Finds the trees that most graphs hold, whatever their class.

        Args:
            k (int): How many, of which those of equal support are taken by
                their keys.

        Returns:
            torch.Tensor: Their keys of shape :obj:`[V, 2]`, ascending.
        """
        tree = unique_keys(self.key)
        total = torch.zeros_like(tree.count)
        total.index_add_(0, tree.inverse, self.support)
        order = total.argsort(descending=True, stable=True)[:k]
        return self.key[tree.first[order.sort().values]]

    def cpu(self) -> 'TreeCounts':
        """The same, ready to be sent to another process."""
        return TreeCounts(self.label.cpu(), self.key.cpu(), self.support.cpu())


def look_up(known: Tensor, key: Tensor) -> Tensor:
    """Finds keys among known ones.

    Args:
        known (torch.Tensor): Distinct keys of shape :obj:`[V, 2]`.
        key (torch.Tensor): Keys of shape :obj:`[n, 2]`.

    Returns:
        torch.Tensor: Their numbers of shape :obj:`[n]`, -1 where unknown.
    """
    tree = unique_keys(torch.cat([known, key]))
    number = torch.full_like(tree.count, -1)
    index = torch.arange(known.size(0), device=known.device)
    number[tree.inverse[: known.size(0)]] = index
    return number[tree.inverse[known.size(0) :]]
