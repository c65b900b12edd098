import copy
import pickle

import pytest
import torch
from torch_geometric.nn import MLP
from torch_geometric.nn.aggr import (
    AttentionalAggregation,
    DeepSetsAggregation,
    DegreeScalerAggregation,
    EquilibriumAggregation,
    GraphMultisetTransformer,
    MaxAggregation,
    MeanAggregation,
    MedianAggregation,
    MinAggregation,
    MulAggregation,
    MultiAggregation,
    PowerMeanAggregation,
    QuantileAggregation,
    Set2Set,
    SetTransformerAggregation,
    SoftmaxAggregation,
    SortAggregation,
    StdAggregation,
    SumAggregation,
    VarAggregation,
    VariancePreservingAggregation,
)

from pyg_distill.nn import RootAggregation

# Of 7 embeddings, 4 are roots, which stand for 11 nodes of 2 graphs.
BATCH = torch.tensor([0, 0, 0, 1, 1, 1, 1])
ROOT = torch.tensor([6, 0, 4, 2])
COUNT = torch.tensor([5, 1, 2, 3])
NODE = torch.tensor([0, 2, 2, 2, 6, 6, 6, 6, 6, 4, 4])
NODE_BATCH = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1])

# Not all weights are drawn anew by `reset_parameters`.
torch.manual_seed(0)
AGGREGATIONS = [
    SumAggregation(),
    MeanAggregation(),
    MaxAggregation(),
    MinAggregation(),
    MulAggregation(),
    VarAggregation(),
    StdAggregation(),
    SoftmaxAggregation(t=0.5),
    SoftmaxAggregation(learn=True, channels=4),
    PowerMeanAggregation(p=2.0),
    PowerMeanAggregation(learn=True, channels=4),
    MedianAggregation(),
    QuantileAggregation([0.25, 0.5, 0.9]),
    SortAggregation(k=6),
    Set2Set(4, processing_steps=2),
    DeepSetsAggregation(MLP([4, 8], norm=None), MLP([8, 3], norm=None)),
    AttentionalAggregation(torch.nn.Linear(4, 1), torch.nn.Linear(4, 3)),
    VariancePreservingAggregation(),
    GraphMultisetTransformer(4, k=2, heads=2),
    SetTransformerAggregation(4, num_seed_points=2, heads=2),
    DegreeScalerAggregation(
        ['mean', 'std'],
        ['identity', 'amplification'],
        deg=torch.tensor([0, 1, 2, 3]),
    ),
    MultiAggregation(['sum', 'mean', 'median', 'std']),
    MultiAggregation(
        ['sum', 'max'],
        mode='attn',
        mode_kwargs={
            'in_channels': 4,
            'out_channels': 4,
            'num_heads': 2,
        },
    ),
]
NAMES = [f'{i}-{type(aggr).__name__}' for i, aggr in enumerate(AGGREGATIONS)]


@pytest.fixture
def x():
    return torch.rand(7, 4) + 0.1


@pytest.mark.parametrize('aggr', AGGREGATIONS, ids=NAMES)
def test_root_aggregation(aggr, x):
    readout = RootAggregation(copy.deepcopy(aggr)).eval()
    readout.reset_parameters()
    aggr = readout.aggr
    want = aggr(x[NODE], NODE_BATCH)
    args = {'root_index': ROOT, 'root_count': COUNT}
    ptr = torch.tensor([0, 3, 7])
    for out in (
        readout(x, BATCH, **args),
        readout(x, ptr=ptr, **args),
        readout(x, BATCH, dim_size=2, dim=0, **args),
    ):
        torch.testing.assert_close(out, want, rtol=1e-5, atol=1e-6)
    # Counts matter to all but these.
    if not isinstance(aggr, MaxAggregation | MinAggregation):
        out = readout(x, BATCH, root_index=ROOT)
        assert float((out - want).detach().abs().max()) > 1e-4
    # On ordinary graphs nothing changes.
    assert torch.equal(readout(x, BATCH), aggr(x, BATCH))


