import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

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
from torch_geometric.data import Batch, Data
from torch_geometric.loader import (
    DataLoader,
    DynamicBatchSampler,
    ImbalancedSampler,
)

from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.loader import TreeSetBatch, TreeSetLoader
from pyg_distill.transforms import ToComputationTrees
from tests.data.collections import assert_same, typed
from tests.datasets.sources import Graphs
from tests.graphs import random_graph
from tests.loader.oracle import roots_by_graph
from tests.oracles import tree_set

DEPTH = 2


def graph_list() -> list[Data]:
    graphs = [random_graph(seed=s) for s in range(12)]
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
    *('y', 'number', 'target', 'scalar', 'ragged', 'flag', 'count', 'share'),
    *('smiles', 'words', 'pair', 'table', 'num_layers'),
]


@pytest.fixture(scope='module')
def sets() -> list[Data]:
    return [ToComputationTrees(DEPTH)(data) for data in graph_list()]


@pytest.fixture(scope='module')
def mirage() -> MirageDataset:
    graphs = [random_graph(seed=s) for s in range(12)]
    for i, data in enumerate(graphs):
        data.y = torch.tensor([i % 3])
        data.number = torch.tensor([i])
    return MirageDataset(graphs, DEPTH, selection='lossless', log=False)


def assert_batch(out: TreeSetBatch, want: Batch, names: list[str]) -> None:
    """The same as the mini-batch of an ordinary loader, but for nodes."""
    for name in names:
        if isinstance(want[name], list | dict):
            assert str(out[name]) == str(want[name])
        else:
            assert_same(out[name], want[name])
    assert out.num_graphs == want.num_graphs
    trees = [tree_set(data, DEPTH) for data in want.to_data_list()]
    assert roots_by_graph(out, DEPTH) == trees
    if 'root_count' in names:  # One root a graph and tree, in the same order.
        assert torch.equal(out.root_index_batch, want.batch[want.root_index])


@pytest.mark.parametrize('wrap', [list, tuple, Graphs])
def test_attributes(sets: list[Data], wrap: Callable) -> None:
    follow = ['root_index', 'root_count', 'target', 'ragged', 'words', 'y']
    index = [[3, 0, 5, 5], [11], [1, 2, 3, 4, 5, 6, 7]]
    options = {'batch_sampler': index, 'follow_batch': follow}
    pairs = zip(
        TreeSetLoader(wrap(sets), **options),
        DataLoader(wrap(sets), **options),
        strict=True,
    )
    names = ['root_count', *ATTRIBUTES]
    names += [f'{n}_{end}' for n in follow for end in ('batch', 'ptr')]
    for out, want in pairs:
        assert_batch(out, want, [name for name in names if name in want])
        assert {*want.keys()} - {*out.keys()} == {'batch', 'ptr'}
        assert {*out.keys()} <= {*want.keys()}


def test_order_and_length(mirage: MirageDataset) -> None:
    for options in [
        {'batch_size': 5},
        {'batch_size': 5, 'drop_last': True},
        {'batch_size': 100},
        {'batch_size': 4, 'sampler': [5, 3, 11, 0, 2]},
        {},
    ]:
        out, want = (
            TreeSetLoader(mirage, **options),
            DataLoader(mirage, **options),
        )
        assert len(out) == len(want)
        names = ['y', 'number', 'support', 'weight', 'num_layers', 'root_count']
        for batches in zip(out, want, strict=True):
            assert_batch(*batches, names)
        assert len(out.dataset) == len(mirage)
        assert out.dataset.num_classes == 3


def test_shuffle(mirage: MirageDataset) -> None:
    def epochs(cls: type) -> list:
        generator = torch.Generator().manual_seed(5)
        loader = cls(mirage, 4, shuffle=True, generator=generator)
        return [data.number.tolist() for _ in range(2) for data in loader]

    out = epochs(TreeSetLoader)
    assert out == epochs(DataLoader)
    assert out[:3] != out[3:]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        loader = TreeSetLoader(mirage, 5, shuffle=True)
        counts = Counter(n for data in loader for n in data.number.tolist())
    assert counts == Counter(range(12))


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
def test_samplers(mirage: MirageDataset, make: Callable) -> None:
    seen = []
    for cls in (TreeSetLoader, DataLoader):
        torch.manual_seed(3)
        seen.append([*cls(mirage, **make(mirage))])
    assert len(seen[0]) > 1
    for out, want in zip(*seen, strict=True):
        assert_batch(out, want, ['y', 'number', 'root_count'])


def test_repeats_and_negative_indices(mirage: MirageDataset) -> None:
    (out,) = TreeSetLoader(mirage, batch_sampler=[[2, 2, -1, 2]])
    assert out.number.tolist() == [2, 2, 11, 2]
    want = [tree_set(mirage[i], DEPTH) for i in (2, 2, 11, 2)]
    assert roots_by_graph(out, DEPTH) == want
    (once,) = TreeSetLoader(mirage, batch_sampler=[[2, 11]])
    assert out.num_nodes == once.num_nodes
    for index in ([12], [-13]):
        with pytest.raises(IndexError, match='out of bounds'):
            next(iter(TreeSetLoader(mirage, batch_sampler=[index])))


