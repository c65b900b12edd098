"""A cache is whole or absent, found by those who asked for it, or refused."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from torch_geometric.data import Data

from pyg_distill.data import sources
from pyg_distill.datasets import MirageDataset, cache, mirage
from pyg_distill.datasets.cache import find_caches, read_report
from pyg_distill.selection import FrequentTrees
from tests.datasets.sources import name_of
from tests.selection.helpers import Graphs, alike, random_graphs, same

GRAPHS = random_graphs(12, edge_attr=True)
OPTIONS: dict[str, Any] = {'num_layers': 2, 'selection': 'frequent'}


def distil(root: Any, source: Any = GRAPHS, **options: Any) -> MirageDataset:
    root = None if root is None else str(root)
    return MirageDataset(source, root=root, **{**OPTIONS, **options})


def all_files(root: Path) -> list[Path]:
    return sorted(p for p in root.rglob('*') if p.is_file())


def never(*args: Any, **kwargs: Any) -> Any:
    raise AssertionError('distilled again')


class Unreadable(Graphs):
    """A data set that may not be touched."""

    def __len__(self) -> int:
        raise AssertionError('read')

    def __getitem__(self, idx: Any) -> Any:
        raise AssertionError('read')


@pytest.mark.parametrize('wrap', [list, Graphs, lambda g: Graphs(g)[:]])
@pytest.mark.parametrize(
    'options',
    [
        {},
        {'selection': 'lossless'},
        {'selection': 'auto', 'budget': 0.9},
        {'selection': 'multisets', 'num_graphs': 5},
        {'selection': 'random', 'num_graphs': 1 + 1},
    ],
    ids=name_of,
)
def test_the_same_is_loaded_without_distilling(
    wrap: Callable,
    options: dict,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = distil(None, **options)
    first = distil(tmp_path, **options)
    assert [str(p) for p in all_files(tmp_path)] == first.processed_paths
    monkeypatch.setattr(mirage, '_distil', never)
    loaded = distil(tmp_path, wrap(GRAPHS), log=False, **options)
    opened = MirageDataset.from_file(first.processed_paths[0])
    for found in (first, loaded, opened):
        assert alike(found, expected)
        assert found.num_classes == 2
        assert repr(found) == repr(expected)
        assert found.report.file_size == os.path.getsize(
            first.processed_paths[0]
        )
    assert first.report == loaded.report == opened.report
    assert same(list(loaded), list(first))


@pytest.mark.parametrize(
    'changed',
    [
        {'num_layers': 1},
        {'selection': FrequentTrees(0.2)},
        {'selection': FrequentTrees(1)},
        {'selection': FrequentTrees(1.0)},
        {'selection': FrequentTrees({0: 0.1, 1: 0.1})},
        {'selection': FrequentTrees(kind='all')},
        {'selection': FrequentTrees(drop_shared=True)},
        {'selection': FrequentTrees(multiplicity='one')},
        {'selection': FrequentTrees(max_sets=9_999)},
        {'selection': FrequentTrees(max_sets=None)},
        {'selection': FrequentTrees(max_size=2)},
        {'selection': FrequentTrees(compact=False)},
        {'selection': 'lossless'},
        {'selection': 'herding'},
        {'selection': 'multisets'},
        {'selection': 'multisets', 'num_graphs': 4},
        {'selection': 'frequent', 'budget': 1_000},
        {'class_weight': 'uniform'},
        {'exclude_keys': ['edge_attr']},
        {'source_id': 'a'},
        {'pre_transform': Data.clone},
        {'pre_filter': bool},
    ],
    ids=name_of,
)
def test_every_option_changes_the_file(changed: dict, tmp_path: Path) -> None:
    first = distil(tmp_path)
    try:
        second = distil(tmp_path, **changed)
    except ValueError:  # Nothing is left of a class.
        assert 'drop_shared' in str(changed)
        return
    third = distil(tmp_path, source_id='c', transform=Data.clone)
    again = distil(tmp_path, transform=Data.clone, log=False)
    paths = {d.processed_paths[0] for d in (first, second, third, again)}
    assert len(paths) == len(all_files(tmp_path)) == 3


def test_the_number_of_classes_is_part_of_the_source(tmp_path: Path) -> None:
    wide = random_graphs(12, (0, 1, 2))
    split = Graphs(wide)[[i for i in range(12) if i % 3 < 2]]
    for source, num_classes in ((split, 3), (list(split), 2), (split, 3)):
        assert distil(tmp_path, source).num_classes == num_classes
    changed = [data.clone() for data in split]
    max(changed, key=lambda data: data.num_nodes).x[0, 0] += 1
    assert same(distil(tmp_path, changed), distil(None, changed))
    assert len(all_files(tmp_path)) == 3


def test_a_named_source_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = distil(tmp_path, source_id='split 1')
    assert same(expected, distil(None))
    with monkeypatch.context() as context:
        context.setattr(mirage, '_distil', never)
        for source in (Unreadable(GRAPHS), None):
            found = distil(tmp_path, source, source_id='split 1')
            assert same(found, expected)
    with pytest.raises(AssertionError, match='read'):
        distil(
            tmp_path, Unreadable(GRAPHS), source_id='split 1', force_reload=True
        )


def test_names_and_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ['edge_attr', 'pos']
    for keys in (names, names[::-1], tuple(names), set(names)):
        distil(tmp_path / 'a' / 'b', exclude_keys=keys)
    assert len(all_files(tmp_path)) == 1
    monkeypatch.setenv('HOME', str(tmp_path / 'a'))
    distil('~/b', exclude_keys=names)
    assert len(all_files(tmp_path)) == 1


def test_reports_are_found_and_read(tmp_path: Path) -> None:
    # Brackets mean something to a pattern, and nothing to a path.
    roots = [tmp_path / 'a [1]', tmp_path / 'b' / 'deep', tmp_path / 'b']
    kept = [
        distil(root, selection=FrequentTrees(support))
        for root in roots
        for support in (0.1, 0.3)
    ]
    paths = [dataset.processed_paths[0] for dataset in kept]
    (tmp_path / 'b' / '.mirage_0.pt.1.2.tmp').write_text('{')
    (tmp_path / 'b' / 'other.pt').write_text('{')
    assert find_caches(str(tmp_path)) == sorted(paths)
    assert find_caches(f'{roots[0]}/') == sorted(paths[:2])
    assert find_caches(paths[0]) == [paths[0]]
    for path, dataset in zip(paths, kept, strict=True):
        assert read_report(path) == dataset.report
    with pytest.raises(ValueError, match=r"'.*/no', which does not exist"):
        find_caches(str(tmp_path / 'no'))
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match=r'without a mirage_\*.pt'):
        find_caches(str(tmp_path / 'empty'))


def test_other_file_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    system = fsspec.filesystem('memory')
    root = 'memory://pyg_distill_test'
    try:
        expected = distil(root)
        assert len(system.ls('/pyg_distill_test/processed')) == 1
        monkeypatch.setattr(mirage, '_distil', never)
        assert alike(distil(root), expected)
        (path,) = find_caches(root)
        assert path.startswith('memory://')
        assert read_report(path) == expected.report
        assert same(MirageDataset.from_file(path), expected)
    finally:
        system.rm('/pyg_distill_test', recursive=True)


# Damage -------------------------------------------------------------------


def refused(path: Path, content: bytes) -> bool:
    """Whether a file is refused in one line; if not, it holds the same."""
    path.write_bytes(content)
    text = ''
    try:
        MirageDataset.from_file(str(path))
    except ValueError as error:
        text = str(error)
    assert '\n' not in text
    assert not text or (str(path) in text and 'force_reload=True' in text)
    return bool(text)


@pytest.mark.slow
@pytest.mark.parametrize('selection', ['herding', 'frequent'])
def test_every_flipped_bit_is_found(selection: str, tmp_path: Path) -> None:
    limit = {'budget': 0.9} if selection == 'herding' else {}
    kept = distil(tmp_path, selection=selection, **limit)
    path = Path(kept.processed_paths[0])
    content, bad = path.read_bytes(), 0
    for position in range(0, len(content), 7):
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        if refused(path, bytes(flipped)):
            bad += 1
        else:
            found = MirageDataset.from_file(str(path))
            assert alike(found, kept)
            assert {'file_size': 0, **read_report(str(path)).to_dict()} == (
                kept.report.to_dict()
            )
    assert bad > len(content) / 7 / 4


def rewritten(path: Path, **changed: Any) -> None:
    torch.save(torch.load(path, weights_only=True) | changed, path)


FOREIGN: dict[str, Callable[[Path], Any]] = {
    'text': lambda path: path.write_text('not a file of PyTorch'),
    'truncated': lambda path: path.write_bytes(path.read_bytes()[:-1]),
    'weights': lambda path: torch.save({'weight': torch.ones(3)}, path),
    'tuple': lambda path: torch.save((1, 2, 3), path),
    'ordinary': lambda path: Graphs.save(GRAPHS, str(path)),
    'code': lambda path: torch.save((Graphs, None, Data), path),
    'version': lambda path: rewritten(path, version=cache.VERSION - 1),
    'header': lambda path: rewritten(path, header='{}'),
    'order': lambda path: rewritten(
        path, graph_id=torch.load(path)['graph_id'].flip(0)
    ),
}


@pytest.mark.parametrize('name', FOREIGN)
def test_damage_is_named_and_healed(name: str, tmp_path: Path) -> None:
    options: Any = {'selection': 'random', 'num_graphs': 6}
    expected = distil(tmp_path, **options)
    path = Path(expected.processed_paths[0])
    FOREIGN[name](path)
    for read in (
        lambda: distil(tmp_path, **options),
        lambda: MirageDataset.from_file(str(path)),
        lambda: read_report(str(path)),
    ):
        with pytest.raises(ValueError, match='force_reload=True') as info:
            read()
        assert '\n' not in str(info.value)
        assert f"'{path}'" in str(info.value)
    healed = distil(tmp_path, force_reload=True, **options)
    assert same(healed, expected)
    assert same(distil(tmp_path, **options), expected)


def test_a_file_under_another_name_is_refused(tmp_path: Path) -> None:
    first = Path(distil(tmp_path).processed_paths[0])
    second = Path(distil(tmp_path, num_layers=1).processed_paths[0])
    first.write_bytes(second.read_bytes())
    with pytest.raises(ValueError, match='other options') as info:
        distil(tmp_path)
    assert 'force_reload=True' in str(info.value)
    with pytest.raises(ValueError, match='cannot read'):
        MirageDataset.from_file(str(tmp_path / 'nothing.pt'))
    with pytest.raises(ValueError, match='cannot read'):
        MirageDataset.from_file(str(tmp_path))


@pytest.mark.parametrize('step', ['distil', 'save', 'mv'])
@pytest.mark.parametrize('error', [RuntimeError, KeyboardInterrupt, OSError])
@pytest.mark.parametrize('again', [False, True])
def test_no_half_written_file_is_left(
    step: str,
    error: type[Exception],
    again: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error('stop')

    def write_half(data: Any, path: str) -> None:
        Path(path).write_bytes(b'half')
        fail()

    before = []
    if again:
        before = [Path(p) for p in distil(tmp_path).processed_paths]
    content = [path.read_bytes() for path in before]
    with monkeypatch.context() as context:
        if step == 'distil':
            context.setattr(sources, 'Forest', fail)
        elif step == 'save':
            context.setattr(cache.fs, 'torch_save', write_half)
        else:
            context.setattr(cache.fs, 'mv', fail)
        with pytest.raises(error):
            distil(tmp_path, force_reload=again)
    assert all_files(tmp_path) == before
    assert [path.read_bytes() for path in before] == content
    assert same(distil(tmp_path), distil(None))


@pytest.mark.parametrize('in_the_way', ['.', 'processed', 'a'])
def test_a_root_that_cannot_be_written_is_refused_first(
    in_the_way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / 'root'
    (root / in_the_way).parent.mkdir(exist_ok=True)
    (root / in_the_way).write_text('a file')
    monkeypatch.setattr(mirage, '_distil', never)
    if in_the_way == 'a':
        root /= 'a'
    with pytest.raises(ValueError, match='root=None') as info:
        distil(root)
    assert '\n' not in str(info.value)
    assert str(root) in str(info.value)


def test_a_cache_that_is_there_needs_no_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = distil(tmp_path)

    def denied(*args: Any, **kwargs: Any) -> None:
        raise PermissionError('read-only')

    for name in ('makedirs', 'mv', 'torch_save'):
        monkeypatch.setattr(cache.fs, name, denied)
    assert same(distil(tmp_path), expected)
