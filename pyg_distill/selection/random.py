"""Graphs drawn at random."""

from numbers import Integral

import torch
from torch import Tensor

from pyg_distill.data.statistics import TreeStatistics
from pyg_distill.selection.base import Selector
from pyg_distill.selection.budget import Budget


class Random(Selector):
    """Keeps graphs of each class drawn at random, the simplest baseline.

    Args:
        seed (int, optional): The seed. Global random states are neither read
            nor changed. (default: :obj:`0`)

    Raises:
        TypeError: If the seed is no integer.
    """

    name = 'random'

    def __init__(self, seed: int = 0) -> None:
        if isinstance(seed, bool) or not isinstance(seed, Integral):
            raise TypeError(
                f"'seed' must be an integer (got {seed!r}); pass 0, 1, 2"
            )
        self.seed: int = int(seed)

    def select(self, statistics: TreeStatistics, budget: Budget) -> Tensor:
        """Fills the budget in a random order."""
        return budget.fill(random_order(statistics.num_graphs, self.seed))


def random_order(num_graphs: int, seed: int = 0) -> Tensor:
    """A random order of positions that depends on the seed alone.

    Args:
        num_graphs (int): The number of graphs :math:`G`.
        seed (int, optional): The seed. (default: :obj:`0`)
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(num_graphs, generator=generator)
