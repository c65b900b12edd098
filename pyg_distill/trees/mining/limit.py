"""Too many sets: which support would fit?"""

from collections.abc import Callable, Iterator

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
            (default: :obj:0)
        suggestion (int, optional): The smallest support count that was
            verified to fit the limit, if any. (default: :obj:None)
    """

    def __init__(
        self, message: str, limit: int = 0, suggestion: int | None = None
    ) -> None:
        super().__init__(message)
        self.limit = limit
        self.suggestion = suggestion


def smallest_fit(
    search: Callable[[int], Iterator[Pattern]],
    low: int,
    high: int,
    max_sets: int,
) -> tuple[int | None, bool]:
    """Finds the smallest support with no more sets than allowed.

    Args:
        search (callable): Yields the sets of a support.
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
            count = sum(1 for _ in search(middle))
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
