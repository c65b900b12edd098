import pytest
import torch

from pyg_distill.trees import features
from pyg_distill.trees.features import hash_features


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
    with pytest.raises(ValueError, match=r"'x' contains NaN.*exclude_keys"):
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


def test_blocks(monkeypatch):
    value = torch.randn(40, 3)
    key = hash_features(value, 'x')
    monkeypatch.setattr(features, '_BLOCK', 10)
    assert hash_features(value, 'x').equal(key)
    monkeypatch.setattr(features, '_BLOCK', 1)
    assert hash_features(value, 'x').equal(key)


def test_input_is_not_modified():
    value = torch.tensor([[-0.0, 1.0]], dtype=torch.double)
    hash_features(value, 'x')
    assert value[0, 0].signbit()


@pytest.mark.parametrize('value', [torch.eye(3).to_sparse(), [1.0, 2.0], 'red'])
def test_what_is_no_dense_tensor_is_refused(value):
    with pytest.raises(TypeError, match=r"'x' must be a dense.*exclude_keys"):
        hash_features(value, 'x')


def test_scalars_are_refused():
    with pytest.raises(ValueError, match=r"'x' needs one row a node or edge"):
        hash_features(torch.tensor(1.0), 'x')
