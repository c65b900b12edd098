"""Are these options that go together?"""

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Refuses anything but the choices."""
    if value not in choices:
        *most, last = map(repr, choices)
        raise ValueError(
            f"'{name}' must be {', '.join(most)} or {last} (got {value!r})"
        )


def check_positive(name: str, value: float) -> None:
    """Refuses anything but finite numbers above zero."""
    if not isinstance(value, Real) or not 0 < value < math.inf:
        raise ValueError(
            f"'{name}' must be a finite number above 0 (got {value!r}); try 1.0"
        )


def check_count(name: str, value: int) -> None:
    """Refuses anything but whole numbers above zero."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(
            f"'{name}' must be a whole number above 0 (got {value!r}); leave "
            f'it out for the default'
        )


def check_equal_widths(
    teacher_channels: Sequence[int], student_channels: Sequence[int]
) -> None:
    """Refuses layers that only a projection could compare."""
    widths = {*teacher_channels, *student_channels}
    if len(widths) > 1:
        raise ValueError(
            f"'projection' must map layers of unequal width (got None and "
            f'widths {sorted(widths)}); leave projection out'
        )
