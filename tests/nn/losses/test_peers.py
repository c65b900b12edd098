"""The losses of one pair of layers, against plain loops."""

import copy
import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from torch_geometric.nn import GCN
from torch_geometric.utils import subgraph, to_torch_csr_tensor

from pyg_distill.nn import (
    ATLoss,
    FitNetLoss,
    GCRDLoss,
    GSPLoss,
    LayerRecorder,
    LSPLoss,
)
from tests.conftest import with_torch_sparse
from tests.nn.distiller.models import (
    graph,
)
from tests.nn.losses import peer_oracles
from tests.nn.losses.helpers import PEERS, both, cora, each_peer, layers

WIDTHS = [4, 3, 5], [2, 3]
X, EDGE_INDEX = graph()
EDGES = torch.tensor([[0, 1, 2, 3, 3, 4, 4, 1], [1, 0, 1, 1, 3, 2, 2, 2]])
KERNELS = ['cosine', 'poly', 'l2', 'rbf']
SEEDS = st.integers(0, 100)


def build(name, *widths, **kwargs):
    torch.manual_seed(5)
    return PEERS[name](*(widths or WIDTHS), **kwargs)


def sides(num_nodes=14, dtype=torch.float, seed=0):
    return both(WIDTHS, num_nodes, dtype, seed=seed)


def call(loss, teacher, student, edge_index=EDGE_INDEX):
    context = {'edge_index': edge_index} if loss.needs_edges else {}
    return loss(teacher, student, **context)


def drawn(num_nodes, max_nodes, seed):
    """The nodes that a loss draws after this seed."""
    torch.manual_seed(seed)
    if max_nodes is None or num_nodes <= max_nodes:
        return None
    index = torch.randperm(num_nodes)[:max_nodes].tolist()
    torch.manual_seed(seed)
    return index


@each_peer
@pytest.mark.parametrize('positions', [(-1, -1), (-2, -1), (0, 1)])
def test_one_pair(name, positions):
    i, j = positions
    teacher, student = sides(dtype=torch.double)
    loss = build(name, teacher_layer=i, student_layer=j).double()
    pair = teacher[i], student[j]
    out = call(loss, teacher, student).item()
    want = peer_oracles.peer(loss, *pair, edges=EDGE_INDEX.t().tolist())
    assert out == pytest.approx(want, rel=1e-6, abs=1e-9)
    assert f'teacher_layer={i}, student_layer={j}' in repr(loss)
    target = loss.prepare(teacher)
    assert [x.size() for x in target.layers] == [pair[0].size()]
    assert call(loss, target, student).item() == out


@settings(max_examples=50)
@given(
    seed=SEEDS,
    num_nodes=st.integers(2, 9),
    max_nodes=st.none() | st.integers(2, 9),
    widths=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    projection=st.sampled_from(['both', 'student', None]),
    kernel=st.sampled_from(KERNELS),
    normalize=st.booleans(),
    reduction=st.sampled_from(['sum', 'mean']),
    temperature=st.floats(0.05, 2.0),
)
def test_against_loops(
    seed,
    num_nodes,
    max_nodes,
    widths,
    projection,
    kernel,
    normalize,
    reduction,
    temperature,
):
    t, s = both(([widths[0]], [widths[1]]), num_nodes, seed=seed)
    t, s = t[0], s[0]
    equal = torch.cat([s, s], 1)[:, : widths[0]].repeat(1, 4)[:, : widths[0]]
    y = equal if projection is None else s
    loss = FitNetLoss(
        [widths[0]],
        [y.size(1)],
        projection,
        hidden_channels=3,
        normalize=normalize,
        reduction=reduction,
    ).double()
    want = peer_oracles.fitnet(loss, t, y)
    assert loss([t], [y]).item() == pytest.approx(want, rel=1e-6, abs=1e-9)

    heads = projection and 'both'
    options = {
        'max_nodes': max_nodes,
        'projection': heads,
        'hidden_channels': 3,
    }
    for loss, oracle, y in [
        (GSPLoss([widths[0]], [widths[1]], kernel, **options), 'gsp', s),
        (
            GCRDLoss([widths[0]], [widths[0]], temperature, **options),
            'gcrd',
            equal,
        ),
    ]:
        loss = loss.double()
        nodes = drawn(num_nodes, max_nodes, seed)
        # Statistics of the heads are those of all nodes, drawn or not.
        want = getattr(peer_oracles, oracle)(loss, t, y, nodes)
        torch.manual_seed(seed)
        out = loss([t], [y]).item()
        assert out == pytest.approx(want, rel=1e-6, abs=1e-9)


