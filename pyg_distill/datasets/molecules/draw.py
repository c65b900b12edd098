"""Random choices that come out alike on every machine."""

from bisect import bisect
from collections.abc import Mapping, Sequence
from itertools import accumulate
from random import Random
from typing import TypeVar

T = TypeVar('T')


class Draw:
    """A stream of random choices that is named by numbers.

    Of all generators at hand, only :meth:`random.Random.random` is promised to
    stay the same for good; what Python, NumPy and PyTorch make of theirs (the
    choice of an element, say) may change with the version. So all is made of
    it here.

    Args:
        *seed (int): The numbers. Streams of different numbers are unrelated.
    """

    def __init__(self, *seed: int) -> None:
        self._uniform = Random(' '.join(map(str, seed))).random

    def chance(self, probability: float) -> bool:
        """Says yes with the given probability."""
        return self._uniform() < probability

    def pick(self, options: Sequence[T]) -> T:
        """Picks one of the options, which are equally likely."""
        return options[int(self._uniform() * len(options))]

    def weighted(self, weights: Mapping[T, int]) -> T:
        """Picks one of the keys, as often as their weights say."""
        bounds = list(accumulate(weights.values()))
        place = bisect(bounds, self._uniform() * bounds[-1])
        return list(weights)[place]
