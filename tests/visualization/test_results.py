import statistics

import pytest

from pyg_distill.datasets import CoresetDataset, MirageDataset, ToyMolecules
from pyg_distill.evaluation import Evaluation, SetRecord
from pyg_distill.visualization import (
    plot_accuracy,
    plot_compression,
    plot_latency,
)
from tests.visualization.results import result

plt = pytest.importorskip('matplotlib.pyplot')


def bars(ax):
    """The widths of the bars of each data set, without the pale ones."""
    return [
        [bar.get_width() for bar in container]
        for container in ax.containers[1::2]
    ]


def test_compression_is_that_of_the_reports():
    toy = ToyMolecules(60)
    small = MirageDataset(toy, 2, selection='multisets', budget=0.1).report
    whole = CoresetDataset(toy, 'full').report
    _, ax = plot_compression({'small': small, 'all': whole})
    expected = [
        small.distilled.num_graphs / 60,
        small.distilled.num_nodes / small.source.num_nodes,
        small.distilled.num_edges / small.source.num_edges,
        small.packed_bytes / small.source_packed_bytes,
    ]
    assert bars(ax) == [pytest.approx(expected), [1.0] * 4]
    assert all(bar.get_width() == 1 for c in ax.containers[::2] for bar in c)
    written = [t.get_text() for t in ax.texts]
    assert written[3].startswith(
        f'{small.packed_bytes:,} of {small.source_packed_bytes:,}  ('
    )
    assert ax.get_legend_handles_labels()[1] == ['small', 'all']
    titles = [t.get_text() for t in ax.get_yticklabels()]
    assert titles == ['graphs', 'nodes', 'edges', 'packed bytes']
    assert ax.get_xlim()[1] > 1.5  # Room for the labels of long bars.

    unknown = MirageDataset(toy, 2, selection='lossless').report
    assert unknown.source_packed_bytes is None
    _, ax = plot_compression([small, unknown], names=['a', 'b'])
    assert ax.get_yticklabels()[3].get_text() == 'tensor bytes'
    assert bars(ax)[0][3] == pytest.approx(small.ratio)
    assert bars(ax)[1][3] == pytest.approx(unknown.ratio)
    assert ax.get_xlim()[1] > max(bars(ax)[1])
    assert plot_compression(small)[1].get_legend() is None


def test_compression_errors():
    report = CoresetDataset(ToyMolecules(9), 'full').report
    with pytest.raises(TypeError, match=r'reports of data sets .got ToyMol'):
        plot_compression([ToyMolecules(2)])
    with pytest.raises(TypeError, match='got int'):
        plot_compression(3)
    with pytest.raises(ValueError, match='at least one'):
        plot_compression([])
    for names in (['a'], ['a', 'a'], 'ab'):
        with pytest.raises(ValueError, match='a different name for each of 2'):
            plot_compression([report, report], names=names)
    assert not plt.get_fignums()


def by_hand(evaluation, task, name, metric):
    runs = {}
    for r in evaluation.records:
        if (r.dataset, r.train_set) == (task, name):
            runs.setdefault(r.run, []).append(getattr(r, metric))
    means = [statistics.mean(values) for values in runs.values()]
    sizes = [
        s.packed_bytes
        for s in evaluation.set_records
        if (s.dataset, s.train_set) == (task, name)
    ]
    return (
        statistics.mean(sizes),
        statistics.mean(means),
        statistics.stdev(means),
    )


@pytest.mark.parametrize('metric', ['auc', 'accuracy'])
def test_accuracy_is_that_of_the_records(metric):
    results = [
        Evaluation.merge(
            [
                result(task, budget, ['a', 'b'], seed=i)
                for i, task in enumerate(['x', 'y'])
            ]
        )
        for budget in (5000, 50, 500)
    ]
    results.append(result('y', 90_000, ['full']))
    _, ax = plot_accuracy(results, metric, dataset='y')
    for container, name in zip(ax.containers, ['a', 'b'], strict=True):
        points = sorted(by_hand(r, 'y', name, metric) for r in results[:3])
        line, _, (error,) = container
        assert container.get_label() == name
        for i, (size, mean, std) in enumerate(points):
            assert line.get_xdata()[i] == pytest.approx(size)
            assert line.get_ydata()[i] == pytest.approx(mean)
            ends = error.get_segments()[i][:, 1]
            assert ends == pytest.approx([mean - std, mean + std])
    _, mean, _ = by_hand(results[3], 'y', 'full', metric)
    assert ax.lines[0].get_ydata() == pytest.approx([mean, mean])
    assert ax.get_legend_handles_labels()[1][0] == f'full ({mean:.3f})'
    assert ax.get_xlabel() == 'packed bytes'
    assert ax.get_title() == 'y'