@settings(max_examples=60)
@given(
    kernel=st.sampled_from(KERNELS),
    reduction=st.sampled_from(['node', 'edge']),
    divergence=st.sampled_from(['teacher', 'student']),
    edges=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=15
    ),
    seed=SEEDS,
)
def test_lsp_against_loops(kernel, reduction, divergence, edges, seed):
    t, s = layers([4, 3], seed=seed)
    options = {'reduction': reduction, 'divergence': divergence}
    edge_index = torch.tensor(edges, dtype=torch.long).view(-1, 2).t()
    loss = LSPLoss([4], [3], kernel, **options)
    out = loss([t], [s], edge_index=edge_index).item()
    want = peer_oracles.lsp(t, s, edges, kernel, reduction, divergence)
    assert out == pytest.approx(want, rel=1e-6, abs=1e-9)


@settings(max_examples=40)
@given(
    reduction=st.sampled_from(['sum', 'mean', 'norm']),
    batch=st.none() | st.lists(st.integers(0, 3), min_size=1, max_size=9),
    seed=SEEDS,
)
def test_at_against_loops(reduction, batch, seed):
    t, s = layers([4, 2], 5 if batch is None else len(batch), seed=seed)
    loss = ATLoss([4], [2], reduction, per_graph=batch is not None)
    assert loss.needs_batch == (batch is not None)
    args = () if batch is None else (torch.tensor(batch), 5)
    size = None if batch is None else 5
    want = peer_oracles.at(t, s, reduction, batch, size)
    out = loss([t], [s], *args).item()
    assert out == pytest.approx(want, rel=1e-6, abs=1e-9)
    if batch is not None:
        # Graphs without nodes do not count.
        other = loss([t], [s], 2 * args[0] + 1, 9).item()
        assert other == pytest.approx(out)


@settings(max_examples=30)
@given(name=st.sampled_from(['at', 'lsp', 'gsp', 'gcrd']), seed=SEEDS)
def test_what_does_not_matter(name, seed):
    t, s = layers([3, 3], seed=seed)
    options = {'projection': None} if name == 'gcrd' else {}
    loss = PEERS[name].func if hasattr(PEERS[name], 'func') else PEERS[name]
    loss = loss([3], [3], **options)
    edges = EDGES
    want = call(loss, [t], [s], edges)
    assert want > 0
    order = torch.randperm(6)
    renamed = order.argsort()[edges][:, torch.randperm(edges.size(1))]
    assert_close(call(loss, [t[order]], [s[order]], renamed), want)
    rotation = torch.linalg.qr(layers([3], 3, seed=seed + 1)[0])[0]
    assert_close(call(loss, [t @ rotation], [s @ rotation], edges), want)
    assert_close(call(loss, [7 * t], [s / 9], edges), want)
    if name != 'gcrd':
        assert_close(call(loss, [t], [s @ rotation], edges), want)
        assert call(loss, [t], [t.clone()], edges) == 0
        # Widths may differ, and empty channels do not count.
        wide = torch.cat([s, 0 * s], dim=1)
        assert_close(call(type(loss)([3], [6]), [t], [wide], edges), want)


# What is special in each of them.


