"""The command line, most of it without starting another Python."""

import subprocess
import sys
from pathlib import Path

import pytest

import pyg_distill
from pyg_distill.__main__ import main
from pyg_distill.datasets import MirageDataset
from tests.datasets.sources import random_graphs

GRAPHS = random_graphs(12)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for min_support in (0.1, 0.3):
        MirageDataset(GRAPHS, 2, min_support, root=str(tmp_path / 'data'))
    return tmp_path / 'data'


def test_as_a_command(root: Path) -> None:
    whole, broken = sorted((root / 'processed').glob('*.json'))
    broken.write_text('{}')
    result = subprocess.run(
        [sys.executable, '-m', 'pyg_distill', 'report', str(root)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(pyg_distill.__file__).parents[1],
    )
    assert result.returncode == 1
    assert result.stdout.startswith(f'{whole.with_suffix(".pt")}\n')
    assert result.stdout.count('distinct trees in all') == 1
    assert result.stderr.count('\n') == 1
    assert str(broken) in result.stderr


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as info:
        main(['--version'])
    assert info.value.code == 0
    out = capsys.readouterr().out
    assert out == f'pyg_distill {pyg_distill.__version__}\n'


@pytest.mark.parametrize(
    'arguments', [[], ['report'], ['x'], ['report', *'ab']]
)
def test_wrong_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as info:
        main(arguments)
    assert info.value.code == 2
    assert 'usage: python -m pyg_distill' in capsys.readouterr().err


def test_report_of_a_file(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = MirageDataset(GRAPHS, 2, 0.1, root=str(root))
    for path in dataset.processed_paths:
        assert main(['report', path]) == 0
        out = capsys.readouterr().out
        assert out == f'{dataset.processed_paths[0]}\n{dataset.report}\n'


def test_reports_of_a_folder(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['report', str(root)]) == 0
    first, second = capsys.readouterr().out.split('\n\n')
    for text in (first, second):
        path, *report = text.strip().splitlines()
        assert Path(path).suffix == '.pt'
        assert Path(path).exists()
        assert report[0].startswith('num_layers=2')
    assert first.split('\n')[0] < second.split('\n')[0]


def test_one_broken_set_does_not_hide_the_others(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, _ = sorted((root / 'processed').glob('*.json'))
    broken.write_text('{}')
    assert main(['report', str(root)]) == 1
    out, err = capsys.readouterr()
    assert out.count('distinct trees in all') == 1
    assert str(broken) in err
    assert err.count('\n') == 1


@pytest.mark.parametrize('path', ['no_such_protocol://x', '/no/such/folder'])
def test_one_line_instead_of_a_traceback(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['report', path]) == 1
    out, err = capsys.readouterr()
    assert out == ''
    assert err.count('\n') == 1
