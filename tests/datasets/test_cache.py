"""What is stored is found again, and only by those who asked for it."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from torch_geometric.data import Data

from pyg_distill.datasets import MirageDataset
from pyg_distill.datasets.counting import part
from tests.datasets.sources import Graphs, random_graphs, same

GRAPHS = random_graphs(12, edge_attr=True)


def files(root: Path) -> list[str]:
    return sorted(p.name for p in (root / 'processed').iterdir())


def never(*args: Any, **kwargs: Any) -> Any:
    raise AssertionError('distilled again')


class Unreadable(Graphs):
    """A data set that may not be touched."""

    def __len__(self) -> int:
        raise AssertionError('read')

    def __getitem__(self, idx: Any) -> Any:
        raise AssertionError('read')


@pytest.fixture
def store_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> MirageDataset:
    dataset = MirageDataset(GRAPHS, 2, 0.1, root=str(tmp_path))
    monkeypatch.setattr(part, 'Forest', never)
    return dataset


def test_two_files_are_stored(
    store_once: MirageDataset, tmp_path: Path
) -> None:
    names = [Path(p).name for p in store_once.processed_paths]
    assert files(tmp_path) == sorted(names)
    assert [Path(n).suffix for n in names] == ['.pt', '.json']


@pytest.mark.parametrize('wrap', [list, Graphs, lambda g: Graphs(g)[:]])
def test_the_same_is_loaded_without_distilling(
    store_once: MirageDataset, tmp_path: Path, wrap: Callable
) -> None:
    loaded = MirageDataset(wrap(GRAPHS), 2, 0.1, root=str(tmp_path))
    assert same(loaded, store_once)
    assert loaded.report == store_once.report
    assert repr(loaded) == repr(store_once)
    assert loaded.num_classes == 2
    in_memory = [data for data in loaded]  # noqa: C416
    assert same(in_memory, list(store_once))


@pytest.mark.parametrize(
    'first',
    [
        {},
        {'num_features': None},
        {'num_graphs': 1, 'labels': (0,)},
        {'num_graphs': 1, 'labels': (0,), 'num_features': None},
    ],
)
@pytest.mark.parametrize('selection', ['patterns', 'lossless'])
def test_what_is_loaded_is_what_was_distilled(
    first: dict, selection: str, tmp_path: Path
) -> None:
    graphs = random_graphs(**{'num_graphs': 9, **first})
    options = {'num_layers': 1, 'selection': selection}
    expected = MirageDataset(graphs, **options)
    for _ in range(2):
        found = MirageDataset(graphs, **options, root=str(tmp_path))
        assert same(found, expected)
        assert found[0].num_nodes == expected[0].num_nodes


@pytest.mark.parametrize(
    'changed',
    [
        {'num_layers': 1},
        {'min_support': 0.2},
        {'min_support': 1},
        {'min_support': {0: 0.1, 1: 0.1}},
        {'selection': 'lossless'},
        {'selection': 'graphs'},
        {'selection': 'multisets'},
        {'selection': 'multisets', 'num_trees': 4},
        {'selection': 'multisets', 'num_graphs': 4},
        {'selection': 'patterns', 'budget': 1_000},
        {'patterns': 'all'},
        {'shared': 'drop'},
        {'root_count': 'one'},
        {'max_patterns': 9_999},
        {'max_patterns': None},
        {'max_size': 2},
        {'balance': 'uniform'},
        {'compact': False},
        {'exclude_keys': ['edge_attr']},
        {'verify': True},
        {'source_id': 'a'},
        {'source_id': 'b'},
    ],
    ids=str,
)
def test_every_option_changes_the_file(changed: dict, tmp_path: Path) -> None:
    root = str(tmp_path)
    first = MirageDataset(GRAPHS, 2, 0.1, root=root)
    options = {'num_layers': 2, 'min_support': 0.1, **changed}
    if 'selection' in changed or 'budget' in changed:
        del options['min_support']
    second = MirageDataset(GRAPHS, **options, root=root)
    third = MirageDataset(
        GRAPHS, 2, 0.1, root=root, source_id='c', transform=lambda data: data
    )
    paths = {d.processed_paths[0] for d in (first, second, third)}
    assert len(paths) == 3
    assert len(files(tmp_path)) == 6


def test_one_graph_and_all_graphs_are_two_options(tmp_path: Path) -> None:
    graphs = random_graphs(1, (0,)) * 3
    paths = {
        MirageDataset(graphs, 2, support, root=str(tmp_path)).processed_paths[0]
        for support in (1, 1.0)
    }
    assert len(paths) == 2


def changes() -> dict[str, Callable[[list[Data]], Any]]:
    def x(graphs: list[Data]) -> None:
        graphs[3].x[0, 0] += 1

    def x_type(graphs: list[Data]) -> None:
        for data in graphs:
            data.x = data.x.double()

    def edges(graphs: list[Data]) -> None:
        data = next(d for d in graphs if d.num_edges > 1)
        data.edge_index = data.edge_index.flip(0) - data.edge_index.min()

    def edge_order(graphs: list[Data]) -> None:
        for data in graphs:
            data.edge_index = data.edge_index.flip(1)
            data.edge_attr = data.edge_attr.flip(0)

    def edge_attr(graphs: list[Data]) -> None:
        next(d for d in graphs if d.num_edges).edge_attr[0] += 1

    def y(graphs: list[Data]) -> None:
        graphs[5].y = 1 - graphs[5].y

    def y_shape(graphs: list[Data]) -> None:
        for data in graphs:
            data.y = data.y.view(1, 1)

    def target(graphs: list[Data]) -> None:
        for data in graphs:
            data.target = torch.ones(1)

    def text(graphs: list[Data]) -> None:
        for data in graphs:
            data.text = 'in no tensor, but in the report'

    def order(graphs: list[Data]) -> None:
        graphs[0], graphs[2] = graphs[2], graphs[0]

    return {f.__name__: f for k, f in locals().items()}


@pytest.mark.parametrize('name', changes())
def test_every_change_of_the_source_changes_the_file(
    name: str, tmp_path: Path
) -> None:
    graphs = [data.clone() for data in GRAPHS]
    expected = MirageDataset(graphs, 1, 0.1, root=str(tmp_path))
    changes()[name](graphs)
    found = MirageDataset(graphs, 1, 0.1, root=str(tmp_path))
    assert found.processed_paths != expected.processed_paths
    assert same(found, MirageDataset(graphs, 1, 0.1))


@pytest.mark.parametrize('part', ['node', 'edge'])
def test_what_belongs_to_which_graph_is_part_of_the_source(
    part: str, tmp_path: Path
) -> None:
    # The same rows in all, cut into graphs elsewhere.
    def cut(*sizes: int) -> list[Data]:
        graphs, start = [], 0
        for size in sizes:
            num_nodes = size if part == 'node' else 1
            num_edges = size if part == 'edge' else 0
            data = Data(edge_index=torch.zeros(2, num_edges).long())
            data.x = torch.arange(start, start + num_nodes)
            data.y = torch.tensor([0])
            graphs.append(data)
            start += num_nodes
        return graphs

    paths = set()
    for sizes in ((1, 2), (2, 1)):
        graphs = cut(*sizes)
        if part == 'edge':
            for data in graphs:
                data.x = torch.zeros(1)
        found = MirageDataset(graphs, 1, 1, root=str(tmp_path))
        assert same(found, MirageDataset(graphs, 1, 1))
        paths.add(found.processed_paths[0])
    assert len(paths) == 2


def test_types_are_part_of_the_source(tmp_path: Path) -> None:
    # Zeros have the same bytes in both.
    for dtype in (torch.int32, torch.float32):
        graphs = [data.clone() for data in GRAPHS]
        for data in graphs:
            data.x = torch.zeros(data.num_nodes, dtype=dtype)
        found = MirageDataset(graphs, 1, 0.1, root=str(tmp_path))
        assert found[0].x.dtype == dtype


def test_graphs_of_two_classes_more_are_another_source(tmp_path: Path) -> None:
    # The split is the same, but the head of a model is not.
    graphs = random_graphs(12, (0, 1, 2))
    split = [i for i in range(12) if i % 3 < 2]
    part = Graphs(graphs)[split]
    first = MirageDataset(part, 1, 0.1, root=str(tmp_path))
    second = MirageDataset(list(part), 1, 0.1, root=str(tmp_path))
    assert (first.num_classes, second.num_classes) == (3, 2)


def test_a_named_source_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {
        'num_layers': 2,
        'min_support': 0.1,
        'root': str(tmp_path),
        'source_id': 'split 1',
    }
    expected = MirageDataset(GRAPHS, **options)
    with monkeypatch.context() as context:
        context.setattr(part, 'Forest', never)
        found = MirageDataset(Unreadable(GRAPHS), **options)
        assert same(found, expected)
        assert same(MirageDataset(None, **options), expected)
    with pytest.raises(AssertionError, match='read'):
        MirageDataset(Unreadable(GRAPHS), **options, force_reload=True)


def test_a_named_source_is_read_if_there_is_no_cache(tmp_path: Path) -> None:
    found = MirageDataset(GRAPHS, 2, 0.1, root=str(tmp_path), source_id='a')
    assert same(found, MirageDataset(GRAPHS, 2, 0.1))


def test_force_reload_distils_again(
    store_once: MirageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AssertionError, match='distilled again'):
        MirageDataset(GRAPHS, 2, 0.1, root=str(tmp_path), force_reload=True)
    assert files(tmp_path) == sorted(
        Path(p).name for p in store_once.processed_paths
    )
    monkeypatch.undo()
    found = MirageDataset(GRAPHS, 2, 0.1, root=str(tmp_path), force_reload=True)
    assert same(found, store_once)
    assert len(files(tmp_path)) == 2


def test_options_that_do_not_change_the_result_find_it(
    store_once: MirageDataset, tmp_path: Path
) -> None:
    MirageDataset(
        GRAPHS, 2, 0.1, root=str(tmp_path), log=False, transform=lambda d: d
    )


def test_exclude_keys_have_no_order(tmp_path: Path) -> None:
    names = ['edge_attr', 'pos']
    paths = {
        MirageDataset(
            GRAPHS, 2, 0.1, root=str(tmp_path), exclude_keys=keys
        ).processed_paths[0]
        for keys in (names, names[::-1], tuple(names), set(names))
    }
    assert len(paths) == 1


def test_the_report_is_stored_beside_the_tensors(
    store_once: MirageDataset,
) -> None:
    tensors, report = store_once.processed_paths
    values = json.loads(Path(report).read_text())
    assert values == json.loads(json.dumps(store_once.report.to_dict()))
    assert values['file_size'] == os.path.getsize(tensors)


def test_root_may_be_a_path_or_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = MirageDataset(GRAPHS, 2, 0.1, root=tmp_path / 'a' / 'b')
    monkeypatch.setenv('HOME', str(tmp_path / 'a'))
    monkeypatch.setattr(part, 'Forest', never)
    second = MirageDataset(GRAPHS, 2, 0.1, root='~/b')
    assert Path(second.processed_paths[0]) == Path(first.processed_paths[0])


def test_other_file_systems() -> None:
    system = fsspec.filesystem('memory')
    root = 'memory://pyg_distill_test'
    try:
        expected = MirageDataset(GRAPHS, 2, 0.1, root=root)
        names = system.ls('/pyg_distill_test/processed', detail=False)
        assert len(names) == 2
        with pytest.MonkeyPatch.context() as context:
            context.setattr(part, 'Forest', never)
            found = MirageDataset(GRAPHS, 2, 0.1, root=root)
        assert same(found, expected)
        assert same(found, MirageDataset(GRAPHS, 2, 0.1))
    finally:
        system.rm('/pyg_distill_test', recursive=True)
