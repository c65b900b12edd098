import pytest
import torch
from torch_geometric.nn import (
    global_add_pool,
    global_max_pool,
    global_mean_pool,
)

from pyg_distill.nn import global_root_pool
from tests.oracles import pool

BATCH = torch.tensor([0, 0, 0, 1, 1, 1, 1])
ROOT = torch.tensor([2, 0, 4, 6])
COUNT = torch.tensor([3, 1, 2, 5])
REDUCE = ['sum', 'add', 'mean', 'max', 'min']


@pytest.mark.parametrize('reduce', REDUCE)
@pytest.mark.parametrize('counted', [True, False])
def test_global_root_pool(reduce, counted):
    x = torch.randn(7, 4) - 2.0
    count = COUNT if counted else None
    out = global_root_pool(x, BATCH, ROOT, count, reduce=reduce)
    want = pool(
        x,
        BATCH.tolist(),
        ROOT.tolist(),
        COUNT.tolist() if counted else [1] * 4,
        2,
        reduce,
    )
    assert out.dtype == x.dtype
    torch.testing.assert_close(out.double(), want, rtol=1e-6, atol=1e-6)


def test_by_hand():
    x = torch.tensor([[1.0], [10.0], [3.0]])
    root, count = torch.tensor([0, 2]), torch.tensor([3, 1])
    out = {
        reduce: global_root_pool(x, None, root, count, reduce=reduce).tolist()
        for reduce in REDUCE
    }
    assert out == {
        'sum': [[6.0]],
        'add': [[6.0]],
        'mean': [[1.5]],
        'max': [[3.0]],
        'min': [[1.0]],
    }
    assert global_root_pool(x, None, root).tolist() == [[4.0]]


@pytest.mark.parametrize('batch', [BATCH, None])
@pytest.mark.parametrize(
    ('reduce', 'plain'),
    [
        ('sum', global_add_pool),
        ('add', global_add_pool),
        ('mean', global_mean_pool),
        ('max', global_max_pool),
    ],
)
@pytest.mark.parametrize('size', [None, 3])
def test_without_roots(batch, reduce, plain, size):
    x = torch.randn(7, 4)
    out = global_root_pool(x, batch, size=size, reduce=reduce)
    want = plain(x, batch)
    assert torch.equal(out[: want.size(0)], want)
    if batch is not None:
        assert torch.equal(out, plain(x, batch, size))


@pytest.mark.parametrize('reduce', REDUCE)
def test_graphs_without_roots(reduce):
    # The last graph has nodes, but no roots; with `size`, not even nodes.
    x = torch.randn(7, 2)
    root, count = torch.tensor([0, 1]), torch.tensor([2, 1])
    out = global_root_pool(x, BATCH, root, count, reduce=reduce)
    assert out.size() == (2, 2)
    assert out[1].tolist() == [0.0, 0.0]
    out = global_root_pool(x, BATCH, root, count, size=4, reduce=reduce)
    assert out.size() == (4, 2)
    assert out[1:].tolist() == [[0.0, 0.0]] * 3
    none = torch.empty(0, dtype=torch.long)
    out = global_root_pool(x, BATCH, none, none, reduce=reduce)
    assert out.tolist() == [[0.0, 0.0]] * 2


@pytest.mark.parametrize('reduce', REDUCE)
def test_no_nodes(reduce):
    none = torch.empty(0, dtype=torch.long)
    for size, num_graphs in [(None, 0), (2, 2)]:
        out = global_root_pool(
            torch.empty(0, 3), none, none, none, size, reduce
        )
        assert out.tolist() == [[0.0] * 3] * num_graphs


def test_more_dimensions():
    x = torch.randn(7, 3, 2)
    for reduce in REDUCE:
        out = global_root_pool(x, BATCH, ROOT, COUNT, reduce=reduce)
        flat = global_root_pool(x.view(7, 6), BATCH, ROOT, COUNT, reduce=reduce)
        assert torch.equal(out.view(2, 6), flat)
    out = global_root_pool(x[:, 0, 0], BATCH, ROOT, COUNT)
    assert out.size() == (2,)