def test_equilibrium_aggregation(x):
    aggr = EquilibriumAggregation(4, 3, [8], grad_iter=2)
    out = RootAggregation(aggr)(x, BATCH, root_index=ROOT, root_count=COUNT)
    want = aggr(x[NODE], NODE_BATCH)
    torch.testing.assert_close(out, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('name', ['sum', 'mean', 'median', 'std'])
def test_one_graph(name, x):
    readout = RootAggregation(name)
    out = readout(x, root_index=ROOT, root_count=COUNT)
    torch.testing.assert_close(out, readout.aggr(x[NODE]))
    assert torch.equal(readout(x), readout.aggr(x))


@pytest.mark.parametrize('name', ['sum', 'median', ['mean', 'std']])
def test_graphs_without_roots(name, x):
    # The last graph but one has nodes and no roots, the last one neither.
    readout = RootAggregation(name)
    root, count = torch.tensor([0, 1]), torch.tensor([2, 1])
    want = readout.aggr(x[[0, 0, 1]])
    for out, num_graphs in [
        (readout(x, BATCH, root_index=root, root_count=count), 2),
        (readout(x, BATCH, dim_size=3, root_index=root, root_count=count), 3),
        (
            readout(
                x,
                ptr=torch.tensor([0, 3, 7, 7]),
                root_index=root,
                root_count=count,
            ),
            3,
        ),
    ]:
        assert out.size(0) == num_graphs
        torch.testing.assert_close(out[:1], want)


def test_resolved_by_name():
    assert isinstance(RootAggregation('add').aggr, SumAggregation)
    assert isinstance(RootAggregation('softmax').aggr, SoftmaxAggregation)
    readout = RootAggregation('powermean', {'p': 3.0})
    assert readout.aggr.p == 3.0
    readout = RootAggregation(['sum', 'median'])
    assert isinstance(readout.aggr, MultiAggregation)
    with pytest.raises(ValueError, match='Could not resolve'):
        RootAggregation('unheard of')


def test_repr():
    assert str(RootAggregation('mean')) == 'RootAggregation(MeanAggregation())'
    assert str(RootAggregation(QuantileAggregation([0.5]))) == (
        'RootAggregation(QuantileAggregation(q=[0.5]))'
    )


def test_parameters(x):
    aggr = AttentionalAggregation(torch.nn.Linear(4, 1))
    readout = RootAggregation(aggr)
    assert list(readout.state_dict()) == [
        'aggr.gate_nn.weight',
        'aggr.gate_nn.bias',
    ]
    other = pickle.loads(pickle.dumps(readout))
    args = {'root_index': ROOT, 'root_count': COUNT}
    assert torch.equal(other(x, BATCH, **args), readout(x, BATCH, **args))
    before = aggr.gate_nn.weight.clone()
    readout.reset_parameters()
    assert not torch.equal(aggr.gate_nn.weight, before)


@pytest.mark.parametrize('name', ['sum', 'max', 'median'])
def test_wrong_root_count(name, x):
    with pytest.raises(ValueError, match=r"'root_count' .* for 4 roots"):
        RootAggregation(name)(x, BATCH, root_index=ROOT, root_count=COUNT[:3])


def test_wrong_dimension(x):
    readout = RootAggregation('sum')
    with pytest.raises(ValueError, match=r'pools the rows .* dim=-1'):
        readout(x, BATCH, dim=-1, root_index=ROOT)
    with pytest.raises(ValueError, match=r'got 3 dimensions'):
        readout(x.view(7, 2, 2), BATCH, root_index=ROOT)


@pytest.mark.parametrize('aggr', AGGREGATIONS, ids=NAMES)
def test_batch_of_roots_that_repeat(aggr, x):
    # The root 4 belongs to both graphs.
    readout = RootAggregation(aggr).eval()
    node = torch.tensor([0, 4, 4, 2, 4, 4, 4])
    want = aggr(x[node], torch.tensor([0, 0, 0, 0, 1, 1, 1]))
    args = {
        'root_index': torch.tensor([4, 0, 4, 2]),
        'root_count': torch.tensor([3, 1, 2, 1]),
        'root_index_batch': torch.tensor([1, 0, 0, 0]),
    }
    for out in (
        readout(x, **args),
        readout(x, None, dim_size=2, **args),
        readout(x, BATCH, **args),
        readout(x, ptr=torch.tensor([0, 3, 7]), **args),
    ):
        torch.testing.assert_close(out, want, rtol=1e-5, atol=1e-6)
    # The last graph is empty.
    if not isinstance(aggr, DegreeScalerAggregation):
        out = readout(x, dim_size=3, **args)
        assert out.size(0) == 3
        torch.testing.assert_close(out[:2], want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('name', ['sum', 'median'])
def test_no_batch_of_many_graphs(name, x):
    readout = RootAggregation(name)
    with pytest.raises(ValueError, match=r'roots of 2 graphs'):
        readout(x, None, dim_size=2, root_index=ROOT, root_count=COUNT)
    for root in (ROOT[:2], None):
        with pytest.raises(ValueError, match=r"'root_index_batch' must have"):
            readout(x, root_index=root, root_index_batch=BATCH[ROOT])
