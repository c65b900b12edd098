"""How many bytes may be kept?"""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import torch
from torch import Tensor

from pyg_distill.datasets.coresets.gathering import gather
from pyg_distill.datasets.coresets.proportions import (
    ClassOrders,
    Cost,
    class_turns,
    fill,
)
from pyg_distill.datasets.counting.processes import Agreed, Processes
from pyg_distill.datasets.counting.shard import Shard
from pyg_distill.datasets.options import SizeOptions
from pyg_distill.datasets.packing.column import packed_bytes
from pyg_distill.datasets.packing.packed import pack

# What is kept if nothing says how much, and at least one graph a class.
DEFAULT_BUDGET = 0.1


class NoRoom(Agreed):
    """There is no room for the least that can be kept.

    Args:
        message (str): What is wrong.
        least (float): The bytes of the smallest that could be kept.
    """

    def __init__(self, message: str, least: float = float('inf')) -> None:
        super().__init__(message)
        self.least = least


@dataclass(frozen=True)
class Room:
    """What there is to fill.

    Attributes:
        budget: As the user gave it, if there is one.
        num_graphs: The number of graphs asked for, if it is.
        source_bytes: The packed source, if the budget is a share of it.
        is_default: Whether nothing was asked for, so that one graph a class
            is not too much.
    """

    budget: int | float | None
    num_graphs: int | None = None
    source_bytes: int | None = None
    is_default: bool = False

    @classmethod
    def of(
        cls,
        size: SizeOptions,
        shard: Shard,
        processes: Processes,
    ) -> 'Room':
        """Measures the source, if need be.

        Args:
            size (SizeOptions): How much to keep.
            shard (Shard): The graphs of this process.
            processes (Processes): Those that take part.

        Raises:
            ValueError: If a share is asked for of what is not in memory.
        """
        is_default = not size.to_dict()
        budget = DEFAULT_BUDGET if is_default else size.budget
        if not isinstance(budget, float):
            return cls(budget, size.num_graphs)
        if processes.size > 1 or not shard.is_whole:
            got = f'the share {budget:g}'
            if is_default:
                got += ', which is the default'
            raise ValueError(
                f"'budget' must be a number of bytes (an int) if the source "
                f'is read in chunks or by several processes (got {got}), '
                f'since none of them sees all of it; pass budget=100_000, or '
                f'num_graphs'
            )
        (part,) = shard.parts('Measuring the source')
        graphs = torch.arange(part.source.label.numel())
        num_bytes = packed_bytes(pack(*gather(part.source, graphs)))
        return cls(budget, size.num_graphs, num_bytes, is_default)

    @property
    def num_bytes(self) -> float:
        """The bytes to fill."""
        if self.budget is None:
            return float('inf')
        if self.source_bytes is None:
            return self.budget
        # As it is written: 0.57 of 100 bytes are 57, not a little less.
        return int(Fraction(str(self.budget)) * self.source_bytes)

    def fill(
        self, num_graphs: dict[int, int], orders: ClassOrders, cost: Cost
    ) -> Tensor:
        """Takes graphs of each class in turn.

        Args:
            num_graphs (dict): The graphs of each class that there are.
            orders (ClassOrders): The graphs of each class.
            cost (callable): The bytes that some graphs take.

        Returns:
            torch.Tensor: The graphs, class by class.

        Raises:
            NoRoom: If there is no room for one graph a class.
            ValueError: If there are not as many graphs as asked for.
        """
        turns = class_turns(num_graphs)
        if self.num_graphs is not None:
            total = len(turns)
            if not len(num_graphs) <= self.num_graphs <= total:
                raise ValueError(
                    f"'num_graphs' must be at least one a class and at most "
                    f'the {total} graphs of the source (got '
                    f'{self.num_graphs} for {len(num_graphs)} classes); pass '
                    f'a number in between'
                )
            turns = turns[: self.num_graphs]
        if self.budget is None:
            return orders.first_of(turns)
        chosen = fill(turns, orders, cost, self.num_bytes)
        if chosen.numel() == 0:
            first = orders.first_of(turns[: len(num_graphs)])
            if self.is_default:
                return first
            least = cost(first)
            what = f'{len(num_graphs)} graphs, one a class'
            raise self.too_small(least, what)
        return chosen

    def ahead(
        self, num_graphs: dict[int, int], orders: ClassOrders, k: int
    ) -> Tensor:
        """The first graphs of those that :meth:`fill` may take.

        Args:
            num_graphs (dict): The graphs of each class that there are.
            orders (ClassOrders): The graphs of each class.
            k (int): How many.
        """
        return orders.first_of(class_turns(num_graphs)[:k])

    def too_small(self, least: int, what: str) -> NoRoom:
        """Says what the smallest budget is.

        Args:
            least (int): The bytes of the smallest that could be kept.
            what (str): What that is.
        """
        got, works = f'{self.budget}', f'{least} bytes'
        if self.source_bytes is not None:
            got += f', which is {self.num_bytes} bytes'
            # Rounded up, so that it works when it is passed back.
            share = ceil(Fraction(least * 10**6, self.source_bytes)) / 1e6
            if share <= 1:
                works = f'{share:.6f}, which is {works}'
            else:
                works += f' (an int), more than the {self.source_bytes} of all'
        return NoRoom(
            f"'budget' is too small for {what} (got {got}); the smallest "
            f'that works is {works}',
            least,
        )
