"""Graphs drawn at random."""

from numbers import Integral

from torch import Tensor

from pyg_distill.data.statistics import TreeStatistics
from pyg_distill.selection.base import Selector, random_order
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
            raise TypeError(f"'seed' must be an integer (got {seed!r}); pass 0")
        self.seed: int = int(seed)

    def select(self, statistics: TreeStatistics, budget: Budget) -> Tensor:
        """Fills the budget in a random order."""
        return budget.fill(random_order(statistics.num_graphs, self.seed))
