import sys
from functools import partial

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


@pytest.fixture(scope='module')
def plots():
    graph = random_graph()
    report = MirageDataset(ToyMolecules(30), 2, budget=0.3, log=False).report
    latency = [9.0, 1.0], [0.9, 0.8], ['teacher', 'student'], [0.1, 0.1]
    return {
        'frequency': partial(plot_tree_frequency, [graph]),
        'coverage': partial(plot_coverage, [graph]),
        'tree': partial(plot_computation_tree, graph, 0),
        'set': partial(plot_tree_set, graph),
        'bytes': partial(plot_compression, [report, report]),
        'auc': partial(plot_accuracy, result('', 50, ['full', 'a', 'b'])),
        'attention': partial(plot_attention, torch.rand(2, 2)),
        'latency': partial(plot_latency, *latency),
    }


def test_given_axes_are_drawn_into(plots):
    for plot in plots.values():
        before, axes = plt.subplots(1, 2)
        assert plot(ax=axes[1]) == (before, axes[1])
        assert before.axes == list(axes)
        assert not axes[0].has_data()
        assert len(plt.get_fignums()) == 1
        plt.close('all')
        fig, ax = plot()
        assert ax in fig.axes
        plt.close('all')
        with pytest.raises(TypeError, match=r"'ax' must be one .*got list"):
            plot(ax=[])
        assert not plt.get_fignums()
    whole = plt.figure()
    part = whole.subfigures(1, 2)[0].subplots()
    plt.figure()  # The current figure does not matter.
    assert plot(ax=part) == (whole, part)


@pytest.mark.parametrize('style', ['default', 'dark_background'])
def test_current_style_is_followed(plots, style):
    with plt.style.context(style):
        back = mpl.colors.to_rgba(mpl.rcParams['figure.facecolor'])
        for name, plot in plots.items():
            fig, ax = plot()
            assert fig.get_facecolor() == back
            circles = [p for p in ax.patches if p.get_gid() == 'node']
            things = [ax.xaxis.label, ax.yaxis.label, *ax.lines]
            if name not in ('attention', 'tree', 'set'):
                things += ax.texts
            colors = [thing.get_color() for thing in things]
            colors += [circle.get_facecolor() for circle in circles]
            assert back not in map(mpl.colors.to_rgba, colors), name
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


@pytest.mark.parametrize('missing', ['matplotlib', 'networkx', 'scipy'])
def test_without_what_plots_need(plots, monkeypatch, missing):
    for name in (missing, 'matplotlib.pyplot'):
        if name.startswith(missing):
            monkeypatch.setitem(sys.modules, name, None)
    chosen = {'networkx': ['tree', 'set'], 'scipy': ['set']}
    for name in chosen.get(missing, plots):
        match = rf"needs '{missing}.*pyg-distill\[plot\]"
        with pytest.raises(ImportError, match=match) as error:
            plots[name]()
        assert '\n' not in str(error.value)
    assert not plt.get_fignums()
