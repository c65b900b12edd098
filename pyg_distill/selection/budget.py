"""How much to keep: bytes or graphs, each class with its share."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from functools import cached_property
from itertools import islice
from math import ceil, inf
from numbers import Integral, Real
from typing import Any, Literal

import torch
from torch import Tensor

from pyg_distill.data.statistics import TreeStatistics
from pyg_distill.data.storage import encode, source_size

# What is kept if nothing says how much, and at least one graph a class.
DEFAULT_BUDGET = 0.1

ClassWeight = Literal['source', 'uniform', 'none']
SizeFunction = Callable[[Tensor], int]


class BudgetTooSmall(ValueError):  # noqa: N818
    """Not even the least that can be kept, of :obj:`num_bytes`, fits."""

    def __init__(self, message: str, num_bytes: float = inf) -> None:
        super().__init__(message)
        self.num_bytes = num_bytes


class Budget:
    """How much a selector may keep.

    Args:
        statistics (TreeStatistics): What is known of the source.
        budget (float or int, optional): A share of the compressed bytes of
            the source in :obj:`(0, 1]` (a :obj:`float`), or bytes (an
            :obj:`int`). (default: :obj:`None`)
        num_graphs (int, optional): The number of graphs.
            (default: :obj:`None`)
        class_weight (str, optional): What the weights of a class sum to; see
            :class:`~pyg_distill.datasets.MirageDataset`.
            (default: :obj:`"source"`)
    """

    def __init__(
        self,
        statistics: TreeStatistics,
        budget: float | int | None = None,
        num_graphs: int | None = None,
        class_weight: ClassWeight = 'source',
    ) -> None:
        self.statistics = statistics
        self.is_default = budget is None and num_graphs is None
        self.budget = DEFAULT_BUDGET if self.is_default else budget
        self.num_graphs = num_graphs
        self.class_weight = class_weight

    @property
    def measured_bytes(self) -> int | None:
        """The compressed bytes of the source, if they had to be measured."""
        return self.__dict__.get('source_bytes')

    @cached_property
    def source_bytes(self) -> int | None:
        """The compressed bytes of the source, if the budget is a share."""
        if isinstance(self.budget, float):
            return source_size(self.statistics.source)
        return None

    @cached_property
    def num_bytes(self) -> float:
        """The bytes that may be kept, infinite without a budget."""
        if self.budget is None:
            return inf
        if self.source_bytes is None:
            return self.budget
        # As it is written: 0.57 of 100 bytes are 57, not a little less.
        return int(Fraction(str(self.budget)) * self.source_bytes)

    def fill(
        self,
        order: Tensor | Mapping[int, Iterable[int]],
        size: SizeFunction | None = None,
    ) -> Tensor:
        """Takes graphs in their order, each class with its share.

        The share of a class is that of the source, rounded, and one graph at
        least. A graph that does not fit ends its class, and the other classes
        go on.

        Args:
            order (torch.Tensor or dict): Positions of graphs, the best first,
                or an iterable of them for each class, read as far as needed.
            size (callable, optional): The compressed bytes of some positions;
                by default, of the graphs themselves. (default: :obj:`None`)

        Returns:
            torch.Tensor: The positions of the graphs to keep.

        Raises:
            BudgetTooSmall: If one graph a class does not fit.
            ValueError: If there are not enough graphs.
        """
        if not isinstance(order, Mapping):
            label = self.statistics.label
            order = torch.as_tensor(order).long().cpu()
            order = {
                c: order[label[order] == c].tolist()
                for c in label.unique().tolist()
            }
        orders = _ClassOrders(order)
        class_sizes = self.statistics.class_sizes()
        turns = class_turns(class_sizes)
        num_classes = len(class_sizes)
        if self.num_graphs is not None:
            if not num_classes <= self.num_graphs <= len(turns):
                raise ValueError(
                    f"'num_graphs' must be at least one a class (got "
                    f'{self.num_graphs}); pass {num_classes} to {len(turns)}'
                )
            turns = turns[: self.num_graphs]
        if self.budget is None:
            return orders.first(turns)
        if size is None:
            size = self._graph_size(orders, turns)
        first = orders.first(turns[:num_classes])
        least = size(first)
        if least > self.num_bytes:
            if self.is_default:
                return first
            raise self.too_small(least, f'{num_classes} graphs, one a class')
        return _fill(turns, num_classes, orders, size, self.num_bytes, least)

    def _graph_size(
        self, orders: '_ClassOrders', turns: list[int]
    ) -> SizeFunction:
        source = self.statistics.source

        def size(index: Tensor) -> int:
            index = index.sort().values  # As they are stored.
            if not source.is_fetched(index):
                # Reading a source again takes longer than some graphs more.
                ahead = orders.first(turns[: max(64, 2 * index.numel())])
                source.fetch(torch.cat([index, ahead]).unique())
            return encode(source.fetch(index)).num_bytes

        return size

    def too_small(self, num_bytes: int, what: str) -> BudgetTooSmall:
        """An error that names the smallest budget that works."""
        got, works = f'{self.budget}', f'{num_bytes} bytes'
        if self.source_bytes is not None:
            got += f', which is {self.num_bytes} bytes'
            # Rounded up, so that it works when it is passed back.
            share = ceil(Fraction(num_bytes * 10**6, self.source_bytes)) / 1e6
            if share <= 1:
                works = f'{share:.6f}, which is {works}'
            else:
                works += f' (an int), more than the {self.source_bytes} of all'
        return BudgetTooSmall(
            f"'budget' is too small for {what} (got {got}); the smallest that "
            f'works is {works}',
            num_bytes,
        )


def class_turns(class_sizes: Mapping[int, int]) -> list[int]:
    r"""Says which class gets the next graph, so that shares are kept.

    After the first graph of each class, the :math:`j`-th graph of a class of
    :math:`G_c` comes at :math:`(j - 1/2) / G_c`. This is Webster's method,
    which rounds shares to the nearest numbers that add up. A larger number of
    graphs never takes a graph away from a class.
    """
    size = torch.tensor(list(class_sizes.values()))
    number = torch.cat([torch.arange(n) for n in class_sizes.values()])
    when = (2 * number + 1).double() / size.repeat_interleave(size)
    when[number == 0] = 0
    label = torch.tensor(list(class_sizes)).repeat_interleave(size)
    return label[torch.argsort(when, stable=True)].tolist()


class _ClassOrders:
    """The graphs of each class in an order that is computed when needed."""

    def __init__(self, orders: Mapping[int, Iterable[int]]) -> None:
        self._rest: dict[int, Iterator[int]] = {
            label: iter(order) for label, order in orders.items()
        }
        self._known: dict[int, list[int]] = {label: [] for label in orders}

    def first(self, turns: Iterable[int]) -> Tensor:
        """The first graphs of each class, one a turn, class by class."""
        out = []
        for label, k in sorted(Counter(turns).items()):
            known = self._known[label]
            known += islice(self._rest[label], max(0, k - len(known)))
            out += known[:k]
        return torch.tensor(out, dtype=torch.long)


def _fill(
    turns: list[int],
    num_first: int,
    orders: _ClassOrders,
    size: SizeFunction,
    num_bytes: float,
    spent: int,
) -> Tensor:
    """Takes turns until nothing fits, where the first ones are known to."""
    taken, rest = turns[:num_first], turns[num_first:]
    while rest:

        def next_size(
            k: int, taken: list[int] = taken, rest: list[int] = rest
        ) -> int:
            return size(orders.first(taken + rest[:k]))

        slope = spent / len(taken)
        k, spent = _longest(next_size, num_bytes, len(rest), spent, slope)
        taken, closed = taken + rest[:k], rest[k : k + 1]
        rest = [label for label in rest[k:] if label not in closed]
    return orders.first(taken)


def _longest(
    size: Callable[[int], int],
    num_bytes: float,
    most: int,
    spent: int,
    slope: float,
) -> tuple[int, int]:
    """The largest number that fits, and its size.

    Sizes rise almost evenly, so the number is guessed from those known, and
    bisected now and then. Zero has the size ``spent`` and fits, and one more
    adds about ``slope``. More might fit if sizes fall in between.
    """
    low, high, tries = 0, most + 1, 0
    while high - low > 1:
        guess = low + int((num_bytes - spent) / max(slope, 1e-9))
        if tries % 3 == 2 and high <= most:
            guess = (low + high) // 2
        new = min(max(guess, low + 1), high - 1)
        result = size(new)
        slope = (result - spent) / (new - low)
        if result <= num_bytes:
            low, spent = new, result
        else:
            high = new
        tries += 1
    return low, spent


def count_or_share(name: str, value: Any, hint: str) -> int | float:
    """A count of one or more, or a share, as a plain number."""
    is_real = isinstance(value, Real) and not isinstance(value, bool)
    is_count = isinstance(value, Integral)
    if not is_real or not (value >= 1 if is_count else 0 < value <= 1):
        raise (ValueError if is_real else TypeError)(
            f"'{name}' must be a count of 1 or more (an int), or a share in "
            f'(0, 1] (a float) (got {value!r}); {hint}'
        )
    return int(value) if is_count else float(value)


def check_count(name: str, value: Any) -> int | None:
    """A count of one or more as a plain number, or :obj:`None`."""
    if value is None:
        return None
    is_count = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_count or value < 1:
        raise (ValueError if is_count else TypeError)(
            f"'{name}' must be an integer of 1 or more (got {value!r}); pass "
            f'None for no bound'
        )
    return int(value)  # Numbers of NumPy cannot be written to a report.


def check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    """Refuses a value that is not among the choices."""
    if value not in choices:
        raise ValueError(
            f"'{name}' must be one of {', '.join(map(repr, choices))} (got "
            f'{value!r}); check the spelling'
        )
