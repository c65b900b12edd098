import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import GIN

from pyg_distill.datasets import ToyMolecules
from pyg_distill.evaluation import OneHot, evaluate


def graphs(*rows: list) -> list[Data]:
    edge_index = torch.empty(2, 0, dtype=torch.long)
    return [Data(x=torch.tensor(x), edge_index=edge_index) for x in rows]


def test_codes_of_each_column() -> None:
    encode = OneHot(graphs([[7, 0], [3, 0]], [[5, -2]]))
    assert [values.tolist() for values in encode.values] == [[3, 5, 7], [-2, 0]]
    assert encode.num_features == 5
    assert repr(encode) == 'OneHot([3, 2])'
    out = encode(torch.tensor([[5, 0], [3, -2], [7, 0]]))
    assert out.tolist() == [
        [0, 1, 0, 0, 1],
        [1, 0, 0, 1, 0],
        [0, 0, 1, 0, 1],
    ]
    # 4 lies between known values, and 9 beyond them.
    out = encode(torch.tensor([[4, 0], [9, 1], [-9, -9]]))
    assert out.tolist() == [[0, 0, 0, 0, 1], [0] * 5, [0] * 5]


def test_one_column_may_be_flat() -> None:
    encode = OneHot(graphs([2, 2, 1]))
    assert encode(torch.tensor([1, 2])).tolist() == [[1, 0], [0, 1]]


def test_booleans_are_codes() -> None:
    given = graphs([[True, False]], [[False, False], [True, False]])
    encode = OneHot(given)
    assert repr(encode) == 'OneHot([2, 1])'
    out = encode(torch.tensor([[True, True], [False, False]]))
    assert out.tolist() == [[0, 1, 0], [1, 0, 1]]


def test_booleans_of_graphs_are_the_same_as_codes() -> None:
    toy = ToyMolecules(60)
    found = []
    for dtype in (torch.bool, torch.long):
        given = [data.clone() for data in toy]
        for data in given:
            data.x = data.x.to(dtype)
        (record,) = evaluate(
            given[:20],
            test=given[40:],
            val=given[20:40],
            models=[GIN],
            readouts=['sum'],
            runs=1,
            steps=3,
            encode=OneHot(given),
            log=False,
        ).records
        found.append((record.auc, record.val_loss))
    assert found[0] == found[1]


def test_no_nodes() -> None:
    encode = OneHot(graphs([[1, 2]]))
    assert encode(torch.empty(0, 2, dtype=torch.long)).size() == (0, 2)


def test_errors() -> None:
    with pytest.raises(ValueError, match=r'integer features .*float32'):
        OneHot(graphs([[1.0]]))
    with pytest.raises(ValueError, match=r'integer features .*none'):
        OneHot([Data(edge_index=torch.tensor([[0], [0]]), num_nodes=1)])
    with pytest.raises(ValueError, match='must have 2 columns'):
        OneHot(graphs([[1, 2]]))(torch.tensor([[1]]))
