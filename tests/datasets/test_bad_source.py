"""Sources that cannot be distilled are refused in one line, with a remedy."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch_geometric.data import Batch, Data, HeteroData

from pyg_distill.datasets import MirageDataset
from tests.datasets.sources import Graphs, name_of, path, random_graphs
from tests.datasets.test_bad_options import message


def changed(**attributes: Any) -> list[Data]:
    """Graphs with attributes that are given, or made from the graph."""
    out = random_graphs(8)
    for data in out:
        for name, value in attributes.items():
            data[name] = value(data) if callable(value) else value
    return out


both = pytest.mark.parametrize('wrap', [list, Graphs], ids=['list', 'dataset'])


@pytest.mark.parametrize(
    ('source', 'named'),
    [
        (path(1), "'Data'"),
        (HeteroData(), "'HeteroData'"),
        (Batch.from_data_list([path(1)]), 'to_data_list'),
        (iter([path(1)]), 'list_iterator'),
        (None, 'NoneType'),
        (3, 'int'),
        ('MUTAG', "'str'"),
        (torch.ones(3), "'Tensor'"),
        ([HeteroData()], "'HeteroData'"),
        ([(path(1), 0)], "'tuple'"),
        ([path(1), None], "'NoneType'"),
        (Graphs([path(1)] * 2, transform=lambda d: (d, d)), "'tuple'"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_collection_of_graphs(source: Any, named: str) -> None:
    text = message(TypeError, source, 1)
    assert named in text
    assert "'MirageDataset'" in text


@pytest.mark.parametrize(
    'source', [[], (), Graphs([path(1)] * 2)[:0], Graphs([path(1)])[[]]]
)
def test_no_graph(source: Any) -> None:
    assert 'check the split' in message(ValueError, source, 1)


@pytest.mark.parametrize('wrap', [lambda d: d, list, lambda d: d[:1]])
@pytest.mark.parametrize('num_graphs', [1, 8])
def test_distilled_graphs_are_not_distilled_again(
    wrap: Callable, num_graphs: int
) -> None:
    dataset = MirageDataset(random_graphs(num_graphs, (0,)), 1, 0.1)
    text = message(ValueError, wrap(dataset), 1)
    assert 'tree-set form already' in text


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
        (lambda data: torch.zeros(data.num_edges).long(), 'values for graph'),
    ],
    ids=name_of,
)
def test_labels_that_are_no_classes(wrap: Callable, y: Any, named: str) -> None:
    text = message(ValueError, wrap(changed(y=y)), 1)
    assert "'y'" in text
    assert named in text


@both
def test_as_many_labels_as_graphs_must_be_one_each(wrap: Callable) -> None:
    graphs = random_graphs(4, (0,))
    graphs[0].y = torch.tensor([0, 1])
    graphs[3].y = torch.empty(0, dtype=torch.long)
    assert '2 values for graph 0' in message(ValueError, wrap(graphs), 1)


@both
def test_no_labels(wrap: Callable) -> None:
    text = message(ValueError, wrap(changed(y=None)), 1)
    assert "needs class labels 'y'" in text
    assert 'torch.tensor([0])' in text
    assert "'y'" in message(ValueError, wrap(changed()), 1, exclude_keys=['y'])
    graphs = changed(y=torch.tensor([0]))
    assert MirageDataset(graphs, 1, 0.1).num_classes == 1


@both
def test_text_as_labels(wrap: Callable) -> None:
    text = message(ValueError, wrap(changed(y='active')), 1)
    assert "class labels 'y'" in text


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('pos', lambda data: torch.rand(1, 3)),
        ('x', None),
        ('name', 'benzene'),
        ('x', lambda data: data.x[:, :2]),
        ('x', lambda data: data.x[:, 0]),
        ('edge_index', lambda data: data.edge_index.t()),
        ('y', torch.tensor([[0]])),
    ],
)
def test_graphs_with_different_attributes(name: str, value: Any) -> None:
    graphs = [path(1, 2), path(3, 4, 5), path(1, 2, 3)]
    for data in graphs:
        data.x = data.x.repeat(1, 3)
    data = graphs[2]
    data[name] = value(data) if callable(value) else value
    if name == 'x' and value is None:
        data.num_nodes = 3
    text = message(ValueError, graphs, 1, 1)
    assert f'graph 2 differs from graph 0 in {name}' in text
    if name not in ('y', 'edge_index'):
        assert f"exclude_keys=['{name}']" in text
        assert len(MirageDataset(graphs, 1, 1, exclude_keys=[name])) >= 1


@both
@pytest.mark.parametrize('selection', ['patterns', 'lossless'])
@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('pos', lambda data: torch.rand(data.num_nodes, 3)),
        ('train_mask', lambda data: torch.ones(data.num_nodes).bool()),
        ('edge_type', lambda data: torch.zeros(data.num_edges)),
        ('tree_index', lambda data: torch.zeros(1).long()),
        ('batch', lambda data: torch.zeros(data.num_nodes).long()),
    ],
)
def test_attributes_that_trees_do_not_compare(
    wrap: Callable, selection: str, name: str, value: Callable
) -> None:
    graphs = changed(**{name: value})
    text = message(ValueError, wrap(graphs), 1, selection=selection)
    remedy = f"exclude_keys=['{name}']"
    assert remedy in text
    dataset = MirageDataset(
        wrap(graphs), 1, selection=selection, exclude_keys=[name]
    )
    assert name in dataset.report.left_out
    assert name not in dataset[0]


@both
@pytest.mark.parametrize('name', ['x', 'edge_attr', 'edge_weight'])
def test_features_that_are_nan(wrap: Callable, name: str) -> None:
    graphs = [path(1, 2), path(1, 2, 3)]
    for data in graphs:
        data.edge_attr = torch.ones(data.num_edges, 2)
        data.edge_weight = torch.ones(data.num_edges)
    graphs[1][name].view(-1)[1] = float('nan')
    text = message(ValueError, wrap(graphs), 1)
    assert f"'{name}' must not hold NaN" in text
    assert f"exclude_keys=['{name}']" in text
    MirageDataset(wrap(graphs), 1, 0.1, exclude_keys=[name])


@both
def test_continuous_features(wrap: Callable) -> None:
    torch.manual_seed(0)
    graphs = changed(
        x=lambda data: torch.randn(data.num_nodes, 3),
        edge_attr=lambda data: torch.randn(data.num_edges),
    )
    text = message(ValueError, wrap(graphs), 1, 1)
    assert "'x' and 'edge_attr' holds continuous values" in text
    options = {'exclude_keys': ['x', 'edge_attr']}
    assert len(MirageDataset(wrap(graphs), 1, 1, **options)) > 0
    for data in graphs:
        data.x, data.edge_attr = data.x.round(), data.edge_attr.round()
    assert len(MirageDataset(wrap(graphs), 0, 1)) > 0


@both
@pytest.mark.parametrize('bad', [-1, 3, 10**9])
def test_edges_that_lead_nowhere(wrap: Callable, bad: int) -> None:
    graphs = [path(1, 2, 3), path(1, 2, 3)]
    graphs[1].edge_index[1, 2] = bad
    text = message(ValueError, wrap(graphs), 1)
    assert "'edge_index'" in text
    assert str(bad) in text


@both
def test_no_edge_index(wrap: Callable) -> None:
    text = message(ValueError, wrap(changed(edge_index=None)), 1)
    assert "needs 'edge_index'" in text
    assert 'torch.empty(2, 0' in text


@both
def test_edges_as_a_list_of_pairs(wrap: Callable) -> None:
    graphs = changed(edge_index=torch.zeros(3, 3).long())
    text = message(ValueError, wrap(graphs), 1)
    assert "'edge_index' must have shape [2, num_edges]" in text


@both
@pytest.mark.parametrize(
    'convert', [torch.Tensor.to_sparse, torch.Tensor.numpy, torch.Tensor.tolist]
)
@pytest.mark.parametrize('name', ['x', 'edge_attr', 'edge_weight'])
def test_features_that_are_no_dense_tensors(
    wrap: Callable, convert: Callable, name: str
) -> None:
    graphs = [path(1, 2), path(1, 2, 3)]
    for data in graphs:
        rows = data.num_nodes if name == 'x' else data.num_edges
        data.num_nodes = data.num_nodes
        data[name] = convert(torch.ones(rows, 1))
    text = message(TypeError, wrap(graphs), 1)
    assert f"'{name}' must be a dense tensor" in text
    assert f"exclude_keys=['{name}']" in text
    dataset = MirageDataset(wrap(graphs), 1, 0.1, exclude_keys=[name])
    assert dataset.report.left_out == [name]
    assert dataset.report.source.num_nodes == 5


@both
def test_too_few_rows(wrap: Callable) -> None:
    graphs = [
        path(1, 2, edge_attr=torch.ones(1)),
        path(1, 2, edge_attr=torch.ones(1)),
    ]
    text = message(ValueError, wrap(graphs), 1)
    assert "'edge_attr'" in text


@both
def test_rows_of_one_graph_do_not_make_up_for_another(wrap: Callable) -> None:
    # In sum, as many rows as edges.
    graphs = [
        path(1, 2, edge_attr=torch.ones(1)),
        path(1, 2, edge_attr=torch.zeros(3)),
    ]
    assert "'edge_attr'" in message(ValueError, wrap(graphs), 1)


@both
def test_graphs_without_edges_or_nodes_are_graphs(wrap: Callable) -> None:
    graphs = [path(), path(1), path(1, 2), path(1, y=1), path(y=1)]
    dataset = MirageDataset(wrap(graphs), 2, 1)
    assert dataset.y.unique().tolist() == [0, 1]
    assert dataset.report.source.num_graphs == 5
    assert dataset.report.classes[1].graph_coverage == 0.5


@both
def test_a_class_without_nodes(wrap: Callable) -> None:
    graphs: Sequence[Data] = [path(1, 2), path(1, 2), path(y=1), path(y=1)]
    text = message(ValueError, wrap(graphs), 2, 0.1)
    assert 'class 1' in text
    assert 'no nodes' in text
    MirageDataset(wrap(graphs), 2, selection='lossless')
    MirageDataset(wrap(graphs[:2]), 2, 0.1)
