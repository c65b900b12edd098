"""Checks that the options of several data sets share."""

from numbers import Integral, Real
from typing import Any


def one_of(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Refuses a value that is not among those allowed.

    Args:
        name (str): The name of the option.
        value: What was given.
        allowed (tuple): What can be.
    """
    if value not in allowed:
        raise ValueError(
            f"'{name}' must be one of {', '.join(map(repr, allowed))} (got "
            f'{value!r})'
        )


def plain_budget(budget: Any) -> int | float | None:
    """A number of bytes or a share, as a plain number.

    Args:
        budget (int or float, optional): What was given.
    """
    if budget is None:
        return None
    hint = 'an int is bytes, 0.02 is 2% of the bytes of the source'
    return count_or_share('budget', budget, 'a number of bytes', hint)


def count_or_share(
    name: str, value: Any, counts: str, hint: str
) -> int | float:
    """A count of one or more, or a share, as a plain number.

    Args:
        name (str): The name of the option.
        value: What was given.
        counts (str): What a count is.
        hint (str): What to try.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(
            f"'{name}' must be {counts} (an int) or a share (a float) (got "
            f'{value!r}); {hint}'
        )
    plain = int(value) if isinstance(value, Integral) else float(value)
    if not (plain >= 1 if isinstance(plain, int) else 0 < plain <= 1):
        raise ValueError(
            f"'{name}' must be {counts} (an int) of 1 or more, or a share (a "
            f'float) in (0, 1] (got {plain}); {hint}'
        )
    return plain
