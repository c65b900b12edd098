import warnings
from collections import Counter

import pytest
import torch
import torch_geometric.transforms as T
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    RandomSampler,
    Subset,
    WeightedRandomSampler,
    random_split,
)
from torch_geometric.data import Batch, Data, HeteroData, InMemoryDataset
from torch_geometric.loader import (
    DataLoader,
    DynamicBatchSampler,
    ImbalancedSampler,
)
from torch_geometric.nn import GIN

from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.loader import TreeSetLoader
from pyg_distill.nn import global_root_pool
from pyg_distill.transforms import ToComputationTrees
from tests.graphs import random_graph
from tests.loader.oracle import roots_by_graph
from tests.oracles import tree_set

DEPTH = 2


def graph_list(num_graphs=12):
    graphs = [random_graph(seed=s) for s in range(num_graphs)]
    for i, data in enumerate(graphs):
        data.y = torch.tensor([i % 3])
        data.number = torch.tensor([i])
        data.target = torch.rand(1, 2, 3)
        data.scalar = torch.tensor(i / 2)
        data.ragged = torch.arange(i % 4).int()
        data.flag = torch.tensor([i % 2 == 0])
        data.count = 3 * i
        data.share = i / 7
        data.smiles = f'C{i}'
        data.words = ['a', i]
        data.pair = [torch.tensor([i]), torch.ones(i % 3, 2)]
        data.table = {'a': torch.tensor([i]), 'b': f'{i}'}
    return graphs


ATTRIBUTES = [
    'y',
    'number',
    'target',
    'scalar',
    'ragged',
    'flag',
    'count',
    'share',
    'smiles',
    'words',
    'pair',
    'table',
    'num_layers',
]


def in_memory(data_list):
    dataset = InMemoryDataset()
    dataset.data, dataset.slices = InMemoryDataset.collate(data_list)
    return dataset


@pytest.fixture(scope='module')
def sets():
    return [ToComputationTrees(DEPTH)(data) for data in graph_list()]


@pytest.fixture(scope='module')
def mirage():
    graphs = [random_graph(seed=s) for s in range(12)]
    for i, data in enumerate(graphs):
        data.y = torch.tensor([[i % 3]])
        data.number = torch.tensor([i])
    return MirageDataset(graphs, DEPTH, selection='lossless')


def assert_same(out, want):
    assert type(out) is type(want)
    if isinstance(want, torch.Tensor):
        assert out.dtype == want.dtype
        assert torch.equal(out, want)
    elif isinstance(want, dict):
        assert out.keys() == want.keys()
        for key in want:
            assert_same(out[key], want[key])
    elif isinstance(want, list):
        assert len(out) == len(want)
        for a, b in zip(out, want, strict=True):
            assert_same(a, b)
    else:
        assert out == want


def assert_batch(out, want, names):
    """The same as the mini-batch of an ordinary loader, but for nodes."""
    for name in names:
        assert_same(out[name], want[name])
    assert out.num_graphs == want.num_graphs
    trees = [tree_set(data, DEPTH) for data in want.to_data_list()]
    assert roots_by_graph(out, DEPTH) == trees
    batch = want.batch[want.root_index]
    # One root a graph and tree, in the same order.
    if 'root_count' in names:
        assert torch.equal(out.root_index_batch, batch)


@pytest.mark.parametrize('kind', ['list', 'tuple', 'InMemoryDataset'])
def test_attributes(sets, kind):
    source = {'list': list, 'tuple': tuple, 'InMemoryDataset': in_memory}
    source = source[kind](sets)
    names = ['root_count', *ATTRIBUTES]
    follow = ['root_index', 'root_count', 'target', 'ragged', 'words', 'y']
    index = [[3, 0, 5, 5], [11], [1, 2, 3, 4, 5, 6, 7]]
    kwargs = {'batch_sampler': index, 'follow_batch': follow}
    pairs = list(
        zip(
            TreeSetLoader(source, **kwargs),
            DataLoader(source, **kwargs),
            strict=True,
        )
    )
    assert len(pairs) == 3
    names += [f'{n}_{end}' for n in follow for end in ('batch', 'ptr')]
    for out, want in pairs:
        assert_batch(out, want, [name for name in names if name in want])
        assert {*want.keys()} - {*out.keys()} == {'batch', 'ptr'}
        assert {*out.keys()} <= {*want.keys()}


