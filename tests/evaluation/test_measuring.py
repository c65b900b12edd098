from pathlib import Path

import pytest
import torch
from torch.utils.data import random_split
from torch_geometric.nn import GIN

from pyg_distill.datasets import CoresetDataset, MirageDataset, ToyMolecules
from pyg_distill.evaluation import evaluate
from pyg_distill.evaluation.cross.measuring import measure
from pyg_distill.visualization import plot_accuracy

TOY = ToyMolecules(60)
KNOWN = ('packed_bytes', 'file_size', 'seconds')


@pytest.fixture(scope='module')
def cached(tmp_path_factory: pytest.TempPathFactory) -> MirageDataset:
    root: Path = tmp_path_factory.mktemp('cache')
    return MirageDataset(TOY, 2, 0.3, root=str(root), log=False)


def known(dataset) -> tuple:
    record = measure(dataset, [], '', 'train', 0)
    assert record.num_graphs == len(dataset)
    return tuple(getattr(record, key) for key in KNOWN)


def test_a_report_counts_for_what_it_describes(cached: MirageDataset) -> None:
    report = cached.report
    expected = report.packed_bytes, report.file_size, report.seconds
    assert None not in expected
    assert known(cached) == known(cached[:]) == known(cached.shuffle())
    assert known(cached) == expected
    coreset = CoresetDataset(TOY, budget=0.3, log=False)
    packed, seconds = coreset.report.packed_bytes, coreset.report.seconds
    assert known(coreset) == (packed, None, seconds)


def test_a_report_does_not_count_for_others(cached: MirageDataset) -> None:
    some = torch.arange(len(cached))
    some[-1] = 0
    for dataset in [
        cached[:3],
        cached[1:],
        cached[some],  # As many graphs, one of them twice.
        cached.copy([0, 1]),  # Others than its report says, without a slice.
        random_split(cached, [3, len(cached) - 3])[0],
        [*cached],
        TOY,
    ]:
        assert known(dataset) == (None, None, None)


def test_tables_and_plots_of_slices(cached: MirageDataset) -> None:
    result = evaluate(
        {'all': cached, 'three': cached[:3], 'mixed': [cached, cached[:3]]},
        test=TOY[30:],
        val=TOY[:30],
        models=[GIN],
        runs=2,
        steps=2,
        hidden_channels=4,
        log=False,
    )
    lines = {
        line[:15].strip(): line[15:].split()
        for line in result.table().split('\n')
    }
    # No mean over the one run that knows it.
    packed = f'{cached.report.packed_bytes:,}'
    assert lines['bytes packed'] == [packed, '-', '-']
    assert lines['s to distil'][1:] == ['-', '-']
    assert '-' not in lines['bytes']
    figure = pytest.importorskip('matplotlib.figure').Figure()
    _, ax = plot_accuracy(result, ax=figure.subplots())
    assert ax.get_xlabel() == 'tensor bytes'
