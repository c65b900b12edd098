import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyg_distill.trees import features
from pyg_distill.trees.features import hash_features

MASK = (1 << 64) - 1
DTYPES = [
    torch.bool,
    torch.uint8,
    torch.int16,
    torch.long,
    torch.half,
    torch.float,
    torch.double,
    torch.cfloat,
]


def same(a, b):
    return torch.equal(hash_features(a, 'x'), hash_features(b, 'x'))


def distinct(value):
    return hash_features(value, 'x').unique(dim=0).size(0)


def test_signed_zeros_are_equal():
    assert distinct(torch.tensor([0.0, -0.0])) == 1
    assert distinct(torch.tensor([[1.0, 0.0], [1.0, -0.0]])) == 1
    zero = torch.tensor([0.0 + 0.0j, complex(-0.0, 0.0)])
    assert distinct(zero) == 1


def test_infinity_is_a_value():
    value = torch.tensor([float('inf'), -float('inf'), 3e38, float('inf')])
    key = hash_features(value, 'x')
    assert key.unique(dim=0).size(0) == 3
    assert key[0].equal(key[3])


@pytest.mark.parametrize('dtype', [torch.half, torch.float, torch.double])
def test_nan_is_refused(dtype):
    value = torch.tensor([[0.0, 1.0], [float('nan'), 0.0]], dtype=dtype)
    with pytest.raises(
        ValueError, match=r"'x' must not hold NaN.*exclude_keys"
    ):
        hash_features(value, 'x')


def test_the_width_of_a_type_does_not_matter():
    integer = torch.tensor([[0, 1], [1, 1]])
    for dtype in [torch.bool, torch.uint8, torch.int8, torch.int32]:
        assert same(integer, integer.to(dtype))
    value = torch.tensor([[0.5, -1.0], [float('inf'), 0.25]])
    for dtype in [torch.half, torch.bfloat16, torch.double]:
        assert same(value, value.to(dtype))
    assert same(value.to(torch.cfloat), value.to(torch.cdouble))


def test_integers_floats_and_complex_numbers_differ():
    value = torch.tensor([[0, 0], [1, 1]])
    key = torch.cat(
        [
            hash_features(value, 'x'),
            hash_features(value.float(), 'x'),
            hash_features(value[:, 0].to(torch.cfloat), 'x'),
        ]
    )
    assert key.unique(dim=0).size(0) == 6


def test_nearby_floats_differ():
    value = torch.tensor([0.1, 0.1 + 1e-16], dtype=torch.double)
    value = torch.cat([value, torch.tensor([0.1]).double()])
    assert distinct(value) == len(set(value.tolist()))
    assert distinct(torch.tensor([0.0, 1e-45])) == 2


def test_numbers_of_columns():
    value = torch.arange(12)
    assert same(value, value.view(12, 1))
    assert same(value.view(2, 3, 2), value.view(2, 6))
    # More columns, even of zeros, are other features.
    key = [hash_features(torch.zeros(1, d), 'x') for d in range(6)]
    assert torch.cat(key).unique(dim=0).size(0) == 6


@pytest.mark.parametrize('dtype', [torch.long, torch.float])
def test_swapped_columns_and_equal_sums_differ(dtype):
    value = torch.cartesian_prod(*[torch.arange(-3, 4)] * 3).to(dtype)
    assert distinct(value) == 7**3


