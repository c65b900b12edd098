from collections import Counter

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.visualization import plot_coverage, plot_tree_frequency
from tests.graphs import random_graph
from tests.oracles import trees_of

plt = pytest.importorskip('matplotlib.pyplot')

MANY = [random_graph(seed=seed, connected=True) for seed in range(9)]


def brute_force(data_list, depth):
    """Trees spelt out and counted one by one."""
    trees = [tree for data in data_list for tree in trees_of(data, depth)]
    return sorted(Counter(trees).values(), reverse=True)


def counts(*args, **kwargs):
    _, ax = plot_tree_frequency(*args, **kwargs)
    return [line.get_ydata().tolist() for line in ax.lines]


def legend(ax):
    return ax.get_legend_handles_labels()[1]


@pytest.mark.parametrize('edge_dim', [None, 1])
def test_curves_are_brute_force(edge_dim):
    kwargs = {'edge_dim': edge_dim, 'connected': True}
    data_list = [random_graph(seed=seed, **kwargs) for seed in range(6)]
    _, frequency = plot_tree_frequency(data_list, [3, 0, 1, 2])
    _, coverage = plot_coverage(data_list, [0, 1, 2, 3])
    for depth in range(4):
        count = brute_force(data_list, depth)
        share = np.cumsum(count) / sum(count)
        assert frequency.lines[depth].get_ydata().tolist() == count
        assert coverage.lines[depth].get_ydata() == pytest.approx(share)
        for ax in (frequency, coverage):
            rank = ax.lines[depth].get_xdata().tolist()
            assert rank == list(range(1, len(count) + 1))
            title = f'depth {depth}: {len(count):,} trees'
            assert legend(ax)[depth].startswith(title)
            assert len(ax.lines) == 4
            assert ax.get_xscale() == 'log'
    assert frequency.get_yscale() == 'log'
    # One number stands for all depths up to it.
    assert counts(data_list, 3) == counts(data_list, [1, 2, 3])
    assert counts(data_list, 0) == counts(data_list, [0])


def test_left_out_attributes_and_labels_of_nodes():
    data = random_graph(edge_dim=1)
    data.y = torch.arange(data.num_nodes)  # Not read at all.
    data.pos = torch.rand(data.num_nodes, 2)
    with pytest.raises(ValueError, match="'pos'"):
        plot_tree_frequency([data])
    bare = Data(x=data.x, edge_index=data.edge_index)
    for source in ([data], data):
        out = counts(source, [2], exclude_keys=['edge_attr', 'pos'])
        assert out == [brute_force([bare], 2)]


def test_slope_and_marked_coverage():
    count = brute_force(MANY, 2)
    x, y = np.log10(np.arange(1, len(count) + 1)), np.log10(count)
    slope = ((x - x.mean()) * y).sum() / np.square(x - x.mean()).sum()
    (label,) = legend(plot_tree_frequency(MANY, [2])[1])
    assert label.endswith(f'slope {slope:.2f}'.replace('-', '\u2212'))
    assert 'slope' not in legend(plot_tree_frequency(MANY, slope=False)[1])[0]
    (text,) = plot_coverage(ToyMolecules(60), [2])[1].texts
    count = brute_force(ToyMolecules(60), 2)
    assert text.get_text().strip() == f'{sum(count[:100]) / sum(count):.0%}'
    assert not plot_coverage(MANY[:1], [2])[1].texts


def test_real_data(real_dataset):
    # As in the documentation of ToyMolecules, from benchmarks/toy_molecules.py.
    dataset = real_dataset('NCI1')
    first, second = legend(plot_tree_frequency(dataset, [2, 3])[1])
    assert first == 'depth 2: 4,058 trees, slope \u22121.26'
    assert second.endswith('slope \u22120.77')
    _, ax = plot_coverage(dataset, [2, 3])
    assert [t.get_text().strip() for t in ax.texts] == ['66%', '26%']


@pytest.mark.parametrize('plot', [plot_tree_frequency, plot_coverage])
def test_errors(plot):
    train = MirageDataset(
        ToyMolecules(40), 2, selection='multisets', budget=1.0, log=False
    )
    empty = Data(edge_index=torch.empty(2, 0).long(), num_nodes=0)
    for args, error, match in [
        ([empty], ValueError, 'nodes'),
        ([3], TypeError, "'int'"),
        ([MANY, 1.5], TypeError, "'num_layers' must be an integer"),
        ([train], ValueError, 'tree-set form'),
    ]:
        with pytest.raises(error, match=match):
            plot(*args)
    assert not plt.get_fignums()