def test_fitnet_paper_regresses_on_raw_features():
    t, s = layers([4, 3], 50)
    loss = FitNetLoss.paper([4], [3]).double()
    assert [tuple(p.size()) for p in loss.parameters()] == [(4, 3), (4,)]
    bias = loss.regressors[0].bias
    want = 0.5 * (10 * t - bias).square().sum(dim=1).mean()
    assert_close(loss([10 * t], [0 * s]), want)
    weight = torch.randn(3, 4, dtype=torch.double)
    with torch.no_grad():
        loss.regressors[0].weight.copy_(weight.t())
        bias.fill_(2.0)
    assert loss([s @ weight + 2.0], [s]).item() == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize('reduction', ['sum', 'mean', 'norm'])
def test_at_of_equal_maps(reduction):
    (t,) = layers([3])
    s = (-t).requires_grad_()
    out = ATLoss([3], [3], reduction)([t], [s])
    out.backward()
    assert out.item() == 0
    assert (s.grad == 0).all()


def test_at_of_graphs_and_sizes():
    t, s = layers([4, 3], 7)
    batch = torch.tensor([0, 0, 0, 1, 1, 1, 1])
    loss = ATLoss([4], [3])
    each = [loss([t[i]], [s[i]]) for i in (slice(0, 3), slice(3, 7))]
    per_graph = ATLoss([4], [3], per_graph=True)
    assert_close(per_graph([t], [s], batch), torch.stack(each).mean())
    assert loss([t], [s], batch) != per_graph([t], [s], batch)
    with pytest.raises(ValueError, match=r"^'batch' must hold the graph"):
        per_graph([t], [s])
    # The mean vanishes with the number of nodes.
    few, many = layers([4, 3], 10), layers([4, 3], 1000)
    for reduction, low, high in [('sum', 0.3, 9.0), ('mean', 0.0, 0.05)]:
        loss = ATLoss([4], [3], reduction)
        ratio = loss([many[0]], [many[1]]) / loss([few[0]], [few[1]])
        assert low <= ratio < high
    # Squares of squares stay in range.
    want = ATLoss([4], [3])([t], [s]).float()
    for scale in (1e-12, 1e15):
        x = (scale * s).float().requires_grad_()
        out = ATLoss([4], [3])([t.float() / scale], [x])
        out.backward()
        assert_close(out, want)
        assert x.grad.isfinite().all()


def test_lsp_divisors_and_direction():
    t, s = layers([4, 3], 5)
    value = LSPLoss([4], [3])([t], [s], edge_index=EDGES)
    edge = LSPLoss([4], [3], reduction='edge')([t], [s], edge_index=EDGES)
    assert_close(edge * 8 / 5, value)
    # Neighbors are where edges come from.
    flipped = LSPLoss([4], [3])([t], [s], edge_index=EDGES.flip(0))
    assert abs(flipped - value) > 1e-3
    # A single neighbor tells nothing.
    one_each = torch.stack([torch.randperm(5), torch.arange(5)])
    assert LSPLoss([4], [3])([t], [s], edge_index=one_each) == 0
    # Probabilities may be next to nothing.
    x = (1e4 * s).float().requires_grad_()
    loss = LSPLoss([4], [3], 'l2')
    out = loss([1e4 * t.float()], [x], edge_index=EDGES)
    out.backward()
    assert 100 < out < math.inf
    assert x.grad.isfinite().all()
    for num_edges, reduction in product([0, 3], ['node', 'edge']):
        y = s.clone().requires_grad_()
        loss = LSPLoss([4], [3], reduction=reduction)
        out = loss([t], [y], edge_index=EDGES[:, :num_edges])
        out.backward()
        assert (out == 0) == (num_edges == 0)
        assert y.grad.isfinite().all()


def test_lsp_sparse_matrices():
    t, s = layers([4, 3], 5)
    loss = LSPLoss([4], [3])
    edge_index = EDGES.unique(dim=1)
    want = loss([t], [s], edge_index=edge_index)
    # Transposed, as convolutions take them.
    adj_t = to_torch_csr_tensor(edge_index.flip(0), size=(5, 5))
    for layout in (torch.sparse_csr, torch.sparse_coo, torch.sparse_csc):
        adj_t = adj_t.to_sparse(layout=layout)
        assert_close(loss([t], [s], edge_index=adj_t), want)
    assert_close(loss([t], [s], edge_index=edge_index.int()), want)


