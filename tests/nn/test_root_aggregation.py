import copy

import pytest
import torch
from torch.nn import Linear
from torch_geometric.nn import MLP, aggr

from pyg_distill.nn import RootAggregation
from tests.nn.mini_batches import FORMS, long_form

# Of 7 embeddings, 4 are roots, which stand for 11 nodes of 2 graphs.
BATCH = torch.tensor([0, 0, 0, 1, 1, 1, 1])
PTR = torch.tensor([0, 3, 7])
ROOT = torch.tensor([6, 0, 4, 2])
COUNT = torch.tensor([5, 1, 2, 3])
ROOTS = {'root_index': ROOT, 'root_count': COUNT}
NODE = torch.tensor([0, 2, 2, 2, 6, 6, 6, 6, 6, 4, 4])
NODE_BATCH = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1])

# Not all weights are drawn anew by `reset_parameters`.
torch.manual_seed(0)
DEGREES = torch.tensor([0, 1, 2, 3])
ATTENTION = {'in_channels': 4, 'out_channels': 4, 'num_heads': 2}
AGGREGATIONS = [
    aggr.SumAggregation(),
    aggr.MeanAggregation(),
    aggr.MaxAggregation(),
    aggr.MinAggregation(),
    aggr.MulAggregation(),
    aggr.VarAggregation(),
    aggr.StdAggregation(),
    aggr.SoftmaxAggregation(t=0.5),
    aggr.SoftmaxAggregation(learn=True, channels=4),
    aggr.PowerMeanAggregation(p=2.0),
    aggr.PowerMeanAggregation(learn=True, channels=4),
    aggr.MedianAggregation(),
    aggr.QuantileAggregation([0.25, 0.5, 0.9]),
    aggr.SortAggregation(k=6),
    aggr.Set2Set(4, processing_steps=2),
    aggr.DeepSetsAggregation(MLP([4, 8], norm=None), MLP([8, 3], norm=None)),
    aggr.AttentionalAggregation(Linear(4, 1), Linear(4, 3)),
    aggr.VariancePreservingAggregation(),
    aggr.GraphMultisetTransformer(4, k=2, heads=2),
    aggr.SetTransformerAggregation(4, num_seed_points=2, heads=2),
    aggr.DegreeScalerAggregation(
        ['mean', 'std'], ['identity', 'amplification'], DEGREES
    ),
    aggr.MultiAggregation(['sum', 'mean', 'median', 'std']),
    aggr.MultiAggregation(['sum', 'max'], mode='attn', mode_kwargs=ATTENTION),
]
NAMES = [f'{i}-{type(a).__name__}' for i, a in enumerate(AGGREGATIONS)]

each_aggregation = pytest.mark.parametrize('inner', AGGREGATIONS, ids=NAMES)


@pytest.fixture
def x():
    return torch.rand(7, 4) + 0.1


def assert_close(out, want):
    torch.testing.assert_close(out, want, rtol=1e-5, atol=1e-6)


@each_aggregation
def test_root_aggregation(inner, x):
    readout = RootAggregation(copy.deepcopy(inner)).eval()
    readout.reset_parameters()
    inner = readout.aggr
    want = inner(x[NODE], NODE_BATCH)
    for out in (
        readout(x, BATCH, **ROOTS),
        readout(x, ptr=PTR, **ROOTS),
        readout(x, BATCH, dim_size=2, dim=0, **ROOTS),
        readout.forward(x, BATCH, **ROOTS),
    ):
        assert_close(out, want)
    # Counts matter to all but these.
    if not isinstance(inner, aggr.MaxAggregation | aggr.MinAggregation):
        out = readout(x, BATCH, root_index=ROOT)
        assert float((out - want).detach().abs().max()) > 1e-4
    # On ordinary graphs nothing changes.
    assert torch.equal(readout(x, BATCH), inner(x, BATCH))


@each_aggregation
def test_batch_of_roots_that_repeat(inner, x):
    # The root 4 belongs to both graphs.
    readout = RootAggregation(inner).eval()
    node = torch.tensor([0, 4, 4, 2, 4, 4, 4])
    want = inner(x[node], torch.tensor([0, 0, 0, 0, 1, 1, 1]))
    roots = {
        'root_index': torch.tensor([4, 0, 4, 2]),
        'root_count': torch.tensor([3, 1, 2, 1]),
        'root_index_batch': torch.tensor([1, 0, 0, 0]),
    }
    for out in (
        readout(x, **roots),
        readout(x, None, dim_size=2, **roots),
        readout(x, BATCH, **roots),
        readout(x, ptr=PTR, **roots),
    ):
        assert_close(out, want)
    # The last graph is empty.
    if not isinstance(inner, aggr.DegreeScalerAggregation):
        out = readout(x, dim_size=3, **roots)
        assert out.size(0) == 3
        assert_close(out[:2], want)


@pytest.mark.parametrize('name', ['sum', 'mean', 'max', 'median', 'std'])
@pytest.mark.parametrize('form', FORMS)
def test_mini_batches(form, name):
    data = FORMS[form]()
    x = torch.randn(data.num_nodes, 3)
    readout = RootAggregation(name)
    out = readout(x, data)
    assert out.size(0) == getattr(data, 'num_graphs', 1)
    want = readout(x, data.get('batch'), **long_form(data, 'dim_size'))
    assert torch.equal(out, want)
    assert torch.equal(readout(x, index=data), want)
    with pytest.raises(ValueError, match=f'{data.num_nodes} nodes'):
        readout(x[1:], data)


@pytest.mark.slow
@pytest.mark.parametrize('form', ['TreeSetBatch'])
def test_compiles_without_breaks(form):
    torch.compiler.reset()
    data = FORMS[form]()
    x = torch.randn(data.num_nodes, 3)
    readout = RootAggregation('mean')
    call = torch.compile(readout, fullgraph=True, backend='aot_eager')
    want = readout(x, data)
    assert_close(call(x, data), want)
    assert_close(
        call(x, data.get('batch'), **long_form(data, 'dim_size')), want
    )


@pytest.mark.parametrize('name', ['sum', 'median', ['mean', 'std']])
def test_graphs_without_roots(name, x):
    # The last graph but one has nodes and no roots, the last one neither.
    readout = RootAggregation(name)
    roots = {'root_index': torch.tensor([0, 1]), 'root_count': COUNT[2:]}
    want = readout.aggr(x[[0, 0, 1, 1, 1]])
    for out, num_graphs in [
        (readout(x, BATCH, **roots), 2),
        (readout(x, BATCH, dim_size=3, **roots), 3),
        (readout(x, ptr=torch.tensor([0, 3, 7, 7]), **roots), 3),
    ]:
        assert out.size(0) == num_graphs
        torch.testing.assert_close(out[:1], want)


def test_wrong_dimension(x):
    readout = RootAggregation('sum')
    with pytest.raises(ValueError, match=r'pools the rows .* dim=-1'):
        readout(x, BATCH, dim=-1, root_index=ROOT)
    with pytest.raises(ValueError, match=r'got 3 dimensions'):
        readout(x.view(7, 2, 2), BATCH, root_index=ROOT)
