"""The command line, most of it without starting another Python."""

import subprocess
import sys
from pathlib import Path

import pytest

import pyg_distill
from pyg_distill.__main__ import main
from pyg_distill.datasets import MirageDataset, ToyMolecules

TOY = ToyMolecules(20)


def distil(root: Path, num_layers: int) -> MirageDataset:
    kwargs = {'selection': 'multisets', 'budget': 0.5, 'log': False}
    return MirageDataset(TOY, num_layers, root=str(root), **kwargs)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for num_layers in (1, 2):
        distil(tmp_path / 'data', num_layers)
    return tmp_path / 'data'


@pytest.mark.slow
def test_as_a_command(root: Path) -> None:
    result = subprocess.run(
        [sys.executable, '-m', 'pyg_distill', 'report', str(root)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(pyg_distill.__file__).parents[1],
    )
    assert result.returncode == 0
    for path in (root / 'processed').glob('mirage_*.pt'):
        assert f'{path}\n' in result.stdout


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as info:
        main(['--version'])
    assert info.value.code == 0
    out = capsys.readouterr().out
    assert out == f'pyg_distill {pyg_distill.__version__}\n'


@pytest.mark.parametrize('args', [[], ['report'], ['x'], ['report', *'ab']])
def test_wrong_usage(
    args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as info:
        main(args)
    assert info.value.code == 2
    assert 'usage: python -m pyg_distill' in capsys.readouterr().err


def test_reports_of_files_and_of_a_folder(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = []
    for num_layers in (1, 2):
        dataset = distil(root, num_layers)
        (path,) = dataset.processed_paths
        texts.append(f'{path}\n{dataset.report}')
        assert main(['report', path]) == 0
        assert capsys.readouterr().out == f'{texts[-1]}\n'
    assert main(['report', str(root)]) == 0
    assert capsys.readouterr().out == '\n\n'.join(sorted(texts)) + '\n'


def test_one_broken_file_does_not_hide_the_others(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, whole = sorted((root / 'processed').glob('mirage_*.pt'))
    broken.write_bytes(whole.read_bytes()[:100])
    assert main(['report', str(root)]) == 1
    out, err = capsys.readouterr()
    assert out.startswith(f'{whole}\n')
    assert out.count(str(root)) == 1
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
