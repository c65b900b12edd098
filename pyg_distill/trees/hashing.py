"""128-bit keys as two int64 lanes, and how they are combined.

All arithmetic is modulo :math:`2^{64}`, which PyTorch's int64 follows on every
device, so a key is the same on every machine, in every process and for every
order of summation.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

# The two halves of some keys.
Lanes = tuple[Tensor, Tensor]

# The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): a bijection
# of the 64-bit integers in which every input bit flips half of the outputs.
_SHIFTS = (30, 27, 31)
_MULTIPLIERS = (0xBF58476D1CE4E5B9 - (1 << 64), 0x94D049BB133111EB - (1 << 64))
_GAMMA = 0x9E3779B97F4A7C15 - (1 << 64)
_ODD = 0xD6E8FEB86659FD93 - (1 << 64)


def _xor_shift_(value: Tensor, bits: int) -> Tensor:
    # `>>` keeps the sign, the mask makes it the logical shift.
    shifted = (value >> bits).bitwise_and_((1 << (64 - bits)) - 1)
    return value.bitwise_xor_(shifted)


def mix_(value: Tensor) -> Tensor:
    """Scrambles int64 values in place, one-to-one (any shape)."""
    for bits, multiplier in zip(_SHIFTS[:2], _MULTIPLIERS, strict=True):
        _xor_shift_(value, bits).mul_(multiplier)
    return _xor_shift_(value, _SHIFTS[2])


def mix_int(value: int) -> int:
    """The same scrambling of one Python integer, as a signed 64-bit one."""
    return int(mix_(torch.tensor([_signed(value)]))[0])


def _signed(value: int) -> int:
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def column_constants(num_columns: int, device: torch.device) -> Tensor:
    """One scrambled constant a column, shape :obj:`[num_columns]`."""
    return mix_(torch.arange(1, num_columns + 1, device=device).mul_(_GAMMA))


def hash_words(word: Tensor, constant: Tensor) -> Tensor:
    """Hashes the rows of an int64 matrix to keys.

    Args:
        word (torch.Tensor): Integers of shape :obj:`[n, d]`.
        constant (torch.Tensor): What :meth:`column_constants` returned for
            :obj:`d` columns.

    Returns:
        torch.Tensor: Keys of shape :obj:`[n, 2]`. Rows that differ in a single
        column never collide; other rows do with probability
        :math:`2^{-128}`.
    """
    low, high = hash_entries(word, constant)
    return torch.stack([low.sum(dim=1), high.sum(dim=1)], dim=1)


def hash_entries(word: Tensor, constant: Tensor) -> Lanes:
    """Hashes single entries, which :meth:`hash_words` sums row by row.

    Args:
        word (torch.Tensor): Integers of any shape.
        constant (torch.Tensor): The constants of their columns.

    Returns:
        tuple: Both lanes, of the shape of :obj:`word`.
    """
    low = mix_(word + constant)
    # A second scrambling makes the lanes independent of each other.
    return low, _xor_shift_(_xor_shift_(low.clone(), 32).mul_(_ODD), 29)


def chain(seed: int, *keys: Tensor) -> Tensor:
    """Hashes a sequence of keys, where the order matters.

    Args:
        seed (int): Separates the uses of this function from each other.
        *keys (torch.Tensor): Keys of shape :obj:`[n, 2]`.

    Returns:
        torch.Tensor: Keys of shape :obj:`[n, 2]`. With all others fixed the
        result is one-to-one in each of the keys.
    """
    return torch.stack(chain_lanes(seed, *(k.unbind(1) for k in keys)), dim=1)


def chain_lanes(seed: int, *keys: Sequence[Tensor]) -> Lanes:
    """Does what :meth:`chain` does, lane by lane, which is faster.

    Args:
        seed (int): Separates the uses of this function from each other.
        *keys (tuple): Both lanes of keys, each of shape :obj:`[n]`.

    Returns:
        tuple: Both lanes, of shape :obj:`[n]`. More keys can be added with
        :meth:`extend_lanes`.
    """
    first, *others = keys
    lanes = extend_lanes((mix_int(seed), mix_int(~seed)), first)
    for key in others:
        lanes = extend_lanes(lanes, key)
    return lanes


def extend_lanes(
    lanes: Sequence[Tensor] | tuple[int, int], key: Sequence[Tensor]
) -> Lanes:
    """Adds a key to a sequence that :meth:`chain_lanes` has hashed."""
    low = mix_(key[0] + lanes[0])
    high = mix_((key[1] + lanes[1]).add_(low))
    return low.add_(high, alpha=_ODD), high
