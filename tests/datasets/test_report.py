"""The report, against counts by hand."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch_geometric.data import Data

from pyg_distill.datasets import DistillationReport, MirageDataset
from pyg_distill.datasets.selection import ClassSummary
from pyg_distill.loader import TreeSetLoader
from tests.datasets.sources import Graphs, path, random_graphs

# Class 0: {1} in both; class 1: {5} in two of three, {6} in one.
GRAPHS = [
    path(1, 1, 2),
    path(1, 3),
    path(5, 5, y=1),
    path(5, y=1),
    path(6, y=1),
]


def test_counts_by_hand() -> None:
    report = MirageDataset(GRAPHS, 0, min_support=2).report
    assert report.num_classes == 2
    assert report.num_trees == 5
    assert report.classes == {
        # Of 5 nodes, 3 are labelled 1.
        0: ClassSummary(2, 3, 1, 1.0, 3 / 5),
        1: ClassSummary(3, 2, 1, 2 / 3, 3 / 4),
    }
    # Features of 4 bytes; 8 of them for each end of an edge and for y.
    source = report.source
    assert (source.num_graphs, source.num_nodes, source.num_edges) == (5, 9, 8)
    assert source.num_bytes == 9 * 4 + 8 * 16 + 5 * 8
    # x, root_index, root_count, num_layers, y, support and weight.
    found = report.distilled
    assert (found.num_graphs, found.num_nodes, found.num_edges) == (2, 2, 0)
    assert found.num_bytes == 2 * (4 + 8 + 8 + 8 + 8 + 8 + 4)
    assert report.ratio == found.num_bytes / source.num_bytes
    assert report.left_out == []
    assert report.file_size is None
    assert report.seconds > 0
    assert report.options['min_support'] == 2


def payload(graphs: list[Data]) -> int:
    return sum(
        value.numel() * value.element_size()
        for data in graphs
        for value in data.to_dict().values()
        if isinstance(value, torch.Tensor)
    )


@pytest.mark.parametrize('num_features', [3, None])
@pytest.mark.parametrize('selection', ['patterns', 'lossless'])
@pytest.mark.parametrize('collated', [True, False])
def test_bytes_are_those_of_all_tensors(
    num_features: int | None, selection: str, collated: bool
) -> None:
    graphs = random_graphs(
        10, num_features=num_features, edge_attr=True, edge_weight=True
    )
    for data in graphs:
        data.target = torch.ones(1, 2)
    source = Graphs(graphs) if collated else graphs
    dataset = MirageDataset(source, 2, selection=selection)
    report = dataset.report
    assert report.source.num_bytes == payload(graphs)
    assert report.distilled.num_bytes == payload(list(dataset))
    assert report.distilled.num_nodes == sum(d.num_nodes for d in dataset)
    assert report.distilled.num_edges == sum(d.num_edges for d in dataset)
    dropped = [] if selection == 'lossless' else ['target']
    assert report.left_out == dropped


def test_one_distilled_graph_has_bytes_too() -> None:
    dataset = MirageDataset([path(1, 2)], 1, 0.1)
    assert dataset.report.distilled.num_bytes == payload(list(dataset))


def test_what_is_excluded_costs_nothing_and_is_named() -> None:
    graphs = random_graphs(8, edge_attr=True)
    expected = MirageDataset(random_graphs(8), 1, 0.1).report.source
    for data in graphs:
        data.edge_attr = data.edge_attr.float()
        data.smiles = 'C'
    for source in (graphs, Graphs(graphs)):
        report = MirageDataset(
            source, 1, 0.1, exclude_keys=['edge_attr']
        ).report
        assert report.left_out == ['edge_attr', 'smiles']
        # The edges are drawn in another order than without attributes.
        nodes = report.source.num_nodes
        assert report.source.num_bytes == (
            nodes * 12 + report.source.num_edges * 16 + 8 * 8
        )
        assert report.source.num_graphs == expected.num_graphs


@pytest.mark.parametrize('min_support', [1, 0.1, {0: 2, 1: 0.5}])
@pytest.mark.parametrize('selection', ['patterns', 'lossless'])
def test_survives_json(min_support: object, selection: str) -> None:
    options = {'selection': selection}
    if selection == 'patterns':
        options['min_support'] = min_support
    report = MirageDataset(GRAPHS, 0, **options).report
    text = json.dumps(report.to_dict())
    assert DistillationReport.from_dict(json.loads(text)) == report
    assert DistillationReport.from_dict(report.to_dict()) == report


def test_to_dict_is_a_copy() -> None:
    report = MirageDataset(GRAPHS, 0, min_support=1).report
    values = report.to_dict()
    values['options']['num_layers'] = 9
    values['classes'].clear()
    assert report.options['num_layers'] == 0
    assert len(report.classes) == 2


def test_prints_as_a_table() -> None:
    graphs = [data.clone() for data in GRAPHS]
    for data in graphs:
        data.name = 'toy'
    report = MirageDataset(graphs, 0, min_support={0: 2, 1: 0.6}).report
    report = replace(report, seconds=1.234, file_size=4321)
    assert str(report).splitlines() == [
        "num_layers=0, selection='patterns', min_support={0: 2, 1: 0.6}, "
        "patterns='closed', shared='keep', root_count='mean', "
        "max_patterns=10000, balance='source', compact=True, verify=False",
        '                    source     distilled     share',
        'graphs                   5             2    40.00%',
        'nodes                    9             2    22.22%',
        'edges                    8             0     0.00%',
        'bytes                  204            96    47.06%',
        'packed bytes             -            12         -',
        'class       graphs   trees    kept   graphs held    nodes held',
        '0                2       3       1        100.0%         60.0%',
        '1                3       2       1         66.7%         75.0%',
        '5 distinct trees in all; distilled in 1.23 s',
        'batches of 2: 2 nodes and 0 edges, or 2 and 0 if trees are shared, '
        '1.0 times fewer: TreeSetLoader does not pay',
        '4,321 bytes on disk',
        'left out: name',
    ]
    assert repr(report) == str(report)
    assert str(report.source) == '5 graphs, 9 nodes, 8 edges, 204 bytes'


def test_prints_without_edges_and_files() -> None:
    lines = str(MirageDataset([path(1)], 0, 0.1).report).splitlines()
    assert lines[4].split() == ['edges', '0', '0', '-']
    assert lines[-3].startswith('1 distinct trees in all')
    # One node with its root, counts and weight takes more than the node.
    assert lines[-1].startswith('larger than the source')


def test_lossless_keeps_everything() -> None:
    report = MirageDataset(GRAPHS, 0, selection='lossless').report
    assert report.classes == {
        0: ClassSummary(2, 3, 2, 1.0, 1.0),
        1: ClassSummary(3, 2, 3, 1.0, 1.0),
    }
    assert report.num_trees == 5


@pytest.mark.parametrize('num_features', [3, None])
@pytest.mark.parametrize('selection', ['patterns', 'lossless'])
def test_predicts_what_sharing_saves(
    num_features: int | None, selection: str
) -> None:
    graphs = random_graphs(9, (0, 1), num_features=num_features)
    dataset = MirageDataset(graphs, 2, selection=selection)
    sharing = dataset.report.sharing
    read = graphs if selection == 'lossless' else list(dataset)
    assert sharing.batch_size == len(dataset)
    assert sharing.num_nodes == sum(data.num_nodes for data in read)
    assert sharing.num_edges == sum(data.num_edges for data in read)
    # One batch holds all, so that nothing is left to chance.
    (batch,) = TreeSetLoader(dataset, batch_size=len(dataset))
    if selection == 'lossless':
        assert sharing.num_shared_nodes == pytest.approx(batch.num_nodes)
        assert sharing.num_shared_edges == pytest.approx(batch.num_edges)
    else:
        assert sharing.num_shared_nodes <= batch.num_nodes + 1e-6


def test_predicts_for_usual_batches(real_dataset: Callable) -> None:
    dataset = MirageDataset(real_dataset('MUTAG'), 2, selection='lossless')
    sharing = dataset.report.sharing
    assert sharing.batch_size == 128
    seed = torch.Generator().manual_seed(0)
    loader = TreeSetLoader(
        dataset, 128, shuffle=True, drop_last=True, generator=seed
    )
    sizes = [
        [batch.num_nodes, batch.num_edges]
        for _ in range(50)
        for batch in loader
    ]
    nodes, edges = torch.tensor(sizes, dtype=torch.double).mean(dim=0).tolist()
    assert sharing.num_shared_nodes == pytest.approx(nodes, rel=0.01)
    assert sharing.num_shared_edges == pytest.approx(edges, rel=0.01)
    assert sharing.pays
    assert 'TreeSetLoader pays off' in str(dataset.report)
