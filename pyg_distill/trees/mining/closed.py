"""Closed frequent sets, by LCM."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from operator import or_

from pyg_distill.trees.mining.bitsets import Pattern, Rows
from pyg_distill.trees.mining.budget import Tick


def project(
    tail: Iterable[Pattern], tids: int, min_support: int
) -> tuple[int, list[Pattern]]:
    r"""Restricts candidate items to the transactions of a prefix.

    Args:
        tail (iterable): The candidates as patterns.
        tids (int): The transactions of the prefix.
        min_support (int): The smallest support of a frequent set.

    Returns:
        The items that all transactions of the prefix hold, and the other
        frequent candidates by ascending support, where items that the very
        same transactions hold are one candidate.
    """
    frequent = [
        (items, common)
        for items, others in tail
        if (common := others & tids).bit_count() >= min_support
    ]
    absorbed = 0
    groups: dict[int, int] = {}
    for items, common in frequent:
        if common == tids:
            absorbed |= items
        else:
            groups[common] = groups.get(common, 0) | items
    return absorbed, [
        (groups[common], common) for common in sorted(groups, key=int.bit_count)
    ]


class _Candidates:
    r"""The candidates of the empty prefix, by item and by transaction."""

    def __init__(
        self, tail: Sequence[Pattern], num_transactions: int, tick: Tick
    ) -> None:
        # Items that the same transactions hold are told by any one of them.
        self.columns = {items & -items: tids for items, tids in tail}
        self.rows = Rows(list(self.columns.items()), num_transactions, tick)
        self.all_items = sum(self.columns)

    def hold_any(self, items: int, tids: int) -> bool:
        r"""Tells whether one of the items is in all of the transactions."""
        # A few transactions rule out nearly every item at the cost of one
        # look-up each, which leaves few columns to intersect.
        items &= self.all_items
        left = tids
        while items and left:
            last = left.bit_length() - 1
            kept = items & self.rows[last]
            if kept == items:
                break
            items = kept
            left ^= 1 << last
        while items:
            bit = items & -items
            if self.columns[bit] & tids == tids:
                return True
            items ^= bit
        return False


def closed_sets(
    columns: Sequence[Pattern],
    num_transactions: int,
    min_support: int,
    max_size: int,
    tick: Tick,
) -> Iterator[Pattern]:
    r"""Yields every closed frequent set, depth first.

    This is the prefix-preserving closure extension from the `"LCM ver. 2:
    Efficient Mining Algorithms for Frequent/Closed/Maximal Itemsets"
    <https://ceur-ws.org/Vol-126/uno.pdf>`_ paper: an extension
    whose closure holds an item that was tried earlier is dropped, as its
    closed set was found there, so no found set has to be kept. The order of
    the items is chosen anew under each prefix, rarest first.

    Args:
        columns (list): The items as patterns.
        num_transactions (int): The number of transactions.
        min_support (int): The smallest support of a frequent set.
        max_size (int): The largest size of a set.
        tick (callable): Is told the amount of work about to be done.

    Yields:
        The closed frequent sets as patterns.
    """
    everything = (1 << num_transactions) - 1
    tick(len(columns))
    head, tail = project(columns, everything, min_support)
    if 0 < head.bit_count() <= max_size:
        yield head, everything
    if head.bit_count() >= max_size:
        return
    candidates = _Candidates(tail, num_transactions, tick)
    stack = [(head, tail, _from_last(tail, 0))]
    while stack:
        head, tail, rest = stack[-1]
        for index, (items, tids), earlier in rest:
            if candidates.hold_any(earlier, tids):
                continue
            tick(len(tail) - index)
            absorbed, below = project(tail[index:], tids, min_support)
            closure = head | items | absorbed
            size = closure.bit_count()
            if size <= max_size:
                yield closure, tids
            if below and size < max_size:
                stack.append((closure, below, _from_last(below, earlier)))
                break
        else:
            stack.pop()


def _from_last(
    tail: list[Pattern], earlier: int
) -> Iterator[tuple[int, Pattern, int]]:
    # The last candidates have the fewest below them, so that a search that is
    # stopped has not descended into a long tail first.
    tried = list(accumulate((items for items, _ in tail), or_, initial=earlier))
    for index in range(len(tail) - 1, -1, -1):
        yield index + 1, tail[index], tried[index]
