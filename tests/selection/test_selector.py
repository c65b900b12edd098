"""Selectors of a user, and options that are refused."""

import hashlib
import importlib.util
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Subset
from torch_geometric.data import Batch, Data, Dataset
from torch_geometric.loader import DataLoader

from pyg_distill.data import sources
from pyg_distill.selection import (
    Auto,
    BudgetTooSmall,
    FrequentTrees,
    Herding,
    KCenter,
    Lossless,
    Multisets,
    Random,
    Selector,
    selector_resolver,
)
from pyg_distill.selection.base import sample_weights
from tests.selection.brute_force import weigh
from tests.selection.helpers import (
    Graphs,
    LargestGraphs,
    Stream,
    alike,
    cut,
    keep,
    message,
    path,
    random_graphs,
    same,
)

GRAPHS = random_graphs(40, (0, 1, 2), max_nodes=9)
BY_NAME = {
    'auto': Auto,
    'frequent': FrequentTrees,
    'herding': Herding,
    'kcenter': KCenter,
    'random': Random,
    'multisets': Multisets,
    'lossless': Lossless,
}


def largest(num_graphs: int) -> list[int]:
    """The largest graphs of each class, in turns of nearly equal classes."""
    out = []
    for label in range(3):
        member = [i for i in range(40) if int(GRAPHS[i].y) == label]
        member.sort(key=lambda i: -GRAPHS[i].num_nodes)
        out += member[: num_graphs // 3]
    return sorted(out)


@pytest.mark.parametrize(
    'limit', [{'budget': 300}, {'budget': 0.4}, {'num_graphs': 9}, {}]
)
def test_a_selector_of_a_user(limit: dict, tmp_path: Any) -> None:
    kept = keep(GRAPHS, 2, selection=LargestGraphs(), **limit)
    report = kept.report
    if 'num_graphs' in limit:
        assert kept.source_index.tolist() == largest(9)
    elif 'budget' in limit:
        assert report.compressed_bytes <= (
            300
            if limit['budget'] == 300
            else 0.4 * report.source_compressed_bytes
        )
    assert report.selection == 'LargestGraphs'
    assert report.options['selection_kwargs'] == {'by': 'num_nodes'}
    assert "selection='LargestGraphs'" in repr(kept)
    options = {'selection': LargestGraphs, 'root': str(tmp_path), **limit}
    for _ in range(2):
        assert alike(keep(GRAPHS, 2, **options), kept)
    again = keep(GRAPHS, 2, by='num_nodes', **options)
    other = keep(GRAPHS, 2, by='num_edges', **options)
    first = keep(GRAPHS, 2, **options)
    assert first.processed_paths == again.processed_paths
    assert first.processed_paths != other.processed_paths


def test_arguments_are_stored_and_shown() -> None:
    assert repr(LargestGraphs('num_edges')) == "LargestGraphs(by='num_edges')"
    assert LargestGraphs.name == 'LargestGraphs'
    assert repr(Random(3)) == 'Random(seed=3)'
    points = torch.arange(6.0).view(3, 2)
    shown = Herding(embedding=points).options()['embedding']
    digest = hashlib.blake2b(points.numpy().tobytes(), digest_size=8)
    assert shown == f'float32 tensor [3, 2] {digest.hexdigest()}'
    for other in (
        points + 1,
        points.long(),
        points.view(2, 3),
        points.to_sparse(),
        points.bfloat16(),
    ):
        assert Herding(embedding=other).options()['embedding'] != shown

    class Forgetful(Selector):
        def __init__(self, size: int = 3) -> None:
            self.number = size

    text = message(AttributeError, GRAPHS, 1, selection=Forgetful(), budget=100)
    assert "'Forgetful' must store its argument 'size'" in text


def test_arguments_that_cannot_name_a_cache(tmp_path: Any) -> None:
    class Called(Selector):
        def __init__(self, by: Callable = len) -> None:
            self.by = by

        def select(self, statistics: Any, budget: Any) -> Tensor:
            return budget.fill(torch.arange(statistics.num_graphs))

    assert len(keep(GRAPHS, 1, selection=Called(), num_graphs=3)) == 3
    options = {'selection': Called(), 'num_graphs': 3, 'root': str(tmp_path)}
    text = message(TypeError, GRAPHS, 1, **options)
    assert 'root=None' in text


@pytest.mark.parametrize(
    'found',
    [
        torch.tensor([0.0, 1.0]),
        torch.tensor([[0, 1]]),
        torch.tensor([0, 40]),
        torch.tensor([-1, 0]),
        torch.tensor([0, 1, 1]),
        torch.tensor([], dtype=torch.long),
        torch.ones(40, dtype=torch.bool),
        [0, 1],
        None,
    ],
    ids=str,
)
def test_selectors_that_return_no_positions(found: Any) -> None:
    class Odd(Selector):
        def select(self, statistics: Any, budget: Any) -> Any:
            return found

    for source in (GRAPHS, Stream(GRAPHS)):
        text = message((TypeError, ValueError), source, 1, selection=Odd())
        assert "'Odd'" in text
        assert 'positions' in text


def test_selectors_that_keep_too_much_or_one_class() -> None:
    class Greedy(Selector):
        def select(self, statistics: Any, budget: Any) -> Tensor:
            return torch.arange(30)

    for limit in ({'budget': 100}, {'num_graphs': 29}, {'budget': 0.1}):
        text = message(ValueError, GRAPHS, 1, selection=Greedy(), **limit)
        assert "'Greedy' must not keep more" in text
        assert 'budget.fill' in text
    assert len(keep(GRAPHS, 1, selection=Greedy(), num_graphs=30)) == 30

    class FirstClass(Selector):
        def select(self, statistics: Any, budget: Any) -> Tensor:
            return (statistics.label == 0).nonzero().view(-1).int()

    kept = keep(GRAPHS, 1, selection=FirstClass())
    assert kept.weight.tolist() == [1.0] * len(kept)
    assert kept[0].target.tolist() == [[1.0, 0.0, 0.0]]


def test_selectors_that_are_none() -> None:
    text = message(ValueError, GRAPHS, 1, selection='herdin')
    assert 'herding' in text
    assert "got 'herdin'" in text
    for odd in (3, None, dict, len):
        assert 'Selector' in message(TypeError, GRAPHS, 1, selection=odd)
    text = message(TypeError, GRAPHS, 1, selection=Random(), seed=1)
    assert "'selection_kwargs'" in text
    for selection in ('random', Random):
        text = message(TypeError, GRAPHS, 1, selection=selection, sead=1)
        assert 'sead' in text

    class Unfinished(Selector):
        pass

    with pytest.raises(NotImplementedError):
        keep(GRAPHS, 1, selection=Unfinished())

    class Needy(Selector):
        def select(self, statistics: Any, budget: Any) -> Tensor:
            return statistics.histogram('shares')

    assert '`needs`' in message(ValueError, GRAPHS, 1, selection=Needy())


def test_names_and_classes() -> None:
    for name, kind in BY_NAME.items():
        assert type(selector_resolver(name)) is kind
        assert type(selector_resolver(kind)) is kind
        assert kind.name == name
        selector = kind()
        assert selector_resolver(selector) is selector
    assert selector_resolver('random', seed=5).options() == {'seed': 5}


OWN = {
    'kind': ('frequent', {'open': ValueError}),
    'multiplicity': ('frequent', {'max': ValueError}),
    'max_sets': ('frequent', {0: ValueError}),
    'max_size': ('frequent', {1.5: TypeError, True: TypeError}),
    'histogram': ('herding', {'trees': ValueError}),
    'vocabulary_size': (
        'multisets',
        {0: ValueError, 4097: ValueError, 2.5: TypeError, '3': TypeError},
    ),
}
OF_ALL = {
    'budget': [0.0, 1.5, 0, -5, float('nan'), True, '10'],
    'num_graphs': [0, 2, 41, 2.5, True],
    'class_weight': ['balanced'],
    'num_layers': [-1, 2.0, True],
    'source_id': ['a'],
}


@pytest.mark.parametrize('name', [*OWN, *OF_ALL])
def test_options_are_refused_in_one_line(name: str) -> None:
    selection, values = OWN.get(name, ('auto', {}))
    for value, error in values.items():
        options = {'selection': selection, 'selection_kwargs': {name: value}}
        assert f"'{name}'" in message(error, GRAPHS, 1, **options)
    for value in OF_ALL.get(name, []):
        plain = type(value) is int or name in ('class_weight', 'source_id')
        plain |= type(value) is float and name == 'budget'
        error = ValueError if plain else TypeError
        text = message(error, GRAPHS, **{'num_layers': 1, name: value})
        assert f"'{name}'" in text
        assert f'got {value!r}' in text


@pytest.mark.parametrize(
    ('error', 'word', 'options'),
    [
        (TypeError, "pass ['pos']", {'exclude_keys': 'pos'}),
        (ValueError, 'edge_index', {'exclude_keys': ['edge_index']}),
        (ValueError, 'budget', {'selection': 'lossless', 'budget': 0.1}),
        (ValueError, 'num_graphs', {'selection': 'lossless', 'num_graphs': 3}),
        (ValueError, 'num_graphs', {'selection': 'frequent', 'num_graphs': 3}),
        (
            ValueError,
            "'budget' finds a min_support",
            {'budget': 300, 'selection': FrequentTrees(2)},
        ),
    ],
    ids=str,
)
def test_options_that_do_not_fit_each_other(
    error: type[Exception], word: str, options: dict
) -> None:
    assert word in message(error, GRAPHS, 1, **options)
    with pytest.raises(TypeError, match='root='):
        keep('folder', 2)


@pytest.mark.parametrize('class_weight', ['source', 'uniform', 'none'])
def test_weights_sum_to_shares(class_weight: Any) -> None:
    sizes = {0: 5, 3: 10, 4: 1}
    label = [0, 3, 3, 4, 0, 0, 3]
    support = [1, 7, 2, 1, 3, 3, 1]
    rows = [(c, frozenset(), s) for c, s in zip(label, support, strict=True)]
    found = sample_weights(
        torch.tensor(support), torch.tensor(label), sizes, class_weight
    )
    assert found.tolist() == pytest.approx(weigh(rows, sizes, class_weight))
    assert float(found.mean()) == pytest.approx(1)
    source = [path(i, y=int(i > 3)) for i in range(12)]
    kept = keep(
        source, 1, num_graphs=6, selection='random', class_weight=class_weight
    )
    total = [float(kept.weight[kept.y == c].sum()) for c in (0, 1)]
    expected = {'source': [2, 4], 'uniform': [3, 3], 'none': [2, 4]}
    assert total == pytest.approx(expected[class_weight])


class Lazy(Dataset):
    """Reads one graph at a time."""

    def __init__(self, graphs: list[Data]) -> None:
        super().__init__()
        self.graphs = graphs

    def len(self) -> int:
        return len(self.graphs)

    def get(self, idx: int) -> Data:
        return self.graphs[idx].clone()


CHUNKED: list[Callable] = [
    Lazy,
    Stream,
    Graphs,
    lambda g: Subset(Lazy(g), range(40)),
    lambda g: Stream(cut(g, 3, 4, 20)),
    lambda g: [Graphs(part) for part in cut(g, 3, 4, 20)],
    lambda g: [g[:7], Graphs(g)[7:20], Batch.from_data_list(g[20:])],
    lambda g: [ConcatDataset([Graphs(g[:5]), g[5:9]]), g[9:]],
    lambda g: DataLoader(g, batch_size=7),
]
OPTIONS: list[dict[str, Any]] = [
    *(
        {'selection': name, 'budget': 0.5}
        for name in BY_NAME
        if name not in ('lossless', 'auto')
    ),
    {'selection': 'auto', 'budget': 400},
    {'selection': 'auto', 'num_graphs': 9},
    {'selection': 'lossless'},
    {'selection': FrequentTrees(1, 'all', drop_shared=True, max_size=2)},
    {'selection': Herding('both'), 'num_graphs': 7, 'class_weight': 'uniform'},
    {'selection': LargestGraphs(), 'budget': 0.3},
]


@pytest.mark.parametrize('options', OPTIONS, ids=str)
def test_any_chunks_give_the_same(
    options: dict, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    expected = keep(GRAPHS, 2, **options)
    names = set()
    monkeypatch.setattr(sources, 'MAX_GRAPHS', 6)
    for wrap in CHUNKED[:3] if 'auto' in str(options) else CHUNKED:
        found = keep(wrap(GRAPHS), 2, root=str(tmp_path), **options)
        assert alike(found, expected)
        names.add(found.processed_paths[0])
    assert len(names) == 1


@pytest.mark.parametrize('source', [random_graphs(30), random_graphs(12)])
def test_without_a_budget_every_candidate_fills_a_tenth(source) -> None:
    given = keep(source, 2, 'auto')
    try:
        expected = keep(source, 2, 'auto', budget=0.1)
    except BudgetTooSmall:
        assert given.report.selection == 'herding'
        assert len(given) == len(given.report.classes)
        return
    assert same(given, expected)
    assert given.report.scores == expected.report.scores


def test_continuous_features_leave_out_trees() -> None:
    graphs = random_graphs(30)
    for data in graphs:
        data.x = torch.rand(data.num_nodes, 2)
    with pytest.warns(UserWarning, match='continuous'):
        report = keep(graphs, 2, 'auto', budget=0.5).report
    assert {*report.scores} == {'herding', 'herding (both)'}


def test_an_edited_selector_is_not_read_from_a_cache(tmp_path) -> None:
    code = """
        from pyg_distill.selection import Selector
        class Own(Selector):
            def select(self, statistics, budget):
                size = statistics.num_nodes
                return budget.fill(size.argsort(descending={}, stable=True))
    """
    paths = set()
    for number, flag in enumerate([True, False]):
        file = tmp_path / f'own{number}.py'
        file.write_text(textwrap.dedent(code.format(flag)))
        spec = importlib.util.spec_from_file_location('own', file)
        module = importlib.util.module_from_spec(spec)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, 'own', module)
            spec.loader.exec_module(module)
            kept = keep(
                random_graphs(20),
                2,
                module.Own(),
                num_graphs=4,
                root=str(tmp_path),
            )
        paths.add(kept.processed_paths[0])
    assert len(paths) == 2
