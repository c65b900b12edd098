import copy
import pickle

import numpy as np
import pytest
import torch
import torch_geometric.transforms as T
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data, HeteroData, InMemoryDataset
from torch_geometric.edge_index import EdgeIndex
from torch_geometric.loader import DataLoader

from pyg_distill.transforms import ToComputationTrees
from tests.conftest import with_torch_sparse
from tests.graphs import cycle, graphs, in_tree, permute, random_graph
from tests.oracles import tree_set, trees_of

PATH = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])


def path(**kwargs):
    return Data(x=torch.tensor([[0], [1], [0]]), edge_index=PATH, **kwargs)


def assert_same(a, b):
    assert set(a.keys()) == set(b.keys())
    for key in a.keys():
        value = a[key]
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, b[key]), key
        else:
            assert value == b[key], key


def test_to_computation_trees():
    assert str(ToComputationTrees(2)) == 'ToComputationTrees(2)'
    transform = ToComputationTrees(
        2, compact=False, exclude_keys=['pos'], verify=True
    )
    assert str(transform) == (
        "ToComputationTrees(2, compact=False, exclude_keys=['pos'], "
        'verify=True)'
    )

    out = ToComputationTrees(1)(path(y=torch.tensor([3])))
    assert len(out) == 6
    # The two ends have the same tree. Roots come in the order of their keys.
    end, middle = out.root_index.tolist()
    if out.root_count.tolist() == [1, 2]:
        end, middle = middle, end
    assert sorted(out.root_count.tolist()) == [1, 2]
    assert out.x[[end, middle]].tolist() == [[0], [1]]
    assert out.num_nodes == 4
    leaf = out.x.view(-1).tolist()
    edges = [
        (leaf[child], parent) for child, parent in out.edge_index.t().tolist()
    ]
    assert sorted(edges) == sorted([(1, end), (0, middle), (0, middle)])
    assert out.num_layers.tolist() == [1]
    assert out.y.tolist() == [3]


def test_exact_result():
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
    assert out.edge_index.tolist() == [
        [1, 2, 3, 4, 5, 6],
        [0, 0, 1, 1, 2, 2],
    ]
    assert out.root_index.tolist() == [0]
    assert out.root_count.tolist() == [5]


def test_edge_features_and_types():
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


def test_num_layers_zero():
    out = ToComputationTrees(0)(path())
    assert out.edge_index.size() == (2, 0)
    assert out.num_nodes == 2
    label = out.x[out.root_index].view(-1).tolist()
    assert sorted(label) == [0, 1]
    assert out.root_count.tolist() == [2 - i for i in label]


@pytest.mark.parametrize('compact', [True, False])
@given(graphs(max_edges=7), st.integers(0, 3))
def test_trees_of_any_graph(compact, data, num_layers):
    out = ToComputationTrees(num_layers, compact, verify=True)(data)
    want = {}
    for tree in trees_of(data, num_layers):
        want[tree] = want.get(tree, 0) + 1
    assert tree_set(out, num_layers) == want
    assert out.root_count.numel() == len(want)
    assert out.num_layers.tolist() == [num_layers]
    assert ('x' in out) == ('x' in data)
    out.validate()


@pytest.mark.parametrize('compact', [True, False])
@given(graphs(), st.integers(0, 1000))
def test_order_does_not_matter(compact, data, seed):
    transform = ToComputationTrees(2, compact)
    assert_same(transform(data), transform(permute(data, seed)[0]))


def test_graphs_of_nothing():
    none = torch.empty(2, 0, dtype=torch.long)
    out = ToComputationTrees(3)(Data(edge_index=none, num_nodes=4))
    assert out.num_nodes == 1
    assert out.root_count.tolist() == [4]
    out = ToComputationTrees(3)(Data(num_nodes=0, y=torch.tensor([1])))
    assert out.num_nodes == 0
    assert out.root_count.tolist() == []
    assert out.y.tolist() == [1]


def test_input_is_not_modified():
    data = path(
        y=torch.tensor([1]), edge_attr=torch.tensor([1.0, -0.0, 2.0, 0.0])
    )
    before = copy.deepcopy(data)
    out = ToComputationTrees(2)(data)
    assert_same(data, before)
    assert data.edge_index is PATH
    out.x.fill_(7)
    assert_same(data, before)


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
def test_graph_level_attributes_are_carried(data):
    attributes = {
        'y': torch.tensor([1]),
        'target': torch.rand(1, 5),
        'scalar': torch.tensor(3.5),
        'name': 'benzene',
        'size': 12,
    }
    data.update(attributes)
    out = ToComputationTrees(2)(data)
    for key, value in attributes.items():
        assert out[key] is value
    # In their own order, whatever the hashes of their names.
    assert list(out.to_dict())[-len(attributes) :] == list(attributes)


