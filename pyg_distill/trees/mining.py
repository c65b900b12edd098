"""Frequent item sets: the sets of items that many transactions hold."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress, islice, pairwise
from numbers import Integral, Real
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch_geometric.utils import lexsort

from pyg_distill.trees.miners import (
    OutOfWorkError,
    Pattern,
    all_sets,
    closed_sets,
    maximal_sets,
)
from pyg_distill.trees.ragged import (
    inverse_permutation,
    pointer,
    ragged_range,
)

Kind = Literal['all', 'closed', 'maximal']

# Intersections per allowed set: a search for maximal sets may take any time
# without finding one.
_WORK = 125
# Sets that are unpacked together, which bounds the memory.
_BLOCK = 4096


class TooManySets(ValueError):  # noqa: N818 (named by what happened)
    """There are more frequent sets than allowed."""


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
            ptr=pointer(size[mask]),
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
        ValueError: If :obj:`min_support` is out of range, or a fraction of no
            transactions.
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


def frequent_sets(
    item: Tensor,
    transaction: Tensor,
    num_transactions: int,
    min_support: int,
    kind: Kind = 'closed',
    *,
    max_sets: int | None = 10_000,
    max_size: int | None = None,
) -> FrequentSets:
    r"""Mines the sets of items that many transactions hold.

    Args:
        item (torch.Tensor): The items, non-negative integers, of shape
            :math:`[K]`.
        transaction (torch.Tensor): The transactions that hold them, of shape
            :math:`[K]`. Pairs that occur more than once count once.
        num_transactions (int): The number of transactions, including those
            that hold no item.
        min_support (int): The number of transactions that must hold a set,
            see :meth:`support_count`.
        kind (str, optional): Which sets to return: :obj:`"all"` of them,
            those without a superset of equal support (:obj:`"closed"`), or
            those without a frequent superset (:obj:`"maximal"`). The empty
            set is never one of them. (default: :obj:`"closed"`)
        max_sets (int, optional): The largest number of sets to return. The
            search ends at one set more. For :obj:`"maximal"` sets it also
            bounds the work of the search. If set to :obj:`None`, there is no
            bound. (default: :obj:`10_000`)
        max_size (int, optional): If set, will leave out sets of more items.
            (default: :obj:`None`)

    Raises:
        TooManySets: If there are more than :obj:`max_sets` sets.
        TypeError: If :obj:`min_support` is not a count.
        ValueError: If an argument is out of its range.
    """
    _check(item, transaction, num_transactions, kind, max_sets, max_size)
    if isinstance(min_support, bool) or not isinstance(min_support, Integral):
        raise TypeError(
            f"'min_support' must be a count here, an int (got "
            f"{min_support!r}); turn a fraction into one with 'support_count'"
        )
    min_support = support_count(min_support, num_transactions)
    groups = _group_items(
        item, transaction, num_transactions, min_support, kind != 'all'
    )
    where = f'at a min_support of {min_support} out of {num_transactions}'
    hint = {
        'all': "raise min_support or max_sets, or try kind='closed'",
        'closed': "raise min_support or max_sets, or try kind='maximal'",
        'maximal': 'raise min_support or max_sets',
    }[kind]
    too_many = (
        f'found more than max_sets={max_sets} {kind} sets {where}; {hint}'
    )
    limit = math.inf if max_sets is None else max_sets
    # Each group is a set, or has a closed set of its own.
    if kind != 'maximal' and max_size is None and len(groups) > limit:
        raise TooManySets(too_many)

    columns = _to_columns([tids for _, tids in groups], num_transactions)
    sizes = [members.size for members, _ in groups]

    def slack(items: int) -> float:
        if max_size is None:
            return math.inf
        left = max_size
        while items and left >= 0:
            # The first group has the highest bit.
            left -= sizes[len(sizes) - items.bit_length()]
            items ^= 1 << (items.bit_length() - 1)
        return left

    search: Iterator[Pattern]
    if kind == 'all':
        search = all_sets(columns, min_support, max_size)
    elif kind == 'closed':
        search = closed_sets(columns, num_transactions, min_support, slack)
    else:
        work = _WORK * max(limit, 10_000)
        search = maximal_sets(
            columns, num_transactions, min_support, slack, work
        )
    try:
        patterns = list(
            islice(search, None if max_sets is None else max_sets + 1)
        )
    except OutOfWorkError:
        raise TooManySets(
            f'stopped the search for at most max_sets={max_sets} {kind} sets '
            f'{where}, as it grew out of proportion; {hint}'
        ) from None
    if len(patterns) > limit:
        raise TooManySets(too_many)
    members = [members for members, _ in groups]
    return _to_sets(members, patterns, item.device)


def _check(
    item: Tensor,
    transaction: Tensor,
    num_transactions: int,
    kind: str,
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
    if kind not in get_args(Kind):
        raise ValueError(
            f"'kind' must be one of 'all', 'closed', 'maximal' (got {kind!r}); "
            f"try 'closed', which loses no set's support"
        )
    for name, bound in [('max_sets', max_sets), ('max_size', max_size)]:
        if bound is not None and bound < 1:
            raise ValueError(
                f"'{name}' must be 1 or more (got {bound}); try {name}=None "
                f'for no bound'
            )


def _group_items(
    item: Tensor,
    transaction: Tensor,
    num_transactions: int,
    min_support: int,
    merge: bool,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Groups the frequent items by the transactions that hold them.

    Returns the items and the transactions of each group, both ascending. The
    groups are sorted by their first items. Without merging, each item is a
    group of its own.
    """
    value, column = np.unique(item.cpu().numpy(), return_inverse=True)
    # Repeated pairs make this an upper bound on the support.
    keep = np.bincount(column)[column] >= min_support
    width = max(1, num_transactions)
    pair = np.unique(column[keep] * width + transaction.cpu().numpy()[keep])
    column, tid = pair // width, pair % width
    ptr = np.flatnonzero(np.diff(column, prepend=-1))
    ptr = np.append(ptr, len(column)).tolist()
    groups: dict[bytes | int, list[int]] = {}
    for start, stop in pairwise(ptr):
        if stop - start >= min_support:
            key = tid[start:stop].tobytes() if merge else start
            groups.setdefault(key, []).append(start)
    stop_of = dict(pairwise(ptr))
    return [
        (value[column[starts]], tid[starts[0] : stop_of[starts[0]]])
        for starts in groups.values()
    ]


