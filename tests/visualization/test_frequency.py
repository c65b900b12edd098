from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.visualization import plot_coverage, plot_tree_frequency
from tests.graphs import graphs, random_graph
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


def check(data_list, depths):
    _, frequency = plot_tree_frequency(data_list, depths)
    _, coverage = plot_coverage(data_list, depths, mark=None)
    for i, depth in enumerate(depths):
        count = brute_force(data_list, depth)
        share = np.cumsum(count) / sum(count)
        assert frequency.lines[i].get_ydata().tolist() == count
        assert coverage.lines[i].get_ydata() == pytest.approx(share)
        for ax in (frequency, coverage):
            rank = ax.lines[i].get_xdata().tolist()
            assert rank == list(range(1, len(count) + 1))
            title = f'depth {depth}: {len(count):,} trees'
            assert legend(ax)[i].startswith(title)
            assert len(ax.lines) == len(depths)
            assert ax.get_xscale() == 'log'
    assert frequency.get_yscale() == 'log'
    plt.close('all')


@pytest.mark.parametrize('edge_dim', [None, 1])
def test_curves_are_brute_force(edge_dim):
    kwargs = {'edge_dim': edge_dim, 'connected': True}
    check(
        [random_graph(seed=seed, **kwargs) for seed in range(6)], [0, 1, 2, 3]
    )


@given(st.lists(graphs(max_nodes=4, max_edges=6), min_size=1, max_size=3))
@settings(max_examples=10)
def test_curves_of_any_graph(data_list):
    same = [data for data in data_list if data.keys() == data_list[0].keys()]
    if 'x' in data_list[0] or 'edge_attr' in data_list[0]:
        same = same[:1]  # Features differ in their width.
    if sum(data.num_nodes for data in same) > 0:
        check(same, [1, 2])
        return
    with pytest.raises(ValueError, match='needs nodes to count trees of'):
        plot_tree_frequency(same)


def test_all_depths_up_to_the_largest():
    assert counts(MANY, 3) == counts(MANY, [1, 2, 3])
    assert counts(MANY, 0) == counts(MANY, [0])


def test_sources_are_read_alike():
    data_list = [random_graph(seed=seed, edge_dim=2) for seed in range(4)]
    for i, data in enumerate(data_list):
        data.y = torch.tensor([i % 2])
    toy = ToyMolecules(5)
    for source, same in [
        (data_list, data_list),
        (iter(data_list), data_list),
        (data_list[0], data_list[:1]),
        (toy, list(toy)),
        (toy[2:4], list(toy[2:4])),
        (torch.utils.data.Subset(toy, [1]), [toy[1]]),
    ]:
        assert counts(source, [2]) == [brute_force(same, 2)]


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


def test_slope_is_that_of_least_squares():
    y = np.log10(brute_force(MANY, 2))
    x = np.log10(np.arange(1, len(y) + 1))
    x -= x.mean()
    slope = f'slope {(x * y).sum() / (x * x).sum():.2f}'.replace('-', '\u2212')
    (label,) = legend(plot_tree_frequency(MANY, [2])[1])
    assert label.endswith(slope)
    assert 'slope' not in legend(plot_tree_frequency(MANY, slope=False)[1])[0]


def test_marked_coverage():
    count = brute_force(MANY, 2)
    (text,) = plot_coverage(MANY, [2], mark=3)[1].texts
    assert text.get_text() == f'{sum(count[:3]) / sum(count):.0%}'
    assert not plot_coverage(MANY, [2], mark=10_000)[1].texts


def test_real_data(real_dataset):
    # As in the documentation of ToyMolecules, from benchmarks/toy_molecules.py.
    dataset = real_dataset('NCI1')
    first, second = legend(plot_tree_frequency(dataset, [2, 3])[1])
    assert first == 'depth 2: 4,058 trees, slope \u22121.26'
    assert second.endswith('slope \u22120.77')
    _, ax = plot_coverage(dataset, [2, 3])
    assert [t.get_text() for t in ax.texts] == ['66%', '26%']


@pytest.mark.parametrize('plot', [plot_tree_frequency, plot_coverage])
def test_errors(plot):
    train = MirageDataset(
        ToyMolecules(40), 2, selection='multisets', budget=1.0, log=False
    )
    for args, error, match in [
        ([[]], ValueError, 'empty'),
        ([3], TypeError, "'int'"),
        (['NCI1'], TypeError, "'str'"),
        ([MANY, 1.5], TypeError, "'num_layers' must be an integer"),
        ([MANY, [-1]], ValueError, "'num_layers' must be 0 or more"),
        ([MANY, []], ValueError, "'num_layers' must hold a depth"),
        ([train], ValueError, 'tree-set form'),
    ]:
        with pytest.raises(error, match=match):
            plot(*args)
    assert not plt.get_fignums()