@pytest.mark.parametrize('width', [1, 2, 1433])
def test_one_column_never_collides(width):
    for column in {0, width // 2, width - 1}:
        value = torch.ones(300, width)
        value[:, column] = torch.arange(300)
        assert distinct(value) == 300


def test_without_rows():
    for size in [(0,), (0, 3), (0, 0)]:
        assert hash_features(torch.empty(size), 'x').size() == (0, 2)


def test_layout_in_memory_does_not_matter():
    value = torch.randn(7, 5, dtype=torch.double)
    assert same(value, value.t().contiguous().t())
    assert same(value[:, ::2], value[:, ::2].contiguous())
    assert same(value[:1].expand(4, 5), value[:1].repeat(4, 1))


@pytest.mark.parametrize('density', [0.0, 0.1, 0.9])
def test_blocks(monkeypatch, density):
    value = torch.randn(40, 3) * (torch.rand(40, 3) < density)
    # Blocks of either kind, one after the other.
    value[20:] = 0.5
    key = hash_features(value, 'x')
    for name in ('_BLOCK', '_CACHED'):
        for size in (10, 1):
            monkeypatch.setattr(features, name, size)
            assert hash_features(value, 'x').equal(key)


def scramble(value):
    value ^= value >> 30
    value = value * 0xBF58476D1CE4E5B9 & MASK
    value ^= value >> 27
    value = value * 0x94D049BB133111EB & MASK
    return value ^ (value >> 31)


def slow_key(row, seed):
    """The key of a row of words, in Python's unbounded integers."""
    low = high = 0
    for column, word in enumerate(row, start=1):
        entry = word + scramble(column * 0x9E3779B97F4A7C15 & MASK) & MASK
        entry = scramble(entry)
        low += entry
        entry = (entry ^ (entry >> 32)) * 0xD6E8FEB86659FD93 & MASK
        high += entry ^ (entry >> 29)
    low = scramble(low + scramble(seed) & MASK)
    high = scramble(high + scramble(~seed & MASK) + low & MASK)
    low = low + high * 0xD6E8FEB86659FD93 & MASK
    return [x - (1 << 64) if x >> 63 else x for x in (low, high)]


def slow_keys(value):
    seed = 1 + value.is_floating_point() + 2 * value.is_complex()
    value = torch.view_as_real(value) if value.is_complex() else value
    value = value.flatten(1)
    is_float = value.is_floating_point()
    return [
        slow_key(
            [
                struct.unpack('<Q', struct.pack('<d', x + 0.0))[0]
                if is_float
                else int(x) & MASK
                for x in row
            ],
            (seed << 32) + value.size(1),
        )
        for row in value.tolist()
    ]


@given(
    st.integers(0, 5),
    st.integers(0, 30),
    st.sampled_from([0.0, 0.05, 0.2, 0.3, 0.6, 1.0]),
    st.sampled_from(DTYPES),
    st.integers(0, 1000),
)
def test_against_python(num_rows, num_columns, density, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    size = (num_rows, num_columns)
    value = 50 * torch.randn(size, generator=generator)
    value *= torch.rand(size, generator=generator) < density
    if dtype == torch.uint8:
        value = value.abs()
    value = (value * 1j if dtype.is_complex else value).to(dtype)
    # Both ways, whatever the density would suggest.
    for sparse in (0, 4, 10**6):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(features, '_SPARSE', sparse)
            assert hash_features(value, 'x').tolist() == slow_keys(value)


@pytest.mark.parametrize('dtype', [torch.float, torch.half, torch.cfloat])
def test_signed_zeros_and_nan_in_mostly_empty_rows(dtype):
    value = torch.zeros(50, 30, dtype=dtype)
    value[3, 4] = 1
    key = hash_features(value, 'x')
    assert hash_features(-value, 'x')[0].equal(key[0])
    assert not hash_features(-value, 'x')[3].equal(key[3])
    assert key.unique(dim=0).size(0) == 2
    value[7, 0] = float('nan')
    with pytest.raises(ValueError, match="'x' must not hold NaN"):
        hash_features(value, 'x')


# Whoever changes one of these numbers changes the identity of all trees that
# were kept anywhere.
PINNED = {
    torch.float: [
        [-3201237461944312926, 4632845976905701766],
        [-2298629148293196926, -8783118707101313624],
        [1733505341570355409, -8512909896698140597],
    ],
    torch.long: [
        [-4354674059687647524, -2160899109342726661],
        [6781784758414212789, -7675180545434133901],
        [6580080188241999320, -8249378638772184704],
    ],
}


@pytest.mark.parametrize('dtype', PINNED)
def test_pinned_keys_of_one_hot_rows(dtype):
    value = torch.zeros(3, 37, dtype=dtype)
    value[0, 0] = value[1, 36] = 1
    assert hash_features(value, 'x').tolist() == PINNED[dtype]


def test_one_hot_rows_of_real_molecules(real_dataset):
    x = real_dataset('NCI1').x[:500]
    assert (x != 0).float().mean() < 0.03
    assert hash_features(x, 'x').tolist() == slow_keys(x)


def test_input_is_not_modified():
    value = torch.tensor([[-0.0, 1.0]], dtype=torch.double)
    hash_features(value, 'x')
    assert value[0, 0].signbit()


@pytest.mark.parametrize('value', [torch.eye(3).to_sparse(), [1.0, 2.0], 'red'])
def test_what_is_no_dense_tensor_is_refused(value):
    with pytest.raises(TypeError, match=r"'x' must be a dense.*exclude_keys"):
        hash_features(value, 'x')


def test_scalars_are_refused():
    with pytest.raises(
        ValueError, match=r"'x' must have one row a node or edge"
    ):
        hash_features(torch.tensor(1.0), 'x')


@pytest.mark.parametrize('dtype', [torch.uint16, torch.uint32, torch.uint64])
@pytest.mark.parametrize('width', [1, 8])
def test_unsigned_types(dtype: torch.dtype, width: int) -> None:
    value = torch.zeros(20, width, dtype=torch.long)
    value[::7, 0] = torch.arange(1, 4)
    expected = hash_features(value, 'x')
    assert torch.equal(hash_features(value.to(dtype), 'x'), expected)
