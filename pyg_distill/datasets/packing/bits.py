"""Integers <-> bits, without a loop over the integers."""

import numpy as np
import torch
from torch import Tensor

_POWERS = 1 << torch.arange(63)


def bit_length(value: Tensor) -> Tensor:
    """Counts the binary digits of integers, of which zero has none.

    Args:
        value (torch.Tensor): Integers of any shape, none negative.
    """
    return torch.bucketize(value, _POWERS, right=True)


def write_bits(value: Tensor, width: Tensor) -> Tensor:
    """Writes integers one after the other, highest bit first.

    Args:
        value (torch.Tensor): Integers of shape :obj:`[n]`, none negative.
        width (torch.Tensor): The bits that each takes, of shape :obj:`[n]`.

    Returns:
        torch.Tensor: Bytes (uint8), the last one filled up with zeros.
    """
    end = width.cumsum(0)
    bits = torch.zeros(int(end[-1]) if end.numel() else 0, dtype=torch.uint8)
    for place, has, at in _places(end, width):
        bits[at] = ((value[has] >> place) & 1).to(torch.uint8)
    return _to_bytes(bits)


def read_bits(stored: Tensor, width: Tensor) -> Tensor:
    """Reads what :meth:`write_bits` wrote.

    Args:
        stored (torch.Tensor): The bytes.
        width (torch.Tensor): The bits that each takes, of shape :obj:`[n]`.

    Returns:
        torch.Tensor: The integers of shape :obj:`[n]`.
    """
    bits, end = _to_bits(stored), width.cumsum(0)
    value = torch.zeros_like(end)
    for place, has, at in _places(end, width):
        value[has] |= bits[at].long() << place
    return value


def write_unary(value: Tensor) -> Tensor:
    """Writes integers as that many zeros and a one.

    Args:
        value (torch.Tensor): Integers of shape :obj:`[n]`, none negative.

    Returns:
        torch.Tensor: Bytes (uint8), the last one filled up with zeros.
    """
    end = (value + 1).cumsum(0)
    bits = torch.zeros(int(end[-1]) if end.numel() else 0, dtype=torch.uint8)
    bits[end - 1] = 1
    return _to_bytes(bits)


def read_unary(stored: Tensor) -> Tensor:
    """Reads what :meth:`write_unary` wrote.

    Args:
        stored (torch.Tensor): The bytes.

    Returns:
        torch.Tensor: The integers of shape :obj:`[n]`.
    """
    end = _to_bits(stored).nonzero().view(-1)
    return end.diff(prepend=end.new_tensor([-1])) - 1


def _places(
    end: Tensor, width: Tensor
) -> list[tuple[int, Tensor | slice, Tensor]]:
    # By the place within a number, as numbers are many and places are few.
    if width.numel() == 0:
        return []
    low, high = int(width.min()), int(width.max())
    out: list[tuple[int, Tensor | slice, Tensor]] = []
    for place in range(high):
        has = slice(None) if place < low else (width > place).nonzero().view(-1)
        out.append((place, has, end[has] - 1 - place))
    return out


def _to_bytes(bits: Tensor) -> Tensor:
    return torch.from_numpy(np.packbits(bits.numpy()))


def _to_bits(stored: Tensor) -> Tensor:
    return torch.from_numpy(np.unpackbits(stored.numpy()))
