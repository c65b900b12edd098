"""Work and time that a search may take."""

import math
from collections.abc import Callable
from time import perf_counter

Tick = Callable[[int], None]


class OutOfWork(Exception):  # noqa: N818
    """A search has done all the work that it may do."""


class OutOfTime(Exception):  # noqa: N818
    """A search has gone on for all the time that it may take."""


def budget(work: float, deadline: float) -> Tick:
    """Makes a function that a search tells what it is about to do.

    Args:
        work (float): The work that it may do in all.
        deadline (float): When it must end, as :meth:`time.perf_counter`.
    """
    spent = 0

    def tick(amount: int) -> None:
        nonlocal spent
        spent += amount
        if spent > work:
            raise OutOfWork
        if deadline < math.inf and perf_counter() > deadline:
            raise OutOfTime

    return tick
