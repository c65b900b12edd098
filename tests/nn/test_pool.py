import pytest
import torch
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.nn import (
    global_add_pool,
    global_max_pool,
    global_mean_pool,
)

from pyg_distill.nn import global_root_pool
from tests.nn.mini_batches import FORMS, GRAPHS, long_form, whole
from tests.oracles import pool

BATCH = torch.tensor([0, 0, 0, 1, 1, 1, 1])
ROOT = torch.tensor([2, 0, 4, 6])
COUNT = torch.tensor([3, 1, 2, 5])
ROOTS = {'root_index': ROOT, 'root_count': COUNT}
NONE = torch.empty(0, dtype=torch.long)
REDUCE = ['sum', 'add', 'mean', 'max', 'min']
PLAIN = {
    'sum': global_add_pool,
    'add': global_add_pool,
    'mean': global_mean_pool,
    'max': global_max_pool,
}

each_reduce = pytest.mark.parametrize('reduce', REDUCE)


def oracle(x, batch, root, count, size, reduce):
    lists = (v.tolist() for v in (batch, root, count))
    return pool(x, *lists, size, reduce)


def assert_close(out, want):
    torch.testing.assert_close(out.double(), want, rtol=1e-6, atol=1e-6)


@each_reduce
@pytest.mark.parametrize('count', [COUNT, None])
def test_global_root_pool(reduce, count):
    x = torch.randn(7, 4) - 2.0
    out = global_root_pool(x, BATCH, reduce, root_index=ROOT, root_count=count)
    count = torch.ones_like(ROOT) if count is None else count
    assert out.dtype == x.dtype
    assert_close(out, oracle(x, BATCH, ROOT, count, 2, reduce))


def test_by_hand():
    x = torch.tensor([[1.0], [10.0], [3.0]])
    root, count = torch.tensor([0, 2]), torch.tensor([3, 1])
    for reduce, want in zip(REDUCE, [6.0, 6.0, 1.5, 3.0, 1.0], strict=True):
        out = global_root_pool(
            x, None, reduce, root_index=root, root_count=count
        )
        assert out.tolist() == [[want]]
    assert global_root_pool(x, None, root_index=root).tolist() == [[4.0]]


@pytest.mark.parametrize('batch', [BATCH, None])
@pytest.mark.parametrize('reduce', PLAIN)
@pytest.mark.parametrize('size', [None, 3])
def test_without_roots(batch, reduce, size):
    x = torch.randn(7, 4)
    out = global_root_pool(x, batch, reduce, size=size)
    want = PLAIN[reduce](x, batch)
    assert torch.equal(out[: want.size(0)], want)
    if batch is not None:
        assert torch.equal(out, PLAIN[reduce](x, batch, size))


@each_reduce
def test_graphs_without_roots(reduce):
    # The last graph has nodes, but no roots; with `size`, not even nodes.
    x = torch.randn(7, 2)
    roots = {'root_index': torch.tensor([0, 1]), 'root_count': COUNT[:2]}
    for size in (None, 4):
        out = global_root_pool(x, BATCH, reduce, size=size, **roots)
        assert out.size() == (size or 2, 2)
        assert not out[1:].any()
    roots = {'root_index': NONE, 'root_count': NONE}
    out = global_root_pool(x, BATCH, reduce, **roots)
    assert out.tolist() == [[0.0, 0.0]] * 2
    for size in (None, 2):
        x = torch.empty(0, 3)
        out = global_root_pool(x, NONE, reduce, size=size, **roots)
        assert out.tolist() == [[0.0] * 3] * (size or 0)


@each_reduce
def test_more_dimensions(reduce):
    x = torch.randn(7, 3, 2)
    out = global_root_pool(x, BATCH, reduce, **ROOTS)
    flat = global_root_pool(x.view(7, 6), BATCH, reduce, **ROOTS)
    assert torch.equal(out.view(2, 6), flat)
    assert global_root_pool(x[:, 0, 0], BATCH, reduce, **ROOTS).size() == (2,)


@each_reduce
@pytest.mark.parametrize(
    'dtype', [torch.half, torch.bfloat16, torch.float, torch.double]
)
def test_dtypes(reduce, dtype):
    x = torch.randint(-4, 5, (7, 2)).to(dtype)
    out = global_root_pool(x, BATCH, reduce, **ROOTS)
    assert out.dtype == dtype
    want = oracle(x, BATCH, ROOT, COUNT, 2, reduce)
    torch.testing.assert_close(out, want.to(dtype))


@pytest.mark.parametrize('dtype', [torch.half, torch.bfloat16])
def test_many_halves(dtype):
    # Their sum, and even their number, is beyond the range of a half.
    x = torch.full((2, 3), 2.0, dtype=dtype)
    index, count = torch.tensor([0, 1]), torch.tensor([70_000, 70_000])
    out = global_root_pool(x, None, 'mean', root_index=index, root_count=count)
    assert out.dtype == dtype
    assert out.tolist() == [[2.0, 2.0, 2.0]]


@each_reduce
def test_gradients(reduce):
    x = torch.randn(7, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x: global_root_pool(x, BATCH, reduce, **ROOTS), x
    )


