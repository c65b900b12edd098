import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import compress, islice
from numbers import Integral, Real
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from pyg_distill.trees._all import (
    Pattern,
    Tick,
    all_sets,
    to_columns,
    to_tensors,
)
from pyg_distill.trees._closed import closed_sets
from pyg_distill.trees._maximal import maximal_sets

_MINERS = {'all': all_sets, 'closed': closed_sets, 'maximal': maximal_sets}
_ADVICE = {
    'all': "mode='closed', a `max_size` or a larger `max_sets`",
    'closed': "mode='maximal', a `max_size` or a larger `max_sets`",
    'maximal': 'another `min_support`, or a larger `max_sets`',
}
# A search for suggestions ends this long after the call, so that a user who
# asked for too much hears so at once.
_SECONDS = 1.5
# Intersections per allowed set, as a search for maximal sets may take any time
# without finding one.
_WORK = 400


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


@dataclass(frozen=True, eq=False)
class FrequentSets:
    r""":math:`P` item sets, and the transactions that support them.

    They are ordered by descending support, then by descending size, then
    lexicographically by their items.

    Args:
        item (torch.Tensor): The items of all sets, set after set, ascending
            within each set.
        ptr (torch.Tensor): Where the sets begin in :obj:`item`, of shape
            :math:`[P + 1]`.
        support (torch.Tensor): The number of transactions that hold all items
            of a set, of shape :math:`[P]`.
        tids (tuple): The transactions that hold all items of a set, as one
            integer per set whose :math:`t`-th bit is transaction :math:`t`.
    """

    item: Tensor
    ptr: Tensor
    support: Tensor
    tids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.tids)

    def transactions(self, p: int) -> Tensor:
        r"""Returns the transactions that hold set :obj:`p`, ascending."""
        tids = self.tids[p]
        packed = tids.to_bytes((tids.bit_length() + 7) // 8, 'little')
        bits = np.unpackbits(
            np.frombuffer(packed, dtype=np.uint8), bitorder='little'
        )
        return torch.from_numpy(bits.nonzero()[0]).to(self.ptr)

    def select(self, mask: Tensor) -> 'FrequentSets':
        r"""Keeps the sets for which :obj:`mask` of shape :math:`[P]` holds."""
        size = self.ptr.diff()
        return FrequentSets(
            item=self.item[mask.repeat_interleave(size)],
            ptr=torch.nn.functional.pad(size[mask].cumsum(0), (1, 0)),
            support=self.support[mask],
            tids=tuple(compress(self.tids, mask.tolist())),
        )


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
            f'`min_support` is {min_support!r}, but must be a count (an int) '
            f'or a fraction (a float); {hint}'
        )
    if isinstance(min_support, Integral):
        if not 1 <= min_support <= num_transactions:
            raise ValueError(
                f'`min_support` is the count {min_support}, but must be in '
                f'1..{num_transactions}, the number of graphs; {hint}'
            )
        return int(min_support)
    if not 0 < min_support <= 1:
        raise ValueError(
            f'`min_support` is the fraction {min_support}, but must be in '
            f'(0, 1]; {hint}'
        )
    if num_transactions < 1:
        raise ValueError(
            f'There are {num_transactions} graphs, but a fraction needs at '
            f'least one; try to leave out classes without graphs'
        )
    # The product may round to either side of the count.
    count = max(math.ceil(min_support * num_transactions) - 1, 1)
    while count / num_transactions < min_support:
        count += 1
    return count


