"""Incidences <-> bit sets, each held in one Python integer."""

from collections.abc import Sequence
from operator import itemgetter

import numpy as np
import torch
from torch import Tensor

from pyg_distill.trees.csr import pointer
from pyg_distill.trees.mining.budget import Tick

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


def in_order(patterns: Sequence[Pattern]) -> list[Pattern]:
    """Sorts by descending support, then descending size, then the items."""
    # As keys of Python, all three would take twice as long.
    patterns = sorted(patterns, key=itemgetter(0), reverse=True)
    size, support = _sizes(patterns, 0), _sizes(patterns, 1)
    order = np.lexsort((-size, -support))
    return [patterns[i] for i in order.tolist()]


def _sizes(patterns: Sequence[Pattern], side: int) -> np.ndarray:
    sizes = map(int.bit_count, map(itemgetter(side), patterns))
    return np.fromiter(sizes, np.int64, len(patterns))


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
        bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8))
        # Booleans are searched many times as fast as small integers are.
        columns.append(np.flatnonzero(bits.view(bool)) % (8 * width))
    return (
        torch.from_numpy(values[np.concatenate(columns)]),
        pointer(torch.from_numpy(_sizes(patterns, 0))),
        torch.from_numpy(_sizes(patterns, 1)),
    )


class Rows(dict[int, int]):
    r"""One bit set of items per transaction, made when it is asked for.

    Args:
        columns (list): The items as patterns of one item each.
        num_transactions (int): The number of transactions.
        tick (callable): Is told the amount of work about to be done.
    """

    def __init__(
        self, columns: Sequence[Pattern], num_transactions: int, tick: Tick
    ) -> None:
        place = [bit.bit_length() - 1 for bit, _ in columns]
        # Eight items that share a byte of the rows. Few items leave few of
        # them, however large their bit sets are.
        octet = np.array([p // 8 for p in place], dtype=int)
        self.octet, index = np.unique(octet, return_inverse=True)
        self.num_octets = int(octet.max(initial=-1)) + 1
        width = (num_transactions + 7) // 8
        packed = np.zeros((len(self.octet), 8, width), dtype=np.uint8)
        for i, p, (_, tids) in zip(index, place, columns, strict=True):
            packed[i, p % 8] = np.frombuffer(
                tids.to_bytes(width, 'little'), dtype=np.uint8
            )
        held = np.zeros((8 * width, len(self.octet)), dtype=np.uint8)
        # Unpacked bits would take eight times the memory, and more time.
        for begin in range(0, len(self.octet), 32):
            block = packed[begin : begin + 32]
            tick(8 * len(block))
            words = np.ascontiguousarray(block.transpose(0, 2, 1)).view('<u8')
            octets = (
                _transpose_octets(words)
                .astype('<u8', copy=False)
                .view(np.uint8)
            )
            held[:, begin : begin + 32] = octets.reshape(len(block), -1).T
        self.held = held

    def __missing__(self, transaction: int) -> int:
        row = np.zeros(self.num_octets, dtype=np.uint8)
        row[self.octet] = self.held[transaction]
        self[transaction] = items = int.from_bytes(row.tobytes(), 'little')
        return items


def _transpose_octets(words: np.ndarray) -> np.ndarray:
    # Each word is an 8 x 8 matrix of bits, whose off-diagonal blocks of 1, 2
    # and 4 bits are swapped in turn.
    for shift, mask in [
        (7, 0x00AA00AA00AA00AA),
        (14, 0x0000CCCC0000CCCC),
        (28, 0x00000000F0F0F0F0),
    ]:
        swapped = (words ^ (words >> np.uint64(shift))) & np.uint64(mask)
        words = words ^ swapped ^ (swapped << np.uint64(shift))
    return words
