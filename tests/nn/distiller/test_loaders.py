"""Loaders that show a teacher all there is, and those that do not."""

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.loader import CachedLoader, PrefetchLoader
from torch_geometric.nn import (
    GraphNorm,
    HeteroConv,
    InstanceNorm,
    LayerNorm,
    PairNorm,
    SAGEConv,
    to_hetero,
)

from pyg_distill.nn import Distiller, KDLoss, TeacherCache
from tests.conftest import with_to_hetero, with_torch_sparse
from tests.nn.distiller.batches import loader, make_loader, sage
from tests.nn.distiller.models import (
    RELATIONS,
    Hetero,
    big,
    graph,
    hetero_graph,
)


@with_torch_sparse
def test_neighbor_loader():
    teacher, student = sage(16), sage(8)
    whole = TeacherCache.from_inputs(teacher, graph())
    cache = TeacherCache.from_loader(teacher, make_loader([-1, -1]))
    torch.testing.assert_close(cache.outputs, whole.outputs)
    for x, y in zip(cache.layers, whole.layers, strict=True):
        torch.testing.assert_close(x, y)
    losses = []
    for source in (cache, whole):
        torch.manual_seed(0)
        distiller = Distiller.from_example(student, source, graph()).train()
        torch.manual_seed(0)
        for batch in make_loader([2, 2], shuffle=True):
            out = distiller(batch.x, batch.edge_index)
            size = batch.batch_size
            loss = distiller.loss(batch_size=size, n_id=batch.n_id)
            losses.append(loss.detach())
            n_id = batch.n_id[:size]
            want = KDLoss()(whole.outputs[n_id], out[:size])
            torch.testing.assert_close(
                distiller.loss_dict()['kd'], want.detach()
            )
    torch.testing.assert_close(losses[:3], losses[3:])


@with_torch_sparse
def test_loaders_that_tell_half_the_truth():
    teacher = sage(16)
    message = r"'loader' must sample all neighbors.*got num_neighbors=\[-1, 3\]"
    with pytest.raises(
        ValueError, match=message + r'.*pass num_neighbors=\[-1, -1\]'
    ):
        TeacherCache.from_loader(teacher, make_loader([-1, 3]))
    message = r'must sample the 2 hops .*got 1\); pass num_neighbors=\[-1, -1\]'
    with pytest.raises(ValueError, match=message):
        TeacherCache.from_loader(teacher, make_loader([-1]))
    # Normalisation reads the neighbors' degrees.
    with pytest.raises(ValueError, match='sample the 4 hops'):
        TeacherCache.from_loader(big(), make_loader([-1, -1, -1]))
    loader = make_loader([-1, -1], transform=lambda batch: batch)
    with pytest.raises(ValueError, match='must not transform mini-batches'):
        TeacherCache.from_loader(teacher, loader)
    # The remedies work.
    whole = TeacherCache.from_inputs(big(), graph())
    cache = TeacherCache.from_loader(big(), make_loader([-1] * 4))
    torch.testing.assert_close(cache.outputs, whole.outputs)


@with_torch_sparse
@pytest.mark.parametrize(
    'split', [False, pytest.param(True, marks=with_to_hetero)]
)
def test_hops_of_node_types(split):
    data = hetero_graph()
    if split:
        teacher = to_hetero(sage(16), data.metadata()).eval()
    else:
        teacher = Hetero(16, 2)

    def load(num_neighbors):
        return make_loader(num_neighbors, data, input_nodes='paper')

    # Two layers of two relations are two hops, not four.
    cache = TeacherCache.from_loader(teacher, load([-1, -1]))
    whole = TeacherCache.from_inputs(
        teacher, (data.x_dict, data.edge_index_dict)
    )
    torch.testing.assert_close(cache.outputs['paper'], whole.outputs['paper'])
    assert set(cache.outputs) == {'paper'}
    with pytest.raises(ValueError, match='sample the 2 hops'):
        TeacherCache.from_loader(teacher, load([-1]))
    few = {RELATIONS[0]: [-1, -1], RELATIONS[1]: [-1, 1]}
    with pytest.raises(ValueError, match=r'got num_neighbors=\[-1, 1\]'):
        TeacherCache.from_loader(teacher, load(few))


def test_hops_of_relations():
    from pyg_distill.nn.distiller.depth import depth

    class Mixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = SAGEConv(4, 4)
            self.types = HeteroConv({r: SAGEConv(4, 4) for r in RELATIONS})
            self.more = torch.nn.ModuleDict(
                {'a': SAGEConv(4, 4), 'b': SAGEConv(4, 4)}
            )

    assert depth(Mixed()) == 4
    assert depth(big()) == 4
    assert depth(sage(8, 3)) == 3
    assert depth(torch.nn.Linear(2, 2)) == 0


