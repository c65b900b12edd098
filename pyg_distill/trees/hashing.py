"""128-bit keys as two int64 lanes, and the two ways of combining them.

All arithmetic is modulo :math:`2^{64}`, which PyTorch's int64 follows on every
device, so a key is the same on every machine, in every process and for every
order of summation.
"""

import torch
from torch import Tensor

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
    word = mix_(word + constant)
    low = word.sum(dim=1)
    # A second scrambling makes the lanes independent of each other.
    high = _xor_shift_(_xor_shift_(word, 32).mul_(_ODD), 29).sum(dim=1)
    return torch.stack([low, high], dim=1)


def chain(seed: int, *keys: Tensor) -> Tensor:
    """Hashes a sequence of keys, where the order matters.

    Args:
        seed (int): Separates the uses of this function from each other.
        *keys (torch.Tensor): Keys of shape :obj:`[n, 2]`.

    Returns:
        torch.Tensor: Keys of shape :obj:`[n, 2]`. With all others fixed the
        result is one-to-one in each of the keys.
    """
    low = torch.full_like(keys[0][:, 0], mix_int(seed))
    high = torch.full_like(low, mix_int(~seed))
    for key in keys:
        low = mix_(low.add_(key[:, 0]))
        high = mix_(high.add_(key[:, 1]).add_(low))
        low.add_(high, alpha=_ODD)
    return torch.stack([low, high], dim=1)


def sum_groups(key: Tensor, index: Tensor, num_groups: int) -> Tensor:
    """Hashes multisets of keys: their sum, group by group.

    The sum is only as good as its elements are scrambled, so they must come
    from :meth:`chain`: then :math:`a + d = b + c` says nothing of the sums.

    Args:
        key (torch.Tensor): Scrambled keys of shape :obj:`[n, 2]`.
        index (torch.Tensor): The group of each, of shape :obj:`[n]`.
        num_groups (int): The number of groups :math:`G`.

    Returns:
        torch.Tensor: Sums of shape :obj:`[G, 2]`, zero for empty groups.
    """
    out = key.new_zeros(num_groups, 2)
    return out.index_add_(0, index, key)
