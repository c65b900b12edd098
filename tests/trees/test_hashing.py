import pytest
import torch

from pyg_distill.trees.hashing import (
    chain,
    chain_lanes,
    column_constants,
    extend_lanes,
    hash_entries,
    hash_words,
    mix_,
    mix_int,
)

MASK = (1 << 64) - 1


def split_mix(value: int) -> int:
    """The published finaliser, in Python's unbounded integers."""
    value &= MASK
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & MASK
    value ^= value >> 31
    return value - (1 << 64) if value >> 63 else value


@pytest.mark.parametrize(
    'value', [0, 1, -1, 42, -(2**63), 2**63 - 1, 0x123456789ABCDEF]
)
def test_mix(value):
    assert mix_int(value) == split_mix(value)
    assert mix_(torch.tensor([value])).tolist() == [split_mix(value)]


def test_mix_int_wraps():
    assert mix_int(2**64 + 3) == mix_int(3)


def test_mix_is_one_to_one():
    value = torch.cat([torch.arange(-5000, 5000), torch.arange(5000) << 40])
    assert mix_(value.clone()).unique().numel() == value.unique().numel()


def test_column_constants_do_not_depend_on_the_width():
    device = torch.device('cpu')
    wide = column_constants(5, device)
    assert column_constants(3, device).equal(wide[:3])
    assert wide.unique().numel() == 5


@pytest.mark.parametrize('lane', [0, 1])
def test_hash_words_of_one_column_never_collide(lane):
    # Each lane by itself tells rows apart that differ in one column.
    word = torch.zeros(2000, 3, dtype=torch.long)
    word[:, 1] = torch.arange(-1000, 1000) * 2**40
    key = hash_words(word, column_constants(3, torch.device('cpu')))
    assert key.size() == (2000, 2)
    assert key[:, lane].unique().numel() == 2000


@pytest.mark.parametrize('lane', [0, 1])
def test_hash_words_of_all_small_rows(lane):
    # Holds rows of equal sums, and rows with swapped columns.
    word = torch.cartesian_prod(*[torch.arange(-4, 5)] * 4)
    key = hash_words(word, column_constants(4, torch.device('cpu')))
    assert key[:, lane].unique().numel() == 9**4


def test_hash_words_without_columns():
    key = hash_words(
        torch.empty(3, 0, dtype=torch.long),
        column_constants(0, torch.device('cpu')),
    )
    assert key.tolist() == [[0, 0]] * 3


@pytest.mark.parametrize('lane', [0, 1])
def test_chain(lane):
    small = torch.cartesian_prod(torch.arange(40), torch.arange(40))
    other = torch.full_like(small, 50)
    keys = [
        chain(1, small),
        chain(2, small),
        chain(1, small, other),
        chain(1, other, small),
        chain(1, small, small.flip([1]) + 99),
    ]
    key = torch.cat(keys)[:, lane]
    assert key.unique().numel() == key.numel()
    assert chain(1, small).equal(keys[0])


@pytest.mark.parametrize('position', [0, 1, 2])
def test_chain_is_one_to_one_in_each_key(position):
    keys = [torch.full((2000, 2), i) for i in range(3)]
    # One lane is enough to tell keys apart.
    keys[position] = torch.stack(
        [torch.zeros(2000).long(), torch.arange(2000)], dim=1
    )
    assert chain(1, *keys).unique(dim=0).size(0) == 2000
    keys[position] = keys[position].flip([1])
    assert chain(1, *keys).unique(dim=0).size(0) == 2000


def test_chain_leaves_its_input():
    key = torch.arange(6).view(3, 2)
    chain(1, key, key)
    assert key.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_lanes_are_what_is_chained():
    keys = torch.randint(-(2**63), 2**63 - 1, (3, 50, 2))
    lanes = [key.unbind(1) for key in keys]
    for number in (1, 2, 3):
        want = chain(5, *keys[:number])
        have = chain_lanes(5, *lanes[:number])
        assert torch.stack(have, dim=1).equal(want)
        for key in lanes[number:]:
            have = extend_lanes(have, key)
        assert torch.stack(have, dim=1).equal(chain(5, *keys))


def test_lanes_are_left():
    first = (torch.arange(3), torch.arange(3) + 7)
    lanes = chain_lanes(1, first)
    before = torch.stack(lanes)
    extend_lanes(lanes, first)
    assert torch.stack(lanes).equal(before)
    assert first[0].tolist() == [0, 1, 2]
    assert first[1].tolist() == [7, 8, 9]


def test_hash_entries():
    word = torch.randint(-5, 5, (20, 4))
    constant = column_constants(4, torch.device('cpu'))
    low, high = hash_entries(word, constant)
    for row, a, b in zip(word, low, high, strict=True):
        for column in range(4):
            alone = hash_words(row[None, column, None], constant[column, None])
            assert alone.tolist() == [[int(a[column]), int(b[column])]]
    assert hash_words(word, constant).tolist() == [
        [int(a.sum()), int(b.sum())] for a, b in zip(low, high, strict=True)
    ]
