import pytest
import torch
from torch_geometric.data import Data

from pyg_distill.evaluation import OneHot


def graphs(*rows: list) -> list[Data]:
    return [Data(x=torch.tensor(x)) for x in rows]


def test_codes_of_each_column() -> None:
    encode = OneHot(graphs([[7, 0], [3, 0]], [[5, -2]]))
    assert [values.tolist() for values in encode.values] == [[3, 5, 7], [-2, 0]]
    out = encode(torch.tensor([[5, 0], [3, -2], [7, 0]]))
    assert out.dtype == torch.float
    assert out.tolist() == [[0, 1, 0, 0, 1], [1, 0, 0, 1, 0], [0, 0, 1, 0, 1]]
    # 4 lies between known values, and 9 beyond them.
    out = encode(torch.tensor([[4, 0], [9, 1], [-9, -9]]))
    assert out.tolist() == [[0, 0, 0, 0, 1], [0] * 5, [0] * 5]
    assert encode(torch.empty(0, 2, dtype=torch.long)).size() == (0, 5)


def test_one_column_may_be_flat() -> None:
    encode = OneHot(graphs([2, 2, 1]))
    assert encode(torch.tensor([1, 2])).tolist() == [[1, 0], [0, 1]]


def test_booleans_are_codes() -> None:
    encode = OneHot(graphs([[True, False]], [[False, False], [True, False]]))
    out = encode(torch.tensor([[True, True], [False, False]]))
    assert out.tolist() == [[0, 1, 0], [1, 0, 1]]


def test_bad_features() -> None:
    with pytest.raises(ValueError, match=r'integer features .*float32'):
        OneHot(graphs([[1.0]]))
