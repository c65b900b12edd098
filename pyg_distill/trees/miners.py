"""Searches for frequent item sets: all, closed or maximal ones.

A pattern is a set of items and the transactions that hold all of them. Both
are bit sets, each held in one Python integer. A search takes the frequent items
as patterns, and yields sets as patterns. `slack` tells how many more items a
set may have.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from operator import or_

import numpy as np

Pattern = tuple[int, int]


class OutOfWorkError(Exception):
    """A search has done all the work that it may do."""


def all_sets(
    columns: Sequence[Pattern], min_support: int, max_size: int | None
) -> Iterator[Pattern]:
    r"""Yields every frequent set, depth first.

    This is Eclat from the `"Scalable Algorithms for Association Mining"
    <https://doi.org/10.1109/69.846291>`_ paper. An item is only extended by
    items that precede it. So a search that is stopped after :math:`N` sets has
    seen little more than :math:`\log_2 N` items of a block of items that all
    co-occur.
    """
    roots = sorted(columns, key=lambda pair: -pair[1].bit_count())
    stack = [(0, 1, roots, enumerate(roots))]
    while stack:
        prefix, size, siblings, rest = stack[-1]
        for index, (bit, tids) in rest:
            items = prefix | bit
            yield items, tids
            if index == 0 or (max_size is not None and size >= max_size):
                continue
            children = [
                (other, common)
                for other, others in siblings[:index]
                if (common := others & tids).bit_count() >= min_support
            ]
            if children:
                stack.append((items, size + 1, children, enumerate(children)))
                break
        else:
            stack.pop()


def closed_sets(
    columns: Sequence[Pattern],
    num_transactions: int,
    min_support: int,
    slack: Callable[[int], float],
) -> Iterator[Pattern]:
    r"""Yields every closed frequent set, depth first.

    This is the prefix-preserving closure extension from the `"LCM ver. 2:
    Efficient Mining Algorithms for Frequent/Closed/Maximal Itemsets"
    <https://ceur-ws.org/Vol-126/uno.pdf>`_ paper: an extension whose closure
    holds an item that was tried earlier is dropped, as its closed set was
    found there. So no set has to be remembered. The items under each prefix
    are ordered anew, rarest first.
    """
    everything = (1 << num_transactions) - 1
    head, tail = _project(columns, everything, min_support)
    if head and slack(head) >= 0:
        yield head, everything
    if slack(head) <= 0:
        return
    is_held = _HeldItems(tail, num_transactions)
    # The last candidates have the fewest below them: a search that is stopped
    # has not descended into a long tail first.
    index, tried = len(tail), _unions(tail, 0)
    stack: list[tuple[int, list[Pattern], list[int], int]] = []
    while index or stack:
        if not index:
            head, tail, tried, index = stack.pop()
        index -= 1
        items, tids = tail[index]
        if is_held.any(tried[index], tids):
            continue
        closure, below = head | items, None
        if rest := tail[index + 1 :]:
            absorbed, below = _project(rest, tids, min_support)
            closure |= absorbed
        left = slack(closure)
        if left >= 0:
            yield closure, tids
        if below and left > 0:
            if index:
                stack.append((head, tail, tried, index))
            tried = _unions(below, tried[index])
            head, tail, index = closure, below, len(below)


def maximal_sets(
    columns: Sequence[Pattern],
    num_transactions: int,
    min_support: int,
    slack: Callable[[int], float],
    max_work: float,
) -> Iterator[Pattern]:
    r"""Yields every maximal frequent set, depth first.

    This is backtracking as in the `"Efficiently Mining Maximal Frequent
    Itemsets" <https://doi.org/10.1109/ICDM.2001.989514>`_ paper (GenMax),
    where each prefix is compared only with the found sets that hold it
    (progressive focusing). The pruning of parent equivalents and of the union
    of head and tail is from the `"MAFIA: A Maximal Frequent Itemset Algorithm
    for Transactional Databases" <https://doi.org/10.1109/ICDE.2001.914857>`_
    paper. A search of more than `max_work` intersections raises an error.
    """
    work = 0
    stack: list[tuple[int, list[Pattern], Iterator, list[int]]] = []
    node: tuple[int, int, Sequence[Pattern], list[int]] | None
    node = (0, (1 << num_transactions) - 1, columns, [])
    while node is not None:
        head, tids, candidates, known = node
        work += 3 * len(candidates) + len(known)
        if work > max_work:
            raise OutOfWorkError
        absorbed, tail = _project(candidates, tids, min_support)
        head |= absorbed
        unions = _unions(tail[::-1], head)[::-1]
        union = unions[0]
        if slack(head) >= 0 and not _is_covered(union, known):
            for _, others in tail:
                tids &= others
            if tids.bit_count() < min_support:
                rest = enumerate(zip(tail, unions, strict=False), start=1)
                stack.append((head, tail, rest, known))
            elif union and slack(union) >= 0:
                # Larger sets are unknown if their size is bounded.
                is_bounded = slack(0) < math.inf
                work += 3 * len(columns) * is_bounded
                if not is_bounded or not any(
                    (tids & others).bit_count() >= min_support
                    for bit, others in columns
                    if not bit & union
                ):
                    for *_, above in stack:
                        above.append(union)
                    yield union, tids
        node = _next_node(stack)


def _project(
    tail: Iterable[Pattern], tids: int, min_support: int
) -> tuple[int, list[Pattern]]:
    """Restricts candidate items to the transactions of a prefix.

    Returns the items that all of these transactions hold, and the other
    frequent candidates by ascending support. Candidates that are held by the
    same transactions become one.
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


