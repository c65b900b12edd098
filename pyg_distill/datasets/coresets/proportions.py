"""Whose turn is it? Classes in the proportions that they have."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

Cost = Callable[[Tensor], int]


def class_turns(num_graphs: Mapping[int, int]) -> list[int]:
    r"""Says which class gets the next graph, so that shares are kept.

    After the first graph of each class, the :math:`j`-th graph of a class of
    :math:`G_c` comes at :math:`(j - 1/2) / G_c`: Webster's method, which
    rounds shares to the nearest numbers that add up. Unlike rounding by the
    largest remainder it never takes a graph away as their number grows, so
    that a larger coreset holds a smaller one.

    Args:
        num_graphs (dict): The graphs of each class.

    Returns:
        list: A class for each graph.
    """
    size = torch.tensor(list(num_graphs.values()))
    number = torch.cat([torch.arange(n) for n in num_graphs.values()])
    when = (2 * number + 1).double() / size.repeat_interleave(size)
    when[number == 0] = 0
    label = torch.tensor(list(num_graphs)).repeat_interleave(size)
    return label[torch.argsort(when, stable=True)].tolist()


class ClassOrders:
    """The graphs of each class in an order that is computed when needed.

    Args:
        steps (dict): For each class, its graphs in their order.
    """

    def __init__(self, steps: Mapping[int, Iterator[int]]) -> None:
        self._steps = dict(steps)
        self._known: dict[int, list[int]] = {label: [] for label in steps}

    def first_of(self, turns: Iterable[int]) -> Tensor:
        """The first graphs of each class, class by class.

        Args:
            turns (list): A class for each graph, in any order.
        """
        out = []
        for label, k in sorted(Counter(turns).items()):
            known = self._known[label]
            known += islice(self._steps[label], max(0, k - len(known)))
            out += known[:k]
        return torch.tensor(out, dtype=torch.long)


def fill(
    turns: list[int], orders: ClassOrders, cost: Cost, room: float
) -> Tensor:
    """Takes as many graphs as there is room for, each class in its order.

    Turn by turn, until a graph does not fit: then its class is done, and the
    others go on, so that one large graph does not leave the rest unused.

    Args:
        turns (list): Whose turn it is, as :meth:`class_turns` says.
        orders (ClassOrders): The graphs of each class.
        cost (callable): What some graphs take together. It is called a few
            times only, and should not fall as graphs are added: what is
            returned always fits, but more might have.
        room (float): What there is to take.

    Returns:
        torch.Tensor: The graphs, class by class; none if the first ones of
        all classes do not fit.
    """
    num_classes = len(set(turns))
    taken, rest = turns[:num_classes], turns[num_classes:]
    spent = cost(orders.first_of(taken))
    if spent > room:
        return torch.empty(0, dtype=torch.long)
    while rest:
        ahead = _Ahead(taken, rest, orders, cost)
        k, spent = _longest(ahead, room, len(rest), spent, spent / len(taken))
        taken, closed = taken + rest[:k], rest[k : k + 1]
        rest = [label for label in rest[k:] if label not in closed]
    return orders.first_of(taken)


@dataclass(frozen=True)
class _Ahead:
    """What is taken costs this if the next turns are taken, too."""

    taken: list[int]
    rest: list[int]
    orders: ClassOrders
    cost: Cost

    def __call__(self, k: int) -> int:
        return self.cost(self.orders.first_of(self.taken + self.rest[:k]))


def _longest(
    cost: Callable[[int], int],
    room: float,
    most: int,
    spent: int,
    slope: float,
) -> tuple[int, int]:
    """The largest number that there is room for, and what it costs.

    Costs rise almost evenly, so that it is guessed from those that are known.

    Args:
        cost (callable): What a number costs.
        room (float): What it may cost.
        most (int): The largest number of interest.
        spent (int): What nothing costs, for which there is room.
        slope (float): About what one more costs.
    """
    low, high, tries = 0, most + 1, 0
    while high - low > 1:
        guess = low + int((room - spent) / max(slope, 1e-9))
        # Costs that rise unevenly must not make it crawl.
        guess = (low + high) // 2 if tries % 3 == 2 and high <= most else guess
        new = min(max(guess, low + 1), high - 1)
        found = cost(new)
        slope = (found - spent) / (new - low)
        if found <= room:
            low, spent = new, found
        else:
            high = new
        tries += 1
    return low, spent
