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


def brute_force(data_list, depth):
    """Trees spelt out and counted one by one."""
    found = Counter()
    for data in data_list:
        found.update(trees_of(data, depth))
    return sorted(found.values(), reverse=True)


def curves(ax):
    return [line for line in ax.lines if len(line.get_xdata()) > 1]


def check(data_list, depths, **kwargs):
    _, ax = plot_tree_frequency(data_list, depths, **kwargs)
    _, other = plot_coverage(data_list, depths, mark=None, **kwargs)
    for i, depth in enumerate(depths):
        count = brute_force(data_list, depth)
        total = sum(count)
        share = [sum(count[: k + 1]) / total for k in range(len(count))]
        rank = list(range(1, len(count) + 1))
        assert ax.lines[i].get_ydata().tolist() == count
        assert other.lines[i].get_ydata() == pytest.approx(share)
        assert ax.lines[i].get_xdata().tolist() == rank
        assert other.lines[i].get_xdata().tolist() == rank
        for axes in (ax, other):
            label = axes.get_legend_handles_labels()[1][i]
            assert label.startswith(f'depth {depth}: {len(count):,} trees')
    assert len(ax.lines) == len(other.lines) == len(depths)
    assert ax.get_xscale() == ax.get_yscale() == other.get_xscale() == 'log'
    plt.close('all')


@pytest.mark.parametrize('edge_dim', [None, 1])
def test_curves_are_brute_force(edge_dim):
    data_list = [
        random_graph(seed=seed, edge_dim=edge_dim, connected=True)
        for seed in range(6)
    ]
    check(data_list, [0, 1, 2, 3])


@given(st.lists(graphs(max_nodes=4, max_edges=6), min_size=1, max_size=3))
@settings(max_examples=10)
def test_curves_of_any_graph(data_list):
    same = [data for data in data_list if data.keys() == data_list[0].keys()]
    if 'x' in data_list[0]:
        same = same[:1]  # Features differ in their width.
    if sum(data.num_nodes for data in same) == 0:
        with pytest.raises(ValueError, match='needs nodes to count trees of'):
            plot_tree_frequency(same)
        return
    if len(same) == 1 or 'edge_attr' not in same[0]:
        check(same, [1, 2])


def test_all_depths_up_to_the_largest():
    data = random_graph()
    assert len(plot_tree_frequency([data], 3)[1].lines) == 3
    assert len(plot_tree_frequency([data], 0)[1].lines) == 1
    assert len(plot_coverage([data], [2])[1].lines) == 1


def test_sources_are_read_alike():
    data_list = [random_graph(seed=seed, edge_dim=2) for seed in range(4)]
    for i, data in enumerate(data_list):
        data.y = torch.tensor([i % 2])
    count = brute_force(data_list, 2)
    toy = ToyMolecules(5)
    for source, expected in [
        (data_list, count),
        (iter(data_list), count),
        (toy, brute_force(list(toy), 2)),
        (toy[2:4], brute_force(list(toy[2:4]), 2)),
        (data_list[0], brute_force(data_list[:1], 2)),
        (torch.utils.data.Subset(toy, [1]), brute_force([toy[1]], 2)),
    ]:
        _, ax = plot_tree_frequency(source, [2])
        assert ax.lines[0].get_ydata().tolist() == expected


def test_left_out_attributes_and_labels_of_nodes():
    data = random_graph(edge_dim=1)
    data.y = torch.arange(data.num_nodes)  # Not read at all.
    data.pos = torch.rand(data.num_nodes, 2)
    with pytest.raises(ValueError, match=r"got also 'pos'"):
        plot_tree_frequency([data])
    bare = Data(x=data.x, edge_index=data.edge_index)
    _, ax = plot_tree_frequency([data], [2], exclude_keys=['edge_attr', 'pos'])
    assert ax.lines[0].get_ydata().tolist() == brute_force([bare], 2)
    _, ax = plot_tree_frequency(data, [2], exclude_keys=['edge_attr', 'pos'])
    assert ax.lines[0].get_ydata().tolist() == brute_force([bare], 2)


def test_slope_is_that_of_least_squares():
    data_list = [random_graph(seed=seed, connected=True) for seed in range(9)]
    count = brute_force(data_list, 2)
    x = np.log10(np.arange(1, len(count) + 1))
    y = np.log10(count)
    slope = ((x - x.mean()) * (y - y.mean())).sum() / np.square(
        x - x.mean()
    ).sum()
    _, ax = plot_tree_frequency(data_list, [2])
    (label,) = ax.get_legend_handles_labels()[1]
    assert label.endswith(f'slope {slope:.2f}'.replace('-', '\u2212'))
    _, ax = plot_tree_frequency(data_list, [2], slope=False)
    assert 'slope' not in ax.get_legend_handles_labels()[1][0]


def test_marked_coverage():
    data_list = [random_graph(seed=seed, connected=True) for seed in range(9)]
    count = brute_force(data_list, 2)
    _, ax = plot_coverage(data_list, [2], mark=3)
    (text,) = ax.texts
    assert text.get_text() == f'{sum(count[:3]) / sum(count):.0%}'
    assert not plot_coverage(data_list, [2], mark=10_000)[1].texts


def test_real_data(real_dataset):
    # As in the documentation of ToyMolecules, from benchmarks/toy_molecules.py.
    dataset = real_dataset('NCI1')
    _, ax = plot_tree_frequency(dataset, [2, 3])
    first, second = ax.get_legend_handles_labels()[1]
    assert first == 'depth 2: 4,058 trees, slope \u22121.26'
    assert second.endswith('slope \u22120.77')
    _, ax = plot_coverage(dataset, [2, 3])
    assert [t.get_text() for t in ax.texts] == ['66%', '26%']


@pytest.mark.parametrize('plot', [plot_tree_frequency, plot_coverage])
def test_errors(plot):
    with pytest.raises(ValueError, match=r'got an empty data set'):
        plot([])
    with pytest.raises(TypeError, match=r"expects graphs \(got 'int'\)"):
        plot(3)
    with pytest.raises(TypeError, match=r"expects graphs \(got 'str'\)"):
        plot('NCI1')
    with pytest.raises(TypeError, match="'num_layers' must be an integer"):
        plot([random_graph()], 1.5)
    with pytest.raises(ValueError, match="'num_layers' must be 0 or more"):
        plot([random_graph()], [-1])
    with pytest.raises(ValueError, match="'num_layers' must hold a depth"):
        plot([random_graph()], [])
    train = MirageDataset(
        ToyMolecules(40), 2, selection='multisets', budget=1.0
    )
    with pytest.raises(ValueError, match='in tree-set form already'):
        plot(train)
    assert not plt.get_fignums()
