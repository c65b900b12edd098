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
    hint = 'an int is bytes, 0.02 is 2% of the bytes of the source'
    if budget is None:
        return None
    if isinstance(budget, bool) or not isinstance(budget, Real):
        raise TypeError(
            f"'budget' must be a number of bytes (an int) or a share (a "
            f'float) (got {budget!r}); {hint}'
        )
    if isinstance(budget, Integral):
        if budget < 1:
            raise ValueError(
                f"'budget' must be 1 byte or more or a share in (0, 1] (got "
                f'{budget}); {hint}'
            )
        return int(budget)
    share = float(budget)
    if not 0 < share <= 1:
        raise ValueError(
            f"'budget' must be a share in (0, 1] or a number of bytes (got "
            f'{share}); {hint}'
        )
    return share