def _to_columns(tids: list[np.ndarray], num_transactions: int) -> list[Pattern]:
    """Turns transactions into one bit set per group.

    The first group has the highest bit. So among sets of one size, the
    lexicographic order of the items is the descending order of bit sets.
    """
    columns = []
    for bit, index in zip(range(len(tids) - 1, -1, -1), tids, strict=True):
        row = np.zeros(num_transactions, dtype=np.uint8)
        row[index] = 1
        packed = np.packbits(row, bitorder='little').tobytes()
        columns.append((1 << bit, int.from_bytes(packed, 'little')))
    return columns


def _to_sets(
    members: list[np.ndarray], patterns: list[Pattern], device: torch.device
) -> FrequentSets:
    """Turns bit sets of groups back into items, in the order of the result."""
    patterns = sorted(patterns, reverse=True)
    width = (len(members) + 7) // 8
    pad = 8 * width - len(members)
    group_size = torch.tensor([len(items) for items in members]).long()
    columns, rows = [group_size[:0]], [group_size[:0]]
    for begin in range(0, len(patterns), _BLOCK):
        packed = b''.join(
            (items << pad).to_bytes(width, 'big')
            for items, _ in patterns[begin : begin + _BLOCK]
        )
        bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8))
        # Booleans are searched much faster than small integers are.
        index = torch.from_numpy(np.flatnonzero(bits.view(bool)))
        rows.append(index // (8 * width) + begin)
        columns.append(index % (8 * width))
    row, group = torch.cat(rows), torch.cat(columns)
    support = torch.tensor([tids.bit_count() for _, tids in patterns]).long()
    size = torch.zeros_like(support).index_add_(0, row, group_size[group])
    order = lexsort([-size, -support])

    position, offset = ragged_range(group_size[group])
    flat = torch.from_numpy(np.concatenate([*members, np.empty(0, int)]))
    item = flat[pointer(group_size)[group[position]] + offset]
    set_ = inverse_permutation(order)[row[position]]
    item = item[lexsort([item, set_])]
    return FrequentSets(
        item=item.to(device),
        ptr=pointer(size[order]).to(device),
        support=support[order].to(device),
        tids=tuple(patterns[i][1] for i in order.tolist()),
    )
