"""Frequent item sets: the sets of items that many transactions hold.

A search sees a set as a pattern: its items and the transactions that hold all
of them. Both are bit sets, each held in one Python integer. A search takes the
frequent items as patterns, and yields sets as patterns. `slack` tells how many
more items a set may have.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, compress, islice, pairwise
from numbers import Integral, Real
from operator import or_
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch_geometric.utils import lexsort

from pyg_distill.trees.grouping import (
    inverse_permutation,
    pointer,
    ragged_rows,
)

Kind = Literal['all', 'closed', 'maximal']
Pattern = tuple[int, int]

# Intersections per allowed set: a search for maximal sets may take any time
# without finding one.
_WORK = 125
# Sets that are unpacked together, which bounds the memory.
_BLOCK = 4096


class TooManySets(ValueError):  # noqa: N818 (named by what happened)
    """There are more frequent sets than allowed.

    Args:
        message (str): How many are allowed, and what to change.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)


@dataclass(frozen=True, eq=False)
class FrequentSets:
    r""":math:`P` item sets, and the transactions that support them.

    They are sorted by descending support, then by descending size, then by
    their items.

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
                f"'min_support' must be in 1..{num_transactions} (got the "
                f'count {min_support}); {hint}'
            )
        return int(min_support)
    if not 0 < min_support <= 1:
        raise ValueError(
            f"'min_support' must be in (0, 1] (got the share {min_support}); "
            f'{hint}'
        )
    if num_transactions < 1:
        raise ValueError(
            'a share needs at least one graph (got 0); leave out empty classes'
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
    members, columns = _group_items(
        item, transaction, num_transactions, min_support, kind != 'all'
    )
    where = f'at a min_support of {min_support} out of {num_transactions}'
    hint = 'raise min_support or max_sets'
    if kind != 'maximal':
        other = {'all': 'closed', 'closed': 'maximal'}[kind]
        hint += f', or try kind={other!r}'
    too_many = TooManySets(
        f'found more than max_sets={max_sets} {kind} sets {where}; {hint}'
    )
    limit = math.inf if max_sets is None else max_sets
    # Each group is a set, or has a closed set of its own.
    if kind != 'maximal' and max_size is None and len(members) > limit:
        raise too_many
    sizes = [items.size for items in members[::-1]]

    def slack(items: int) -> float:
        if max_size is None:
            return math.inf
        left = max_size
        while items and left >= 0:
            left -= sizes[items.bit_length() - 1]
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
        patterns = list(islice(search, max_sets and max_sets + 1))
    except TooManySets:
        raise TooManySets(
            f'stopped the search for at most max_sets={max_sets} {kind} sets '
            f'{where}, as it grew out of proportion; {hint}'
        ) from None
    if len(patterns) > limit:
        raise too_many
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
                f"'{name}' must be long of shape [{item.numel()}] (got "
                f'{value.dtype} of shape {list(value.shape)}); try '
                f'{name}.long().flatten()'
            )
        if value.numel() and not 0 <= value.min() <= value.max() < stop:
            raise ValueError(
                f"'{name}' must be at least 0 and less than {stop} (got "
                f'{int(value.min())} to {int(value.max())}); try to number '
                f'{name}s from 0'
            )
    if kind not in get_args(Kind):
        raise ValueError(
            f"'kind' must be one of 'all', 'closed', 'maximal' (got {kind!r}); "
            f"try 'closed'"
        )
    for name, bound in [('max_sets', max_sets), ('max_size', max_size)]:
        if bound is not None and bound < 1:
            raise ValueError(
                f"'{name}' must be 1 or more (got {bound}); try {name}=None"
            )


def _group_items(
    item: Tensor,
    transaction: Tensor,
    num_transactions: int,
    min_support: int,
    merge: bool,
) -> tuple[list[np.ndarray], list[Pattern]]:
    """The frequent items, grouped by their transactions, and the patterns."""
    value = item.cpu().numpy()
    order = value.argsort()
    value, tid = value[order], transaction.cpu().numpy()[order]
    start = np.flatnonzero(np.diff(value, prepend=-1)).tolist()
    groups: dict[int, tuple[int, list[int]]] = {}
    for begin, end in pairwise([*start, len(value)]):
        # Repeated pairs make this an upper bound on the support.
        if end - begin < min_support:
            continue
        row = np.zeros(num_transactions, dtype=np.uint8)
        row[tid[begin:end]] = 1
        packed = np.packbits(row, bitorder='little').tobytes()
        tids = int.from_bytes(packed, 'little')
        if tids.bit_count() >= min_support:
            key = tids if merge else begin
            groups.setdefault(key, (tids, []))[1].append(begin)
    # The first group has the highest bit. So among sets of one size, the
    # lexicographic order of the items is the descending order of bit sets.
    bits = range(len(groups) - 1, -1, -1)
    columns = [
        (1 << bit, tids)
        for bit, (tids, _) in zip(bits, groups.values(), strict=True)
    ]
    return [value[starts] for _, starts in groups.values()], columns


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

    position, place = ragged_rows(pointer(group_size), group)
    flat = torch.from_numpy(np.concatenate([*members, np.empty(0, int)]))
    item, set_ = flat[place], inverse_permutation(order)[row[position]]
    return FrequentSets(
        item=item[lexsort([item, set_])].to(device),
        ptr=pointer(size[order]).to(device),
        support=support[order].to(device),
        tids=tuple(patterns[i][1] for i in order.tolist()),
    )


def all_sets(
    columns: Sequence[Pattern], min_support: int, max_size: int | None
) -> Iterator[Pattern]:
    """Yields every frequent set, depth first, by Eclat.

    See the `"Scalable Algorithms for Association Mining"
    <https://doi.org/10.1109/69.846291>`_ paper. An item is only extended by
    items that precede it, so that a search that is stopped has seen few items.
    """
    roots = sorted(columns, key=lambda pair: -pair[1].bit_count())
    stack = [(0, 1, roots, enumerate(roots))]
    while stack:
        prefix, size, siblings, rest = stack[-1]
        for index, (bit, tids) in rest:
            items = prefix | bit
            yield items, tids
            if index == 0 or (max_size is not None and size >= max_size):
                continue
            children = [
                (other, common)
                for other, others in siblings[:index]
                if (common := others & tids).bit_count() >= min_support
            ]
            if children:
                stack.append((items, size + 1, children, enumerate(children)))
                break
        else:
            stack.pop()


def closed_sets(
    columns: Sequence[Pattern],
    num_transactions: int,
    min_support: int,
    slack: Callable[[int], float],
) -> Iterator[Pattern]:
    """Yields every closed frequent set, depth first.

    This is the prefix-preserving closure extension from the `"LCM ver. 2:
    Efficient Mining Algorithms for Frequent/Closed/Maximal Itemsets"
    <https://ceur-ws.org/Vol-126/uno.pdf>`_ paper: an extension whose closure
    holds an item that was tried earlier is dropped, as it was found there.
    The items under each prefix are ordered anew, rarest first.
    """
    everything = (1 << num_transactions) - 1
    head, tail = _project(columns, everything, min_support)
    if head and slack(head) >= 0:
        yield head, everything
    if slack(head) <= 0:
        return
    is_held = _HeldItems(tail, num_transactions)
    # The last candidates have the fewest below them: a search that is stopped
    # has not descended into a long tail first.
    index, tried = len(tail), _unions(tail, 0)
    stack: list[tuple[int, list[Pattern], list[int], int]] = []
    while index or stack:
        if not index:
            head, tail, tried, index = stack.pop()
        index -= 1
        items, tids = tail[index]
        if is_held.any(tried[index], tids):
            continue
        closure, below = head | items, None
        if rest := tail[index + 1 :]:
            absorbed, below = _project(rest, tids, min_support)
            closure |= absorbed
        left = slack(closure)
        if left >= 0:
            yield closure, tids
        if below and left > 0:
            if index:
                stack.append((head, tail, tried, index))
            tried = _unions(below, tried[index])
            head, tail, index = closure, below, len(below)


def maximal_sets(
    columns: Sequence[Pattern],
    num_transactions: int,
    min_support: int,
    slack: Callable[[int], float],
    max_work: float,
) -> Iterator[Pattern]:
    """Yields every maximal frequent set, depth first.

    This is backtracking as in the `"Efficiently Mining Maximal Frequent
    Itemsets" <https://doi.org/10.1109/ICDM.2001.989514>`_ paper (GenMax),
    where each prefix is compared only with the found sets that hold it
    (progressive focusing). The pruning of parent equivalents and of the union
    of head and tail is from the `"MAFIA: A Maximal Frequent Itemset Algorithm
    for Transactional Databases" <https://doi.org/10.1109/ICDE.2001.914857>`_
    paper. A search of more than `max_work` intersections raises an error.
    """
    work = 0
    stack: list[tuple[int, list[Pattern], Iterator, list[int]]] = []
    node: tuple[int, int, Sequence[Pattern], list[int]] | None
    node = (0, (1 << num_transactions) - 1, columns, [])
    while node is not None:
        head, tids, candidates, known = node
        work += 3 * len(candidates) + len(known)
        if work > max_work:
            raise TooManySets('stopped')
        absorbed, tail = _project(candidates, tids, min_support)
        head |= absorbed
        unions = _unions(tail[::-1], head)[::-1]
        union = unions[0]
        if slack(head) >= 0 and not _is_covered(union, known):
            for _, others in tail:
                tids &= others
            if tids.bit_count() < min_support:
                rest = enumerate(zip(tail, unions, strict=False), start=1)
                stack.append((head, tail, rest, known))
            elif union and slack(union) >= 0:
                # Larger sets are unknown if their size is bounded.
                is_bounded = slack(0) < math.inf
                work += 3 * len(columns) * is_bounded
                if not is_bounded or not any(
                    (tids & others).bit_count() >= min_support
                    for bit, others in columns
                    if not bit & union
                ):
                    for *_, above in stack:
                        above.append(union)
                    yield union, tids
        node = _next_node(stack)


def _project(
    tail: Iterable[Pattern], tids: int, min_support: int
) -> tuple[int, list[Pattern]]:
    """Restricts candidate items to the transactions of a prefix.

    Returns the items that all of these hold, and the other frequent candidates
    by ascending support; those of the same transactions become one.
    """
    frequent = [
        (items, common)
        for items, others in tail
        if (common := others & tids).bit_count() >= min_support
    ]
    if not frequent:
        return 0, frequent
    groups = {common: items for items, common in frequent}
    if len(groups) < len(frequent):
        groups = dict.fromkeys(groups, 0)
        for items, common in frequent:
            groups[common] |= items
    elif len(groups) == 1 and tids not in groups:
        return 0, frequent
    absorbed = groups.pop(tids, 0)
    return absorbed, [
        (groups[common], common) for common in sorted(groups, key=int.bit_count)
    ]


def _unions(tail: Iterable[Pattern], items: int) -> list[int]:
    return list(accumulate((more for more, _ in tail), or_, initial=items))


def _next_node(
    stack: list[tuple[int, list[Pattern], Iterator, list[int]]],
) -> tuple[int, int, Sequence[Pattern], list[int]] | None:
    while stack:
        head, tail, rest, known = stack[-1]
        for index, ((items, tids), union) in rest:
            if _is_covered(union, known):
                break
            bit = items & -items
            focused = [other for other in known if other & bit]
            return head | items, tids, tail[index:], focused
        stack.pop()
    return None


def _is_covered(items: int, known: list[int]) -> bool:
    for other in known:  # noqa: SIM110 (`any()` takes twice as long here)
        if items & other == items:
            return True
    return False


class _HeldItems:
    """Tells whether items are held by all of some transactions."""

    def __init__(self, columns: Sequence[Pattern], num_transactions: int):
        # Any item tells of all items that the same transactions hold.
        columns = [(items & -items, tids) for items, tids in columns]
        everything = (1 << num_transactions) - 1
        self.lacking = {bit: everything ^ tids for bit, tids in columns}
        self.all_items = sum(self.lacking)
        self.place = np.array(
            [bit.bit_length() - 1 for bit, _ in columns], dtype=int
        )
        width = (num_transactions + 7) // 8
        packed = b''.join(tids.to_bytes(width, 'little') for _, tids in columns)
        octets = np.frombuffer(packed, np.uint8).reshape(-1, width)
        self.octets = np.ascontiguousarray(octets.T)
        self.rows: dict[int, int] = {}

    def any(self, items: int, tids: int) -> bool:
        """Tells whether one of the items is in all of the transactions."""
        # Two transactions rule out nearly every item by a look-up each. Then a
        # transaction that lacks one item rules out others.
        items &= self.all_items & self._row(tids.bit_length() - 1)
        if items:
            items &= self._row((tids & -tids).bit_length() - 1)
        while items:
            left = tids & self.lacking[items & -items]
            if not left:
                return True
            items &= self._row(left.bit_length() - 1)
        return False

    def _row(self, transaction: int) -> int:
        """The items that one transaction holds."""
        if transaction not in self.rows:
            first = transaction // 8
            bits = np.zeros((8, int(self.place.max(initial=-1)) + 1), np.uint8)
            bits[:, self.place] = np.unpackbits(
                self.octets[first : first + 1], axis=0, bitorder='little'
            )
            packed = np.packbits(bits, axis=1, bitorder='little')
            for t, row in enumerate(packed, start=8 * first):
                self.rows[t] = int.from_bytes(row.tobytes(), 'little')
        return self.rows[transaction]
