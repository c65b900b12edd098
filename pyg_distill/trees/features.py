"""Feature tensors of any dtype and width -> keys."""

import math

import torch
from torch import Tensor

from pyg_distill.trees.hashing import (
    chain,
    column_constants,
    hash_entries,
    hash_words,
)

_INTEGER, _FLOAT, _COMPLEX = 1, 2, 3
# PyTorch stores these, but selects no entries of them.
_UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)
# Entries that are looked at together, which bounds the memory that is needed,
# and those that stay in the cache, as full rows are bound by memory otherwise.
_BLOCK, _CACHED = 1 << 20, 1 << 16
# A non-zero entry by itself costs about this many entries of full rows.
_SPARSE = 4


def hash_features(value: Tensor, name: str) -> Tensor:
    r"""Hashes the rows of a feature tensor.

    Values are compared exactly, as numbers: :obj:`-0.0` equals :obj:`0.0`, and
    the width of a type does not matter (:obj:`float32` and :obj:`float64`,
    :obj:`bool` and :obj:`long`), but integers differ from floats.

    Args:
        value (torch.Tensor): Features of shape :obj:`[n, *]`.
        name (str): The name used in error messages.

    Returns:
        torch.Tensor: Keys of shape :obj:`[n, 2]`.

    Raises:
        TypeError: If :obj:`value` is no dense tensor.
        ValueError: If :obj:`value` contains NaN.
    """
    if not isinstance(value, Tensor) or value.layout != torch.strided:
        got = getattr(value, 'layout', type(value).__name__)
        raise TypeError(
            f"'{name}' must be a dense tensor to be compared (got {got}); "
            f"convert it, or leave it out with exclude_keys=['{name}']"
        )
    if value.dim() == 0:
        raise ValueError(
            f"'{name}' must have one row a node or edge (got a scalar); leave "
            f"it out with exclude_keys=['{name}']"
        )
    kind = _INTEGER
    if value.is_complex():
        kind, value = _COMPLEX, torch.view_as_real(value)
    elif value.is_floating_point():
        kind = _FLOAT

    num_rows, num_columns = value.size(0), math.prod(value.size()[1:])
    value = value.reshape(num_rows, num_columns)
    constant = column_constants(num_columns, value.device)
    blocks = [
        _hash_rows(block, constant, name)
        for block in value.split(_num_rows(_BLOCK, num_columns))
    ]
    return chain(kind * (1 << 32) + num_columns, torch.cat(blocks))


def _num_rows(num_entries: int, num_columns: int) -> int:
    return max(1, num_entries // max(1, num_columns))


def _hash_rows(value: Tensor, constant: Tensor, name: str) -> Tensor:
    if value.dtype in _UNSIGNED:
        value = value.long()
    is_set = (value != 0).reshape(-1)
    if _SPARSE * int(is_set.count_nonzero()) <= is_set.numel():
        return _hash_sparse(value, is_set.nonzero().view(-1), constant, name)
    blocks = [
        hash_words(_to_words(block, name), constant)
        for block in value.split(_num_rows(_CACHED, value.size(1)))
    ]
    return torch.cat(blocks)


def _hash_sparse(
    value: Tensor, index: Tensor, constant: Tensor, name: str
) -> Tensor:
    # Whatever is zero, such as most of a one-hot row, hashes as in a row of
    # zeros, to which the other entries are the difference.
    num_rows, num_columns = value.size()
    row = index // max(1, num_columns)
    column = index - row * num_columns
    word = _to_words(value.reshape(-1).index_select(0, index), name)
    lanes = hash_entries(word, constant.index_select(0, column))
    zeros = hash_entries(torch.zeros_like(constant), constant)
    totals = [
        zero.sum()
        .repeat(num_rows)
        .scatter_add_(0, row, lane.sub_(zero.index_select(0, column)))
        for lane, zero in zip(lanes, zeros, strict=True)
    ]
    return torch.stack(totals, dim=1)


def _to_words(value: Tensor, name: str) -> Tensor:
    if not value.is_floating_point():
        return value.long()
    # Adding zero turns -0.0 into 0.0.
    value = value.double() + 0.0
    if value.isnan().any():
        raise ValueError(
            f"'{name}' must not hold NaN, which equals nothing (got some); "
            f"fill it in, or leave it out with exclude_keys=['{name}']"
        )
    return value.view(torch.long)
