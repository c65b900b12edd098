"""Features of nodes that are not those that the teacher saw."""

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import SAGEConv

from pyg_distill.nn import Distiller, TeacherCache
from tests.nn.distiller.batches import BATCHES, batch_of, loader, sage, step
from tests.nn.distiller.models import graph


@pytest.mark.parametrize('source', ['inputs', 'loader'])
@pytest.mark.parametrize('scaled', [False, True])
def test_other_features(source, scaled):
    x, edge_index = graph()
    teacher = sage(16)
    message = r"'teacher' was cached for other node features .* transform"

    def change(x):
        # As `NormalizeFeatures` does, so that all rows have one sum.
        x = x.abs()
        return x / x.sum(1, keepdim=True) if scaled else x

    if source == 'inputs':
        cache = TeacherCache.from_inputs(teacher, (change(x), edge_index))
    else:
        batches = loader()
        for batch in batches:
            batch.x = change(batch.x)
        cache = TeacherCache.from_loader(teacher, batches)
    batch = batch_of(BATCHES[1])
    batch.x = change(batch.x)
    step(cache, batch)
    dropped = batch.clone()
    dropped.x = batch.x.clone()
    dropped.x[2, 1] = 0.0
    with pytest.raises(ValueError, match=message):
        step(cache, dropped)
    swapped = batch.clone()
    swapped.n_id = batch.n_id[[1, 0, *range(2, batch.num_nodes)]]
    with pytest.raises(ValueError, match=message):
        step(cache, swapped)
    scaled_up = batch.clone()
    scaled_up.x = batch.x * 1.01
    with pytest.raises(ValueError, match=message):
        step(cache, scaled_up)
    # Scaled down, a difference is not overlooked.
    small_cache = TeacherCache.from_inputs(teacher, (x * 1e-6, edge_index))
    batch.x = x[batch.n_id] * 2e-6
    with pytest.raises(ValueError, match=message):
        step(small_cache, batch)
    batch.x = x[batch.n_id] * 1e-6
    step(small_cache, batch)


class Placed(torch.nn.Module):
    """Takes two matrices of nodes, and features of edges or none."""

    def __init__(self, channels):
        super().__init__()
        torch.manual_seed(channels)
        self.conv1 = SAGEConv(4, channels)
        self.conv2 = SAGEConv(channels, 5)

    def forward(self, pos, x, edge_index, edge_attr=None):
        x = self.conv1(x + pos.sum(-1, keepdim=True), edge_index).relu()
        return self.conv2(x, edge_index)


def test_other_inputs_than_features():
    # Edge features come first here, and are no node features.
    class Net(Placed):
        def forward(self, edge_attr, edge_index, x):
            return super().forward(x.new_zeros(len(x), 1), x, edge_index)

    x, edge_index = graph()
    attr = torch.randn(edge_index.size(1), 3)
    args = (attr, edge_index, x)
    cache = TeacherCache.from_inputs(Net(16), args)
    assert cache.row_sums.size() == (14, 1)
    distiller = Distiller.from_example(Net(8), cache, args).train()
    distiller(*args)
    distiller.loss(n_id=torch.arange(14))
    distiller(attr, edge_index, x + 0.1)
    with pytest.raises(ValueError, match='cached for other node features'):
        distiller.loss(n_id=torch.arange(14))


@pytest.mark.parametrize('source', ['inputs', 'loader'])
@pytest.mark.parametrize('ring', [False, True])
def test_every_matrix_of_nodes(source, ring):
    x, edge_index = graph()
    if ring:  # As many edges as nodes, whose features are told apart later.
        edge_index = torch.stack([torch.arange(14), torch.arange(14).roll(1)])
    pos = torch.randn(14, 3)
    whole = {'x': x, 'pos': pos, 'edge_index': edge_index}
    if ring:
        whole['edge_attr'] = torch.randn(14, 2)
    if source == 'inputs':
        cache = TeacherCache.from_inputs(Placed(16), whole)
    else:
        batch = Data(**whole, n_id=torch.arange(14), batch_size=14)
        cache = TeacherCache.from_loader(
            Placed(16), [batch], lambda b: {k: b[k] for k in whole}
        )
    distiller = Distiller.from_example(Placed(8), cache, whole).train()
    few = torch.tensor([3, 1, 8, 5])

    def run(n_id, pos, x, edge_index, **kwargs):
        # By other keywords and positions, the inputs are the same.
        distiller(pos, edge_index=edge_index, x=x, **kwargs)
        distiller.loss(n_id=n_id)

    edges = torch.tensor([[0, 1, 2], [1, 0, 3]])
    attr = {'edge_attr': torch.randn(3, 2)} if ring else {}
    run(few, pos[few], x[few], edges, **attr)
    wrong = [(pos[few] + 1, x[few] * 2)]
    if not ring:
        wrong += [(pos[few] + 1, x[few]), (pos[few], x[few] * 2)]
    for args in wrong:
        with pytest.raises(ValueError, match='other node features'):
            run(few, *args, edges, **attr)


def test_autocast():
    cache = TeacherCache.from_inputs(sage(16), graph())
    distiller = Distiller.from_example(sage(8), cache, graph()).train()
    batch = batch_of(BATCHES[1])
    with torch.autocast('cpu', torch.bfloat16):
        distiller(batch.x, batch.edge_index)
        distiller.loss(n_id=batch.n_id).backward()
        distiller(batch.x * 1.1, batch.edge_index)
        with pytest.raises(ValueError, match='other node features'):
            distiller.loss(n_id=batch.n_id)


def test_arrays_are_read_whole():
    import numpy as np

    from pyg_distill.nn.distiller.inputs import Fingerprint

    values = np.zeros(5000)
    found = Fingerprint((values,), {})
    assert found.matches((values.copy(),), {})
    values[2500] = 1.0
    assert not found.matches((values,), {})