@pytest.mark.parametrize('reduce', REDUCE)
@pytest.mark.parametrize(
    'dtype', [torch.half, torch.bfloat16, torch.float, torch.double]
)
def test_dtypes(reduce, dtype):
    x = torch.randint(-4, 5, (7, 2)).to(dtype)
    out = global_root_pool(x, BATCH, ROOT, COUNT, reduce=reduce)
    want = pool(x, BATCH.tolist(), ROOT.tolist(), COUNT.tolist(), 2, reduce)
    assert out.dtype == dtype
    torch.testing.assert_close(out, want.to(dtype))


@pytest.mark.parametrize('reduce', REDUCE)
def test_gradients(reduce):
    x = torch.randn(7, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x: global_root_pool(x, BATCH, ROOT, COUNT, reduce=reduce), x
    )


def test_unknown_reduce():
    with pytest.raises(
        ValueError, match=r"'reduce' must be one of sum.*use 'RootAggregation'"
    ):
        global_root_pool(torch.ones(7, 1), BATCH, ROOT, COUNT, reduce='median')


def test_batch_of_the_roots():
    with pytest.raises(ValueError, match=r"'batch' must hold .* the 7 nodes"):
        global_root_pool(torch.ones(7, 1), BATCH[ROOT], ROOT, COUNT)
    with pytest.raises(ValueError, match=r"'batch' must hold .* the 7 nodes"):
        global_root_pool(torch.ones(7, 1), BATCH[:6])


@pytest.mark.parametrize('reduce', REDUCE)
def test_wrong_root_count(reduce):
    with pytest.raises(ValueError, match=r"'root_count' .* for 4 roots"):
        global_root_pool(
            torch.ones(7, 1), BATCH, ROOT, COUNT[:3], reduce=reduce
        )


@pytest.mark.parametrize('dtype', [torch.half, torch.bfloat16])
def test_many_halves(dtype):
    # Their sum, and even their number, is beyond the range of a half.
    x = torch.full((2, 3), 2.0, dtype=dtype)
    index, count = torch.tensor([0, 1]), torch.tensor([70_000, 70_000])
    out = global_root_pool(x, None, index, count, reduce='mean')
    assert out.dtype == dtype
    assert out.tolist() == [[2.0, 2.0, 2.0]]


def test_counts_are_whole():
    x, index = torch.ones(2, 3), torch.tensor([0, 1])
    with pytest.raises(ValueError, match=r'root_count.long\(\)'):
        global_root_pool(x, None, index, torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize('reduce', REDUCE)
@pytest.mark.parametrize('size', [None, 2, 4])
def test_batch_of_roots_that_repeat(reduce, size):
    # The root 4 belongs to both graphs.
    x = torch.randn(7, 4)
    root, count = torch.tensor([4, 0, 4]), torch.tensor([2, 1, 3])
    root_batch = torch.tensor([0, 0, 1])
    out = global_root_pool(
        x, None, root, count, size, reduce, root_index_batch=root_batch
    )
    parts = [
        pool(x, [0] * 7, r, c, 1, reduce)
        for r, c in [([4, 0], [2, 1]), ([4], [3])]
    ]
    want = torch.zeros(size or 2, 4).double()
    want[:2] = torch.cat(parts)
    torch.testing.assert_close(out.double(), want, rtol=1e-6, atol=1e-6)


def test_both_batches():
    # As by follow_batch=['root_index']. The last graph has no roots.
    x, root = torch.randn(7, 2), torch.tensor([0, 1])
    want = global_root_pool(x, BATCH, root)
    out = global_root_pool(x, BATCH, root, root_index_batch=BATCH[root])
    assert out.size() == (2, 2)
    assert torch.equal(out, want)


def test_no_batch_of_many_graphs():
    x = torch.ones(7, 1)
    with pytest.raises(
        ValueError, match=r'roots of 2 graphs .* root_index_batch=data\.get'
    ):
        global_root_pool(x, None, ROOT, COUNT, size=2)
    assert global_root_pool(x, None, ROOT, COUNT, size=1).tolist() == [[11.0]]
    for root in (ROOT[:3], None):
        with pytest.raises(
            ValueError, match=r"'root_index_batch' must have one entry a root"
        ):
            global_root_pool(x, None, root, root_index_batch=BATCH[ROOT])
