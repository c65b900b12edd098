"""Incidences <-> bit sets, each held in one Python integer."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

# Both sides of a pattern are bit sets held in one Python integer each: the
# items it is made of, and the transactions that hold all of them.
Pattern = tuple[int, int]


def to_columns(
    item: Tensor,
    transaction: Tensor,
    num_transactions: int,
    min_support: int,
) -> tuple[np.ndarray, list[Pattern]]:
    r"""Turns incidences into one bit set of transactions per item.

    The smallest item has the most significant bit, so that among sets of one
    size the lexicographic order of the items is the descending order of the
    bit sets.

    Args:
        item (torch.Tensor): The items, of shape :math:`[K]`.
        transaction (torch.Tensor): The transactions that hold them, of shape
            :math:`[K]`.
        num_transactions (int): The number of transactions.
        min_support (int): Items that occur less often may be dropped.

    Returns:
        The items in ascending order and, in the same order, their patterns.
    """
    value = item.cpu().numpy()
    order = value.argsort(kind='stable')
    value, tid = value[order], transaction.cpu().numpy()[order]
    start = np.flatnonzero(np.diff(value, prepend=-1))
    stop = np.append(start[1:], len(value))
    # Pairs that occur more than once make this an upper bound on the support.
    kept = np.flatnonzero(stop - start >= min_support)
    columns = []
    for bit, index in zip(range(len(kept) - 1, -1, -1), kept, strict=True):
        row = np.zeros(num_transactions, dtype=np.uint8)
        row[tid[start[index] : stop[index]]] = 1
        packed = np.packbits(row, bitorder='little').tobytes()
        columns.append((1 << bit, int.from_bytes(packed, 'little')))
    return value[start[kept]], columns


def to_tensors(
    values: np.ndarray, patterns: Sequence[Pattern]
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Turns patterns back into items, the inverse of :meth:`to_columns`.

    Args:
        values (numpy.ndarray): The items in ascending order.
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