@with_torch_sparse
def test_lsp_torch_sparse():
    from torch_sparse import SparseTensor

    t, s = layers([4, 3], 5)
    adj_t = SparseTensor.from_edge_index(EDGES.flip(0), sparse_sizes=(5, 5))
    values = [LSPLoss([4], [3])([t], [s], edge_index=x) for x in (adj_t, EDGES)]
    assert_close(*values)


@pytest.mark.parametrize(
    ('edge_index', 'match'),
    [
        (None, 'None'),
        ([[0], [1]], 'list'),
        (EDGES.t(), r'torch.int64 of shape \[8, 2\]'),
        (EDGES.float(), r'torch.float32 of shape \[2, 8\]'),
        (EDGES + 1, 'rows from 0 to 4 .*1 to 5'),
        (EDGES - 1, 'rows from 0 to 4 .*-1 to 3'),
        (torch.eye(6).to_sparse(), r'\[5, 5\].*\[6, 6\]'),
    ],
)
def test_bad_edges(edge_index, match):
    t, s = layers([4, 3], 5)
    with pytest.raises(ValueError, match=f"^'edge_index' must .*{match}"):
        LSPLoss([4], [3])([t], [s], edge_index=edge_index)


def test_gsp_close_to_the_teacher():
    """The difference is not lost in the sums of squares."""
    t, move = layers([8, 8], 300)
    t, s = t.float(), (t + 1e-4 * move).float().requires_grad_()
    x, y = (F.normalize(z.double()) for z in (t, s))
    want = (x @ x.t() - y @ y.t()).square().mean()
    out = GSPLoss([8], [8])([t], [s])
    assert out.item() == pytest.approx(want.item(), rel=1e-3)
    (grad,), (expected,) = (torch.autograd.grad(v, s) for v in (out, want))
    assert_close(grad, expected, rtol=1e-2, atol=1e-3 * expected.abs().max())


def test_gsp_needs_no_matrix_of_all_pairs():
    t, s = layers([4, 2], 200_000, torch.float)
    # Which would take 160 GB.
    out = GSPLoss([4], [2], max_nodes=None)([t], [s.requires_grad_()])
    out.backward()
    part = GSPLoss([4], [2], max_nodes=20_000)([t], [s])
    assert_close(out, part, rtol=0.05, atol=0.0)


@pytest.mark.parametrize('cls', [GSPLoss, GCRDLoss])
def test_nodes_are_drawn_anew_and_by_seed(cls):
    t, s = layers([4, 3], 9)
    loss = cls([4], [3], max_nodes=4).double()
    values = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        values.append((loss([t], [s]).item(), loss([t], [s]).item()))
    assert values[0] == values[1] != values[2]
    assert values[0][0] != values[0][1]


def test_gcrd_by_hand():
    # Teachers at right angles, each found or all alike.
    t = torch.eye(5, dtype=torch.double)
    loss = GCRDLoss([5], [5], 0.01, projection=None)
    assert loss([t], [3 * t]) < 1e-9
    assert loss([t], [t.roll(1, 0)]).item() == pytest.approx(100, rel=1e-4)
    same = loss([t.new_ones(5, 5)], [t])
    assert same.item() == pytest.approx(math.log(5))
    # Students choose among teachers, not teachers among students.
    t = t[:3, :3]
    loss = GCRDLoss([3], [3], 0.5, projection=None)
    right = math.log(1 + 2 * math.exp(-2))
    want = (right + 2 * (right + 2)) / 3
    assert loss([t], [t[[0, 0, 0]]]).item() == pytest.approx(want, rel=1e-5)


# All of them in a training loop.