def frequent_sets(
    item: Tensor,
    transaction: Tensor,
    num_transactions: int,
    min_support: int,
    mode: str = 'closed',
    max_sets: int | None = 10_000,
    max_size: int | None = None,
) -> FrequentSets:
    r"""Mines the sets of items that many transactions hold.

    Args:
        item (torch.Tensor): The items, non-negative integers, of shape
            :math:`[K]`.
        transaction (torch.Tensor): The transactions that hold them, of shape
            :math:`[K]`. Pairs that occur more than once count once.
        num_transactions (int): The number of transactions, with those that
            hold no item.
        min_support (int): The number of transactions that must hold a set,
            see :meth:`support_count`.
        mode (str, optional): Which sets to return: :obj:`"all"` of them,
            those without a superset of equal support (:obj:`"closed"`), or
            those without a frequent superset (:obj:`"maximal"`). The empty
            set is never one of them. (default: :obj:`"closed"`)
        max_sets (int, optional): The largest number of sets to return. No
            more than one above this many are ever held. In mode
            :obj:`"maximal"` it also bounds the search itself. If set to
            :obj:`None`, there is no bound. (default: :obj:`10_000`)
        max_size (int, optional): If set, will leave out sets of more items.
            (default: :obj:`None`)

    Raises:
        TooManySets: If there are more than :obj:`max_sets` sets.
        TypeError: If :obj:`min_support` is not a count.
        ValueError: If an argument is out of its range.
    """
    start = perf_counter()
    _check(item, transaction, num_transactions, mode, max_sets, max_size)
    if not isinstance(min_support, Integral):
        raise TypeError(
            f'`min_support` is {min_support!r}, but must be a count (an int); '
            f'turn a fraction into one with `support_count`'
        )
    min_support = support_count(min_support, num_transactions)
    values, columns = to_columns(
        item, transaction, num_transactions, min_support
    )
    size = len(columns) if max_size is None else max_size
    work = math.inf
    if max_sets is not None and mode == 'maximal':
        work = _WORK * max(max_sets, 10_000)

    def search(count: int, deadline: float = math.inf) -> Iterator[Pattern]:
        return islice(
            _MINERS[mode](
                columns, num_transactions, count, size, _budget(work, deadline)
            ),
            None if max_sets is None else max_sets + 1,
        )

    found: list[Pattern] = []
    stopped = False
    try:
        found.extend(search(min_support))
    except _OutOfWork:
        stopped = True
    if max_sets is not None and (stopped or len(found) > max_sets):
        found.clear()
        deadline = max(start + _SECONDS, perf_counter() + _SECONDS / 4)
        fit, is_done = _smallest_fit(
            lambda count: search(count, deadline),
            min_support,
            num_transactions,
            max_sets,
        )
        reason = (
            f'Found more than `max_sets={max_sets}` {mode} sets'
            if not stopped
            else f'Stopped the search for at most `max_sets={max_sets}` '
            f'{mode} sets as it grew out of proportion'
        )
        raise TooManySets(
            f'{reason} at a `min_support` of {min_support} out of '
            f'{num_transactions}; '
            + _advice(fit, is_done, mode, num_transactions),
            max_sets,
            fit,
        )
    found.sort(key=lambda p: (-p[1].bit_count(), -p[0].bit_count(), -p[0]))
    return FrequentSets(
        *(x.to(item.device) for x in to_tensors(values, found)),
        tids=tuple(tids for _, tids in found),
    )


def _check(
    item: Tensor,
    transaction: Tensor,
    num_transactions: int,
    mode: str,
    max_sets: int | None,
    max_size: int | None,
) -> None:
    for name, value, stop in [
        ('item', item, math.inf),
        ('transaction', transaction, num_transactions),
    ]:
        if value.dtype != torch.long or value.shape != (item.numel(),):
            raise ValueError(
                f'`{name}` is {value.dtype} of shape {list(value.shape)}, but '
                f'must be long of shape [{item.numel()}], one entry per '
                f'incidence; try `{name}.long().flatten()`'
            )
        if value.numel() and not 0 <= value.min() <= value.max() < stop:
            raise ValueError(
                f'`{name}` lies in {int(value.min())}..{int(value.max())}, but '
                f'must be at least 0 and less than {stop}; number items and '
                f'transactions from 0, and check `num_transactions`'
            )
    if mode not in _MINERS:
        raise ValueError(
            f"`mode` is {mode!r}, but must be 'all', 'closed' or 'maximal'; "
            f"try 'closed', which loses no set's support"
        )
    for name, bound in [('max_sets', max_sets), ('max_size', max_size)]:
        if bound is not None and bound < 1:
            raise ValueError(
                f'`{name}` is {bound}, but must be at least 1; try '
                f'`{name}=None` for no bound'
            )


class _OutOfWork(Exception):  # noqa: N818
    pass


class _OutOfTime(Exception):  # noqa: N818
    pass


def _budget(work: float, deadline: float) -> Tick:
    spent = 0

    def tick(amount: int) -> None:
        nonlocal spent
        spent += amount
        if spent > work:
            raise _OutOfWork
        if deadline < math.inf and perf_counter() > deadline:
            raise _OutOfTime

    return tick


def _smallest_fit(
    search: Callable[[int], Iterator[Pattern]],
    low: int,
    num_transactions: int,
    max_sets: int,
) -> tuple[int | None, bool]:
    # Halves the supports between one that does not fit and one that does. As
    # maximal sets may become fewer at a smaller support, only a support that
    # was itself tried, and has sets at all, is ever named.
    fit, high = None, num_transactions + 1
    while high - low > 1:
        middle = min((low + high) // 2, num_transactions)
        if fit is None and high > num_transactions:
            middle = num_transactions
        try:
            count = sum(1 for _ in search(middle))
        except _OutOfWork:
            count = max_sets + 1
        except _OutOfTime:
            return fit, False
        if count > max_sets:
            low = middle
        else:
            high = middle
            fit = middle if count else fit
    return fit, True


def _advice(
    fit: int | None, is_done: bool, mode: str, num_transactions: int
) -> str:
    if fit is None:
        tried = 'fits' if is_done else 'was found to fit in time'
        return f'no `min_support` {tried}; try {_ADVICE[mode]}'
    share = next(
        share
        for share in (round(fit / num_transactions, d) for d in range(2, 18))
        if 0 < share <= 1 and support_count(share, num_transactions) == fit
    )
    smallest = (
        'the smallest that' if is_done and mode != 'maximal' else 'one that'
    )
    return (
        f'try {fit} (or the fraction {share}), {smallest} fits, or '
        f'{_ADVICE[mode]}'
    )
