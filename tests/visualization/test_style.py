import sys

import pytest
import torch

from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.visualization import (
    plot_accuracy,
    plot_attention,
    plot_compression,
    plot_computation_tree,
    plot_coverage,
    plot_latency,
    plot_tree_frequency,
    plot_tree_set,
)
from pyg_distill.visualization.style import COLORMAP, PALETTE, text_on
from tests.graphs import random_graph
from tests.visualization.drawn import result

mpl = pytest.importorskip('matplotlib')
plt = pytest.importorskip('matplotlib.pyplot')


def all_plots():
    graph = random_graph()
    toy = ToyMolecules(30)
    report = MirageDataset(toy, 2, budget=0.3, log=False).report
    names = ['teacher', 'student']
    return {
        'frequency': lambda ax=None: plot_tree_frequency([graph], ax=ax),
        'coverage': lambda ax=None: plot_coverage([graph], mark=1, ax=ax),
        'tree': lambda ax=None: plot_computation_tree(graph, 0, ax=ax),
        'set': lambda ax=None: plot_tree_set(graph, ax=ax),
        'bytes': lambda ax=None: plot_compression([report, report], ax=ax),
        'auc': lambda ax=None: plot_accuracy(
            result('', 50, ['full', 'a', 'b']), ax=ax
        ),
        'attention': lambda ax=None: plot_attention(torch.rand(2, 2), ax=ax),
        'latency': lambda ax=None: plot_latency(
            [9.0, 1.0], [0.9, 0.8], names, [0.1, 0.1], ax=ax
        ),
    }


def test_given_axes_are_drawn_into():
    for plot in all_plots().values():
        before, axes = plt.subplots(1, 2)
        fig, ax = plot(axes[1])
        assert fig is before
        assert ax is axes[1]
        assert len(plt.get_fignums()) == 1
        assert len(fig.axes) == 2
        assert not axes[0].has_data()
        plt.close('all')
    whole = plt.figure()
    part = whole.subfigures(1, 2)[0].subplots()
    plt.figure()  # What is current does not matter.
    assert plot_tree_set(random_graph(), ax=part) == (whole, part)
    plt.close('all')
    for plot in all_plots().values():
        fig, ax = plot()
        assert plt.get_fignums() == [fig.number]
        assert ax in fig.axes
        plt.close('all')
        with pytest.raises(TypeError, match=r"'ax' must be one .*got list"):
            plot([])
    assert not plt.get_fignums()


@pytest.mark.parametrize('style', ['default', 'dark_background'])
def test_style_that_is_set_is_followed(style):
    with plt.style.context(style):
        back = mpl.colors.to_rgba(mpl.rcParams['figure.facecolor'])
        for name, plot in all_plots().items():
            fig, ax = plot()
            assert fig.get_facecolor() == back
            fills = {
                mpl.colors.to_rgba(patch.get_facecolor())
                for patch in ax.patches
                if patch.get_gid() == 'node'
            }
            things = [ax.xaxis.label, ax.yaxis.label, *ax.lines]
            if name not in ('attention', 'tree', 'set'):
                things += ax.texts
            for thing in things:
                assert mpl.colors.to_rgb(thing.get_color()) != back[:3], name
            assert back not in fills
            plt.close('all')


def contrast(first, second):
    """The contrast ratio of WCAG 2.1, written out once more."""
    light = []
    for c in (first, second):
        r, g, b = (
            v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
            for v in mpl.colors.to_rgb(c)
        )
        light.append(0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05)
    return max(light) / min(light)


def test_text_stands_out_from_what_it_is_on():
    shades = mpl.colormaps[COLORMAP]([i / 50 for i in range(51)])
    for fill in [*PALETTE, *shades]:
        assert contrast(fill, text_on(fill)) > 4.5
    # Lines stand out from light and from dark pages.
    for paint in PALETTE[:4]:
        assert contrast(paint, 'white') > 2.9
        assert contrast(paint, 'black') > 2.9


def test_without_matplotlib(monkeypatch):
    plots = all_plots()
    for name in ('matplotlib', 'matplotlib.pyplot', 'matplotlib.axes'):
        monkeypatch.setitem(sys.modules, name, None)
    for plot in plots.values():
        with pytest.raises(ImportError, match=r'pyg_distill\[plot\]') as error:
            plot()
        assert '\n' not in str(error.value)
        assert 'matplotlib is needed to plot' in str(error.value)