def test_lines_look_alike_whatever_a_task_lacks():
    # Of 'y', there is no room for 'a' in the first budget.
    results = [
        Evaluation.merge(
            [
                result('x', budget, ['a', 'b']),
                result('y', budget, ['b', 'a'][: 1 + i], seed=1),
            ]
        )
        for i, budget in enumerate((50, 500))
    ]
    looks = {}
    for task in ('x', 'y'):
        _, ax = plot_accuracy(results, dataset=task)
        for container in ax.containers:
            line = container[0]
            look = line.get_color(), line.get_marker(), line.get_linestyle()
            looks.setdefault(container.get_label(), set()).add(look)
    assert sorted(looks) == ['a', 'b']
    assert all(len(found) == 1 for found in looks.values())
    assert looks['a'] != looks['b']
    # Nor does a task that lacks one altogether.
    _, ax = plot_accuracy(results[:1], dataset='y')
    (container,) = ax.containers
    assert container[0].get_color() == next(iter(looks['b']))[0]


def test_accuracy_lines_and_sizes():
    evaluation = result('', 50, ['a 2%', 'a 10%', 'b'], runs=[0])
    lines = {'a 2%': 'a', 'a 10%': 'a'}
    for given in (lines, lambda name: lines.get(name, name)):
        _, ax = plot_accuracy(evaluation, lines=given)
        assert [c.get_label() for c in ax.containers] == ['a', 'b']
        assert [len(c[0].get_xdata()) for c in ax.containers] == [2, 1]
        sizes = ax.containers[0][0].get_xdata()
        assert sizes[0] <= sizes[1]
    _, ax = plot_accuracy(evaluation, train_sets=['b'])
    assert [c.get_label() for c in ax.containers] == ['b']
    unpacked = SetRecord('', 'b', 0, 1, 1, 1, 77)
    sets = [s for s in evaluation.set_records if s.train_set != 'b']
    mixed = Evaluation(evaluation.records, [*sets, unpacked], {})
    _, ax = plot_accuracy(mixed)
    assert ax.get_xlabel() == 'tensor bytes'
    assert ax.containers[2][0].get_xdata() == [77]
    assert ax.containers[0][0].get_xdata() == [10 * sets[0].packed_bytes]


def test_accuracy_errors():
    two = Evaluation.merge([result('x', 5, ['a']), result('y', 5, ['a'])])
    with pytest.raises(ValueError, match=r"one of the tasks \['x', 'y'\]"):
        plot_accuracy(two)
    with pytest.raises(ValueError, match=r"got 'z'"):
        plot_accuracy(two, dataset='z')
    with pytest.raises(ValueError, match=r'one of auc, accuracy'):
        plot_accuracy(two, metric='loss', dataset='x')
    with pytest.raises(ValueError, match=r"choose from \['a'\]"):
        plot_accuracy(two, dataset='x', train_sets=['b'])
    with pytest.raises(TypeError, match=r'Evaluation\.from_dict'):
        plot_accuracy([{}])
    with pytest.raises(ValueError, match='must hold results'):
        plot_accuracy([])
    part = Evaluation(two.records[:-1], two.set_records, {})
    with pytest.raises(ValueError, match="others of 'a' in some of the runs"):
        plot_accuracy(part, dataset='y')
    assert not plt.get_fignums()


def test_latency():
    names = ['teacher', 'one', 'two', 'three']
    time, accuracy = [50.0, 3.0, 3.0, 3.1], [0.9, 0.8, 0.801, 0.802]
    deviation = [0.0, 0.01, 0.02, 0.0]
    fig, ax = plot_latency(time, accuracy, names, deviation)
    points = [c[0] for c in ax.containers]
    assert [p.get_xdata()[0] for p in points] == time
    assert [p.get_ydata()[0] for p in points] == accuracy
    assert [p.get_marker() for p in points].count('*') == 1
    assert len({p.get_marker() for p in points}) == 4
    for container, mean, std in zip(
        ax.containers, accuracy, deviation, strict=True
    ):
        assert bool(container[2]) == (std > 0)
        if std:
            ends = container[2][0].get_segments()[0][:, 1]
            assert ends == pytest.approx([mean - std, mean + std])
    assert [t.get_text() for t in ax.texts] == names
    # No name is on another one, and all are inside.
    fig.draw_without_rendering()
    text_box = plt.Text.get_window_extent
    boxes = [text_box(t) for t in ax.texts]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
        assert ax.bbox.x0 < box.x0
        assert box.x1 < ax.bbox.x1
    assert '*' not in {
        c[0].get_marker()
        for c in plot_latency(time, accuracy, names, teacher=None)[1].containers
    }


def test_latency_errors():
    for args, match in [
        (([1.0], [0.5], ['a', 'b']), "'latency' must hold a finite number"),
        (([1.0], [float('nan')], ['a']), "'accuracy' must hold a finite"),
        (([0.0], [0.5], ['a']), "'latency' must hold times above 0"),
        (([], [], []), "'names' must hold the name of each model"),
        (([1.0], [0.5], 'a'), "'names' must hold the name of each model"),
        (([1.0], [0.5], ['a'], [-0.1]), "'deviation' must hold numbers of 0"),
        (([1.0], [0.5], ['a'], None, 1), "'teacher' must be the position"),
    ]:
        with pytest.raises(ValueError, match=match):
            plot_latency(*args)
    assert not plt.get_fignums()
