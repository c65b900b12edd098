"""Feature tensors of any dtype and width -> keys."""

import math

import torch
from torch import Tensor

from pyg_distill.trees.hashing import chain, column_constants, hash_words

_INTEGER, _FLOAT, _COMPLEX = 1, 2, 3
_BLOCK = 1 << 16


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
            f"'{name}' needs one row a node or edge (got a scalar)"
        )
    kind = _INTEGER
    if value.is_complex():
        kind, value = _COMPLEX, torch.view_as_real(value)
    elif value.is_floating_point():
        kind = _FLOAT

    num_rows, num_columns = value.size(0), math.prod(value.size()[1:])
    value = value.reshape(num_rows, num_columns)
    constant = column_constants(num_columns, value.device)
    # Blocks that stay in the cache: the work is bound by memory otherwise.
    size = max(1, _BLOCK // max(1, num_columns))
    blocks = [
        hash_words(_to_words(block, name), constant)
        for block in value.split(size)
    ]
    return chain(kind * (1 << 32) + num_columns, torch.cat(blocks))


def _to_words(value: Tensor, name: str) -> Tensor:
    if not value.is_floating_point():
        return value.long()
    # Adding zero turns -0.0 into 0.0.
    value = value.double() + 0.0
    if value.isnan().any():
        raise ValueError(
            f"'{name}' contains NaN, which equals nothing; fill it in before "
            f"distilling, or leave it out with exclude_keys=['{name}']"
        )
    return value.view(torch.long)