@pytest.mark.parametrize(
    ('part', 'number'),
    [
        (lambda d: d[4:9], range(4, 9)),
        (lambda d: d[[7, 1, 7]], [7, 1, 7]),
        (lambda d: d[3:4], [3]),
        (lambda d: [d[3]], [3]),
        (lambda d: Graphs([d[3]]), [3]),
        (lambda d: Subset(d, [9, 0]), [9, 0]),
        (lambda d: Subset(list(d), [9, 0]), [9, 0]),
        (lambda d: Subset(Subset(d, [3, 9, 0]), [2, 1]), [0, 9]),
        (lambda d: d[4:9].copy(), range(4, 9)),
        (lambda d: ConcatDataset([d[:2], [*d][5:7]]), [0, 1, 5, 6]),
        (lambda d: random_split(d, [12, 0])[0], None),
    ],
)
def test_parts(mirage: MirageDataset, part: Callable, number: Any) -> None:
    source = part(mirage)
    number = [int(d.number) for d in source] if number is None else [*number]
    (out,) = TreeSetLoader(source, 20)
    assert out.number.tolist() == number
    want = Batch.from_data_list([mirage[i] for i in number])
    assert_batch(out, want, ['y', 'root_count', 'weight', 'support'])


def test_nothing_outside_of_a_slice_is_read(sets: list[Data]) -> None:
    poisoned = [data.clone() for data in sets]
    for data in poisoned[6:]:
        data.x = data.x * float('nan')
        data.root_index = data.root_index + 1000
        data.num_layers = data.num_layers + 1
    dataset = Graphs(poisoned)
    (out,) = TreeSetLoader(dataset[:6], 6)
    assert out.number.tolist() == list(range(6))
    with pytest.raises(ValueError, match='one depth'):
        TreeSetLoader(dataset, 6)


def test_exclude_keys() -> None:
    graphs = [random_graph(seed=s, edge_dim=2) for s in range(5)]
    for data in graphs:
        data.extra = torch.tensor([1.0])
        data.pos = torch.rand(12, 3)
    transform = ToComputationTrees(DEPTH, exclude_keys=['pos'])
    sets = [transform(data) for data in graphs]
    (every,) = TreeSetLoader(sets, 5)
    bare = [Data(x=d.x, edge_index=d.edge_index) for d in graphs]
    want = [tree_set(ToComputationTrees(DEPTH)(d), DEPTH) for d in bare]
    for source in (sets, Graphs(sets)):
        # What the model does not see does not keep trees apart.
        (out,) = TreeSetLoader(source, 5, exclude_keys=['edge_attr', 'extra'])
        assert out.num_nodes < every.num_nodes
        assert {*every.keys()} - {*out.keys()} == {'edge_attr', 'extra'}
        assert roots_by_graph(out, DEPTH) == want
    (out,) = TreeSetLoader(sets, 5, exclude_keys=['x', 'num_layers'])
    assert 'x' not in out
    assert 'num_layers' not in out
    assert out.num_nodes == out.edge_index.max() + 1
    options: dict[str, Any] = {'num_layers': DEPTH, 'exclude_keys': ['pos']}
    (out,) = TreeSetLoader(graphs, 5, **options)
    assert out.num_nodes == every.num_nodes
    options['exclude_keys'] += ['num_layers']
    assert 'num_layers' not in next(iter(TreeSetLoader(graphs, 5, **options)))


@pytest.mark.parametrize('wrap', [list, Graphs, lambda g: Graphs(g)[:]])
def test_ordinary_graphs(mirage: MirageDataset, wrap: Callable) -> None:
    graphs = [random_graph(seed=s) for s in range(12)]
    loader = TreeSetLoader(wrap(graphs), 5, num_layers=DEPTH)
    for out, want in zip(loader, TreeSetLoader(mirage, 5), strict=True):
        assert torch.equal(out.num_layers, want.num_layers)
        assert out.num_nodes == want.num_nodes
        assert out.num_edges == want.num_edges
        assert roots_by_graph(out, DEPTH) == roots_by_graph(want, DEPTH)


def test_expected_size() -> None:
    graphs = ToyMolecules(150)
    sets = [ToComputationTrees(2)(data) for data in graphs]
    for loader in (
        TreeSetLoader(graphs, 16, shuffle=True, num_layers=2),
        TreeSetLoader(sets, 16, shuffle=True, drop_last=True),
    ):
        nodes, edges = loader.expected_size()
        sizes = [
            (data.num_nodes, data.num_edges)
            for _ in range(12)
            for data in loader
            if data.num_graphs == 16
        ]
        mean = torch.tensor(sizes).double().mean(0).tolist()
        assert [nodes, edges] == pytest.approx(mean, rel=0.03)
        assert loader.expected_size(150)[0] > nodes
        whole = next(iter(TreeSetLoader(sets, 150)))
        want = (whole.num_nodes, whole.num_edges)
        assert loader.expected_size(150) == pytest.approx(want)
    with pytest.raises(ValueError, match="'batch_size' is not known"):
        TreeSetLoader(sets, batch_sampler=[[0]]).expected_size()


