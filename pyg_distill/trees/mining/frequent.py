"""Which sets of items do many transactions hold?"""

import math
from collections.abc import Iterator
from itertools import islice
from numbers import Integral
from time import perf_counter

import torch
from torch import Tensor

from pyg_distill.trees.mining.bitsets import (
    Pattern,
    in_order,
    to_columns,
    to_tensors,
)
from pyg_distill.trees.mining.budget import OutOfWork, budget
from pyg_distill.trees.mining.closed import closed_sets
from pyg_distill.trees.mining.every import all_sets
from pyg_distill.trees.mining.limit import (
    TooManySets,
    advice,
    smallest_fit,
    surely_more,
)
from pyg_distill.trees.mining.maximal import maximal_sets
from pyg_distill.trees.mining.sets import FrequentSets
from pyg_distill.trees.mining.support import support_count

_MINERS = {'all': all_sets, 'closed': closed_sets, 'maximal': maximal_sets}
# A search for suggestions ends this long after the call, so that a user who
# asked for too much hears so at once.
_SECONDS = 1.5
# Intersections per allowed set, as a search for maximal sets may take any time
# without finding one.
_WORK = 125


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
    if isinstance(min_support, bool) or not isinstance(min_support, Integral):
        raise TypeError(
            f"'min_support' must be a count here, an int (got "
            f"{min_support!r}); turn a fraction into one with 'support_count'"
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
                columns, num_transactions, count, size, budget(work, deadline)
            ),
            None if max_sets is None else max_sets + 1,
        )

    def is_hopeless(count: int) -> bool:
        return (
            max_sets is not None
            and max_size is None
            and mode != 'maximal'
            and surely_more(columns, count, mode, max_sets)
        )

    found: list[Pattern] = []
    stopped = False
    hopeless = is_hopeless(min_support)
    try:
        if not hopeless:
            found.extend(search(min_support))
    except OutOfWork:
        stopped = True
    if max_sets is not None and (hopeless or stopped or len(found) > max_sets):
        found.clear()
        limit = max_sets
        deadline = max(start + _SECONDS, perf_counter() + _SECONDS / 3)

        def num_sets(count: int) -> int:
            if is_hopeless(count):
                return limit + 1
            return sum(1 for _ in search(count, deadline))

        fit, is_done = smallest_fit(
            num_sets,
            min_support,
            max(tids.bit_count() for _, tids in columns) + 1,
            limit,
        )
        reason = (
            f'found more than max_sets={max_sets} {mode} sets'
            if not stopped
            else f'stopped the search for at most max_sets={max_sets} {mode} '
            f'sets as it grew out of proportion'
        )
        raise TooManySets(
            f'{reason} at a min_support of {min_support} out of '
            f'{num_transactions}; '
            + advice(fit, is_done, mode, num_transactions),
            max_sets,
            fit,
        )
    found = in_order(found)
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
                f"'{name}' must be long of shape [{item.numel()}], one entry "
                f'per incidence (got {value.dtype} of shape '
                f'{list(value.shape)}); try {name}.long().flatten()'
            )
        if value.numel() and not 0 <= value.min() <= value.max() < stop:
            raise ValueError(
                f"'{name}' must be at least 0 and less than {stop} (got "
                f'{int(value.min())} to {int(value.max())}); try to number '
                f'items and transactions from 0, and check num_transactions'
            )
    if mode not in _MINERS:
        raise ValueError(
            f"'mode' must be one of 'all', 'closed', 'maximal' (got {mode!r}); "
            f"try 'closed', which loses no set's support"
        )
    for name, bound in [('max_sets', max_sets), ('max_size', max_size)]:
        if bound is not None and bound < 1:
            raise ValueError(
                f"'{name}' must be 1 or more (got {bound}); try {name}=None "
                f'for no bound'
            )
