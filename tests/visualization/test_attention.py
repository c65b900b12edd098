import pytest
import torch
from torch_geometric.nn import GCN

from pyg_distill.nn import ABKDLoss, Distiller, KDLoss, LayerRecorder
from pyg_distill.visualization import plot_attention

plt = pytest.importorskip('matplotlib.pyplot')

EDGES = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])


def shown(ax):
    return torch.tensor(ax.images[0].get_array())


def names(ax):
    return [
        [label.get_text() for label in labels]
        for labels in (ax.get_yticklabels(), ax.get_xticklabels())
    ]


def test_weights_and_numbers():
    weights = torch.rand(3, 2)
    _, ax = plot_attention(weights)
    assert shown(ax).equal(weights)
    assert names(ax) == [['1', '2', '3'], ['1', '2']]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # The first row on top.
    for text in ax.texts:
        column, row = text.get_position()
        assert text.get_text() == f'{weights[row, column]:.2f}'
    assert len(ax.texts) == 6
    _, ax = plot_attention(weights.tolist(), ['a', 'b', 'c'], ['d', 'e'])
    assert names(ax) == [['a', 'b', 'c'], ['d', 'e']]
    fig, ax = plot_attention(torch.rand(64, 4))
    assert not ax.texts
    assert len(fig.axes) == 2  # A scale instead.
    assert ax.images[0].get_clim() == (0.0, 1.0)
    _, ax = plot_attention([[4.0, 0.0]])
    assert ax.images[0].get_clim() == (0.0, 4.0)


@pytest.mark.parametrize('cache', [False, True])
def test_distiller(cache):
    x = torch.randn(4, 8)
    teacher = GCN(8, 8, num_layers=3, out_channels=2)
    student = GCN(8, 4, num_layers=2, out_channels=2)
    distiller = Distiller.from_example(
        student,
        teacher,
        (x, EDGES),
        {
            'abkd': lambda *c: ABKDLoss(*c, attention='learned'),
            'kd': KDLoss(),
        },
        cache=cache,
    )
    with pytest.raises(RuntimeError, match='has not been called yet'):
        plot_attention(distiller)
    distiller(x, EDGES)
    distiller.loss()
    attention = distiller.losses['abkd'].last_attention
    _, ax = plot_attention(distiller)
    assert shown(ax).equal(attention)
    assert shown(plot_attention(distiller.losses['abkd'])[1]).equal(attention)
    known = LayerRecorder(GCN(8, 8, num_layers=3)).names
    rows = ['1', '2', '3'] if cache else known
    assert names(ax) == [rows, known[:2]]
    _, ax = plot_attention(distiller, known)
    assert names(ax) == [known, known[:2]]


def test_node_types():
    weights = {'a': torch.rand(2, 2), 'b': torch.rand(2, 3)}
    _, ax = plot_attention(weights, node_type='b')
    assert shown(ax).equal(weights['b'])
    assert shown(plot_attention({'a': weights['a']})[1]).equal(weights['a'])
    with pytest.raises(ValueError, match=r"one of \['a', 'b'\] .got None"):
        plot_attention(weights)


def test_errors():
    with pytest.raises(ValueError, match=r'got shape \[3\]'):
        plot_attention(torch.rand(3))
    with pytest.raises(ValueError, match='finite weights of at least 0'):
        plot_attention(torch.tensor([[float('nan')]]))
    with pytest.raises(TypeError, match='got Linear'):
        plot_attention(torch.nn.Linear(1, 1))
    with pytest.raises(TypeError, match='got str'):
        plot_attention('learned')
    with pytest.raises(ValueError, match=r"'teacher_names' .* 2 layers"):
        plot_attention(torch.rand(2, 3), ['a'])
    with pytest.raises(ValueError, match=r"'student_names' .* 3 layers"):
        plot_attention(torch.rand(2, 3), None, 'abc')
    args = GCN(2, 2, 2), GCN(2, 2, 2), (torch.rand(4, 2), EDGES)
    two = Distiller.from_example(*args, {'a': ABKDLoss, 'b': ABKDLoss})
    with pytest.raises(ValueError, match=r"got \['a', 'b'\]"):
        plot_attention(two)
    assert not plt.get_fignums()