@pytest.mark.parametrize('persistent', [True, False])
def test_workers(sets: list[Data], persistent: bool) -> None:
    loader = TreeSetLoader(
        sets, 5, num_workers=2, persistent_workers=persistent
    )
    for _ in range(2):
        for out, want in zip(loader, DataLoader(sets, 5), strict=True):
            assert_batch(out, want, ['root_count', *ATTRIBUTES])


def test_remade() -> None:
    # As Lightning does it, from the attributes of a loader.
    graphs = [random_graph(seed=s) for s in range(4)]
    loader = TreeSetLoader(graphs, 2, num_layers=2, exclude_keys=['y'])
    names = ('batch_size', 'follow_batch', 'exclude_keys', 'num_layers')
    options = {name: getattr(loader, name) for name in names}
    options['collate_fn'] = loader.collate_fn
    again = TreeSetLoader(loader.dataset, **options)
    assert again.dataset is loader.dataset
    assert len(list(again)) == 2
    again = TreeSetLoader(loader.dataset, num_layers=1)
    assert next(iter(again)).num_layers.tolist() == [1]
    assert again.dataset[3] is graphs[3]


def test_print(sets: list[Data]) -> None:
    loader = TreeSetLoader(sets, batch_size=4)
    number = loader.dataset.trees.num_trees
    text = f'TreeSetLoader(12 graphs, {number} distinct trees'
    assert str(loader) == f'{text}, batch_size=4)'
    batches = BatchSampler(range(12), 3, drop_last=False)
    assert str(TreeSetLoader(sets, batch_sampler=batches)) == f'{text})'


SET = ToComputationTrees(DEPTH)(random_graph())


def changed(**values: Any) -> list[Data]:
    data = SET.clone()
    for key, value in values.items():
        data[key] = value
    return [data]


BAD: dict[str, tuple[Any, dict, type[Exception], str]] = {
    'no trees': ([random_graph()], {}, ValueError, r'tree-set.*num_layers='),
    'half of the form': (
        changed(root_count=None),
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
    'depth given': ([SET], {'num_layers': 3}, ValueError, r'2 in all .*got 3'),
    'depth of no kind': (
        [random_graph()],
        {'num_layers': 1.5},
        TypeError,
        "'num_layers' must be an integer",
    ),
    'empty': ([], {}, ValueError, r'at least one graph'),
    'one graph': (SET, {}, TypeError, 'data set'),
    'batch': ([Batch.from_data_list([SET])], {}, ValueError, 'to_data_list'),
    'increments': (typed(), {'num_layers': 2}, ValueError, 'anchor.*wide'),
    'collate_fn': ([SET], {'collate_fn': list}, ValueError, "'collate_fn'"),
    'batch_size': ([SET], {'batch_size': None}, ValueError, 'batch_sampler='),
    'follow nodes': (
        [SET],
        {'follow_batch': ['x', 'y']},
        ValueError,
        r"'follow_batch' must .*got \['x'\]",
    ),
    'follow a string': ([SET], {'follow_batch': 'y'}, TypeError, r"\['y'\]"),
    'exclude roots': (
        [SET],
        {'exclude_keys': ['root_count']},
        ValueError,
        "'exclude_keys' must not name",
    ),
    'attributes of nodes': (
        changed(z=torch.rand(SET.num_nodes)),
        {},
        ValueError,
        r"got also.*exclude_keys=\['z'\]",
    ),
    'roots': (
        changed(root_index=SET.root_index + SET.num_nodes),
        {},
        ValueError,
        "'root_index' must hold nodes of its own graph",
    ),
    'counts': (
        changed(root_count=SET.root_count[1:]),
        {},
        ValueError,
        "'root_count' must have one entry a root",
    ),
    'NaN': (changed(x=SET.x * float('nan')), {}, ValueError, 'NaN'),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_input(name: str) -> None:
    source, options, error, message = BAD[name]
    with pytest.raises(error, match=message) as info:
        TreeSetLoader(source, **options)
    assert '\n' not in str(info.value)


@pytest.mark.parametrize(
    'part',
    [
        lambda d, m: d,
        lambda d, m: d[:3],
        lambda d, m: Subset(d, [0]),
        lambda d, m: ConcatDataset([m, d]),
    ],
)
def test_transforms_are_refused(mirage: MirageDataset, part: Callable) -> None:
    dataset = mirage.copy()
    dataset.transform = T.NormalizeFeatures()
    with pytest.raises(ValueError, match=r"'transform'.*'DataLoader'") as info:
        TreeSetLoader(part(dataset, mirage))
    assert '\n' not in str(info.value)
