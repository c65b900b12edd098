"""Maximal frequent sets, by GenMax with the pruning of MAFIA."""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from operator import or_

from pyg_distill.trees.mining.bitsets import Pattern
from pyg_distill.trees.mining.budget import Tick
from pyg_distill.trees.mining.closed import project


def maximal_sets(
    columns: Sequence[Pattern],
    num_transactions: int,
    min_support: int,
    max_size: int,
    tick: Tick,
) -> Iterator[Pattern]:
    r"""Yields every maximal frequent set, depth first.

    This is backtracking as in the `"Efficiently Mining Maximal Frequent
    Itemsets" <https://doi.org/10.1109/ICDM.2001.989514>`_ paper (GenMax),
    whose found sets are narrowed down to those that hold the prefix on the way
    (progressive focusing), with the pruning of parent equivalents and of the
    union of head and tail from the `"MAFIA: A Maximal Frequent Itemset
    Algorithm for Transactional Databases"
    <https://doi.org/10.1109/ICDE.2001.914857>`_ paper.

    Args:
        columns (list): The items as patterns.
        num_transactions (int): The number of transactions.
        min_support (int): The smallest support of a frequent set.
        max_size (int): The largest size of a set.
        tick (callable): Is told the amount of work about to be done.

    Yields:
        The maximal frequent sets as patterns.
    """
    everything = (1 << num_transactions) - 1
    stack: list[tuple[int, list[Pattern], Iterator, list[int]]] = []
    node: tuple[int, int, Sequence[Pattern], list[int]] | None
    node = (0, everything, columns, [])
    while node is not None:
        head, tids, candidates, known = node
        tick(3 * len(candidates) + len(known))
        absorbed, tail = project(candidates, tids, min_support)
        head |= absorbed
        unions = list(
            accumulate(
                (items for items, _ in reversed(tail)), or_, initial=head
            )
        )[::-1]
        union = unions[0]
        if head.bit_count() <= max_size and not _is_covered(union, known):
            for _, others in tail:
                tids &= others
            if tids.bit_count() < min_support:
                rest = enumerate(zip(tail, unions, strict=False), start=1)
                stack.append((head, tail, rest, known))
            elif union.bit_count() <= max_size and not (
                # Larger sets are not kept, so they do not cover this one.
                max_size < len(columns)
                and _is_extensible(union, tids, columns, min_support, tick)
            ):
                for *_, above in stack:
                    above.append(union)
                if union:
                    yield union, tids
        node = _next_node(stack)


def _next_node(
    stack: list[tuple[int, list[Pattern], Iterator, list[int]]],
) -> tuple[int, int, Sequence[Pattern], list[int]] | None:
    while stack:
        head, tail, rest, known = stack[-1]
        for index, ((items, tids), union) in rest:
            if _is_covered(union, known):
                break
            bit = items & -items
            focused = [found for found in known if found & bit]
            return head | items, tids, tail[index:], focused
        stack.pop()
    return None


def _is_covered(items: int, known: list[int]) -> bool:
    for found in known:  # noqa: SIM110 (`any()` takes twice as long here)
        if items & found == items:
            return True
    return False


def _is_extensible(
    items: int,
    tids: int,
    columns: Sequence[Pattern],
    min_support: int,
    tick: Tick,
) -> bool:
    tick(3 * len(columns))
    return any(
        (tids & others).bit_count() >= min_support
        for bit, others in columns
        if not bit & items
    )
