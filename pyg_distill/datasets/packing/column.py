"""A column of small integers, in the shortest of a few codes."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pyg_distill.datasets.packing.bits import (
    bit_length,
    read_bits,
    read_unary,
    write_bits,
    write_unary,
)

# What `torch.load` reads with `weights_only=True`: tensors, plain numbers and
# strings, and dictionaries of these.
Packed = dict[str, Any]

FIXED, RICE, GOLOMB = 'fixed', 'rice', 'golomb'
_RICE_ORDERS = range(16)
_GOLOMB_ORDERS = range(12)


@dataclass(frozen=True)
class Code:
    r"""How integers :math:`v \geq 0` are written.

    Each is a head in unary, which is left out if it is zero for all, and a
    tail of bits:

    - :obj:`"fixed"`: no head, and :math:`k` bits,
    - :obj:`"rice"`: :math:`\lfloor v / 2^k \rfloor`, and :math:`k` bits
      (Rice, "Some Practical Universal Noiseless Coding Techniques", 1979),
    - :obj:`"golomb"`: the exponential Golomb code of order :math:`k`
      (Teuhola, "A Compression Method for Clustered Bit-Vectors", 1978).

    With a :obj:`rank`, numbers are replaced by their place in it, the most
    frequent one first. Adding further bits never makes a smaller number
    shorter, so whatever is left of a column takes no more bits than it did.

    Attributes:
        kind: The name of the code.
        order: Its parameter :math:`k`.
        rank: The distinct numbers by falling frequency, if that is shorter.
    """

    kind: str
    order: int
    rank: Tensor | None = None

    @classmethod
    def of(cls, value: Tensor, ranked: bool = True) -> 'Code':
        """Chooses the shortest code.

        Args:
            value (torch.Tensor): Integers of shape :obj:`[n]`, none negative.
            ranked (bool, optional): Whether ranks may replace them.
                (default: :obj:`True`)
        """
        distinct, count = _histogram(value)
        plain, size = _shortest(distinct, count)
        if not ranked:
            return plain
        count, order = count.sort(descending=True, stable=True)
        rank = distinct[order]
        best, best_size = _shortest(torch.arange(rank.numel()), count)
        _, table_size = _shortest(rank, torch.ones_like(rank))
        if best_size + table_size < size:
            return replace(best, rank=rank)
        return plain

    def bits(self, value: Tensor) -> Tensor:
        """The bits that each number takes, of shape :obj:`[n]`.

        Args:
            value (torch.Tensor): Integers of shape :obj:`[n]`.
        """
        head, _, width = self.split(self.to_rank(value))
        return width if self.kind == FIXED else head + 1 + width

    def table_bits(self) -> Tensor:
        """The bits of each number in :obj:`rank`, of shape :obj:`[V]`."""
        if self.rank is None:
            return torch.zeros(0, dtype=torch.long)
        code, _ = _shortest(self.rank, torch.ones_like(self.rank))
        return code.bits(self.rank)

    def num_streams(self) -> int:
        """The tensors of bytes that it is written as, with the ranks."""
        own = 1 if self.kind == FIXED else 2
        if self.rank is None:
            return own
        code, _ = _shortest(self.rank, torch.ones_like(self.rank))
        return own + code.num_streams()

    def to_rank(self, value: Tensor) -> Tensor:
        """Replaces numbers by their ranks, if there are any.

        Args:
            value (torch.Tensor): Integers of shape :obj:`[n]`.
        """
        if self.rank is None:
            return value
        known, order = self.rank.sort()
        return order[torch.searchsorted(known, value.contiguous())]

    def split(self, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cuts numbers into heads, tails and the widths of the tails.

        Args:
            value (torch.Tensor): Integers of shape :obj:`[n]`.
        """
        k = self.order
        if self.kind == FIXED:
            return torch.zeros_like(value), value, torch.full_like(value, k)
        if self.kind == RICE:
            head = value >> k
            return head, value - (head << k), torch.full_like(value, k)
        head = bit_length((value >> k) + 1) - 1
        return head, value - (((1 << head) - 1) << k), head + k

    def width(self, head: Tensor) -> Tensor:
        """The widths of tails, given their heads.

        Args:
            head (torch.Tensor): Integers of shape :obj:`[n]`.
        """
        constant = torch.full_like(head, self.order)
        return head + constant if self.kind == GOLOMB else constant

    def join(self, head: Tensor, tail: Tensor) -> Tensor:
        """Puts heads and tails together again.

        Args:
            head (torch.Tensor): Integers of shape :obj:`[n]`.
            tail (torch.Tensor): Integers of shape :obj:`[n]`.
        """
        if self.kind == FIXED:
            return tail
        above = head if self.kind == RICE else (1 << head) - 1
        return tail + (above << self.order)


