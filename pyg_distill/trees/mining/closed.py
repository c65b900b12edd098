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
    if not frequent:
        return 0, frequent
    groups = {common: items for items, common in frequent}
    if len(groups) < len(frequent):
        groups = dict.fromkeys(groups, 0)
        for items, common in frequent:
            groups[common] |= items
    elif len(groups) == 1 and tids not in groups:
        return 0, frequent
    absorbed = groups.pop(tids, 0)
    return absorbed, [
        (groups[common], common) for common in sorted(groups, key=int.bit_count)
    ]


class Candidates:
    r"""The candidates of the empty prefix, by item and by transaction."""

    def __init__(
        self, tail: Sequence[Pattern], num_transactions: int, tick: Tick
    ) -> None:
        # Items that the same transactions hold are told by any one of them.
        columns = [(items & -items, tids) for items, tids in tail]
        everything = (1 << num_transactions) - 1
        self.lacking = {bit: everything ^ tids for bit, tids in columns}
        self.rows = Rows(columns, num_transactions, tick)
        self.all_items = sum(self.lacking)

    def hold_any(self, items: int, tids: int) -> bool:
        r"""Tells whether one of the items is in all of the transactions."""
        # Two transactions rule out nearly every item at the cost of a look-up
        # each, and then a transaction that lacks one item rules out others.
        rows = self.rows
        items &= self.all_items & rows[tids.bit_length() - 1]
        if items:
            items &= rows[(tids & -tids).bit_length() - 1]
        while items:
            left = tids & self.lacking[items & -items]
            if not left:
                return True
            items &= rows[left.bit_length() - 1]
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
    hold_any = Candidates(tail, num_transactions, tick).hold_any
    # The last candidates have the fewest below them, so that a search that is
    # stopped has not descended into a long tail first.
    index, tried = len(tail), _tried(tail, 0)
    stack: list[tuple[int, list[Pattern], list[int], int]] = []
    while index or stack:
        if not index:
            head, tail, tried, index = stack.pop()
        index -= 1
        items, tids = tail[index]
        if hold_any(tried[index], tids):
            continue
        closure, below = head | items, None
        if rest := tail[index + 1 :]:
            tick(len(rest))
            absorbed, below = project(rest, tids, min_support)
            closure |= absorbed
        size = closure.bit_count()
        if size <= max_size:
            yield closure, tids
        if below and size < max_size:
            if index:
                stack.append((head, tail, tried, index))
            tried = _tried(below, tried[index])
            head, tail, index = closure, below, len(below)


def _tried(tail: Sequence[Pattern], earlier: int) -> list[int]:
    return list(accumulate((items for items, _ in tail), or_, initial=earlier))