@pytest.mark.slow
@pytest.mark.parametrize(
    ('names', 'backend'),
    [
        (['fitnet', 'at', 'lsp', 'gsp', 'gsp_rbf', 'gcrd'], 'eager'),
        (['gcrd'], 'aot_eager'),
    ],
)
def test_compile(names, backend):
    torch.compiler.reset()
    teacher, student = sides()
    losses = [build(name) for name in names]
    targets = [loss.prepare(teacher) for loss in losses]

    def step(student):
        pairs = zip(losses, targets, strict=True)
        return [call(loss, target, student) for loss, target in pairs]

    found = []
    compiled = torch.compile(step, fullgraph=True, backend=backend)
    for run in (step, compiled):
        leaves = [x.clone().requires_grad_() for x in student]
        out = torch.stack(run(leaves))
        through = [leaves[-1], *(p for x in losses for p in x.parameters())]
        found.append([out.detach(), *torch.autograd.grad(out.sum(), through)])
    for x, y in zip(*found, strict=True):
        assert_close(x, y, rtol=1e-4, atol=1e-5)


@each_peer
@pytest.mark.parametrize('value', [0.0, 0.3])
@pytest.mark.parametrize('dead', ['rows', 'teacher', 'student', 'both'])
def test_dead_layers(name, dead, value):
    teacher, student = sides()
    if dead == 'rows':
        teacher[-1][:3] = 0
        student[-1][2:5] = 0
    if dead in ('teacher', 'both'):
        teacher[-1].fill_(value)
    if dead in ('student', 'both'):
        student[-1].fill_(value)
    loss = build(name)
    leaf = student[-1].requires_grad_()
    out = call(loss, teacher, student)
    out.backward()
    assert out.isfinite()
    for x in [leaf, *loss.parameters()]:
        assert x.grad.isfinite().all()
        assert x.grad.abs().max() < 1e3


NODE_WIDTHS = (
    [{'a': 4, 'b': 3}, {'a': 4}],
    [{'a': 2, 'b': 3, 'c': 1}, {'a': 3, 'b': 2}],
)


@pytest.mark.parametrize(
    'name', ['fitnet', 'fitnet_paper', 'at', 'gsp', 'gcrd']
)
def test_node_types(name):
    num_nodes = {'a': 7, 'b': 5, 'c': 2}
    teacher, student = [
        [{k: torch.randn(num_nodes[k], w) for k, w in x.items()} for x in side]
        for side in NODE_WIDTHS
    ]
    loss = build(name, *NODE_WIDTHS)
    values = []
    for k, key in enumerate('ab'):
        # The last layers that hold the type.
        pair = [
            [x[key] for x in side if key in x][-1]
            for side in (teacher, student)
        ]
        alone = build(name, *([x.size(1)] for x in pair))
        state = {
            name: value
            for name, value in loss.state_dict().items()
            if name.split('.')[1] == str(k)
        }
        alone.load_state_dict(
            {n.replace(f'.{k}.', '.0.', 1): v for n, v in state.items()}
        )
        values.append(alone([pair[0]], [pair[1]]))
    out = loss(teacher, student)
    assert_close(out, torch.stack(values).mean())
    prepared = loss.prepare(teacher)
    assert sorted(prepared) == ['a', 'b']
    assert loss(prepared, student) == out
    # A mini-batch without some type.
    empty = [
        {k: v[:0] if k == 'b' else v for k, v in x.items()} for x in student
    ]
    assert_close(loss(teacher, empty), values[0])
    with pytest.raises(ValueError, match=r"^'student' must hold one of the"):
        loss(teacher, [{k: v[:0] for k, v in x.items()} for x in student])


