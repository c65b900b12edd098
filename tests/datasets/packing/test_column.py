"""Integers as bits: the codes written out as strings, and their promises."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_distill.datasets.packing.bits import (
    bit_length,
    read_bits,
    read_unary,
    write_bits,
    write_unary,
)
from pyg_distill.datasets.packing.column import (
    FIXED,
    GOLOMB,
    RICE,
    Code,
    decode,
    encode,
    packed_bytes,
)
from pyg_distill.datasets.packing.gaps import from_gaps, to_gaps

small = st.integers(0, 9)
any_size = st.one_of(small, st.integers(0, 300), st.integers(0, (1 << 61) - 1))
columns = st.lists(small, max_size=30) | st.lists(any_size, max_size=30)


def binary(value: int, width: int) -> str:
    return format(value, f'0{width}b') if width else ''


def written(value: int, kind: str, order: int) -> tuple[str, str]:
    """The head and the tail of a number, by the definition of each code."""
    if kind == FIXED:
        return '', binary(value, order)
    if kind == RICE:
        return '0' * (value >> order) + '1', binary(value % 2**order, order)
    head, least = 0, 0
    while value >= least + 2 ** (head + order):
        least += 2 ** (head + order)
        head += 1
    return '0' * head + '1', binary(value - least, head + order)


def as_bytes(bits: str) -> list[int]:
    bits += '0' * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


@settings(max_examples=40)
@given(st.lists(any_size, max_size=20))
def test_bits_are_those_of_the_numbers(values: list[int]) -> None:
    value = torch.tensor(values, dtype=torch.long)
    width = torch.tensor([v.bit_length() for v in values], dtype=torch.long)
    assert bit_length(value).equal(width)
    stored = write_bits(value, width)
    text = ''.join(binary(v, v.bit_length()) for v in values)
    assert stored.tolist() == as_bytes(text)
    assert read_bits(stored, width).equal(value)


@settings(max_examples=40)
@given(st.lists(small, max_size=20))
def test_unary_is_that_many_zeros_and_a_one(values: list[int]) -> None:
    value = torch.tensor(values, dtype=torch.long)
    stored = write_unary(value)
    assert stored.tolist() == as_bytes(''.join('0' * v + '1' for v in values))
    assert read_unary(stored).equal(value)


@settings(max_examples=40)
@given(columns)
def test_columns_are_restored_and_as_long_as_their_code(
    values: list[int],
) -> None:
    value = torch.tensor(values, dtype=torch.long)
    packed = encode(value)
    assert decode(packed).equal(value)
    assert decode(packed).dtype == torch.long

    number = values
    if 'rank' in packed:
        rank = decode(packed['rank']).tolist()
        times = [values.count(v) for v in rank]
        assert sorted(rank) == sorted(set(values))
        assert times == sorted(times, reverse=True)
        number = [rank.index(v) for v in values]
    texts = [written(v, packed['kind'], packed['order']) for v in number]
    heads, tails = (
        (''.join(part) for part in zip(*texts, strict=True))
        if (texts)
        else ('', '')
    )
    assert as_bytes(heads) == packed.get('head', torch.tensor([])).tolist()
    assert as_bytes(tails) == packed.get('tail', torch.tensor([])).tolist()
    assert Code.of(value).bits(value).tolist() == [
        len(head + tail) for head, tail in texts
    ]


@settings(max_examples=40)
@given(columns)
def test_no_code_would_be_shorter(values: list[int]) -> None:
    value = torch.tensor(values, dtype=torch.long)
    size = packed_bytes(encode(value))
    width = max([v.bit_length() for v in values], default=0)
    sizes = [len(as_bytes('0' * width * len(values)))]
    if max(values, default=0) < 1000 and width:
        for kind in (RICE, GOLOMB):
            for order in range(width):
                texts = [written(v, kind, order) for v in values]
                sizes.append(
                    sum(
                        len(as_bytes(''.join(part)))
                        for part in zip(*texts, strict=True)
                    )
                )
    assert size <= min(sizes)


@settings(max_examples=40)
@given(columns.filter(bool), st.data())
def test_part_of_a_column_takes_no_more_than_it_did(
    values: list[int], data: st.DataObject
) -> None:
    value = torch.tensor(values)
    kept = torch.tensor(
        data.draw(
            st.lists(st.booleans(), min_size=len(values), max_size=len(values))
        )
    )
    code = Code.of(value)
    bits = int(code.bits(value)[kept].sum())
    if code.rank is not None:
        mine = code.to_rank(value)[kept].unique()
        bits += int(code.table_bits()[mine].sum())
    allowed = (bits + 7 * code.num_streams() + 7) // 8
    assert packed_bytes(encode(value[kept])) <= allowed


def test_what_is_constant_takes_a_table_of_one() -> None:
    assert packed_bytes(encode(torch.zeros(1000))) == 0
    assert packed_bytes(encode(torch.full((1000,), 200))) == 1


def test_many_small_numbers_take_their_entropy_about() -> None:
    value = torch.randint(4, (8000,)) * 1000
    assert packed_bytes(encode(value)) == 2000 + 6
    value = torch.zeros(8000).long()
    value[::10] = 70
    # 0.47 bits each would be the entropy; a prefix code needs one at least.
    assert packed_bytes(encode(value)) == pytest.approx(1000, rel=0.2)


@settings(max_examples=40)
@given(st.lists(st.lists(small, max_size=5), max_size=5), st.booleans())
def test_gaps_are_undone(groups: list[list[int]], once: bool) -> None:
    groups = [sorted(set(g) if once else g) for g in groups]
    value = torch.tensor([v for g in groups for v in g], dtype=torch.long)
    size = torch.tensor([len(g) for g in groups], dtype=torch.long)
    group = torch.arange(len(groups)).repeat_interleave(size)
    gap, distinct = to_gaps(value, group)
    assert bool((gap >= 0).all())
    assert distinct == all(len(set(g)) == len(g) for g in groups)
    assert from_gaps(gap, size, group, distinct).equal(value)
