"""Too many sets: which support would fit?"""

from collections.abc import Callable, Sequence
from itertools import islice

from pyg_distill.trees.mining.bitsets import Pattern
from pyg_distill.trees.mining.budget import OutOfTime, OutOfWork
from pyg_distill.trees.mining.support import support_count

_ADVICE = {
    'all': "mode='closed', a max_size or a larger max_sets",
    'closed': "mode='maximal', a max_size or a larger max_sets",
    'maximal': 'a larger max_sets, or none if time does not matter',
}


class TooManySets(ValueError):  # noqa: N818 (named by what happened)
    r"""There are more frequent sets than were allowed for.

    Args:
        message (str): What happened and what to try.
        limit (int, optional): The number of sets allowed for.
            (default: :obj:`0`)
        suggestion (int, optional): The smallest support count that was
            verified to fit the limit, if any. (default: :obj:`None`)
    """

    def __init__(
        self, message: str, limit: int = 0, suggestion: int | None = None
    ) -> None:
        super().__init__(message)
        self.limit = limit
        self.suggestion = suggestion


def surely_more(
    columns: Sequence[Pattern], min_support: int, mode: str, max_sets: int
) -> bool:
    """Tells at a glance, where that is possible, that a limit is exceeded.

    All items are looked at, then some pairs of items, the most frequent ones
    first. In mode :obj:`"all"` each frequent one is a set of its own; in mode
    :obj:`"closed"` each set of transactions that supports one is that of a
    closed set.

    Args:
        columns (list): The items as patterns.
        min_support (int): The smallest support of a frequent set.
        mode (str): :obj:`"all"` or :obj:`"closed"`.
        max_sets (int): The number of sets allowed.

    Returns:
        bool: :obj:`False` also says that a closer look is needed.
    """
    frequent = [tids for _, tids in columns if tids.bit_count() >= min_support]
    if mode == 'closed':
        frequent = list(dict.fromkeys(frequent))
    if len(frequent) > max_sets:
        return True
    # Frequent items share the most transactions, and every two neighbors in
    # this order are tried before a far-off pair is.
    frequent.sort(key=int.bit_count, reverse=True)
    pairs = (
        first & second
        for index, second in enumerate(frequent)
        for first in islice(frequent, index)
    )
    number, seen = len(frequent), set(frequent)
    for tids in islice(pairs, 4 * max_sets):
        if tids.bit_count() < min_support:
            continue
        number += 1
        if mode == 'closed':
            seen.add(tids)
            number = len(seen)
        if number > max_sets:
            return True
    return False


def smallest_fit(
    num_sets: Callable[[int], int], low: int, high: int, max_sets: int
) -> tuple[int | None, bool]:
    """Finds the smallest support with no more sets than allowed.

    Args:
        num_sets (callable): Counts the sets of a support, at most one more
            than allowed.
        low (int): A support that has too many sets.
        high (int): A support that has none.
        max_sets (int): The number of sets allowed.

    Returns:
        tuple: The smallest support found to fit, if any, and whether the time
        was enough to look for a smaller one.
    """
    # Gallops down from the largest support, where sets are few and soon
    # counted, then bisects. As maximal sets may become fewer at a smaller
    # support, only one that was itself tried, and has sets, is ever named.
    fit, step = None, 1
    while high - low > 1:
        middle = max((low + high) // 2, high - step)
        try:
            count = num_sets(middle)
        except OutOfWork:
            count = max_sets + 1
        except OutOfTime:
            return fit, False
        if count > max_sets:
            low = middle
        else:
            high, step = middle, 2 * step
            fit = middle if count else fit
    return fit, True


def advice(
    fit: int | None, is_done: bool, mode: str, num_transactions: int
) -> str:
    """Puts what :meth:`smallest_fit` returned into words."""
    if fit is None:
        is_known = is_done and mode != 'maximal'
        tried = 'fits' if is_known else 'was found to fit in time'
        return f'no min_support {tried}; try {_ADVICE[mode]}'
    # Rounded down, as a larger fraction would ask for one transaction more.
    share = next(
        share
        for share in (
            fit * 10**digits // num_transactions / 10**digits
            for digits in range(2, 18)
        )
        if share > 0 and support_count(share, num_transactions) == fit
    )
    smallest = (
        'the smallest that' if is_done and mode != 'maximal' else 'one that'
    )
    return (
        f'try {fit} (or the fraction {share}), {smallest} fits, or '
        f'{_ADVICE[mode]}'
    )