@pytest.mark.parametrize(
    ('cls', 'options', 'match'),
    [
        (ATLoss, {'teacher_layer': 3}, "'teacher_layer' .*-3 to 2.*got 3"),
        (ATLoss, {'student_layer': -3}, "'student_layer' .*-2 to 1.*got -3"),
        (ATLoss, {'student_layer': 'last'}, "'student_layer' .*'last'"),
        (FitNetLoss, {'projection': None}, "'projection' .*unequal width"),
        (GCRDLoss, {'projection': None}, "'projection' .*unequal width"),
        (GSPLoss, {'projection': 'student'}, "'projection' .*'student'"),
        (GSPLoss, {'kernel': 'dot'}, "'kernel' .*'rbf'.*'dot'"),
        (LSPLoss, {'reduction': 'mean'}, "'reduction' .*'edge'.*'mean'"),
        (GCRDLoss, {'temperature': 0.0}, "'temperature' .*above 0"),
        (GSPLoss, {'max_nodes': 0}, "'max_nodes' .*1 or more.*got 0"),
        (GCRDLoss, {'max_nodes': 1}, "'max_nodes' .*2 or more.*got 1"),
    ],
)
def test_bad_options(cls, options, match):
    with pytest.raises(ValueError, match=f'^{match}'):
        cls(*WIDTHS, **options)


@each_peer
def test_bad_layers(name):
    teacher, student = sides()
    loss = build(name)
    for taught, learned, match in [
        (teacher[:2], student, "'teacher' must hold the 3 layers"),
        (teacher, student[::-1], "'student' layer 0 must .* 2 channels"),
        (teacher, sides(9)[1], '.*same rows'),
        (
            [x.clone().requires_grad_() for x in teacher],
            student,
            "'teacher' layer 0 must not require gradients",
        ),
        (
            ATLoss([7], [3]).prepare([torch.ones(14, 7)]),
            student,
            "'teacher' must be a target of this loss",
        ),
        (teacher, [x[:0] for x in student], "'student' layer 0 .* one row"),
        # Learned pooling keeps other nodes in some layers.
        ([teacher[0][:9], *teacher[1:]], student, '.*before any pooling'),
        (teacher, [student[0][:9], student[1]], '.*before any pooling'),
    ]:
        with pytest.raises(ValueError, match=f'^{match}'):
            call(loss, taught, learned)
    if name in ('fitnet', 'gcrd', 'gsp_rbf'):
        with pytest.raises(ValueError, match=r"^'student' must have two rows"):
            call(loss, *sides(1))


@each_peer
def test_real_data(name):
    data = cora()
    torch.manual_seed(0)
    features = []
    for width, num_layers in [(16, 3), (8, 2)]:
        model = GCN(data.num_features, width, num_layers).eval()
        with LayerRecorder(model, detach=True) as recorder, torch.no_grad():
            model(data.x, data.edge_index)
            features.append(recorder.features())
    loss = build(name, [16] * 3, [8] * 2)
    out = call(loss, *features, data.edge_index)
    assert 0 < out < 20
    # As many nodes as loops can compare.
    edge_index, _ = subgraph(torch.arange(60), data.edge_index)
    t, s = ([x[:60] for x in side] for side in features)
    loss = loss.double()
    edges = edge_index.t().tolist()
    want = peer_oracles.peer(loss, t[-1].double(), s[-1].double(), edges=edges)
    value = call(loss, t, s, edge_index).item()
    assert value == pytest.approx(want, rel=1e-6)


@each_peer
def test_copies_and_reset(name):
    teacher, student = sides()
    loss = build(name)
    want = call(loss.eval(), teacher, student)
    other = copy.deepcopy(loss)
    other.reset_parameters()
    for key, value in other.state_dict().items():
        same = (value == loss.state_dict()[key]).all()
        assert not (key.endswith('lin.weight') and same)
    other.load_state_dict(loss.state_dict())
    assert call(other, teacher, student) == want
    assert repr(other) == repr(loss)


@each_peer
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.half])
def test_half_precision(name, dtype):
    half = [[x.to(dtype) for x in side] for side in sides()]
    loss = build(name)
    want = call(loss, *([x.float() for x in side] for side in half))
    with torch.autocast('cpu', torch.bfloat16):
        assert_close(call(loss, *half), want)
    # Parameters of low precision, too.
    half[1][-1].requires_grad_()
    out = call(build(name).to(dtype), *half)
    out.backward()
    assert out.dtype == torch.float
    assert half[1][-1].grad.dtype == dtype
    assert out.item() == pytest.approx(want.item(), rel=0.05, abs=0.02)
