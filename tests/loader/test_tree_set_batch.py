import copy
import pickle

import pytest
import torch
from torch_geometric.data import Data

from pyg_distill.loader import TreeSetBatch, TreeSetLoader
from pyg_distill.transforms import ToComputationTrees
from tests.graphs import cycle, random_graph


@pytest.fixture
def data():
    sets = [ToComputationTrees(2)(random_graph(seed=s)) for s in range(4)]
    return next(iter(TreeSetLoader(sets, batch_size=4)))


@pytest.mark.parametrize('name', ['batch', 'ptr'])
def test_nothing_at_the_level_of_nodes(data, name):
    for read in (
        lambda: getattr(data, name),
        lambda: getattr(copy.copy(data), name),
        lambda: getattr(pickle.loads(pickle.dumps(data)), name),
    ):
        with pytest.raises(
            AttributeError,
            match=rf"has no '{name}'.* root_index_batch=.*'DataLoader'",
        ) as info:
            read()
        assert '\n' not in str(info.value)
    assert data.get(name) is None
    assert name not in data
    assert not hasattr(data, name)
    with pytest.raises(AttributeError, match="no attribute 'unheard_of'"):
        data.unheard_of  # noqa: B018
    # It may be given one, and it can be taken away again.
    data[name] = torch.zeros(3)
    assert data.get(name).tolist() == [0, 0, 0]
    setattr(data, name, torch.ones(3))
    assert getattr(data, name).tolist() == [1, 1, 1]
    assert getattr(data.clone(), name).tolist() == [1, 1, 1]
    setattr(data, name, None)
    assert name not in data


@pytest.mark.parametrize(
    'call',
    [
        lambda data: data.to_data_list(),
        lambda data: data.get_example(0),
        lambda data: data.index_select([0]),
        lambda data: data[0],
        lambda data: data[:2],
        lambda data: data[torch.tensor([0])],
    ],
)
def test_graphs_are_not_told_apart(data, call):
    with pytest.raises(
        TypeError, match=r"does not support .*'DataLoader'"
    ) as info:
        call(data)
    assert '\n' not in str(info.value)


def test_copies(data):
    assert isinstance(data, TreeSetBatch)
    assert isinstance(data, Data)
    for other in (
        copy.copy(data),
        copy.deepcopy(data),
        data.clone(),
        pickle.loads(pickle.dumps(data)),
        data.to('cpu'),
        data.contiguous(),
    ):
        assert type(other) is TreeSetBatch
        assert other.num_graphs == other.batch_size == len(other) == 4
        assert other.keys() == data.keys()
        assert all(torch.equal(other[key], data[key]) for key in data.keys())
    meta = data.clone().to('meta')
    assert all(meta[key].is_meta for key in data.keys())
    double = data.clone().apply(lambda x: x.double(), 'x')
    assert double.x.dtype == torch.double
    assert str(data).startswith('TreeSetBatch(x=[')
    assert set(data.to_dict()) == set(data.keys())


def test_without_features():
    sets = [ToComputationTrees(1)(cycle(n)) for n in (3, 4)]
    data = next(iter(TreeSetLoader(sets, batch_size=2)))
    assert data.num_nodes == 2
    assert 'x' not in data
    assert copy.copy(data).num_nodes == 2
