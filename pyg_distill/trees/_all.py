from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

# Both sides of a pattern are bit sets held in one Python integer each: the
# items it is made of, and the transactions that hold all of them.
Pattern = tuple[int, int]
Tick = Callable[[int], None]


def to_columns(
    item: Tensor,
    transaction: Tensor,
    num_transactions: int,
    min_support: int,
) -> tuple[np.ndarray, list[Pattern]]:
    r"""Turns incidences into one bit set of transactions per frequent item.

    The smallest item has the most significant bit, so that among sets of one
    size the lexicographic order of the items is the descending order of the
    bit sets.

    Args:
        item (torch.Tensor): The items, of shape :math:`[K]`.
        transaction (torch.Tensor): The transactions that hold them, of shape
            :math:`[K]`.
        num_transactions (int): The number of transactions.
        min_support (int): The support below which an item is dropped.

    Returns:
        The frequent items in ascending order and, in the same order, their
        patterns.
    """
    values, inverse = np.unique(item.cpu().numpy(), return_inverse=True)
    pair = np.unique(inverse * num_transactions + transaction.cpu().numpy())
    owner, tid = pair // num_transactions, pair % num_transactions
    support = np.bincount(owner, minlength=len(values))
    stop = support.cumsum()
    kept = np.flatnonzero(support >= min_support)
    columns = []
    for bit, index in zip(range(len(kept) - 1, -1, -1), kept, strict=True):
        row = np.zeros(num_transactions, dtype=np.uint8)
        row[tid[stop[index] - support[index] : stop[index]]] = 1
        packed = np.packbits(row, bitorder='little').tobytes()
        columns.append((1 << bit, int.from_bytes(packed, 'little')))
    return values[kept], columns


def to_tensors(
    values: np.ndarray, patterns: Sequence[Pattern]
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Turns patterns back into items, the inverse of :meth:`to_columns`.

    Args:
        values (numpy.ndarray): The frequent items in ascending order.
        patterns (list): The :math:`P` patterns.

    Returns:
        The items of all patterns, where each pattern begins among them, of
        shape :math:`[P + 1]`, and the supports, of shape :math:`[P]`.
    """
    width = (len(values) + 7) // 8
    pad = 8 * width - len(values)
    columns = [np.zeros(0, dtype=np.int64)]
    # The unpacked bits of all patterns at once might not fit into memory.
    for begin in range(0, len(patterns), 4096):
        packed = b''.join(
            (items << pad).to_bytes(width, 'big')
            for items, _ in patterns[begin : begin + 4096]
        )
        rows = np.frombuffer(packed, dtype=np.uint8).reshape(-1, width)
        columns.append(np.unpackbits(rows, axis=1).nonzero()[1])
    size = [items.bit_count() for items, _ in patterns]
    support = [tids.bit_count() for _, tids in patterns]
    return (
        torch.from_numpy(values[np.concatenate(columns)]),
        torch.tensor([0, *accumulate(size)]),
        torch.tensor(support, dtype=torch.long),
    )


def all_sets(
    columns: Sequence[Pattern],
    num_transactions: int,
    min_support: int,
    max_size: int,
    tick: Tick,
) -> Iterator[Pattern]:
    r"""Yields every frequent set, depth first.

    This is Eclat from the `"Scalable Algorithms for Association Mining"
    <https://doi.org/10.1109/69.846291>`_ paper (Section 4). An item is only
    extended by items that precede it, so that a search that is stopped after
    :math:`N` sets has seen little more than :math:`\log_2 N` items of a block
    of items that all co-occur.

    Args:
        columns (list): The items as patterns.
        num_transactions (int): The number of transactions.
        min_support (int): The smallest support of a frequent set.
        max_size (int): The largest size of a set.
        tick (callable): Is told the number of intersections about to be made.

    Yields:
        The frequent sets as patterns.
    """
    roots = [pair for pair in columns if pair[1].bit_count() >= min_support]
    roots.sort(key=lambda pair: -pair[1].bit_count())
    stack = [(0, 1, roots, enumerate(roots))]
    while stack:
        prefix, size, siblings, rest = stack[-1]
        for index, (bit, tids) in rest:
            items = prefix | bit
            yield items, tids
            if index == 0 or size >= max_size:
                continue
            tick(index)
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
