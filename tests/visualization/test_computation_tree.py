import pytest
import torch
from torch_geometric.data import Data

from pyg_distill.datasets import ToyMolecules
from pyg_distill.visualization import plot_computation_tree
from tests.graphs import cycle, in_tree, random_graph
from tests.oracles import tree_size, trees_of
from tests.visualization.drawn import (
    check_apart,
    circles,
    edges,
    labels_only,
    nodes,
    unrolled,
)

plt = pytest.importorskip('matplotlib.pyplot')


@pytest.mark.parametrize('num_layers', [0, 1, 2, 3])
@pytest.mark.parametrize('seed', [0, 1])
def test_it_is_the_tree_spelt_out(num_layers, seed):
    data = random_graph(8, 4, connected=True, self_loops=True, seed=seed)
    trees = trees_of(data, num_layers)
    for root in (0, 3):
        _, ax = plot_computation_tree(data, root, num_layers, max_nodes=1000)
        assert len(nodes(ax)) == tree_size(trees[root])
        assert unrolled(ax) == {labels_only(trees[root]): 1}
        (ring,) = circles(ax, 'ring')
        assert ring[1] == max(y for _, y in nodes(ax))
        check_apart(ax)
        below = {}
        for child, parent in edges(ax):
            below.setdefault(parent, []).append(child[0])
        for (middle, _), x in below.items():
            assert middle == pytest.approx((min(x) + max(x)) / 2, abs=1e-5)
        plt.close('all')


def test_directed_edges_lead_to_the_root():
    data = in_tree([[1, 2], [], [1]], [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    _, ax = plot_computation_tree(data, 0, 3)
    assert unrolled(ax) == {
        ('0', (('0', (('1', ()),)), ('1', ()))): 1,
    }


def test_labels():
    data = random_graph(connected=True)
    kind = data.x.argmax(dim=1)

    def written(**kwargs):
        ax = plot_computation_tree(kwargs.pop('data', data), 0, 1, **kwargs)[1]
        return sorted(nodes(ax).values())

    around = data.edge_index[0, data.edge_index[1] == 0]
    around = [*around.tolist(), 0]
    assert written() == sorted(str(int(kind[v])) for v in around)
    names = ['C', 'N']
    expected = sorted(names[kind[v]] for v in around)
    assert written(names=names) == expected
    assert written(names={0: 'C', 1: 'N'}) == expected
    own = [f'v{v}' for v in range(data.num_nodes)]
    assert written(node_labels=own) == sorted(own[v] for v in around)
    numbers = torch.arange(data.num_nodes)
    assert written(node_labels=numbers) == sorted(map(str, around))
    whole = Data(x=kind.float().view(-1, 1), edge_index=data.edge_index)
    assert written(data=whole) == written()
    real = Data(x=torch.rand(data.num_nodes, 3), edge_index=data.edge_index)
    assert written(data=real) == [''] * len(around)
    none = Data(edge_index=data.edge_index, num_nodes=data.num_nodes)
    assert written(data=none) == [''] * len(around)


def test_a_label_has_one_colour():
    toy = ToyMolecules(1)
    _, ax = plot_computation_tree(toy[0], 2, 2, names=toy.atom_types)
    text = nodes(ax)
    paint = {}
    for patch in ax.patches:
        if patch.get_gid() == 'node':
            place = tuple(round(float(c), 6) for c in patch.center)
            paint.setdefault(text[place], set()).add(patch.get_facecolor())
    assert len(paint) > 1
    assert all(len(colours) == 1 for colours in paint.values())
    assert len(set.union(*paint.values())) == len(paint)


def test_labels_of_nodes_are_no_hindrance():
    data = random_graph()
    data.y = torch.arange(data.num_nodes)
    plot_computation_tree(data, 0, node_labels=data.y)


def test_errors():
    data = random_graph(connected=True)
    size = tree_size(trees_of(data, 4)[0])
    with pytest.raises(ValueError, match=rf'got 20, and {size} nodes'):
        plot_computation_tree(data, 0, 4, max_nodes=20)
    hub = cycle(30)
    hub.edge_index = torch.cartesian_prod(*[torch.arange(30)] * 2).t()
    with pytest.raises(ValueError, match='max_nodes'):
        plot_computation_tree(hub, 0, 12)
    with pytest.raises(ValueError, match=r"'root' must be a node .* 0 to 11"):
        plot_computation_tree(data, 12)
    for root in (True, 1.0, torch.tensor([1, 2])):
        with pytest.raises(TypeError, match="'root' must be the number of"):
            plot_computation_tree(data, root)
    with pytest.raises(ValueError, match=r"got 2 for 12 nodes.*'names'"):
        plot_computation_tree(data, 0, node_labels=['C', 'N'])
    with pytest.raises(ValueError, match="'names' must hold the name of"):
        plot_computation_tree(data, 0, names=['C'])
    bare = Data(edge_index=data.edge_index, num_nodes=12)
    with pytest.raises(ValueError, match='for nodes without labels'):
        plot_computation_tree(bare, 0, names=['C', 'N'])
    with pytest.raises(TypeError, match="'node_labels' must hold one label"):
        plot_computation_tree(data, 0, node_labels='C')
    data.pos = torch.rand(12, 2)
    with pytest.raises(ValueError, match="got also 'pos'"):
        plot_computation_tree(data, 0)
    assert not plt.get_fignums()
