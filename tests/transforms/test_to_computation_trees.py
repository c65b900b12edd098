import copy
import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch_geometric.transforms as T
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data, HeteroData, InMemoryDataset
from torch_geometric.loader import DataLoader

from pyg_distill.transforms import ToComputationTrees
from tests.data.collections import assert_graphs, typed
from tests.graphs import cycle, graphs, permute
from tests.oracles import tree_set, trees_of

PATH = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])


def path(**kwargs: Any) -> Data:
    return Data(x=torch.tensor([[0], [1], [0]]), edge_index=PATH, **kwargs)


def test_print() -> None:
    assert str(ToComputationTrees(2)) == 'ToComputationTrees(2)'
    transform = ToComputationTrees(2, compact=False, exclude_keys=['pos'])
    text = "ToComputationTrees(2, compact=False, exclude_keys=['pos'])"
    assert str(transform) == text


def test_by_hand() -> None:
    # One tree per depth: nothing depends on the order of keys.
    out = ToComputationTrees(2)(cycle(5, y=torch.tensor([1])))
    assert len(out) == 6
    assert out.num_nodes == 3
    assert out.edge_index.tolist() == [[1, 1, 2, 2], [0, 0, 1, 1]]
    assert out.root_index.tolist() == [0]
    assert out.root_count.tolist() == [5]
    assert out.num_layers.tolist() == [2]
    assert out.y.tolist() == [1]

    out = ToComputationTrees(2, compact=False)(cycle(5))
    assert out.num_nodes == 7
    assert out.edge_index.tolist() == [[1, 2, 3, 4, 5, 6], [0, 0, 1, 1, 2, 2]]
    assert out.root_index.tolist() == [0]
    assert out.root_count.tolist() == [5]

    data = Data(
        x=torch.tensor([4.0, 4.0]),
        edge_index=torch.tensor([[0, 1], [1, 0]]),
        edge_attr=torch.tensor([[7, 8], [7, 8]]),
        edge_weight=torch.tensor([0.5, 0.5], dtype=torch.double),
    )
    out = ToComputationTrees(1)(data)
    assert out.x.tolist() == [4.0, 4.0]
    assert out.edge_index.tolist() == [[1], [0]]
    assert out.edge_attr.tolist() == [[7, 8]]
    assert out.edge_weight.tolist() == [0.5]
    assert out.root_count.tolist() == [2]
    for key in ('x', 'edge_attr', 'edge_weight'):
        assert out[key].dtype == data[key].dtype

    out = ToComputationTrees(0)(path())
    assert out.edge_index.size() == (2, 0)
    assert out.num_nodes == 2


@pytest.mark.parametrize('compact', [True, False])
@settings(max_examples=50)
@given(graphs(max_edges=7), st.integers(0, 3), st.integers(0, 1000))
def test_trees_of_any_graph(
    compact: bool, data: Data, num_layers: int, seed: int
) -> None:
    transform = ToComputationTrees(num_layers, compact)
    out = transform(data)
    expected = Counter(trees_of(data, num_layers))
    assert tree_set(out, num_layers) == expected
    assert out.root_count.numel() == len(expected)
    assert out.num_layers.tolist() == [num_layers]
    assert ('x' in out) == ('x' in data)
    out.validate()
    # The order of nodes and edges does not matter, but for signs of zero.
    other = transform(permute(data, seed)[0])
    for value in (out, other):
        value.apply(lambda v: v + 0 if v.is_floating_point() else v)
    assert_graphs([other], [out])


def test_graphs_of_nothing() -> None:
    none = torch.empty(2, 0, dtype=torch.long)
    out = ToComputationTrees(3)(Data(edge_index=none, num_nodes=4))
    assert out.num_nodes == 1
    assert out.root_count.tolist() == [4]
    out = ToComputationTrees(3)(Data(num_nodes=0, y=torch.tensor([1])))
    assert out.num_nodes == 0
    assert out.root_count.tolist() == []
    assert out.y.tolist() == [1]


def test_the_graph_is_left_as_it_is() -> None:
    data = path(
        y=torch.tensor([1]), edge_attr=torch.tensor([1.0, -0.0, 2.0, 0.0])
    )
    before = copy.deepcopy(data)
    out = ToComputationTrees(2)(data)
    out.x.fill_(7)
    assert_graphs([data], [before])
    assert data.edge_index is PATH


@pytest.mark.parametrize(
    'data',
    [
        Data(x=torch.ones(1, 3), edge_index=torch.empty(2, 0).long()),
        Data(x=torch.ones(2, 3), edge_index=torch.tensor([[0], [1]])),
        Data(x=torch.ones(1, 3), edge_index=torch.tensor([[0], [0]])),
        Data(x=torch.ones(3, 1), edge_index=PATH),
    ],
    ids=['node', 'edge', 'loop', 'path'],
)
def test_graph_level_attributes_are_carried(data: Data) -> None:
    attributes = {
        'y': torch.tensor([1]),
        'target': torch.rand(1, 5),
        'scalar': torch.tensor(3.5),
        'weight': torch.tensor([0.5]),
        'name': 'benzene',
        'size': 12,
        'pair': [torch.ones(2), torch.ones(1)],
    }
    data.update(attributes)
    out = ToComputationTrees(2)(data)
    for key, value in attributes.items():
        assert out[key] is value
    assert len(out) == len(attributes) + 5