def encode(value: Tensor, ranked: bool = True) -> Packed:
    """Packs integers.

    Args:
        value (torch.Tensor): Integers of shape :obj:`[n]`, none negative.
        ranked (bool, optional): Whether ranks may replace them.
            (default: :obj:`True`)

    Returns:
        dict: Tensors of bytes, and how to read them.
    """
    value = value.long()
    code = Code.of(value, ranked)
    out: Packed = {'size': value.numel()}
    if code.rank is not None:
        out['rank'] = encode(code.rank, ranked=False)
        value = code.to_rank(value)
    head, tail, width = code.split(value)
    out |= {'kind': code.kind, 'order': code.order}
    if code.kind != FIXED:
        out['head'] = write_unary(head)
    # What takes no bits is constant, and not stored.
    if bool(width.any()):
        out['tail'] = write_bits(tail, width)
    return out


def decode(stored: Packed) -> Tensor:
    """Reads what :meth:`encode` packed.

    Args:
        stored (dict): What it returned.

    Returns:
        torch.Tensor: The integers of shape :obj:`[n]` (int64).
    """
    code = Code(stored['kind'], stored['order'])
    head = torch.zeros(stored['size'], dtype=torch.long)
    if 'head' in stored:
        head = read_unary(stored['head'])
    tail = torch.zeros_like(head)
    if 'tail' in stored:
        tail = read_bits(stored['tail'], code.width(head))
    value = code.join(head, tail)
    return decode(stored['rank'])[value] if 'rank' in stored else value


def _histogram(value: Tensor) -> tuple[Tensor, Tensor]:
    if value.numel() and int(value.max()) < 4 * value.numel():
        count = torch.bincount(value)
        distinct = count.nonzero().view(-1)
        return distinct, count[distinct]
    return torch.unique(value, return_counts=True)


def _shortest(value: Tensor, count: Tensor) -> tuple[Code, int]:
    most = int(value.max()) if value.numel() else 0
    width = int(bit_length(torch.tensor(most)))
    best = Code(FIXED, width)
    size = -(-int(count.sum()) * width // 8)
    if width == 0:
        return best, size
    codes = [Code(RICE, k) for k in _RICE_ORDERS if k < width]
    codes += [Code(GOLOMB, k) for k in _GOLOMB_ORDERS if k < width]
    for code in codes:
        head, _, tail = code.split(value)
        heads = float(((head + 1).double() * count).sum())
        # Heads beyond what any other code takes would only use up memory.
        if heads / 8 > size:
            continue
        tails = int((tail * count).sum())
        total = -(-int(heads) // 8) - (-tails // 8)
        if total < size:
            best, size = code, total
    return best, size


def packed_bytes(packed: Any) -> int:
    """Counts the bytes of all tensors of what was packed.

    This is the measure of distilled sets, of coresets and of full sets alike.
    As for any tensors, names, types and sizes are not counted.

    Args:
        packed (dict): What was packed.
    """
    if isinstance(packed, Tensor):
        return packed.numel() * packed.element_size()
    if isinstance(packed, dict):
        packed = list(packed.values())
    if isinstance(packed, list | tuple):
        return sum(packed_bytes(value) for value in packed)
    return 0