@each_reduce
@pytest.mark.parametrize('size', [None, 2, 4])
def test_batch_of_roots_that_repeat(reduce, size):
    # The root 4 belongs to both graphs.
    x = torch.randn(7, 4)
    out = global_root_pool(
        x,
        None,
        reduce,
        root_index=torch.tensor([4, 0, 4]),
        root_count=torch.tensor([2, 1, 3]),
        root_index_batch=torch.tensor([0, 0, 1]),
        size=size,
    )
    parts = [([4, 0], [2, 1]), ([4], [3])]
    want = torch.zeros(size or 2, 4).double()
    want[:2] = torch.cat([pool(x, [0] * 7, *p, 1, reduce) for p in parts])
    assert_close(out, want)


@each_reduce
@pytest.mark.parametrize('form', FORMS)
def test_both_forms(form, reduce):
    data = FORMS[form]()
    x = torch.randn(data.num_nodes, 3)
    out = global_root_pool(x, data, reduce)
    want = global_root_pool(x, data.get('batch'), reduce, **long_form(data))
    assert out.size(0) == getattr(data, 'num_graphs', 1)
    assert torch.equal(out, want)
    assert torch.equal(global_root_pool(x, data, reduce=reduce), want)


@pytest.mark.parametrize('reduce', PLAIN)
def test_whole_graph_in_tree_set_form(reduce):
    data = FORMS['Batch, whole']()
    x = torch.randn(data.num_nodes, 3)
    out = global_root_pool(x, data, reduce)
    assert torch.equal(out, PLAIN[reduce](x, data.batch))


def test_no_nodes_of_the_last_graph():
    empty = Data(x=torch.empty(0, 2), edge_index=NONE.view(1, 0).repeat(2, 1))
    for form in (lambda data: data, whole):
        data = Batch.from_data_list([*map(form, [*GRAPHS, empty])])
        assert global_root_pool(data.x, data).size(0) == 5


@pytest.mark.parametrize('form', FORMS)
def test_another_mini_batch(form):
    data = FORMS[form]()
    x = torch.randn(data.num_nodes + 1, 3)
    with pytest.raises(ValueError, match=f'{data.num_nodes} nodes.*mini-batch'):
        global_root_pool(x, data)


def test_no_other_arguments_beside_a_mini_batch():
    data = FORMS['Batch, trees']()
    for name, value in long_form(data).items():
        if value is not None:
            with pytest.raises(ValueError, match='read from the mini-batch'):
                global_root_pool(data.x, data, **{name: value})


@pytest.mark.parametrize('data', [HeteroData(), [0, 0], 2])
def test_other_types(data):
    with pytest.raises(TypeError, match=f"'Batch'.*{type(data).__name__}"):
        global_root_pool(torch.ones(2, 1), data)


def test_unknown_reduce():
    with pytest.raises(ValueError, match=r"'reduce'.*'RootAggregation'"):
        global_root_pool(torch.ones(7, 1), BATCH, 'median', **ROOTS)


def test_batch_of_the_roots():
    for batch, roots in [(BATCH[ROOT], ROOTS), (BATCH[:6], {})]:
        with pytest.raises(ValueError, match=r"'batch' .* the 7 nodes"):
            global_root_pool(torch.ones(7, 1), batch, **roots)


@each_reduce
def test_wrong_root_count(reduce):
    x, roots = torch.ones(7, 1), {'root_index': ROOT}
    with pytest.raises(ValueError, match=r"'root_count' .* for 4 roots"):
        global_root_pool(x, BATCH, reduce, root_count=COUNT[:3], **roots)
    with pytest.raises(ValueError, match=r'root_count.long\(\)'):
        global_root_pool(x, BATCH, 'sum', root_count=COUNT.float(), **roots)


def test_no_batch_of_many_graphs():
    x = torch.ones(7, 1)
    with pytest.raises(
        ValueError, match=r'roots of 2 graphs.*root_index_batch'
    ):
        global_root_pool(x, None, size=2, **ROOTS)
    assert global_root_pool(x, None, size=1, **ROOTS).tolist() == [[11.0]]
    for root in (ROOT[:3], None):
        with pytest.raises(ValueError, match=r"'root_index_batch' .* a root"):
            global_root_pool(
                x, None, root_index=root, root_index_batch=BATCH[ROOT]
            )


@pytest.mark.slow
@pytest.mark.parametrize('form', ['Batch, trees', 'Batch, whole'])
def test_compiles_without_breaks(form):
    torch.compiler.reset()
    data = FORMS[form]()
    x = torch.randn(data.num_nodes, 3)

    def long(x, batch, kwargs):
        return global_root_pool(x, batch, 'mean', **kwargs)

    def short(x, data):
        return global_root_pool(x, data, 'mean')

    for function, args in [
        (long, (x, data.get('batch'), long_form(data))),
        (short, (x, data)),
    ]:
        compiled = torch.compile(function, fullgraph=True, backend='aot_eager')
        torch.testing.assert_close(compiled(*args), short(x, data))
