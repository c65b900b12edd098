"""A cache is whole or absent, and a broken one says so."""

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.data import Data

from pyg_distill.datasets import MirageDataset, cache
from pyg_distill.datasets.counting import part
from tests.datasets.sources import Graphs, random_graphs, same

GRAPHS = random_graphs(12)


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    dataset = MirageDataset(GRAPHS, 2, 0.1, root=str(tmp_path))
    tensors, report = map(Path, dataset.processed_paths)
    return tensors, report


def truncate(tensors: Path, report: Path) -> None:
    tensors.write_bytes(tensors.read_bytes()[:-200])


def empty(tensors: Path, report: Path) -> None:
    tensors.write_bytes(b'')


def no_tensors(tensors: Path, report: Path) -> None:
    tensors.write_text('not a file of PyTorch')


def foreign(tensors: Path, report: Path) -> None:
    torch.save({'weight': torch.ones(3)}, tensors)


def foreign_tuple(tensors: Path, report: Path) -> None:
    torch.save((1, 2, 3), tensors)


def ordinary(tensors: Path, report: Path) -> None:
    Graphs.save(GRAPHS, str(tensors))


def code(tensors: Path, report: Path) -> None:
    torch.save((Graphs, None, Data), tensors)


def empty_report(tensors: Path, report: Path) -> None:
    report.write_text('')


def half_a_report(tensors: Path, report: Path) -> None:
    report.write_text(report.read_text()[:100])


def other_report(tensors: Path, report: Path) -> None:
    report.write_text('{}')


def list_as_report(tensors: Path, report: Path) -> None:
    report.write_text('[1]')


def report_without_sizes(tensors: Path, report: Path) -> None:
    values = json.loads(report.read_text())
    values['source'] = {'num_bytes': 3}
    report.write_text(json.dumps(values))


@pytest.mark.parametrize(
    'damage',
    [
        truncate,
        empty,
        no_tensors,
        foreign,
        foreign_tuple,
        ordinary,
        code,
        empty_report,
        half_a_report,
        other_report,
        list_as_report,
        report_without_sizes,
    ],
)
@pytest.mark.parametrize('source_id', [None, 'a'])
def test_damage_is_named_and_healed(
    damage: Callable, source_id: str | None, tmp_path: Path
) -> None:
    options = {
        'num_layers': 2,
        'min_support': 0.1,
        'root': str(tmp_path),
        'source_id': source_id,
    }
    expected = MirageDataset(GRAPHS, **options)
    tensors, report = map(Path, expected.processed_paths)
    damage(tensors, report)
    with pytest.raises(ValueError, match='force_reload=True') as info:
        MirageDataset(GRAPHS, **options)
    message = str(info.value)
    assert '\n' not in message
    broken = report if 'report' in damage.__name__ else tensors
    assert f"'{broken}'" in message
    healed = MirageDataset(GRAPHS, **options, force_reload=True)
    assert same(healed, expected)
    assert same(MirageDataset(GRAPHS, **options), expected)


@pytest.mark.parametrize('missing', [[0], [1], [0, 1]])
def test_a_missing_file_is_made_again(
    paths: tuple, missing: list[int], tmp_path: Path
) -> None:
    before = [data.clone() for data in MirageDataset(GRAPHS, 2, 0.1)]
    for i in missing:
        paths[i].unlink()
    found = MirageDataset(GRAPHS, 2, 0.1, root=str(tmp_path))
    assert same(found, before)
    assert all(path.exists() for path in paths)


def all_files(root: Path) -> list[Path]:
    return [p for p in root.rglob('*') if p.is_file()]


