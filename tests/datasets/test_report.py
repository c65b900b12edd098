"""The report, against counts by hand, and the sizes of mini-batches."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import pyg_distill
from pyg_distill.datasets import (
    ClassSummary,
    DistillationReport,
    MirageDataset,
    ToyMolecules,
)
from pyg_distill.loader import TreeSetLoader
from pyg_distill.selection import FrequentTrees
from tests.selection.helpers import Graphs, path, random_graphs

# Class 0: {1} in both; class 1: {5} in two of three, {6} in one.
GRAPHS = [
    path(1, 1, 2),
    path(1, 3),
    path(5, 5, y=1),
    path(5, y=1),
    path(6, y=1),
]
# root_index and root_count of a root; num_layers, y, target of two classes,
# weight, support and graph_id of an item.
ROOT, ITEM = 8 + 8, 8 + 8 + 8 + 4 + 8 + 8


def test_counts_by_hand() -> None:
    report = MirageDataset(GRAPHS, 0, selection=FrequentTrees(2)).report
    assert report.num_classes == 2
    assert report.num_trees == 5
    assert report.class_sizes == {0: 2, 1: 3}
    assert report.classes == {
        # Of 5 nodes, 3 are labelled 1.
        0: ClassSummary(2, 3, 1, 1.0, 3 / 5),
        1: ClassSummary(3, 2, 1, 2 / 3, 3 / 4),
    }
    # Features of 4 bytes; 8 of them for each end of an edge and for y.
    source, found = report.source, report.distilled
    assert (source.num_graphs, source.num_nodes, source.num_edges) == (5, 9, 8)
    assert source.num_bytes == 9 * 4 + 8 * 16 + 5 * 8
    assert (found.num_graphs, found.num_nodes, found.num_edges) == (2, 2, 0)
    assert found.num_bytes == 2 * (4 + ROOT + ITEM)
    assert report.ratio == found.num_bytes / source.num_bytes
    assert report.left_out == []
    assert report.file_size is None
    assert report.seconds > 0
    whole = MirageDataset(GRAPHS, 0, selection='lossless').report
    assert whole.classes == {
        0: ClassSummary(2, 3, 2, 1.0, 1.0),
        1: ClassSummary(3, 2, 3, 1.0, 1.0),
    }
    herded = MirageDataset(GRAPHS, 0, selection='herding', num_graphs=3)
    kept = [GRAPHS[i] for i in herded.source_index]
    for label, size in ((0, 5), (1, 4)):
        mine = [data for data in kept if int(data.y) == label]
        summary = herded.report.classes[label]
        assert summary.num_sets == len(mine)
        assert summary.graph_coverage == len(mine) / (2 + label)
        assert summary.node_coverage == sum(d.num_nodes for d in mine) / size


def tensor_bytes(graphs: Any) -> int:
    return sum(
        value.numel() * value.element_size()
        for data in graphs
        for value in data.to_dict().values()
        if isinstance(value, torch.Tensor)
    )


@pytest.mark.parametrize('num_features', [3, None])
@pytest.mark.parametrize('selection', ['frequent', 'lossless', 'random'])
@pytest.mark.parametrize('collated', [True, False])
def test_bytes_are_those_of_all_tensors(
    num_features: int | None, selection: str, collated: bool
) -> None:
    graphs = random_graphs(
        10, num_features=num_features, edge_attr=True, edge_weight=True
    )
    for data in graphs:
        data.scale = torch.ones(1, 2)
    source: Any = Graphs(graphs) if collated else graphs
    for exclude_keys in ([], ['edge_attr']):
        kept = MirageDataset(
            source, 2, selection=selection, exclude_keys=exclude_keys
        )
        report = kept.report
        assert report.distilled.num_bytes == tensor_bytes(kept)
        assert report.distilled.num_nodes == sum(d.num_nodes for d in kept)
        assert report.distilled.num_edges == sum(d.num_edges for d in kept)
        dropped = ['scale'] if selection == 'frequent' else []
        assert report.left_out == exclude_keys + dropped
        read = [data.clone() for data in graphs]
        for data in read if exclude_keys else []:
            del data.edge_attr
        assert report.source.num_bytes == tensor_bytes(read)
    one = MirageDataset([path(1, 2)], 1, selection=selection)
    assert one.report.distilled.num_bytes == tensor_bytes(one)


@pytest.mark.parametrize('min_support', [1, 0.1, {0: 2, 1: 0.5}])
def test_survives_json(min_support: Any) -> None:
    kept = MirageDataset(GRAPHS, 0, selection=FrequentTrees(min_support))
    report = kept.report
    again = DistillationReport.from_dict(report.to_dict())
    assert again == report
    values = json.loads(json.dumps(report.to_dict()))
    assert DistillationReport.from_dict(values).classes == report.classes
    values = report.to_dict()
    values['options']['num_layers'] = 9
    values['classes'].clear()
    assert report.options['num_layers'] == 0
    assert len(report.classes) == 2


def test_prints_as_a_table() -> None:
    graphs = [data.clone() for data in GRAPHS]
    for data in graphs:
        data.name = 'toy'
    kept = MirageDataset(graphs, 0, selection=FrequentTrees({0: 2, 1: 0.6}))
    report = replace(kept.report, seconds=1.234, file_size=4321)
    lines = str(report).splitlines()
    assert lines[0].startswith("num_layers=0, selection='frequent'")
    assert "'min_support': {0: 2, 1: 0.6}" in lines[0]
    size = report.compressed_bytes
    assert [line.split() for line in lines[1:10]] == [
        ['source', 'distilled', 'share'],
        ['graphs', '5', '2', '40.00%'],
        ['nodes', '9', '2', '22.22%'],
        ['edges', '8', '0', '0.00%'],
        ['bytes', '204', '128', '62.75%'],
        ['compressed', 'bytes', '-', f'{size}', '-'],
        ['class', 'graphs', 'trees', 'kept', 'graphs', 'held', 'nodes', 'held'],
        ['0', '2', '3', '1', '100.0%', '60.0%'],
        ['1', '3', '2', '1', '66.7%', '75.0%'],
    ]
    assert lines[10:] == [
        '5 distinct trees in all; distilled in 1.23 s',
        'batches of 2: 2 nodes and 0 edges, or 2 and 0 if trees are shared, '
        '1.0 times fewer: TreeSetLoader does not pay',
        '4,321 bytes on disk',
        'left out: name',
    ]
    assert repr(report) == str(report)
    assert str(report.source) == '5 graphs, 9 nodes, 8 edges, 204 bytes'
    lines = str(MirageDataset([path(1)], 0).report).splitlines()
    assert lines[1].startswith("kept 'herding'; scores: herding 0.5")
    assert lines[-1].startswith('larger than the source')


@pytest.mark.parametrize('num_features', [3, None])
@pytest.mark.parametrize('selection', ['frequent', 'lossless', 'herding'])
def test_predicts_what_sharing_saves(
    num_features: int | None, selection: str
) -> None:
    graphs = random_graphs(9, (0, 1), num_features=num_features)
    kept = MirageDataset(graphs, 2, selection=selection)
    sharing = kept.report.sharing
    read = graphs if selection == 'lossless' else list(kept)
    assert sharing.batch_size == len(kept)
    assert sharing.num_nodes == sum(data.num_nodes for data in read)
    assert sharing.num_edges == sum(data.num_edges for data in read)
    # One batch holds all, so that nothing is left to chance.
    (batch,) = TreeSetLoader(kept, batch_size=len(kept))
    if selection != 'frequent':
        assert sharing.num_shared_nodes == pytest.approx(batch.num_nodes)
        assert sharing.num_shared_edges == pytest.approx(batch.num_edges)
    else:
        assert sharing.num_shared_nodes <= batch.num_nodes + 1e-6


@pytest.mark.slow
def test_distilling_runs_through_few_files() -> None:
    source = ToyMolecules(num_graphs=300, log=False)
    package = os.path.dirname(pyg_distill.__file__)
    files: set[str] = set()

    def record(frame: Any, event: str, arg: Any) -> None:
        name = frame.f_code.co_filename
        if event == 'call' and name.startswith(package):
            files.add(str(Path(name).relative_to(package)))

    sys.setprofile(record)
    try:
        MirageDataset(source, num_layers=2, budget=0.02, log=False)
    finally:
        sys.setprofile(None)
    assert len(files) <= 29, sorted(files)
