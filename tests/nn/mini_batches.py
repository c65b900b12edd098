"""The same graphs in every form that readouts take."""

import torch
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from pyg_distill.loader import TreeSetLoader
from pyg_distill.transforms import ToComputationTrees
from tests.graphs import random_graph

GRAPHS = [random_graph(num_nodes=n + 6, seed=n) for n in range(4)]


def tree(data, **kwargs):
    return ToComputationTrees(2, **kwargs)(data)


def whole(data):
    """Puts a graph into tree-set form: each node is a root, counted once."""
    index = torch.arange(data.num_nodes)
    return Data(
        **data.to_dict(), root_index=index, root_count=torch.ones_like(index)
    )


def without_x(data):
    num_nodes, values = data.num_nodes, data.to_dict()
    del values['x']
    return Data(**values, num_nodes=num_nodes)


def batch(form, **kwargs):
    return next(iter(DataLoader([*map(form, GRAPHS)], len(GRAPHS), **kwargs)))


def merged():
    return next(iter(TreeSetLoader(GRAPHS, len(GRAPHS), num_layers=2)))


FORMS = {
    'Data': lambda: GRAPHS[0],
    'Data, trees': lambda: tree(GRAPHS[0]),
    'Data, no x': lambda: without_x(tree(GRAPHS[0])),
    'Batch': lambda: Batch.from_data_list(GRAPHS),
    'Batch, trees': lambda: batch(tree),
    'Batch, whole': lambda: batch(whole),
    'Batch, followed': lambda: batch(tree, follow_batch=['root_index']),
    'TreeSetBatch': merged,
}


def long_form(data, size='size'):
    """The tensors to pass instead of a mini-batch, beside its `batch`."""
    names = ('root_index', 'root_count', 'root_index_batch')
    kwargs = {name: data.get(name) for name in names}
    return {**kwargs, size: getattr(data, 'num_graphs', 1)}