@pytest.mark.parametrize('step', ['distil', 'save', 'dump', 'mv'])
@pytest.mark.parametrize('error', [RuntimeError, KeyboardInterrupt, OSError])
def test_no_half_written_file_is_left(
    step: str, error: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error('stop')

    def write_half(data: Any, path: str) -> None:
        Path(path).write_bytes(b'half')
        fail()

    with monkeypatch.context() as context:
        if step == 'distil':
            context.setattr(part, 'Forest', fail)
        elif step == 'save':
            context.setattr(cache.fs, 'torch_save', write_half)
        elif step == 'dump':
            context.setattr(cache.json, 'dump', fail)
        else:
            context.setattr(cache.fs, 'mv', fail)
        with pytest.raises(error):
            MirageDataset(GRAPHS, 2, 0.1, root=str(tmp_path))
    assert all_files(tmp_path) == []
    assert len(MirageDataset(GRAPHS, 2, 0.1, root=str(tmp_path))) > 0
    assert len(all_files(tmp_path)) == 2


def test_a_report_without_tensors_is_no_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = cache.fs.mv

    def fail_at_tensors(source: str, target: str) -> None:
        if target.endswith('.pt'):
            raise OSError('disk full')
        move(source, target)

    with monkeypatch.context() as context:
        context.setattr(cache.fs, 'mv', fail_at_tensors)
        with pytest.raises(OSError, match='disk full'):
            MirageDataset(GRAPHS, 2, 0.1, root=str(tmp_path))
    assert all(p.suffix == '.json' for p in all_files(tmp_path))
    found = MirageDataset(GRAPHS, 2, 0.1, root=str(tmp_path))
    assert same(found, MirageDataset(GRAPHS, 2, 0.1))


def test_no_two_writers_share_a_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def spy(data: Any, path: str) -> None:
        written.append(Path(path))
        save(data, path)

    save = cache.fs.torch_save
    monkeypatch.setattr(cache.fs, 'torch_save', spy)
    for _ in range(2):
        dataset = MirageDataset(
            GRAPHS, 2, 0.1, root=str(tmp_path), force_reload=True
        )
    assert len(set(written)) == 2
    # A rename is atomic within one folder only.
    folder = Path(dataset.processed_paths[0]).parent
    assert {path.parent for path in written} == {folder}


def test_failing_again_leaves_the_old_cache(
    paths: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [path.read_bytes() for path in paths]

    def fail(*args: Any) -> None:
        raise RuntimeError('stop')

    monkeypatch.setattr(cache.fs, 'torch_save', fail)
    with pytest.raises(RuntimeError, match='stop'):
        MirageDataset(GRAPHS, 2, 0.1, root=str(tmp_path), force_reload=True)
    assert [path.read_bytes() for path in paths] == before


@pytest.mark.parametrize('below', [(), ('processed',), ('a', 'b')])
def test_a_root_that_cannot_be_written_is_refused_first(
    below: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / 'root'
    if below == ('processed',):
        root.mkdir()
        in_the_way = root / 'processed'
    else:
        in_the_way = root
    in_the_way.write_text('a file')
    given = root.joinpath(*below) if below != ('processed',) else root

    def never(*args: Any) -> None:
        raise AssertionError('distilled')

    monkeypatch.setattr(part, 'Forest', never)
    with pytest.raises(ValueError, match='root=None') as info:
        MirageDataset(GRAPHS, 2, 0.1, root=str(given))
    assert '\n' not in str(info.value)
    assert str(given) in str(info.value)
    assert in_the_way.read_text() == 'a file'


def test_a_cache_that_is_there_needs_no_writing(
    paths: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*args: Any, **kwargs: Any) -> None:
        raise PermissionError('read-only')

    monkeypatch.setattr(cache.fs, 'makedirs', denied)
    monkeypatch.setattr(cache.fs, 'mv', denied)
    folder = paths[0].parent
    for path in paths:
        path.chmod(0o444)
    folder.chmod(0o555)
    try:
        found = MirageDataset(GRAPHS, 2, 0.1, root=str(tmp_path))
    finally:
        folder.chmod(0o755)
    assert same(found, MirageDataset(GRAPHS, 2, 0.1))


def distil(root: str, barrier: Any, queue: Any) -> None:
    torch.set_num_threads(1)
    barrier.wait()
    for _ in range(3):
        dataset = MirageDataset(GRAPHS, 2, 0.1, root=root, force_reload=True)
    # Shared tensors would end with this process.
    queue.put(
        [{k: v.tolist() for k, v in data.to_dict().items()} for data in dataset]
    )


def test_two_processes_may_build_one_cache(tmp_path: Path) -> None:
    context = multiprocessing.get_context('spawn')
    barrier, queue = context.Barrier(2), context.Queue()
    processes = [
        context.Process(target=distil, args=(str(tmp_path), barrier, queue))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    found = [queue.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    expected = [
        {k: v.tolist() for k, v in data.to_dict().items()}
        for data in MirageDataset(GRAPHS, 2, 0.1)
    ]
    assert found == [expected, expected]
    assert len(all_files(tmp_path)) == 2
    assert same(
        MirageDataset(GRAPHS, 2, 0.1, root=str(tmp_path)),
        MirageDataset(GRAPHS, 2, 0.1),
    )
