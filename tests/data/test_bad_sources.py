"""Sources that cannot be read are refused in one line, with a remedy."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch_geometric.transforms as T
from torch.utils.data import ConcatDataset, Subset
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.loader import DataLoader

from pyg_distill.data import Source, TreeStatistics, read_table
from pyg_distill.data.attributes import level_of
from pyg_distill.data.statistics import collect_statistics
from tests.data.collections import Lazy, Minimal
from tests.selection.helpers import Graphs, Stream, path, random_graphs


def message(error: type[Exception], call: Callable, *args: Any) -> str:
    with pytest.raises(error) as info:
        call(*args)
    assert type(info.value) is error or error is ValueError
    assert '\n' not in str(info.value)
    return str(info.value)


def collect(source: Any, *exclude_keys: str) -> TreeStatistics:
    return collect_statistics(Source(source, 1, exclude_keys, caller='Reader'))


def read(source: Any, *exclude_keys: str) -> Any:
    table = read_table(source, exclude_keys=exclude_keys, caller='Reader')
    return table.graphs, table.label


def changed(**attributes: Any) -> list[Data]:
    """Graphs with attributes that are given, or made from the graph."""
    out = random_graphs(8)
    for data in out:
        for name, value in attributes.items():
            data[name] = value(data) if callable(value) else value
    return out


class Once:
    """An iterator in disguise."""

    def __init__(self) -> None:
        self.iterator = iter(random_graphs(4))

    def __iter__(self) -> Iterator[Data]:
        return self.iterator


def generate() -> Iterator[Data]:
    yield from random_graphs(4)


WRAPS = [list, Graphs, Lazy, lambda g: [g[:1], g[1:]]]
both = pytest.mark.parametrize('call', [collect, read])
every = pytest.mark.parametrize(
    'wrap', WRAPS, ids=['list', 'Graphs', 'Lazy', 'chunks']
)


@pytest.mark.parametrize(
    ('source', 'named'),
    [
        (path(1), "'Data'"),
        (HeteroData(), "'HeteroData'"),
        (Batch.from_data_list([path(1)]), 'to_data_list'),
        (iter([path(1)]), r'list(...)'),
        (generate(), 'reads its source twice'),
        (Once(), '__iter__ starts anew'),
        (None, 'NoneType'),
        (3, 'int'),
        ('MUTAG', "'str'"),
        ({0: path(1)}, 'graphs.values()'),
        (torch.ones(3), "'Tensor'"),
        ([HeteroData()], 'to_homogeneous'),
        (Lazy([HeteroData()]), 'to_homogeneous'),
        ([(path(1), 0)], "'tuple'"),
        ([path(1), None], "'NoneType'"),
        (Graphs([path(1)] * 2, transform=lambda d: (d, d)), "'tuple'"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_collection_of_graphs(source: Any, named: str) -> None:
    text = message(TypeError, collect, source)
    assert named in text
    assert "'Reader'" in text
    assert "'Reader'" in message(TypeError, read, source)


@pytest.mark.parametrize(
    'source',
    [
        [],
        (),
        Graphs([path(1)] * 2)[:0],
        Graphs([path(1)])[[]],
        Subset([path(1)], []),
        Subset(Graphs([path(1)] * 2), []),
    ],
)
@both
def test_no_graph(call: Callable, source: Any) -> None:
    assert 'check the split' in message(ValueError, call, source)


@pytest.mark.parametrize(
    'source', [[[]], [[], ()], Stream([]), [Graphs([path(1)] * 2)[:0]]]
)
def test_no_graph_in_any_chunk(source: Any) -> None:
    assert 'at least one graph' in message(ValueError, collect, source)


@both
def test_batches_in_a_list(call: Callable) -> None:
    data = path(1)
    data.root_index = torch.tensor([0])
    for source in ([data], Graphs([data] * 2), Lazy([data])):
        assert 'tree-set form' in message(ValueError, call, source)
    batch = Minimal([Batch.from_data_list([path(1)] * 2)])
    assert 'to_data_list' in message(ValueError, read, batch)


@pytest.mark.parametrize(
    'transform',
    [
        lambda data: Data(
            x=torch.rand_like(data.x), edge_index=data.edge_index, y=data.y
        ),
        lambda data: data.update({'y': torch.randint(10**6, (1,))}),
    ],
)
@pytest.mark.parametrize(
    'wrap',
    [
        lambda g, t: Graphs(g, t),
        lambda g, t: Graphs(g, t)[3:],
        lambda g, t: Subset(Graphs(g, t), range(12)),
        lambda g, t: Lazy(g, t),
        lambda g, t: ConcatDataset([Graphs(g[:6], t), Graphs(g[6:], t)]),
        lambda g, t: [Graphs(g[:6], t), g[6:]],
    ],
)
def test_random_transforms(wrap: Callable, transform: Callable) -> None:
    source = wrap(random_graphs(12), transform)
    assert 'transform is random' in message(ValueError, collect, source)


@every
@both
@pytest.mark.parametrize(
    ('y', 'named'),
    [
        (torch.tensor([0.5]), '0.5'),
        (torch.tensor([-1]), '-1'),
        (torch.tensor([-1.0]), '-1'),
        (torch.tensor([float('nan')]), 'nan'),
        (torch.tensor([float('inf')]), 'inf'),
        (torch.tensor([[0, 1, 1]]), '3 values for graph 0'),
        (torch.tensor([0, 1]), '2 values for graph 0'),
        (torch.empty(0), '0 values for graph 0'),
        (lambda data: torch.zeros(data.num_nodes).long(), 'node-level'),
    ],
    ids=lambda value: str(value).partition(' at 0x')[0].replace('\n', ''),
)
def test_labels_that_are_no_classes(
    call: Callable, wrap: Callable, y: Any, named: str
) -> None:
    source = wrap(changed(y=y))
    if call is read and isinstance(source, list) and len(source) == 2:
        return  # Only streams may consist of chunks.
    text = message(ValueError, call, source)
    assert "'y'" in text
    assert named in text


@every
@pytest.mark.parametrize('y', [None, 'active'])
def test_no_labels(wrap: Callable, y: Any) -> None:
    text = message(ValueError, collect, wrap(changed(y=y)))
    assert 'torch.tensor([0])' in text
    assert "'y'" in message(ValueError, collect, wrap(changed()), 'y')
    graphs = changed(y=torch.tensor([0]))
    assert collect(wrap(graphs)).num_classes == 1


DIFFERENT = [
    ('pos', lambda data: torch.rand(1, 3)),
    ('x', lambda data: None),
    ('name', lambda data: 'benzene'),
    ('x', lambda data: data.x[:, :2]),
    ('x', lambda data: data.x[:, 0]),
    ('x', lambda data: data.x.half()),
    ('scale', lambda data: torch.ones(1).long()),
    ('scale', lambda data: torch.ones(1, 2)),
    ('scale', lambda data: 1.0),
    ('scale', lambda data: ['a']),
    ('tag', lambda data: ['a']),
    ('edge_index', lambda data: data.edge_index.t()),
    ('edge_index', lambda data: data.edge_index.int()),
    ('y', lambda data: torch.tensor([[0]])),
]


@pytest.mark.parametrize(('name', 'change'), DIFFERENT)
def test_graphs_with_different_attributes(name: str, change: Callable) -> None:
    graphs = [path(1, 2), path(3, 4, 5), path(1, 2, 3), path(1, 2)]
    for data in graphs:
        data.x = data.x.repeat(1, 3)
        data.scale = torch.ones(1)
        data.tag = 'a'
    for data in graphs[2:]:
        size = data.num_nodes
        data[name] = change(data)
        data.num_nodes = size
    for source in (graphs, Lazy(graphs), Minimal(graphs)):
        for call in (collect, read):
            text = message(ValueError, call, source)
            assert f"graph 2 differs from graph 0 in '{name}'" in text
            if name not in ('y', 'edge_index'):
                assert f"exclude_keys=['{name}']" in text
                call(source, name)
    if isinstance(graphs[2].scale, float) or graphs[2].edge_index.size(0) != 2:
        return  # PyG stores numbers as tensors, and not all shapes of edges.
    chunks = [Graphs(graphs[:2]), Graphs(graphs[2:])]
    text = message(ValueError, collect, chunks)
    assert f"'{name}'" in text
    assert 'chunks' in text
    if name not in ('y', 'edge_index'):
        collect(chunks, name)


@every
@pytest.mark.parametrize('name', ['x', 'edge_attr', 'edge_weight'])
def test_features_that_are_nan(wrap: Callable, name: str) -> None:
    graphs = [path(1, 2), path(1, 2, 3)]
    for data in graphs:
        data.edge_attr = torch.ones(data.num_edges, 2)
        data.edge_weight = torch.ones(data.num_edges)
    graphs[1][name].view(-1)[1] = float('nan')
    text = message(ValueError, collect, wrap(graphs))
    assert f"'{name}' must not hold NaN" in text
    assert f"exclude_keys=['{name}']" in text
    collect(wrap(graphs), name)


@every
@pytest.mark.parametrize('bad', [-1, 3, 10**9])
def test_edges_that_lead_nowhere(wrap: Callable, bad: int) -> None:
    graphs = [path(1, 2, 3), path(1, 2, 3)]
    graphs[1].edge_index[1, 2] = bad
    text = message(ValueError, collect, wrap(graphs))
    assert "'edge_index'" in text
    assert str(bad) in text


@every
def test_no_edges_at_all(wrap: Callable) -> None:
    text = message(ValueError, collect, wrap(changed(edge_index=None)))
    assert "needs 'edge_index'" in text
    assert 'torch.empty(2, 0' in text
    graphs = changed(edge_index=torch.zeros(3, 3).long())
    assert 'shape [2, num_edges]' in message(ValueError, collect, wrap(graphs))
    graphs = changed(edge_index=lambda data: data.edge_index.float())
    assert 'edge_index.long()' in message(TypeError, collect, wrap(graphs))


@every
@pytest.mark.parametrize(
    'convert', [torch.Tensor.to_sparse, torch.Tensor.numpy, torch.Tensor.tolist]
)
@pytest.mark.parametrize('name', ['x', 'edge_attr', 'edge_weight'])
def test_features_that_are_no_dense_tensors(
    wrap: Callable, convert: Callable, name: str
) -> None:
    graphs = [path(1, 2), path(1, 2, 3)]
    for data in graphs:
        size = data.num_nodes if name == 'x' else data.num_edges
        data.num_nodes = data.num_nodes
        data[name] = convert(torch.ones(size, 1))
    text = message(TypeError, collect, wrap(graphs))
    assert f"'{name}' must be a dense tensor" in text
    assert f"exclude_keys=['{name}']" in text
    found = collect(wrap(graphs), name)
    assert found.left_out == [name]
    assert found.num_nodes.tolist() == [2, 3]


@every
@pytest.mark.parametrize('name', ['x', 'edge_attr'])
@pytest.mark.parametrize('sizes', [(1, 1), (1, 3)])
def test_rows_that_do_not_fit(wrap: Callable, name: str, sizes: tuple) -> None:
    # Of one graph and three nodes and edges, the rows fit in sum.
    graphs = [path(1, 2), path(1, 2)]
    for data, size in zip(graphs, sizes, strict=True):
        data.num_nodes = 2
        data[name] = torch.ones(size, 1)
    text = message(ValueError, collect, wrap(graphs))
    assert f"'{name}' must have one row per" in text
    assert f"exclude_keys=['{name}']" in text
    collect(wrap(graphs), name)


@every
@pytest.mark.parametrize(
    'name', ['weight', 'support', 'num_layers', 'root_count', 'target']
)
def test_reserved_names(wrap: Callable, name: str) -> None:
    graphs = changed(**{name: torch.tensor([1])})
    text = message(ValueError, collect, wrap(graphs))
    assert f"'{name}'" in text
    assert f"exclude_keys=['{name}']" in text
    assert collect(wrap(graphs), name).num_graphs == 8


def test_a_chunk_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr('pyg_distill.data.sources.MAX_GRAPHS', 5)
    graphs: list[Any] = random_graphs(24)
    graphs[17].x = torch.full((9, 3), float('nan'))
    text = message(ValueError, collect, Lazy(graphs))
    assert 'graph 0 is graph 15 of the source' in text
    assert 'must not hold NaN' in text
    graphs[17] = None
    text = message(TypeError, collect, Stream(graphs))
    assert 'graph 0 is graph 15 of the source' in text


def test_a_loader_that_shuffles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('pyg_distill.data.sources.MAX_GRAPHS', 5)
    loader = DataLoader(random_graphs(24), batch_size=4, shuffle=True)
    source = Source(loader, 1)
    collect_statistics(source)
    assert 'shuffling' in message(ValueError, collect_statistics, source)


@pytest.mark.filterwarnings('ignore:Sparse:UserWarning')
def test_values_of_an_adjacency_must_be_those_of_the_edges() -> None:
    graphs = changed(edge_weight=lambda data: torch.rand(data.num_edges))
    sparse = T.ToSparseTensor(attr=None, layout=torch.sparse_csr)
    graphs = [sparse(data) for data in graphs if data.num_edges]
    assert "'adj_t' must hold" in message(ValueError, read, graphs)


@pytest.mark.parametrize(
    ('name', 'size', 'num_nodes', 'num_edges', 'want'),
    [
        ('feat', [3, 2], [3, 2], [4, 2], 'node'),
        ('feat', [4, 2], [3, 2], [4, 2], 'edge'),
        ('feat', [1, 1], [3, 2], [4, 2], 'graph'),
        ('feat', [5, 5], [3, 2], [4, 2], 'graph'),
        # One graph that has as many rows as nodes by chance decides nothing.
        ('feat', [3, 3], [3, 2], [4, 3], 'graph'),
        # As many nodes as edges: the name decides.
        ('feat', [3, 2], [3, 2], [3, 2], 'node'),
        ('edge_type', [3, 2], [3, 2], [3, 2], 'edge'),
        # One node or one edge each: the name decides.
        ('y', [1, 1], [1, 1], [2, 2], 'graph'),
        ('pos', [1, 1], [1, 1], [2, 2], 'node'),
        ('train_mask', [1, 1], [1, 1], [0, 0], 'node'),
        ('y', [1, 1], [2, 2], [1, 1], 'graph'),
        ('edge_type', [1, 1], [2, 2], [1, 1], 'edge'),
        ('y', [1], [1], [1], 'graph'),
        # Mini-batches increment these.
        ('train_index', [1, 1], [3, 2], [4, 2], 'node'),
        ('face', [5, 5], [3, 2], [4, 2], 'node'),
    ],
)
def test_level_of(
    name: str, size: list, num_nodes: list, num_edges: list, want: str
) -> None:
    sizes = map(torch.tensor, (size, num_nodes, num_edges))
    assert level_of(name, *sizes) == want