def test_default_of_loaders():
    # Edge types that are not named have neighbors left out, too.
    from torch_geometric.sampler.base import NumNeighbors

    from pyg_distill.nn.distiller import loader_checks

    class Sampler:
        num_neighbors = NumNeighbors({RELATIONS[0]: [-1, -1]}, [2, 2])

    class Loader(loader_checks.NodeLoader):
        def __init__(self):
            self.__dict__ = {'node_sampler': Sampler(), 'transform': None}

    with pytest.raises(ValueError, match=r'got num_neighbors=\[2, 2\]'):
        loader_checks.check_loader(Loader(), Hetero(8, 2))


def test_loaders_of_something_else():
    x, edge_index = graph()
    data = Data(x=x, edge_index=edge_index)
    message = r"'loader' must give mini-batches with 'n_id' and 'batch_size'"
    with pytest.raises(ValueError, match=message):
        TeacherCache.from_loader(sage(16), [data])
    with pytest.raises(ValueError, match='at least one mini-batch'):
        TeacherCache.from_loader(sage(16), [])
    # Models that take something else.
    cache = TeacherCache.from_loader(
        sage(16),
        loader(),
        inputs=lambda b: {'x': b.x, 'edge_index': b.edge_index},
        dtype=torch.half,
    )
    assert cache.layers[0].dtype == torch.half
    want = TeacherCache.from_inputs(sage(16), graph())
    torch.testing.assert_close(cache.outputs, want.outputs[cache.n_id])


@pytest.mark.parametrize(
    ('norm', 'exact'),
    [
        (torch.nn.BatchNorm1d(16), True),
        (LayerNorm(16, mode='node'), True),
        (LayerNorm(16), False),
        (GraphNorm(16), False),
        (PairNorm(), False),
        (InstanceNorm(16), False),
        (InstanceNorm(16, track_running_stats=True), True),
    ],
)
def test_layers_that_read_the_mini_batch(norm, exact):
    teacher = sage(16)
    teacher.norms = torch.nn.ModuleList([norm, torch.nn.Identity()])
    if not exact:
        with pytest.raises(
            ValueError, match=r"got 'norms\.0', a .*; use Teach"
        ):
            TeacherCache.from_loader(teacher, loader())
        return
    cache = TeacherCache.from_loader(teacher, loader())
    whole = TeacherCache.from_inputs(teacher, graph())
    torch.testing.assert_close(cache.outputs, whole.outputs[cache.n_id])


class Tied(torch.nn.Module):
    """Calls one layer three times."""

    def __init__(self):
        super().__init__()
        self.conv = SAGEConv(4, 4)

    def forward(self, x, edge_index):
        for _ in range(3):
            x = self.conv(x, edge_index)
        return x


def test_hops_of_layers_that_are_called_again():
    from pyg_distill.nn.distiller.depth import counted

    teacher = Tied()
    with counted(teacher) as hops:
        teacher(*graph())
    assert hops() == 3
    assert not teacher.conv._forward_pre_hooks
    teacher = big()
    with counted(teacher) as hops:
        teacher(*graph())
    assert hops() == 4


@with_torch_sparse
def test_loaders_around_loaders():
    few, enough = make_loader([-1, 3]), make_loader([-1, -1])
    for wrap in (
        CachedLoader,
        lambda x: PrefetchLoader(x, torch.device('cpu')),
    ):
        with pytest.raises(ValueError, match='must sample all neighbors'):
            TeacherCache.from_loader(sage(16), wrap(few))
        cache = TeacherCache.from_loader(sage(16), wrap(enough))
        whole = TeacherCache.from_inputs(sage(16), graph())
        torch.testing.assert_close(cache.outputs, whole.outputs[cache.n_id])
    with pytest.raises(ValueError, match='sample the 3 hops'):
        TeacherCache.from_loader(Tied(), enough)
    TeacherCache.from_loader(Tied(), make_loader([-1] * 3))


def test_samplers_of_some_nodes():
    from pyg_distill.nn.distiller import loader_checks

    class Sampler:
        num_samples = (4, 4)

    class Loader(loader_checks.NodeLoader):
        def __init__(self):
            self.__dict__ = {'node_sampler': Sampler(), 'transform': None}

    with pytest.raises(ValueError, match=r'all neighbors.*got Sampler\)'):
        loader_checks.check_loader(Loader(), Hetero(8, 2))