def test_order_and_length(mirage):
    for kwargs in [
        {'batch_size': 5},
        {'batch_size': 5, 'drop_last': True},
        {'batch_size': 100},
        {'batch_size': 4, 'sampler': [5, 3, 11, 0, 2]},
        {},
    ]:
        loaders = TreeSetLoader(mirage, **kwargs), DataLoader(mirage, **kwargs)
        assert len(loaders[0]) == len(loaders[1])
        for out, want in zip(*loaders, strict=True):
            names = ['y', 'number', 'support', 'weight', 'num_layers']
            assert_batch(out, want, [*names, 'root_count'])
        assert len(loaders[0].dataset) == len(mirage)
        assert loaders[0].dataset.num_classes == 3


def test_shuffle(mirage):
    def epochs(cls):
        generator = torch.Generator().manual_seed(5)
        loader = cls(mirage, 4, shuffle=True, generator=generator)
        return [data.number.tolist() for _ in range(2) for data in loader]

    out = epochs(TreeSetLoader)
    assert out == epochs(DataLoader)
    assert out[:3] != out[3:]


@pytest.mark.parametrize(
    'make',
    [
        lambda d: {'sampler': WeightedRandomSampler(d.weight, 30)},
        lambda d: {'sampler': ImbalancedSampler(d), 'batch_size': 7},
        lambda d: {'batch_sampler': DynamicBatchSampler(d, 40, num_steps=9)},
        lambda d: {
            'batch_sampler': BatchSampler(
                RandomSampler(d, replacement=True), 8, False
            )
        },
    ],
)
def test_samplers(mirage, make):
    seen = []
    for cls in (TreeSetLoader, DataLoader):
        torch.manual_seed(3)
        seen.append([*cls(mirage, **make(mirage))])
    assert len(seen[0]) > 1
    for out, want in zip(*seen, strict=True):
        assert_batch(out, want, ['y', 'number', 'root_count'])


def test_repeats_and_negative_indices(mirage):
    (out,) = TreeSetLoader(mirage, batch_sampler=[[2, 2, -1, 2]])
    assert out.number.tolist() == [2, 2, 11, 2]
    want = [tree_set(mirage[i], DEPTH) for i in (2, 2, 11, 2)]
    assert roots_by_graph(out, DEPTH) == want
    (once,) = TreeSetLoader(mirage, batch_sampler=[[2, 11]])
    assert out.num_nodes == once.num_nodes
    for index in ([12], [-13]):
        with pytest.raises(IndexError, match='out of bounds'):
            next(iter(TreeSetLoader(mirage, batch_sampler=[index])))


@pytest.mark.parametrize('kind', range(7))
def test_parts(mirage, sets, kind):
    data_list = [mirage[i] for i in range(12)]
    part, number = [
        (mirage[4:9], range(4, 9)),
        (mirage[[7, 1, 7]], [7, 1, 7]),
        (Subset(mirage, [9, 0]), [9, 0]),
        (Subset(data_list, [9, 0]), [9, 0]),
        (Subset(Subset(mirage, [3, 9, 0]), [2, 1]), [0, 9]),
        (mirage[4:9].copy(), range(4, 9)),
        (ConcatDataset([mirage[:2], data_list[5:7]]), [0, 1, 5, 6]),
    ][kind]
    (out,) = TreeSetLoader(part, 20)
    assert out.number.tolist() == list(number)
    want = Batch.from_data_list([mirage[i] for i in number])
    assert_batch(out, want, ['y', 'root_count', 'weight', 'support'])