def test_exclude_keys() -> None:
    data = path(
        pos=torch.rand(3, 3), edge_attr=torch.tensor([1.0, 2.0, 3.0, 4.0])
    )
    for given_data, keys, expected in [
        (data, ['pos', 'edge_attr'], path()),
        (path(), ['x'], Data(edge_index=PATH, num_nodes=3)),
        # Names that are not there, or of graph-level or reserved attributes.
        (path(y=torch.tensor([1])), ['z', 'y'], path()),
        (
            path(num_layers=torch.tensor([7]), root_count=torch.ones(2)),
            ['num_layers', 'root_count'],
            path(),
        ),
    ]:
        out = ToComputationTrees(1, exclude_keys=keys)(given_data)
        assert_graphs([out], [ToComputationTrees(1)(expected)])
    with pytest.raises(TypeError, match=r"pass \['pos'\]"):
        ToComputationTrees(1, exclude_keys='pos')
    with pytest.raises(ValueError, match="'edge_index'"):
        ToComputationTrees(1, exclude_keys=['edge_index'])


class Cycles(InMemoryDataset):
    def __init__(self, root: Path, **kwargs: Any) -> None:
        super().__init__(str(root), **kwargs)
        self.load(self.processed_paths[0])

    @staticmethod
    def graphs() -> list[Data]:
        return [cycle(n, y=torch.tensor([n])) for n in (3, 4, 5)]

    @property
    def processed_file_names(self) -> str:
        return 'data.pt'

    def process(self) -> None:
        data_list = self.graphs()
        if self.pre_transform is not None:
            data_list = [self.pre_transform(data) for data in data_list]
        self.save(data_list, self.processed_paths[0])


def test_as_transform_and_pre_transform(tmp_path: Path) -> None:
    transform = ToComputationTrees(2)
    expected = [transform(data) for data in Cycles.graphs()]
    dataset = Cycles(tmp_path / 'graphs', transform=transform)
    # The second one reads what the first one wrote.
    processed = Cycles(tmp_path / 'trees', pre_transform=transform)
    cached = Cycles(tmp_path / 'trees', pre_transform=transform)
    for source in (dataset, processed, cached):
        assert_graphs(list(source), expected)
    with pytest.warns(UserWarning, match='pre_transform'):
        Cycles(tmp_path / 'trees', pre_transform=ToComputationTrees(3))
    by_worker = DataLoader(dataset, batch_size=3, num_workers=1)
    assert_graphs(next(iter(by_worker)).to_data_list(), expected)

    pipe = Cycles(tmp_path / 'graphs').to_datapipe()
    assert_graphs(list(pipe.to_computation_trees(2)), expected)
    composed = T.Compose([T.Constant(), ToComputationTrees(1)])
    assert composed(cycle(4)).root_count.tolist() == [4]


@pytest.mark.parametrize(
    'how', [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))]
)
def test_pickle_and_deepcopy(how: Callable) -> None:
    transform = ToComputationTrees(2, exclude_keys=['pos'])
    assert str(how(transform)) == str(transform)
    assert_graphs([how(transform)(path())], [transform(path())])


@pytest.mark.parametrize('num_layers', [-1, 2.0, True, None, '2'])
def test_bad_num_layers(num_layers: Any) -> None:
    error = ValueError if num_layers == -1 else TypeError
    with pytest.raises(error, match=r"'num_layers' .*; pass the number of"):
        ToComputationTrees(num_layers)


NAN = float('nan')
BAD: dict[str, tuple[Any, type[Exception], str]] = {
    'hetero': (HeteroData(), TypeError, r'data.to_homogeneous\(\)'),
    'no graph': (torch.ones(3), TypeError, r"got 'Tensor'"),
    'batch': (Batch.from_data_list([path()] * 2), ValueError, 'to_data_list'),
    'trees': (path(root_index=torch.tensor([0])), ValueError, 'tree-set form'),
    'count': (path(root_count=1), ValueError, r"exclude_keys=\['root_count'\]"),
    'depth': (path(num_layers=3), ValueError, r"exclude_keys=\['num_layers'\]"),
    'no edges': (Data(x=torch.ones(3, 1)), ValueError, r'torch.empty\(2, 0'),
    'pos': (
        path(pos=torch.rand(3, 3), edge_type=torch.zeros(4)),
        ValueError,
        r"exclude_keys=\['pos', 'edge_type'\]",
    ),
    'own class': (typed(9)[8], ValueError, r'anchor.*wide'),
    'labels of nodes': (
        path(y=torch.tensor([0, 1, 0])),
        ValueError,
        r"'y' must have one label a graph.*exclude_keys=\['y'\]",
    ),
    'nan': (
        Data(x=torch.full((3, 1), NAN), edge_index=PATH),
        ValueError,
        r"'x' must not hold NaN.*exclude_keys=\['x'\]",
    ),
    'out of range': (
        Data(x=torch.ones(2, 1), edge_index=PATH),
        ValueError,
        r'edge \[1, 2\] in one of 2 nodes',
    ),
    'fewer rows': (
        Data(x=torch.ones(3, 1), edge_index=PATH, num_nodes=4),
        ValueError,
        "'x' must have one row per node",
    ),
}


@pytest.mark.filterwarnings('ignore:Unable to accurately infer:UserWarning')
@pytest.mark.parametrize('name', BAD)
def test_bad_graphs(name: str) -> None:
    data, error, message = BAD[name]
    with pytest.raises(error, match=message) as caught:
        ToComputationTrees(2)(data)
    assert '\n' not in str(caught.value)
