"""A support, as a share or a count -> a count."""

import math
from numbers import Integral, Real


def support_count(min_support: int | float, num_transactions: int) -> int:
    r"""Returns the smallest number of transactions that reaches a support.

    Args:
        min_support (int or float): The support, either as a count of
            transactions or as a fraction of them: :obj:`1` is a count,
            :obj:`1.0` is all transactions.
        num_transactions (int): The number of transactions.

    Raises:
        TypeError: If :obj:`min_support` is not a number.
        ValueError: If no number of transactions can be meant.
    """
    hint = '1 is a count, 1.0 is all graphs'
    if isinstance(min_support, bool) or not isinstance(min_support, Real):
        raise TypeError(
            f"'min_support' must be a count (an int) or a share (a float) "
            f'(got {min_support!r}); {hint}'
        )
    if isinstance(min_support, Integral):
        if not 1 <= min_support <= num_transactions:
            raise ValueError(
                f"'min_support' must be in 1..{num_transactions}, the number "
                f'of graphs (got the count {min_support}); {hint}'
            )
        return int(min_support)
    if not 0 < min_support <= 1:
        raise ValueError(
            f"'min_support' must be in (0, 1] (got the share {min_support}); "
            f'{hint}'
        )
    if num_transactions < 1:
        raise ValueError(
            f'a share needs at least one graph (got {num_transactions}); '
            f'leave out classes without graphs'
        )
    # The product may round to either side of the count.
    count = max(math.ceil(min_support * num_transactions) - 1, 1)
    while count / num_transactions < min_support:
        count += 1
    return count
