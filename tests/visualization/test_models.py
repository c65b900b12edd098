import pytest
import torch
from torch_geometric.nn import GCN

from pyg_distill.nn import ABKDLoss, Distiller, KDLoss, LayerRecorder
from pyg_distill.visualization import plot_attention, plot_latency

plt = pytest.importorskip('matplotlib.pyplot')

EDGES = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])


def shown(ax):
    return torch.tensor(ax.images[0].get_array())


def names(ax):
    labels = ax.get_yticklabels(), ax.get_xticklabels()
    return [[label.get_text() for label in side] for side in labels]


def test_weights_and_numbers():
    weights = torch.rand(3, 2)
    _, ax = plot_attention(weights)
    assert shown(ax).equal(weights)
    assert names(ax) == [['1', '2', '3'], ['1', '2']]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # The first row on top.
    assert len(ax.texts) == 6
    for text in ax.texts:
        column, row = text.get_position()
        assert text.get_text() == f'{weights[row, column]:.2f}'
    _, ax = plot_attention(weights, ['a', 'b', 'c'], ['d', 'e'])
    assert names(ax) == [['a', 'b', 'c'], ['d', 'e']]
    fig, ax = plot_attention(torch.rand(64, 4))
    assert not ax.texts
    assert len(fig.axes) == 2  # A scale instead.
    assert ax.images[0].get_clim() == (0.0, 1.0)
    assert plot_attention(torch.tensor([[4.0, 0.0]]))[1].images[
        0
    ].get_clim() == (0.0, 4.0)


@pytest.mark.parametrize('cache', [False, True])
def test_distiller(cache):
    x = torch.randn(4, 8)
    losses = {
        'abkd': lambda *c: ABKDLoss(*c, attention='learned'),
        'kd': KDLoss(),
    }
    distiller = Distiller.from_example(
        GCN(8, 4, num_layers=2, out_channels=2),
        GCN(8, 8, num_layers=3, out_channels=2),
        (x, EDGES),
        losses,
        cache=cache,
    )
    with pytest.raises(RuntimeError, match='called'):
        plot_attention(distiller)
    distiller(x, EDGES)
    distiller.loss()
    attention = distiller.losses['abkd'].last_attention
    _, ax = plot_attention(distiller)
    assert shown(ax).equal(attention)
    assert shown(plot_attention(distiller.losses['abkd'])[1]).equal(attention)
    known = LayerRecorder(GCN(8, 8, num_layers=3)).names
    assert names(ax) == [['0', '1', '2'] if cache else known, known[:2]]
    assert names(plot_attention(distiller, known)[1]) == [known, known[:2]]


def test_node_types():
    weights = {'a': torch.rand(2, 2), 'b': torch.rand(2, 3)}
    _, ax = plot_attention(weights, node_type='b')
    assert shown(ax).equal(weights['b'])
    assert shown(plot_attention({'a': weights['a']})[1]).equal(weights['a'])
    with pytest.raises(ValueError, match=r"one of \['a', 'b'\] .got None"):
        plot_attention(weights)


def test_attention_errors():
    weights = torch.rand(2, 3)
    args = GCN(2, 2, 2), GCN(2, 2, 2), (torch.rand(4, 2), EDGES)
    two = Distiller.from_example(*args, {'a': ABKDLoss, 'b': ABKDLoss})
    for given, match in [
        ([torch.rand(3)], "'attention' must be a matrix"),
        ([torch.nn.Linear(1, 1)], "got 'Linear'"),
        ([weights, ['a']], "'teacher_names' .* 2 layers"),
        ([weights, None, 'abc'], "'student_names' .* 3 layers"),
        ([two], r"got \['a', 'b'\]"),
    ]:
        with pytest.raises(ValueError, match=match):
            plot_attention(*given)
    assert not plt.get_fignums()


def test_latency():
    labels = ['teacher', 'one', 'two', 'three']
    time, accuracy = [50.0, 3.0, 3.0, 3.1], [0.9, 0.8, 0.801, 0.802]
    deviation = [0.0, 0.01, 0.02, 0.0]
    _, ax = plot_latency(time, accuracy, labels, deviation)
    points = [container[0] for container in ax.containers]
    assert [p.get_xdata()[0] for p in points] == time
    assert [p.get_ydata()[0] for p in points] == accuracy
    assert [t.get_text() for t in ax.get_legend().get_texts()] == labels
    assert points[0].get_marker() == '*'
    assert len({p.get_marker() for p in points}) == 4
    assert len({p.get_color() for p in points}) == 4
    bars = [container[2] for container in ax.containers]
    for bar, mean, std in zip(bars, accuracy, deviation, strict=True):
        assert bool(bar) == (std > 0)
        if bar:
            ends = bar[0].get_segments()[0][:, 1]
            assert ends == pytest.approx([mean - std, mean + std])
    level = [line for line in ax.lines if len(line.get_xdata()) == 2]
    assert level[0].get_ydata() == [0.9, 0.9]
    _, ax = plot_latency(time, accuracy, labels, teacher=None)
    assert '*' not in [c[0].get_marker() for c in ax.containers]


def test_latency_errors():
    with pytest.raises(ValueError, match="'names' must have one name a model"):
        plot_latency([1.0], [0.5], ['a', 'b'])
    assert not plt.get_fignums()