def _unions(tail: Iterable[Pattern], items: int) -> list[int]:
    """Accumulates the items of some patterns."""
    return list(accumulate((more for more, _ in tail), or_, initial=items))


def _next_node(
    stack: list[tuple[int, list[Pattern], Iterator, list[int]]],
) -> tuple[int, int, Sequence[Pattern], list[int]] | None:
    while stack:
        head, tail, rest, known = stack[-1]
        for index, ((items, tids), union) in rest:
            if _is_covered(union, known):
                break
            bit = items & -items
            focused = [other for other in known if other & bit]
            return head | items, tids, tail[index:], focused
        stack.pop()
    return None


def _is_covered(items: int, known: list[int]) -> bool:
    for other in known:  # noqa: SIM110 (`any()` takes twice as long here)
        if items & other == items:
            return True
    return False


class _HeldItems:
    """Tells whether items are held by all of some transactions."""

    def __init__(self, columns: Sequence[Pattern], num_transactions: int):
        # Any item tells of all items that the same transactions hold.
        columns = [(items & -items, tids) for items, tids in columns]
        everything = (1 << num_transactions) - 1
        self.lacking = {bit: everything ^ tids for bit, tids in columns}
        self.all_items = sum(self.lacking)
        self.place = np.array(
            [bit.bit_length() - 1 for bit, _ in columns], dtype=int
        )
        width = (num_transactions + 7) // 8
        packed = b''.join(tids.to_bytes(width, 'little') for _, tids in columns)
        octets = np.frombuffer(packed, np.uint8).reshape(-1, width)
        self.octets = np.ascontiguousarray(octets.T)
        self.rows: dict[int, int] = {}

    def any(self, items: int, tids: int) -> bool:
        """Tells whether one of the items is in all of the transactions."""
        # Two transactions rule out nearly every item by a look-up each. Then a
        # transaction that lacks one item rules out others.
        items &= self.all_items & self._row(tids.bit_length() - 1)
        if items:
            items &= self._row((tids & -tids).bit_length() - 1)
        while items:
            left = tids & self.lacking[items & -items]
            if not left:
                return True
            items &= self._row(left.bit_length() - 1)
        return False

    def _row(self, transaction: int) -> int:
        """The items that one transaction holds."""
        if transaction not in self.rows:
            first = transaction // 8
            bits = np.zeros((8, int(self.place.max(initial=-1)) + 1), np.uint8)
            bits[:, self.place] = np.unpackbits(
                self.octets[first : first + 1], axis=0, bitorder='little'
            )
            packed = np.packbits(bits, axis=1, bitorder='little')
            for t, row in enumerate(packed, start=8 * first):
                self.rows[t] = int.from_bytes(row.tobytes(), 'little')
        return self.rows[transaction]
