"""Features of any type are restored bit by bit."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pyg_distill.datasets.packing.column import packed_bytes
from pyg_distill.datasets.packing.costs import row_bits
from pyg_distill.datasets.packing.rows import (
    DistinctRows,
    decode_rows,
    encode_rows,
    encode_values,
    take_rows,
)
from tests.graphs import values

TYPES = [
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.uint16,
    torch.int32,
    torch.long,
    torch.uint64,
    torch.half,
    torch.bfloat16,
    torch.float,
    torch.double,
    torch.cfloat,
    torch.cdouble,
]


def raw(value: Tensor) -> tuple:
    """What a tensor is, bit by bit."""
    content = value.contiguous().reshape(-1)
    if content.is_complex():
        content = torch.view_as_real(content).reshape(-1)
    return value.dtype, value.size(), content.view(torch.uint8).tolist()


@settings(max_examples=60)
@given(st.integers(0, 8).flatmap(values))
def test_rows_are_restored(value: Tensor) -> None:
    assert raw(decode_rows(encode_rows(value))) == raw(value)


@pytest.mark.parametrize('dtype', TYPES)
@pytest.mark.parametrize('size', [(6,), (6, 3), (0, 2), (6, 0), (6, 2, 2)])
def test_all_types_and_shapes(dtype: torch.dtype, size: tuple) -> None:
    value = torch.randint(3, size).to(dtype)
    assert raw(decode_rows(encode_rows(value))) == raw(value)


@pytest.mark.parametrize(
    'special',
    [
        [0.0, -0.0, 1.0],
        [float('nan'), float('inf'), 0.5],
        [1e30, 2.0, 3.0],
        [-3.0, 7.0, 0.0],
        [2.0**60, 2.0**62, 2.0**53 + 2],
    ],
)
@pytest.mark.parametrize('dtype', [torch.float, torch.double])
def test_special_floats(special: list, dtype: torch.dtype) -> None:
    for value in (
        torch.tensor(special, dtype=dtype),
        torch.tensor([special] * 30, dtype=dtype),
        torch.tensor([special] * 30, dtype=dtype)[:, ::2],
    ):
        assert raw(decode_rows(encode_rows(value))) == raw(value)


@pytest.mark.parametrize('far', [-(1 << 63), (1 << 63) - 1, -1, 1 << 61])
def test_integers_of_any_size(far: int) -> None:
    value = torch.tensor([0, far, 5, far])
    assert raw(decode_rows(encode_rows(value))) == raw(value)


def test_equal_rows_are_found_whatever_their_width() -> None:
    narrow = torch.randint(2, (50, 3))
    # So wide that a row is no longer one integer of 64 bits.
    wide = torch.cat([narrow, torch.zeros(50, 60).long() + narrow[:, :1]], 1)
    fraction = narrow + 0.5
    expected = len(set(map(tuple, narrow.tolist())))
    for value in (narrow, wide, fraction, narrow.float(), wide.float()):
        rows = DistinctRows.of(value)
        assert rows.first.numel() == expected
        assert take_rows(value, rows.first[rows.number]).equal(value)
        count = torch.bincount(rows.number)
        assert count.tolist() == sorted(count.tolist(), reverse=True)


def test_rows_of_large_integers_are_kept_apart() -> None:
    # Modulo 2 ** 64, the columns would fall onto each other.
    value = torch.zeros(40, 5).long()
    value[0] = (1 << 15) - 1
    value[1:, 0] = torch.arange(39) * 16
    assert DistinctRows.of(value).first.numel() == 40


def test_negative_zero_is_another_row_than_zero() -> None:
    assert DistinctRows.of(torch.tensor([0.0, -0.0])).first.numel() == 2


def test_one_hot_rows_take_about_a_byte_each() -> None:
    value = torch.eye(37)[torch.arange(3700) % 37]
    packed = encode_rows(value)
    # Six bits tell one of 37, and about as many write a row of the table.
    assert packed_bytes(packed['number']) <= 3700 * 6 // 8
    assert packed_bytes(packed['rows']) <= 37


def test_what_hardly_repeats_is_not_numbered() -> None:
    value = torch.rand(40)
    assert packed_bytes(encode_rows(value)) == 160
    assert packed_bytes(encode_rows(torch.arange(256).byte())) <= 256


@settings(max_examples=60)
@given(st.integers(1, 8).flatmap(values), st.data())
def test_bits_of_rows_are_a_bound(value: Tensor, data: st.DataObject) -> None:
    value = take_rows(value, DistinctRows.of(value).first)
    bits, num_streams = row_bits(value)
    keep = st.lists(st.integers(0, len(value) - 1), unique=True)
    kept = torch.tensor(data.draw(keep), dtype=torch.long)
    packed = encode_values(take_rows(value, kept))
    # The table of ranks is left out only where it does not pay.
    assert packed_bytes(packed) <= (int(bits[kept].sum()) + 14) // 8 + (
        num_streams - 1
    )
