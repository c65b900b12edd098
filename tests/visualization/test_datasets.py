import dataclasses
import statistics

import pytest

from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.evaluation import Evaluation
from pyg_distill.visualization import plot_accuracy, plot_compression
from tests.visualization.drawn import result

plt = pytest.importorskip('matplotlib.pyplot')

TOY = ToyMolecules(60)


def bars(ax):
    """The widths of the bars of each data set, without the pale ones."""
    return [[bar.get_width() for bar in c] for c in ax.containers[1::2]]


@pytest.fixture(scope='module')
def reports():
    kwargs = [{'budget': 0.1}, {'budget': 0.3}, {'selection': 'lossless'}]
    return [MirageDataset(TOY, 2, log=False, **k).report for k in kwargs]


def test_compression_is_that_of_the_reports(reports):
    small, large, _ = reports
    _, ax = plot_compression({'small': small, 'large': large})
    for report, shares in zip((small, large), bars(ax), strict=True):
        expected = [
            report.distilled.num_graphs / report.source.num_graphs,
            report.distilled.num_nodes / report.source.num_nodes,
            report.distilled.num_edges / report.source.num_edges,
            report.compressed_bytes / report.source_compressed_bytes,
        ]
        assert shares == pytest.approx(expected)
    assert all(bar.get_width() == 1 for c in ax.containers[::2] for bar in c)
    sizes = small.compressed_bytes, small.source_compressed_bytes
    assert ax.texts[3].get_text().startswith('  {:,} of {:,}  ('.format(*sizes))
    assert ax.get_legend_handles_labels()[1] == ['small', 'large']
    titles = [t.get_text() for t in ax.get_yticklabels()]
    assert titles == ['graphs', 'nodes', 'edges', 'compressed bytes']
    assert plot_compression(small)[1].get_legend() is None


def test_compression_without_the_size_of_the_source(reports):
    small, _, unknown = reports
    unknown = dataclasses.replace(unknown, source_compressed_bytes=None)
    _, ax = plot_compression([small, unknown])
    assert ax.get_yticklabels()[3].get_text() == 'tensor bytes'
    for report, shares in zip((small, unknown), bars(ax), strict=True):
        size = report.distilled.num_bytes / report.source.num_bytes
        assert shares[3] == pytest.approx(size)
    assert ax.get_xlim()[1] > max(bars(ax)[1]) + 0.5  # Room for the text.


def by_hand(evaluation, task, name, metric):
    runs = {}
    for r in evaluation.records:
        if (r.dataset, r.train_set) == (task, name):
            runs.setdefault(r.run, []).append(getattr(r, metric))
    means = [statistics.mean(values) for values in runs.values()]
    sizes = [
        s.compressed_bytes
        for s in evaluation.set_records
        if (s.dataset, s.train_set) == (task, name)
    ]
    size, mean = statistics.mean(sizes), statistics.mean(means)
    return size, mean, statistics.stdev(means)


@pytest.mark.parametrize('metric', ['auc', 'accuracy'])
def test_accuracy_is_that_of_the_records(metric):
    results = [
        Evaluation.merge(
            [result(task, size, ['a', 'b'], seed=ord(task)) for task in 'xy']
        )
        for size in (5000, 50, 500)
    ]
    results.append(result('y', 90_000, ['full']))
    _, ax = plot_accuracy(results, metric, dataset='y')
    for container, name in zip(ax.containers, ['a', 'b'], strict=True):
        points = sorted(by_hand(r, 'y', name, metric) for r in results[:3])
        size, mean, std = map(list, zip(*points, strict=True))
        line, _, (error,) = container
        assert container.get_label() == name
        assert line.get_xdata() == pytest.approx(size)
        assert line.get_ydata() == pytest.approx(mean)
        for segment, m, s in zip(error.get_segments(), mean, std, strict=True):
            assert segment[:, 1] == pytest.approx([m - s, m + s])
    _, mean, _ = by_hand(results[3], 'y', 'full', metric)
    assert ax.lines[0].get_ydata() == pytest.approx([mean, mean])
    assert ax.get_legend_handles_labels()[1][0] == f'full ({mean:.3f})'
    assert ax.get_xlabel() == 'compressed bytes'
    assert ax.get_title() == 'y'


def test_lines_look_alike_in_all_tasks():
    # In 'y', the first budget is too small for 'a'.
    results = [
        Evaluation.merge(
            [result('x', size, ['a', 'b']), result('y', size, sets, seed=1)]
        )
        for size, sets in ((50, ['b']), (500, ['b', 'a']))
    ]
    looks = set()
    for given, task in ((results, 'x'), (results, 'y'), (results[:1], 'y')):
        _, ax = plot_accuracy(given, dataset=task)
        for container in ax.containers:
            line, name = container[0], container.get_label()
            look = line.get_color(), line.get_marker(), line.get_linestyle()
            looks.add((name, look))
    assert len(looks) == len(dict(looks)) == len({look for _, look in looks})


def test_accuracy_lines_and_sizes():
    evaluation = result('', 50, ['a 2%', 'a 10%', 'b'], runs=[0])
    lines = {'a 2%': 'a', 'a 10%': 'a'}
    _, ax = plot_accuracy(evaluation, lines=lines)
    assert [c.get_label() for c in ax.containers] == ['a', 'b']
    assert [len(c[0].get_xdata()) for c in ax.containers] == [2, 1]
    sizes = ax.containers[0][0].get_xdata()
    assert sizes[0] <= sizes[1]
    _, ax = plot_accuracy(evaluation, train_sets=['b'])
    assert [c.get_label() for c in ax.containers] == ['b']
    sets = list(evaluation.set_records)
    sets[2] = dataclasses.replace(sets[2], num_bytes=77, compressed_bytes=None)
    _, ax = plot_accuracy(Evaluation(evaluation.records, sets, {}))
    assert ax.get_xlabel() == 'tensor bytes'
    sizes = [c[0].get_xdata()[0] for c in ax.containers]
    assert sizes == [sets[0].num_bytes, sets[1].num_bytes, 77]


def test_accuracy_errors():
    two = Evaluation.merge([result('x', 5, ['a']), result('y', 5, ['a'])])
    part = Evaluation(two.records[:-1], two.set_records, {})
    for given, kwargs, match in [
        (two, {}, r"one of the tasks \['x', 'y'\]"),
        (two, {'dataset': 'z'}, "got 'z'"),
        ([], {}, 'tasks'),
        (part, {'dataset': 'y'}, "others of 'a' in some"),
    ]:
        with pytest.raises(ValueError, match=match):
            plot_accuracy(given, **kwargs)
    assert not plt.get_fignums()
