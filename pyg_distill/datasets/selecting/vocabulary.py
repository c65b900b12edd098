"""The trees that stand for all others."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from pyg_distill.datasets.counting.frequent_trees import FrequentTrees
from pyg_distill.datasets.counting.part import Part
from pyg_distill.datasets.counting.tree_counts import look_up
from pyg_distill.datasets.packing.measure import vocabulary_costs
from pyg_distill.datasets.selecting.room import Room
from pyg_distill.trees import Forest, unique_keys
from pyg_distill.trees.descriptors import TreeCode
from pyg_distill.trees.vocabulary import facility_steps, nearest

# What the vocabulary may take of a budget.
SHARE = 0.15
# The size of a vocabulary if there is no budget.
NUM_TREES = 400


@dataclass(frozen=True)
class Vocabulary:
    """The trees that stand for all others, the most important one first.

    Attributes:
        key: Their keys, of shape :obj:`[V, 2]`.
        point: Where each of them is, of shape :obj:`[V, D]`.
        code: How trees are turned into points.
    """

    key: Tensor
    point: Tensor
    code: TreeCode

    @classmethod
    def choose(
        cls,
        trees: FrequentTrees,
        forest: Forest,
        room: Room,
        num_trees: int | None,
    ) -> 'Vocabulary':
        """Picks trees so that all others are near to one of them.

        Args:
            trees (FrequentTrees): The trees to pick from.
            forest (Forest): The same.
            room (Room): What there is to fill, which decides on their number
                if it is not given.
            num_trees (int, optional): Their number.
        """
        code = TreeCode.fit(forest)
        number = forest.distinct().inverse
        size = int(trees.tree.max()) + 1 if trees.tree.numel() else 0
        root = trees.root_of(torch.arange(size, device=trees.root.device))
        point = code(forest)[number[root]]
        found = trees.occurrences
        weight = torch.bincount(found.tree, found.count, minlength=size)
        steps = facility_steps(point, weight)
        if num_trees is None and room.budget is not None:
            order = _fill(steps, forest, root, SHARE * room.num_bytes)
        else:
            wanted = list(islice(steps, num_trees or NUM_TREES))
            order = root.new_tensor(wanted)
        return cls(forest.keys[-1][root[order]], point[order], code)

    def first(self, k: int) -> 'Vocabulary':
        """The :obj:`k` most important trees, in the order of their keys.

        Args:
            k (int): How many.
        """
        order = unique_keys(self.key[:k]).first
        return Vocabulary(self.key[:k][order], self.point[:k][order], self.code)

    def of(self, part: Part) -> Tensor:
        """The tree of the vocabulary that stands for each distinct tree.

        Args:
            part (Part): Graphs with any trees.

        Returns:
            torch.Tensor: Numbers of shape :obj:`[U]`.
        """
        device = part.key.device
        number = look_up(self.key.to(device), part.key)
        rare = number < 0
        if bool(rare.any()):
            point = self.code(part.forest)[rare]
            number[rare] = nearest(point, self.point.to(device))
        return number


def _fill(
    steps: Iterator[int], forest: Forest, root: Tensor, num_bytes: float
) -> Tensor:
    """The first trees whose dictionary there is room for, but at least one."""
    order = root.new_empty(0)
    while True:
        more = list(islice(steps, max(64, order.numel())))
        order = torch.cat([order, order.new_tensor(more)])
        if order.numel() == 0:
            return order
        costs = vocabulary_costs(forest, root[order])
        spent = costs.cumulative(torch.arange(order.numel()))
        fits = max(1, int((spent <= num_bytes).sum()))
        if fits < order.numel() or not more:
            return order[:fits]