def test_exclude_keys():
    data = path(
        pos=torch.rand(3, 3), edge_attr=torch.tensor([1.0, 2.0, 3.0, 4.0])
    )
    out = ToComputationTrees(1, exclude_keys=['pos', 'edge_attr'])(data)
    assert_same(out, ToComputationTrees(1)(path()))
    out = ToComputationTrees(1, exclude_keys=['x'])(path())
    assert_same(out, ToComputationTrees(1)(Data(edge_index=PATH, num_nodes=3)))
    # Names that are not there, or of graph-level attributes.
    out = ToComputationTrees(1, exclude_keys=['z', 'y'])(
        path(y=torch.tensor([1]))
    )
    assert_same(out, ToComputationTrees(1)(path()))


def test_mini_batches():
    data_list = [random_graph(seed=i) for i in range(6)]
    for i, data in enumerate(data_list):
        data.y = torch.tensor([i])
    trees = [ToComputationTrees(2)(data) for data in data_list]
    loader = DataLoader(trees, batch_size=4)
    seen = 0
    for batch in loader:
        part = trees[seen : seen + batch.num_graphs]
        seen += batch.num_graphs
        offset = batch.ptr[:-1].tolist()
        assert batch.root_index.tolist() == [
            start + root
            for start, data in zip(offset, part, strict=True)
            for root in data.root_index.tolist()
        ]
        assert batch.batch[batch.root_index].equal(
            torch.arange(len(part)).repeat_interleave(
                torch.tensor([data.root_index.numel() for data in part])
            )
        )
        assert batch.num_layers.tolist() == [2] * len(part)
        assert batch.root_count.size() == batch.root_index.size()
        for data, other in zip(part, batch.to_data_list(), strict=True):
            assert_same(data, other)
    assert seen == 6


def test_mini_batches_without_features():
    trees = [ToComputationTrees(1)(cycle(n)) for n in (3, 4)]
    batch = next(iter(DataLoader(trees, batch_size=2)))
    assert batch.num_nodes == 4
    assert batch.root_index.tolist() == [0, 2]
    assert batch.root_count.tolist() == [3, 4]


def test_num_workers(tmp_path):
    dataset = Cycles(tmp_path, transform=ToComputationTrees(2))
    for a, b in zip(
        DataLoader(dataset, batch_size=2),
        DataLoader(dataset, batch_size=2, num_workers=1),
        strict=True,
    ):
        assert_same(a, b)


class Cycles(InMemoryDataset):
    def __init__(self, root, **kwargs):
        super().__init__(root, **kwargs)
        self.load(self.processed_paths[0])

    @staticmethod
    def graphs():
        return [cycle(n, y=torch.tensor([n])) for n in (3, 4, 5)]

    @property
    def processed_file_names(self):
        return 'data.pt'

    def process(self):
        data_list = self.graphs()
        if self.pre_transform is not None:
            data_list = [self.pre_transform(data) for data in data_list]
        self.save(data_list, self.processed_paths[0])


def test_as_transform_and_pre_transform(tmp_path):
    transform = ToComputationTrees(2)
    want = [transform(data) for data in Cycles.graphs()]
    dataset = Cycles(tmp_path / 'graphs', transform=transform)
    # The second one reads what the first one wrote.
    processed = Cycles(tmp_path / 'trees', pre_transform=transform)
    cached = Cycles(tmp_path / 'trees', pre_transform=transform)
    for source in (dataset, processed, cached):
        assert len(source) == 3
        for data, other in zip(want, source, strict=True):
            assert_same(data, other)
    assert dataset[1:].y.tolist() == [4, 5]
    with pytest.warns(UserWarning, match='pre_transform'):
        Cycles(tmp_path / 'trees', pre_transform=ToComputationTrees(3))


def test_compose():
    transform = T.Compose([T.Constant(), ToComputationTrees(1)])
    assert str(transform) == (
        'Compose([\n  Constant(value=1.0),\n  ToComputationTrees(1)\n])'
    )
    out = transform(cycle(4))
    assert out.x.tolist() == [[1.0], [1.0]]
    assert out.root_count.tolist() == [4]


def test_functional_name(tmp_path):
    dataset = Cycles(tmp_path)
    datapipe = dataset.to_datapipe().to_computation_trees(2, compact=False)
    transform = ToComputationTrees(2, compact=False)
    out = list(datapipe)
    assert len(out) == 3
    for data, other in zip(Cycles.graphs(), out, strict=True):
        assert_same(transform(data), other)