def test_random_split(mirage):
    train, test = random_split(mirage, [8, 4])
    numbers = [
        data.number.tolist()
        for part in (train, test)
        for data in TreeSetLoader(part, 20)
    ]
    assert sorted(numbers[0] + numbers[1]) == list(range(12))
    assert numbers[0] == [int(data.number) for data in train]


def test_nothing_outside_of_a_slice_is_read(sets):
    # NaN, wherever it is read, is refused.
    poisoned = [data.clone() for data in sets]
    for data in poisoned[6:]:
        data.x = data.x * float('nan')
        data.root_index = data.root_index + 1000
        data.num_layers = data.num_layers + 1
    dataset = in_memory(poisoned)
    (out,) = TreeSetLoader(dataset[:6], 6)
    assert out.number.tolist() == list(range(6))
    with pytest.raises(ValueError, match='one depth'):
        TreeSetLoader(dataset, 6)


def test_one_graph(mirage):
    for source in ([mirage[3]], mirage[3:4], in_memory([mirage[3]])):
        (out,) = TreeSetLoader(source)
        assert out.number.tolist() == [3]
        assert roots_by_graph(out, DEPTH) == [tree_set(mirage[3], DEPTH)]


def test_exclude_keys():
    # What the model does not see does not keep trees apart.
    graphs = [random_graph(seed=s, edge_dim=2) for s in range(5)]
    for data in graphs:
        data.extra = torch.tensor([1.0])
        data.pos = torch.rand(12, 3)
    transform = ToComputationTrees(DEPTH, exclude_keys=['pos'])
    sets = [transform(data) for data in graphs]
    (every,) = TreeSetLoader(sets, 5)
    bare = [Data(x=d.x, edge_index=d.edge_index) for d in graphs]
    want = [tree_set(ToComputationTrees(DEPTH)(d), DEPTH) for d in bare]
    for source in (sets, in_memory(sets)):
        (out,) = TreeSetLoader(source, 5, exclude_keys=['edge_attr', 'extra'])
        assert out.num_nodes < every.num_nodes
        assert {*every.keys()} - {*out.keys()} == {'edge_attr', 'extra'}
        assert roots_by_graph(out, DEPTH) == want
    (out,) = TreeSetLoader(sets, 5, exclude_keys=['x', 'num_layers'])
    assert 'x' not in out
    assert 'num_layers' not in out
    assert out.num_nodes == out.edge_index.max() + 1
    (out,) = TreeSetLoader(graphs, 5, exclude_keys=['pos'], num_layers=DEPTH)
    assert out.num_nodes == every.num_nodes


def test_ordinary_graphs(mirage):
    graphs = [random_graph(seed=s) for s in range(12)]
    for source in (graphs, in_memory(graphs), in_memory(graphs)[:]):
        loader = TreeSetLoader(source, 5, num_layers=DEPTH)
        for out, want in zip(loader, TreeSetLoader(mirage, 5), strict=True):
            assert torch.equal(out.num_layers, want.num_layers)
            assert out.num_nodes == want.num_nodes
            assert out.num_edges == want.num_edges
            roots = roots_by_graph(out, DEPTH)
            assert roots == roots_by_graph(want, DEPTH)
            # Equal trees of a graph are one root.
            assert len(out.root_index) == sum(map(len, roots))
    assert 'num_layers' not in next(
        iter(TreeSetLoader(graphs, num_layers=2, exclude_keys=['num_layers']))
    )


def test_expected_size():
    graphs = ToyMolecules(300)
    sets = MirageDataset(graphs, 2, selection='lossless', log=False)
    for loader in (
        TreeSetLoader(graphs, 32, shuffle=True, num_layers=2),
        TreeSetLoader(sets, 32, shuffle=True, drop_last=True),
    ):
        nodes, edges = loader.expected_size()
        sizes = [
            (data.num_nodes, data.num_edges)
            for _ in range(20)
            for data in loader
            if data.num_graphs == 32
        ]
        mean = torch.tensor(sizes).double().mean(0).tolist()
        assert [nodes, edges] == pytest.approx(mean, rel=0.02)
        assert loader.expected_size(300)[0] > nodes
        whole = next(iter(TreeSetLoader(sets, 300)))
        want = (whole.num_nodes, whole.num_edges)
        assert loader.expected_size(300) == pytest.approx(want)
    loader = TreeSetLoader(sets, batch_sampler=[[0]])
    with pytest.raises(ValueError, match="'batch_size' is not known"):
        loader.expected_size()


