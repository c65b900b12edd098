"""What takes long says so, and says nothing if it is not to."""

import importlib
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tqdm import tqdm

from pyg_distill.data import progress, read_table
from pyg_distill.data.progress import Progress
from pyg_distill.datasets import MirageDataset, ToyMolecules
from tests.data.collections import Lazy
from tests.selection.helpers import random_graphs

GRAPHS = random_graphs(12)


def mirage(folder: Path, log: bool, **options: object) -> None:
    MirageDataset(GRAPHS, 1, log=log, **options)


def cached(folder: Path, log: bool) -> None:
    for _ in range(2):
        mirage(folder, log, selection='lossless', root=str(folder))


ENTRIES: dict[str, Callable[[Path, bool], object]] = {
    'multisets': partial(mirage, selection='multisets', budget=0.9),
    'herding': partial(mirage, selection='herding', budget=0.9),
    'kcenter': partial(mirage, selection='kcenter', num_graphs=4),
    'random': partial(mirage, selection='random', num_graphs=4),
    'frequent': partial(mirage, selection='frequent'),
    'lossless': partial(mirage, selection='lossless'),
    'cached': cached,
    'in chunks': lambda folder, log: MirageDataset(
        [GRAPHS[:6], GRAPHS[6:]], 1, selection='lossless', log=log
    ),
    'ToyMolecules': lambda folder, log: ToyMolecules(2, log=log),
    'read_table': lambda folder, log: read_table(Lazy(GRAPHS), log=log),
}


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shows at once what is else shown after a second."""

    def show(self: Progress) -> None:
        print(self._text, file=sys.stderr)

    def bar(*args: object, **kwargs: object) -> tqdm:
        return tqdm(*args, **(kwargs | {'delay': 0}))

    monkeypatch.setattr(Progress, '_show', show)
    module = importlib.import_module('pyg_distill.data.sources')
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
    with pytest.raises(ValueError, match='no'), Progress('Working', True):
        raise ValueError('no')
    assert threading.active_count() == before
    assert '\n' not in capsys.readouterr().err
