"""Reports of cached sets are found and read without the sets."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from torch_geometric.datasets import TUDataset

from pyg_distill.datasets import DistillationReport, MirageDataset
from pyg_distill.datasets.cached_reports import (
    find_reports,
    read_report,
    tensor_path,
)
from tests.datasets.sources import random_graphs

GRAPHS = random_graphs(12)


def cached(root: Path, min_support: float = 0.1) -> MirageDataset:
    return MirageDataset(GRAPHS, 2, min_support, root=str(root))


def never(*args: Any, **kwargs: Any) -> Any:
    raise AssertionError('loaded the tensors')


def test_reads_the_report_and_no_tensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = cached(tmp_path)
    monkeypatch.setattr(torch, 'load', never)
    monkeypatch.setattr(pickle, 'Unpickler', never)
    tensors, path = dataset.processed_paths
    assert tensor_path(path) == tensors
    for given in (tensors, path, str(tmp_path), str(tmp_path / 'processed')):
        assert find_reports(given) == [path]
    assert read_report(path) == dataset.report
    assert str(read_report(path)) == str(dataset.report)


def test_finds_all_reports_of_a_folder(tmp_path: Path) -> None:
    # Brackets mean something to a pattern, and nothing to a path.
    roots = [tmp_path / 'a [1]', tmp_path / 'b' / 'deep', tmp_path / 'b']
    want = [
        cached(root, min_support).processed_paths[1]
        for root in roots
        for min_support in (0.1, 0.3)
    ]
    (tmp_path / 'b' / 'other.json').write_text('{}')
    (tmp_path / 'b' / '.mirage_0.json.1.2.tmp').write_text('{')
    assert find_reports(str(tmp_path)) == sorted(want)
    assert find_reports(f'{roots[0]}/') == sorted(want[:2])


def test_reads_from_other_file_systems() -> None:
    root = 'memory://cached_reports'
    dataset = cached(root)  # type: ignore[arg-type]
    (path,) = find_reports(root)
    assert path.startswith('memory://')
    assert read_report(path) == dataset.report
    fsspec.filesystem('memory').rm('/cached_reports', recursive=True)


def test_says_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"got '.*/no', which is not there"):
        find_reports(str(tmp_path / 'no'))
    with pytest.raises(ValueError, match=r'without a mirage_\*.json'):
        find_reports(str(tmp_path))
    torch.save({'weight': torch.ones(2)}, tmp_path / 'model.pt')
    with pytest.raises(ValueError, match='without a report beside it'):
        find_reports(str(tmp_path / 'model.pt'))
    (tmp_path / 'notes.txt').write_text('')
    with pytest.raises(ValueError, match='without a report beside it'):
        find_reports(str(tmp_path / 'notes.txt'))


def without(*names: str) -> Callable[[dict], Any]:
    return lambda values: {k: v for k, v in values.items() if k not in names}


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        (without('sharing'), "got one of another version, without 'sharing'"),
        (lambda values: {}, 'got a file of something else'),
        (lambda values: {'name': 'x'}, 'got a file of something else'),
        (lambda values: [values], 'got a list'),
        (lambda values: values | {'source': {'num_bytes': 3}}, 'got .*missing'),
        (lambda values: values | {'source': 3}, 'must be a report'),
        (lambda values: values | {'options': [1]}, 'must be a report'),
        (lambda values: values | {'num_trees': 'many'}, 'must be a report'),
        (lambda values: values | {'classes': {'x': {}}}, 'must be a report'),
    ],
)
def test_refuses_other_reports_in_one_line(
    change: Callable, reason: str, tmp_path: Path
) -> None:
    path = Path(cached(tmp_path).processed_paths[1])
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(ValueError, match=reason) as info:
        read_report(str(path))
    assert '\n' not in str(info.value)
    assert 'force_reload=True' in str(info.value)


@pytest.mark.parametrize('text', ['', '{', '\x00\x01', '[' * 100_000])
def test_refuses_what_is_no_json(text: str, tmp_path: Path) -> None:
    path = Path(cached(tmp_path).processed_paths[1])
    path.write_text(text)
    with pytest.raises(ValueError, match='must be a report'):
        read_report(str(path))
    path.write_bytes(b'\xff\xfe\x80')
    with pytest.raises(ValueError, match='must be a report'):
        read_report(str(path))


def test_notices_an_absent_or_truncated_set(tmp_path: Path) -> None:
    tensors, path = map(Path, cached(tmp_path).processed_paths)
    size = tensors.stat().st_size
    tensors.write_bytes(tensors.read_bytes()[:-1])
    with pytest.raises(ValueError, match=rf'{size:,} bytes \(got {size - 1:,}'):
        read_report(str(path))
    tensors.unlink()
    with pytest.raises(ValueError, match='must lie beside its report'):
        read_report(str(path))
    (tmp_path / 'mirage_x.json').mkdir()
    with pytest.raises(ValueError, match=r'cannot read .*that you may'):
        read_report(str(tmp_path / 'mirage_x.json'))


def test_a_code_that_a_pickle_would_run_is_not_run(tmp_path: Path) -> None:
    class Bad:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / 'was run',)

    path = Path(cached(tmp_path).processed_paths[1])
    path.write_bytes(pickle.dumps(Bad()))
    with pytest.raises(ValueError, match='must be a report'):
        read_report(str(path))
    assert not (tmp_path / 'was run').exists()


def test_real_data(
    real_dataset: Callable[..., TUDataset], tmp_path: Path
) -> None:
    dataset = real_dataset('MUTAG')
    made = MirageDataset(
        dataset,
        2,
        selection='graphs',
        num_graphs=20,
        exclude_keys=['edge_attr'],
        root=str(tmp_path),
    )
    (path,) = find_reports(str(tmp_path))
    report = read_report(path)
    assert isinstance(report, DistillationReport)
    assert report == made.report
    assert report.distilled.num_graphs == len(made) == 20