def test_pickle_and_deepcopy():
    transform = ToComputationTrees(2, exclude_keys=['pos'])
    for other in (
        pickle.loads(pickle.dumps(transform)),
        copy.deepcopy(transform),
    ):
        assert str(other) == str(transform)
        assert_same(other(path()), transform(path()))


SPARSE = [
    pytest.param(None, marks=with_torch_sparse, id='SparseTensor'),
    pytest.param(torch.sparse_csr, id='csr'),
    pytest.param(torch.sparse_coo, id='coo'),
]


@pytest.mark.filterwarnings('ignore:Sparse:UserWarning')
@pytest.mark.parametrize('layout', SPARSE)
@pytest.mark.parametrize('remove', [True, False])
@pytest.mark.parametrize('attr', ['edge_weight', None])
def test_adj_t(layout, remove, attr):
    transform = ToComputationTrees(2)
    data = random_graph(edge_dim=1, seed=1)
    data.edge_weight = torch.rand(data.num_edges)
    to_sparse = T.ToSparseTensor(
        attr=attr, remove_edge_index=remove, layout=layout
    )
    if attr is None and layout is not None and remove:
        # The values of such an adjacency are all one.
        with pytest.raises(ValueError, match="'adj_t' must hold the values"):
            transform(to_sparse(data))
        return
    assert_same(transform(to_sparse(data)), transform(data))


@pytest.mark.filterwarnings('ignore:Sparse:UserWarning')
@pytest.mark.parametrize('layout', SPARSE)
def test_adj_t_without_values(layout):
    transform = ToComputationTrees(2)
    data = in_tree([[1, 2], [3], [], []], x=[0, 1, 1, 2])
    out = transform(T.ToSparseTensor(layout=layout)(data))
    if layout is not None:
        # A sparse tensor has values in any case.
        data.edge_weight = torch.ones(3)
    assert_same(out, transform(data))


@with_torch_sparse
def test_adj_t_with_vectors():
    data = random_graph(edge_dim=3)
    sparse = T.ToSparseTensor(attr='edge_attr')(data)
    transform = ToComputationTrees(2)
    assert 'edge_attr' not in sparse
    assert_same(transform(sparse), transform(data))


def test_edge_index_class():
    data = random_graph()
    other = data.clone()
    other.edge_index = EdgeIndex(
        data.edge_index, sparse_size=(data.num_nodes, data.num_nodes)
    )
    out = ToComputationTrees(2)(other)
    assert type(out.edge_index) is torch.Tensor
    assert_same(out, ToComputationTrees(2)(data))


@pytest.mark.parametrize(
    ('num_layers', 'error', 'message'),
    [
        (-1, ValueError, 'must be 0 or more .got -1.; pass the number of'),
        (2.0, TypeError, 'must be an integer .got 2.0.; pass the number of'),
        (True, TypeError, 'must be an integer .got True.; pass the number'),
        (None, TypeError, 'must be an integer .got None.; pass the number'),
        ('2', TypeError, "must be an integer .got '2'.; pass the number"),
    ],
)
def test_bad_num_layers(num_layers, error, message):
    with pytest.raises(error, match=f"'num_layers' {message}"):
        ToComputationTrees(num_layers)