@pytest.mark.parametrize('persistent', [True, False])
def test_workers(sets, persistent):
    kwargs = {'batch_size': 5, 'persistent_workers': persistent}
    kwargs['num_workers'] = 2
    loader = TreeSetLoader(sets, **kwargs)
    for _ in range(2):
        for out, want in zip(loader, DataLoader(sets, 5), strict=True):
            assert_batch(out, want, ['root_count', *ATTRIBUTES])


def test_remade():
    # As Lightning does it, from the attributes of a loader.
    graphs = [random_graph(seed=s) for s in range(4)]
    loader = TreeSetLoader(graphs, 2, num_layers=2, exclude_keys=['y'])
    names = ('batch_size', 'follow_batch', 'exclude_keys', 'num_layers')
    kwargs = {name: getattr(loader, name) for name in names}
    kwargs['collate_fn'] = loader.collate_fn
    again = TreeSetLoader(loader.dataset, **kwargs)
    assert again.dataset is loader.dataset
    assert len(list(again)) == 2
    again = TreeSetLoader(loader.dataset, num_layers=1)
    assert next(iter(again)).num_layers.tolist() == [1]
    assert again.dataset[3] is graphs[3]


@pytest.mark.parametrize('dynamic', [True, None])
def test_compile(mirage, dynamic):
    gnn = GIN(2, 8, DEPTH)
    compiled = torch.compile(gnn, backend='eager', dynamic=dynamic)
    loader = TreeSetLoader(mirage, 4)
    for data in loader:
        out = compiled(data.x, data.edge_index)
        assert torch.equal(out, gnn(data.x, data.edge_index))


def test_compile_with_readout(mirage):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gnn = GIN(2, 8, DEPTH)

        def forward(self, x, edge_index, root, count, batch, size):
            x = self.gnn(x, edge_index)
            return global_root_pool(
                x, None, root, count, size, root_index_batch=batch
            )

    net = Net()
    compiled = torch.compile(net, backend='eager', fullgraph=True)
    for data in TreeSetLoader(mirage, 4):
        args = (
            data.x,
            data.edge_index,
            data.root_index,
            data.root_count,
            data.root_index_batch,
            data.num_graphs,
        )
        assert torch.equal(compiled(*args), net(*args))


def graphs_with(**values):
    data = ToComputationTrees(DEPTH)(random_graph())
    for key, value in values.items():
        data[key] = value
    return [data]


class Strange(Data):
    def __inc__(self, key, value, *args, **kwargs):
        return 1


