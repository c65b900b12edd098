"""One compiled model serves mini-batches of all sizes."""

import pytest
import torch
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GIN

from pyg_distill.loader import TreeSetLoader
from pyg_distill.nn import global_root_pool
from pyg_distill.transforms import ToComputationTrees
from tests.graphs import random_graph


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gnn = GIN(2, 4, 1)

    def forward(self, x, edge_index, batch, index, count, of_root, size):
        x = self.gnn(x, edge_index)
        return global_root_pool(
            x, batch, index, count, size, root_index_batch=of_root
        )


def arguments(data):
    names = ('batch', 'root_index', 'root_count', 'root_index_batch')
    return data.x, data.edge_index, *map(data.get, names), data.num_graphs


@pytest.mark.parametrize('loader', [DataLoader, TreeSetLoader])
def test_one_graph_for_all_sizes(loader):
    torch.compiler.reset()
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    trees = [
        ToComputationTrees(2)(random_graph(num_nodes=n + 5, seed=n))
        for n in range(9)
    ]
    model = Net()
    options = {'dynamic': True, 'fullgraph': True, 'backend': backend}
    compiled = torch.compile(model, **options)
    sizes = set()
    for data in loader(trees, batch_size=3):
        inputs = arguments(data)
        torch.testing.assert_close(compiled(*inputs), model(*inputs))
        sizes.add(data.num_nodes)
    assert len(sizes) == 3
    assert len(graphs) == 1
