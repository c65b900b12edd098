"""Features of any type: distinct rows once, and which one each row is."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyg_distill.datasets.packing.column import (
    Packed,
    decode,
    encode,
    packed_bytes,
)
from pyg_distill.trees.features import hash_features
from pyg_distill.trees.unique import unique_keys

_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
# Below this share of distinct rows, numbering them always pays.
_FEW = 0.1
_MAX_COLUMNS = 61


@dataclass(frozen=True)
class DistinctRows:
    """The distinct rows of a tensor, the most frequent one first.

    Rows are compared bit by bit, so that nothing is lost: :obj:`-0.0` is not
    :obj:`0.0`, and NaN is itself.

    Shapes:
        - **first:** a row that is equal to each :math:`(V)`,
        - **number:** which one each row is :math:`(n)`.
    """

    first: Tensor
    number: Tensor

    @classmethod
    def of(cls, value: Tensor) -> 'DistinctRows':
        """Compares the rows of a tensor of shape :obj:`[n, *]`."""
        code = _row_codes(value)
        if code is None:
            found = unique_keys(hash_features(_to_words(value), 'value'))
            inverse, count = found.inverse, found.count
        else:
            _, inverse, count = code.unique(
                return_inverse=True, return_counts=True
            )
        order = count.argsort(descending=True, stable=True)
        number = torch.empty_like(order)
        number[order] = torch.arange(order.numel())
        number = number[inverse]
        first = torch.empty_like(order)
        # Of equal rows, any will do.
        first[number] = torch.arange(number.numel())
        return cls(first, number)


def take_rows(value: Tensor, index: Tensor) -> Tensor:
    """Selects rows of a tensor of any type, as PyTorch does of most.

    Args:
        value (torch.Tensor): Rows of shape :obj:`[n, *]`.
        index (torch.Tensor): Which ones, of shape :obj:`[m]`.
    """
    size = (index.numel(), *value.size()[1:])
    return _from_words(_to_words(value)[index], value.dtype, size)


def encode_rows(value: Tensor) -> Packed:
    """Packs a tensor so that it is restored bit by bit.

    Args:
        value (torch.Tensor): Rows of shape :obj:`[n, *]`.

    Returns:
        dict: Tensors, and how to read them.
    """
    head: Packed = {
        'dtype': str(value.dtype).removeprefix('torch.'),
        'row': list(value.size()[1:]),
    }
    distinct = DistinctRows.of(value)
    num_distinct = distinct.first.numel()
    out = head | {
        'rows': encode_values(take_rows(value, distinct.first)),
        'number': encode(distinct.number, ranked=False),
    }
    if num_distinct > _FEW * value.size(0):
        plain = head | {'rows': encode_values(value)}
        if packed_bytes(plain) <= packed_bytes(out):
            return plain
    return out


def decode_rows(stored: Packed) -> Tensor:
    """Reads what :meth:`encode_rows` packed.

    Args:
        stored (dict): What it returned.

    Returns:
        torch.Tensor: The rows of shape :obj:`[n, *]`.
    """
    dtype, row = getattr(torch, stored['dtype']), stored['row']
    rows = decode_values(stored['rows'], dtype, row)
    if 'number' not in stored:
        return rows
    return take_rows(rows, decode(stored['number']))


def encode_values(value: Tensor) -> Packed:
    """Packs the entries of a tensor, whose type and width are known.

    Zeros and ones are written as the gaps between ones, of which a row of a
    one-hot encoding has one; other integers, which floats may be, as such.

    Args:
        value (torch.Tensor): Rows of shape :obj:`[n, *]`.
    """
    num_rows, integer = value.size(0), as_integers(value)
    if integer is None:
        return {'kind': 'raw', 'raw': value.contiguous().clone()}
    if bool(((integer == 0) | (integer == 1)).all()):
        place = integer.nonzero().view(-1)
        gap = place.diff(prepend=place.new_tensor([-1])) - 1
        return {'kind': 'bits', 'size': num_rows, 'gap': encode(gap)}
    if bool((integer < 0).any()):
        # To 0, 1, 2, ... from 0, -1, 1, ...
        integer = torch.where(integer < 0, -2 * integer - 1, 2 * integer)
        return {'kind': 'signed', 'size': num_rows, 'entry': encode(integer)}
    return {'kind': 'integers', 'size': num_rows, 'entry': encode(integer)}


def decode_values(stored: Packed, dtype: torch.dtype, row: list[int]) -> Tensor:
    """Reads what :meth:`encode_values` packed.

    Args:
        stored (dict): What it returned.
        dtype (torch.dtype): The type.
        row (list): The size of a row.
    """
    kind = stored['kind']
    if kind == 'raw':
        return stored['raw']
    size = [stored['size'], *row]
    if kind == 'bits':
        out = torch.zeros(math.prod(size), dtype=torch.long)
        out[(decode(stored['gap']) + 1).cumsum(0) - 1] = 1
    else:
        out = decode(stored['entry'])
        if kind == 'signed':
            out = torch.where(out % 2 == 1, -(out // 2) - 1, out // 2)
    return out.to(dtype).view(size)


def as_integers(value: Tensor) -> Tensor | None:
    """The entries as integers if that is what they are, bit by bit.

    Args:
        value (torch.Tensor): A tensor of any shape.

    Returns:
        torch.Tensor, optional: Integers of shape :obj:`[value.numel()]` of
        less than 62 bits, or :obj:`None`.
    """
    if value.is_complex():
        return None
    if value.is_floating_point():
        wide = value.double().reshape(-1)
        if not bool((wide.abs() < 1 << 53).all()):
            return None
        integer = wide.long()
    else:
        integer = value.reshape(-1).long()
    if not bool(((integer >= -(1 << 61)) & (integer < 1 << 61)).all()):
        return None
    back = integer.to(value.dtype).view(value.size())
    return integer if _to_words(back).equal(_to_words(value)) else None


def _row_codes(value: Tensor) -> Tensor | None:
    # One integer a row, which is cheaper to sort than keys of 128 bits. So
    # many columns that are not all constant would not fit into it.
    if math.prod(value.size()[1:]) > _MAX_COLUMNS:
        return None
    integer = as_integers(value)
    if integer is None or integer.numel() == 0:
        return None
    row = integer.view(value.size(0), -1)
    least = row.amin(dim=0)
    span = (row.amax(dim=0) - least + 1).tolist()
    if math.prod(span) >= 1 << 62:
        return None
    steps = [math.prod(span[i + 1 :]) for i in range(len(span))]
    step = torch.tensor(steps)
    return row @ step - least @ step


def _to_words(value: Tensor) -> Tensor:
    num_columns = math.prod(value.size()[1:])
    value = value.contiguous().view(value.size(0), num_columns)
    if value.is_complex():
        value = torch.view_as_real(value).flatten(1)
    return value.view(_WORDS[value.element_size()])


def _from_words(word: Tensor, dtype: torch.dtype, size: Any) -> Tensor:
    if dtype.is_complex:
        real = word.view(dtype.to_real()).view(*size, 2)
        return torch.view_as_complex(real)
    return word.view(dtype).view(size)
