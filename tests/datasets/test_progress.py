"""What takes long says so, and says nothing if it is not to."""

import importlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import GCN
from tqdm import tqdm

from pyg_distill.datasets import (
    CoresetDataset,
    MirageDataset,
    OGBMolecules,
    ToyMolecules,
    progress,
)
from pyg_distill.datasets.progress import Progress
from pyg_distill.evaluation import (
    check_exact,
    collapse_report,
    evaluate,
    model_embeddings,
)
from pyg_distill.nn import ABKDLoss, TeacherCache
from tests.datasets.ogb_files import write_ogb
from tests.datasets.sources import random_graphs

GRAPHS = random_graphs(12)
WITH_BARS = (
    'datasets.counting.shard',
    'datasets.patterns',
    'datasets.reading.collection',
    'evaluation.collapse',
    'evaluation.model_embeddings',
    'nn.distiller.teacher_cache',
)


class Batches:
    """What a loader of neighborhoods gives, whatever is installed."""

    def __iter__(self) -> Iterator[Data]:
        x, edge_index = torch.randn(4, 3), torch.tensor([[0, 1], [1, 2]])
        n_id = torch.arange(4)
        yield Data(x=x, edge_index=edge_index, n_id=n_id, batch_size=4)

    def __len__(self) -> int:
        return 1


class Head(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(3, 2)

    def forward(self, x: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
        out = x.new_zeros(int(batch.max()) + 1, x.size(1))
        return self.head(out.index_add(0, batch, x))


def mirage(folder: Path, log: bool, **options: object) -> MirageDataset:
    return MirageDataset(GRAPHS, 1, log=log, **options)  # type: ignore


def cached(folder: Path, log: bool) -> None:
    for _ in range(2):
        mirage(folder, log, min_support=0.1, root=str(folder))


def in_chunks(folder: Path, log: bool) -> None:
    chunks = [GRAPHS[:6], GRAPHS[6:]]
    MirageDataset(chunks, 1, selection='lossless', log=log)


def coreset(folder: Path, log: bool, **options: object) -> None:
    CoresetDataset(GRAPHS, log=log, **options)  # type: ignore[arg-type]


def molecules(folder: Path, log: bool) -> None:
    write_ogb(folder)
    OGBMolecules(folder, log=log)


def teacher(folder: Path, log: bool) -> None:
    TeacherCache.from_loader(GCN(3, 4, 1), Batches(), log=log)


def exactness(folder: Path, log: bool) -> None:
    gnn = GCN(GRAPHS[0].num_features, 4, 1)
    check_exact(gnn, GRAPHS, 2, log=log)


def collapse(folder: Path, log: bool) -> None:
    layers = [torch.randn(9, 4)], [torch.randn(9, 2)]
    collapse_report(ABKDLoss([4], [2]), *layers, steps=2, log=log)


def embeddings(folder: Path, log: bool) -> None:
    model_embeddings(Head(), GRAPHS, 'head', log=log)


def trained(folder: Path, log: bool) -> None:
    pytest.importorskip('sklearn')
    options = {'models': [GCN], 'readouts': ['sum'], 'runs': 1, 'steps': 1}
    evaluate(GRAPHS, GRAPHS, GRAPHS, **options, log=log)  # type: ignore


ENTRIES: dict[str, Callable[[Path, bool], object]] = {
    'multisets': partial(mirage, selection='multisets', budget=0.5),
    'graphs': partial(mirage, selection='graphs', budget=0.5),
    'patterns': partial(mirage, min_support=0.1),
    'patterns, budget': partial(mirage, selection='patterns', budget=0.9),
    'lossless': partial(mirage, selection='lossless'),
    'cached': cached,
    'in chunks': in_chunks,
    'random': partial(coreset, num_graphs=4),
    'herding': partial(coreset, method='herding', budget=0.5),
    'k_center': partial(coreset, method='k_center', num_graphs=4),
    'full': partial(coreset, method='full'),
    'ToyMolecules': lambda folder, log: ToyMolecules(2, log=log),
    'OGBMolecules': molecules,
    'TeacherCache': teacher,
    'check_exact': exactness,
    'collapse_report': collapse,
    'model_embeddings': embeddings,
    'evaluate': trained,
}


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shows at once what is else shown after a second."""

    def show(self: Progress) -> None:
        print(self._text, file=sys.stderr)

    def bar(*args: object, **kwargs: object) -> tqdm:
        return tqdm(*args, **(kwargs | {'delay': 0}))  # type: ignore

    monkeypatch.setattr(Progress, '_show', show)
    for name in WITH_BARS:
        module = importlib.import_module(f'pyg_distill.{name}')
        monkeypatch.setattr(module, 'tqdm', bar)


@pytest.mark.usefixtures('_impatient')
@pytest.mark.parametrize('name', ENTRIES)
def test_log_decides_whether_progress_is_shown(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ENTRIES[name](tmp_path / 'quiet', False)
    assert capfd.readouterr() == ('', '')
    ENTRIES[name](tmp_path / 'loud', True)
    out, err = capfd.readouterr()
    assert out == ''
    assert err != ''


def test_a_stage_is_shown_after_a_while_and_gone_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, '_DELAY', 0.01)
    monkeypatch.setattr(progress, '_INTERVAL', 0.01)
    before = threading.active_count()
    with Progress('Working', True, total=4) as bar:
        bar.stage('the first half')
        bar.update(2)
        seen = ''
        limit = time.monotonic() + 10
        while '2/4' not in seen and time.monotonic() < limit:
            time.sleep(0.01)
            seen += capsys.readouterr().err
    assert 'Working, the first half:  50%' in seen
    # Overwritten, and the cursor is where it was.
    assert (seen + capsys.readouterr().err).endswith(' \r')
    assert threading.active_count() == before


def test_what_is_quick_or_silent_shows_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = threading.active_count()
    with Progress('Working', True) as bar:
        bar.stage('a moment')
    with Progress('Working', False) as bar:
        bar.update()
        assert threading.active_count() == before
    assert capsys.readouterr() == ('', '')


def test_an_error_ends_the_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, '_DELAY', 0.0)
    before = threading.active_count()

    def fail() -> None:
        with Progress('Working', True):
            raise ValueError('no')

    with pytest.raises(ValueError, match='no'):
        fail()
    assert threading.active_count() == before
    assert '\n' not in capsys.readouterr().err