BAD = {
    'hetero': (
        HeteroData(),
        TypeError,
        r"does not support 'HeteroData'.*call data.to_homogeneous\(\)",
    ),
    'no graph': (
        torch.ones(3),
        TypeError,
        r"expects a 'torch_geometric.data.Data' object \(got 'Tensor'\)",
    ),
    'batch': (
        Batch.from_data_list([path(), path()]),
        ValueError,
        r'one graph \(got a batch of 2\); use data.to_data_list\(\)',
    ),
    'trees': (
        path(root_index=torch.tensor([0])),
        ValueError,
        'in tree-set form already',
    ),
    'own name': (
        path(root_count=torch.tensor([2])),
        ValueError,
        r"gives each graph a 'root_count' of its own .*\['root_count'\]",
    ),
    'own depth': (
        path(num_layers=3),
        ValueError,
        r"'num_layers' of its own .*; rename it, .*\['num_layers'\]",
    ),
    'no edges': (
        Data(x=torch.ones(3, 1)),
        ValueError,
        r"needs 'edge_index' or 'adj_t'.*set edge_index=torch.empty\(2, 0",
    ),
    'pos': (
        path(pos=torch.rand(3, 3)),
        ValueError,
        r"\(got also 'pos'\); join .* exclude_keys=\['pos'\]",
    ),
    'two others': (
        path(pos=torch.rand(3, 3), edge_type=torch.zeros(4)),
        ValueError,
        r"'pos', 'edge_type'\); .* exclude_keys=\['pos', 'edge_type'\]",
    ),
    'mask': (
        path(train_mask=torch.ones(3).bool()),
        ValueError,
        r"exclude_keys=\['train_mask'\]",
    ),
    'pos of one node': (
        Data(
            pos=torch.ones(1, 3),
            edge_index=torch.empty(2, 0).long(),
            num_nodes=1,
        ),
        ValueError,
        r"exclude_keys=\['pos'\]",
    ),
    'other edges': (
        path(edge_label_index=torch.tensor([[0], [1]])),
        ValueError,
        r"exclude_keys=\['edge_label_index'\]",
    ),
    'labels of nodes': (
        path(y=torch.tensor([0, 1, 0])),
        ValueError,
        r"'y' must have one label a graph.*a node.*exclude_keys=\['y'\]",
    ),
    'labels of edges': (
        path(y=torch.tensor([0, 1, 0, 1])),
        ValueError,
        r"'y' must have one label a graph.*exclude_keys=\['y'\]",
    ),
    'nan in x': (
        Data(x=torch.full((3, 1), float('nan')), edge_index=PATH),
        ValueError,
        r"'x' must not hold NaN.*fill it in.*exclude_keys=\['x'\]",
    ),
    'nan in edge_attr': (
        path(edge_attr=torch.full((4,), float('nan'))),
        ValueError,
        r"'edge_attr' must not hold NaN.*exclude_keys=\['edge_attr'\]",
    ),
    'sparse x': (
        Data(x=torch.eye(3).to_sparse(), edge_index=PATH),
        TypeError,
        r"'x' must be a dense tensor.*convert it.*exclude_keys=\['x'\]",
    ),
    'out of range': (
        Data(x=torch.ones(2, 1), edge_index=PATH),
        ValueError,
        r'edge \[1, 2\] in one of 2 nodes',
    ),
    'negative': (
        Data(x=torch.ones(3, 1), edge_index=PATH - 1),
        ValueError,
        r'the edge \[-1, 0\] in one of 3 nodes',
    ),
    'pairs': (
        Data(x=torch.ones(3, 1), edge_index=PATH.t()),
        ValueError,
        r'must have shape \[2, num_edges\].*call .t\(\).contiguous\(\)',
    ),
    'edge_attr': (
        path(edge_attr=torch.ones(5, 2)),
        ValueError,
        r"'edge_attr' must have one row per edge .*\[5, 2\] for 4 edges",
    ),
    'edge_weight': (
        path(edge_weight=torch.tensor(1.0)),
        ValueError,
        r"'edge_weight' must have one row per edge",
    ),
}


@pytest.mark.filterwarnings('ignore:Unable to accurately infer:UserWarning')
@pytest.mark.parametrize('name', BAD)
def test_bad_graphs(name):
    data, error, message = BAD[name]
    with pytest.raises(error, match=message) as caught:
        ToComputationTrees(2)(data)
    assert '\n' not in str(caught.value)


def test_verify(monkeypatch):
    monkeypatch.setattr(
        'pyg_distill.trees.forest.tree_keys',
        lambda *args: [torch.zeros(3, 2).long()] * 3,
    )
    assert ToComputationTrees(2)(path()).root_count.tolist() == [3]
    with pytest.raises(RuntimeError, match='two unequal'):
        ToComputationTrees(2, verify=True)(path())


def test_names_must_be_a_list():
    with pytest.raises(TypeError, match=r"pass \['pos'\]"):
        ToComputationTrees(1, exclude_keys='pos')


@pytest.mark.parametrize('name', [['a', 'b', 'c'], np.arange(3)])
def test_node_level_lists_are_refused(name):
    edge_index = torch.tensor([[0, 1], [1, 0]])
    data = Data(edge_index=edge_index, num_nodes=3, atom=name)
    with pytest.raises(ValueError, match=r"exclude_keys=\['atom'\]"):
        ToComputationTrees(1)(data)
    assert 'atom' not in ToComputationTrees(1, exclude_keys=['atom'])(data)
    data.atom = 'ethanol'
    assert ToComputationTrees(1)(data).atom == 'ethanol'


def test_own_names_may_be_left_out_and_weights_are_no_own_names() -> None:
    data = path(num_layers=torch.tensor([7]), root_count=torch.tensor([9, 9]))
    out = ToComputationTrees(1, exclude_keys=['num_layers', 'root_count'])(data)
    assert_same(out, ToComputationTrees(1)(path()))
    weighted = path(weight=torch.tensor([0.5]), support=torch.tensor([4]))
    out = ToComputationTrees(1)(weighted)
    assert (float(out.weight), int(out.support)) == (0.5, 4)