SET = ToComputationTrees(DEPTH)(random_graph())
BAD = {
    'no trees': (
        [random_graph()],
        {},
        ValueError,
        r'tree-set form .*num_layers=',
    ),
    'half of the form': (
        [Data(edge_index=SET.edge_index, root_index=SET.root_index, x=SET.x)],
        {'num_layers': 2},
        ValueError,
        r'tree-set form .*pass MirageDataset',
    ),
    'other depth': (
        [SET, ToComputationTrees(3)(random_graph())],
        {},
        ValueError,
        r'of one depth \(got num_layers of \[2, 3\]\)',
    ),
    'depth given': (
        [SET],
        {'num_layers': 3},
        ValueError,
        r'is 2 in all .*got 3',
    ),
    'depth of no kind': (
        [random_graph()],
        {'num_layers': 1.5},
        TypeError,
        "'num_layers' must be an integer",
    ),
    'empty': (
        [],
        {},
        ValueError,
        r"at least one graph \(got an empty 'list'\)",
    ),
    'one graph': (SET, {}, TypeError, "got one 'Data'"),
    'an iterator': (iter([SET]), {}, TypeError, 'expects a data set'),
    'HeteroData': ([HeteroData()], {}, TypeError, "got 'HeteroData'"),
    'batch': ([Batch.from_data_list([SET])], {}, TypeError, "got 'DataBatch'"),
    'increments': (
        [Strange.from_dict(SET.to_dict())],
        {},
        TypeError,
        "got 'Strange'",
    ),
    'collate_fn': ([SET], {'collate_fn': list}, ValueError, "'collate_fn'"),
    'batch_size': ([SET], {'batch_size': None}, ValueError, 'batch_sampler='),
    'follow nodes': (
        [SET],
        {'follow_batch': ['x', 'y']},
        ValueError,
        r"'follow_batch' must .*got \['x'\]",
    ),
    'follow a string': (
        [SET],
        {'follow_batch': 'y'},
        TypeError,
        r"'follow_batch' must be a list .*\['y'\]",
    ),
    'exclude a string': ([SET], {'exclude_keys': 'y'}, TypeError, r"\['y'\]"),
    'exclude roots': (
        [SET],
        {'exclude_keys': ['root_count']},
        ValueError,
        "'exclude_keys' must not name",
    ),
    'attributes of nodes': (
        graphs_with(z=torch.rand(SET.num_nodes)),
        {},
        ValueError,
        r"got also 'z'.*exclude_keys=\['z'\]",
    ),
    'names that count on': (
        graphs_with(node_index=torch.tensor([0])),
        {},
        ValueError,
        'node_index',
    ),
    'strings that count on': (
        graphs_with(my_index='a'),
        {},
        ValueError,
        'my_index',
    ),
    'other attributes': (
        [SET, *graphs_with(extra=1)],
        {},
        ValueError,
        r'differs from graph 0 in extra.*exclude_keys',
    ),
    'roots': (
        graphs_with(root_index=SET.root_index + SET.num_nodes),
        {},
        ValueError,
        "'root_index' must hold nodes of its own graph",
    ),
    'counts': (
        graphs_with(root_count=SET.root_count[1:]),
        {},
        ValueError,
        "'root_count' must have one entry a root",
    ),
    'rows of edges': (
        graphs_with(edge_attr=torch.rand(3, 1)),
        {},
        ValueError,
        "'edge_attr' must have one row a edge|'edge_attr'",
    ),
    'sparse features': (
        graphs_with(x=SET.x.to_sparse()),
        {},
        TypeError,
        "'x' must be a dense tensor",
    ),
    'NaN': (graphs_with(x=SET.x * float('nan')), {}, ValueError, 'NaN'),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_input(name):
    source, kwargs, error, message = BAD[name]
    with pytest.raises(error, match=message) as info:
        TreeSetLoader(source, **kwargs)
    assert '\n' not in str(info.value)


@pytest.mark.parametrize('part', ['whole', 'slice', 'Subset', 'ConcatDataset'])
def test_transform(mirage, part):
    dataset = mirage.copy()
    dataset.transform = T.NormalizeFeatures()
    source = {
        'whole': dataset,
        'slice': dataset[:3],
        'Subset': Subset(dataset, [0]),
        'ConcatDataset': ConcatDataset([mirage, dataset]),
    }[part]
    with pytest.raises(ValueError, match=r"'transform'.*'DataLoader'") as info:
        TreeSetLoader(source)
    assert '\n' not in str(info.value)


def test_no_warnings(mirage):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        counts = Counter(
            number
            for data in TreeSetLoader(mirage, 5, shuffle=True)
            for number in data.number.tolist()
        )
    assert counts == Counter(range(12))


def test_print(sets):
    loader = TreeSetLoader(sets, batch_size=4)
    number = loader.dataset.trees.num_trees
    assert str(loader) == (
        f'TreeSetLoader(12 graphs, {number} distinct trees, batch_size=4)'
    )
    batches = BatchSampler(range(12), 3, drop_last=False)
    loader = TreeSetLoader(sets, batch_sampler=batches)
    assert str(loader) == f'TreeSetLoader(12 graphs, {number} distinct trees)'
