"""What the losses that compare one pair of layers have in common."""

import copy
import io
import os
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.testing import assert_close
from torch_geometric.datasets import Planetoid
from torch_geometric.nn import GCN
from torch_geometric.utils import subgraph

from pyg_distill.nn import (
    ATLoss,
    Distiller,
    FitNetLoss,
    GCRDLoss,
    GSPLoss,
    KDLoss,
    LayerRecorder,
    LSPLoss,
    TeacherCache,
)
from tests.nn.distiller.models import (
    Hetero,
    big,
    graph,
    hetero_graph,
    small,
    task,
)
from tests.nn.losses import peer_oracles

LOSSES = {
    'fitnet': partial(FitNetLoss, hidden_channels=6),
    'fitnet_paper': FitNetLoss.paper,
    'at': ATLoss,
    'at_paper': ATLoss.paper,
    'lsp': LSPLoss,
    'lsp_paper': LSPLoss.paper,
    'gsp': GSPLoss,
    'gsp_rbf': partial(
        GSPLoss, kernel='rbf', projection='both', hidden_channels=6
    ),
    'gcrd': partial(GCRDLoss, hidden_channels=6),
}
WIDTHS = [4, 3, 5], [2, 3]
X, EDGE_INDEX = graph()
EDGES = EDGE_INDEX.t().tolist()
each_loss = pytest.mark.parametrize('name', LOSSES)


def build(name, *widths, **kwargs):
    torch.manual_seed(5)
    return LOSSES[name](*(widths or WIDTHS), **kwargs)


def layers(num_nodes=14, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        [torch.randn(num_nodes, w, generator=generator) for w in widths]
        for widths in WIDTHS
    ]


def call(loss, teacher, student, edge_index=EDGE_INDEX):
    if getattr(loss, 'needs_edge_index', False):
        return loss(teacher, student, edge_index=edge_index)
    return loss(teacher, student)


@each_loss
@pytest.mark.parametrize('positions', [(-1, -1), (-2, -1), (0, 1)])
def test_one_pair(name, positions):
    i, j = positions
    teacher, student = ([x.double() for x in side] for side in layers())
    loss = build(name, teacher_layer=i, student_layer=j).double()
    pair = teacher[i], student[j]
    out = call(loss, teacher, student).item()
    want = peer_oracles.peer(loss, *pair, edges=EDGES)
    assert out == pytest.approx(want, rel=1e-6, abs=1e-9)
    assert f'teacher_layer={i}, student_layer={j}' in repr(loss)
    # A teacher that was prepared holds that layer alone.
    target = loss.prepare(teacher)
    assert [tuple(x.size()) for x in target.layers] == [(1, *pair[0].size())]
    assert call(loss, target, student).item() == out


@each_loss
@pytest.mark.parametrize('cache', [False, True])
def test_distiller(name, cache):
    losses = {'peer': LOSSES[name], 'kd': KDLoss()}
    student, teacher = small(), big().eval()
    torch.manual_seed(5)
    distiller = Distiller.from_example(
        student, teacher, (X, EDGE_INDEX), losses, [0.5, 2.0], cache=cache
    ).train()
    loss = copy.deepcopy(distiller.losses['peer'])
    out = distiller(X, EDGE_INDEX)
    total = distiller.loss(task(out), edge_index=EDGE_INDEX)
    total.backward()
    got = [p.grad.clone() for p in distiller.parameters() if p.grad is not None]

    student.zero_grad()
    with (
        LayerRecorder(teacher, detach=True) as taught,
        LayerRecorder(student) as learned,
    ):
        with torch.no_grad():
            logits = teacher(X, EDGE_INDEX)
        out = student(X, EDGE_INDEX)
        value = call(loss, taught.features(), learned.features())
        want = task(out) + 0.5 * value + 2.0 * KDLoss()(logits, out)
    assert_close(total, want)
    assert_close(distiller.parts()['peer'], value.detach())
    want.backward()
    parameters = [*student.parameters(), *loss.parameters()]
    grads = [p.grad for p in parameters if p.grad is not None]
    for x, y in zip(got, grads, strict=True):
        assert_close(x, y, rtol=1e-4, atol=1e-6)


def mini_batch(name, teacher):
    torch.manual_seed(5)
    distiller = Distiller.from_example(
        small(), teacher, (X, EDGE_INDEX), {'peer': LOSSES[name]}
    ).train()
    distiller(X, EDGE_INDEX)
    return distiller


@pytest.mark.parametrize('name', [name for name in LOSSES if 'lsp' not in name])
@pytest.mark.parametrize('kind', ['teacher', 'cache', 'n_id'])
def test_seeds_of_a_mini_batch(name, kind):
    with LayerRecorder(big(), detach=True) as taught:
        taught.model.eval()(X, EDGE_INDEX)
        teacher = [x[:6] for x in taught.features()]
    cache = TeacherCache.from_inputs(big(), (X, EDGE_INDEX))
    distiller = mini_batch(name, big() if kind == 'teacher' else cache)
    student = [x[:6] for x in distiller._step.layers]
    loss = copy.deepcopy(distiller.losses['peer'])
    n_id = torch.arange(X.size(0)) if kind == 'n_id' else None
    out = distiller.loss(batch_size=6, n_id=n_id)
    assert_close(out, loss(teacher, student))


def test_neighbors_of_seeds_are_not_compared():
    distiller = mini_batch('lsp', big())
    with pytest.raises(
        ValueError, match=r"^'batch_size' must be left out with 'peer'.*got 6"
    ):
        distiller.loss(batch_size=6, edge_index=EDGE_INDEX)


def test_edges_of_a_cluster():
    """Some nodes in another order, with edges among themselves."""
    n_id = torch.tensor([9, 2, 5, 7, 1, 3])
    edge_index, _ = subgraph(n_id, EDGE_INDEX, num_nodes=X.size(0))
    place = torch.full((X.size(0),), -1)
    place[n_id] = torch.arange(6)
    edge_index = place[edge_index]
    teacher = big()
    cache = TeacherCache.from_inputs(teacher, (X, EDGE_INDEX))
    student = small()
    distiller = Distiller.from_example(
        student, cache, (X, EDGE_INDEX), {'lsp': LSPLoss}
    ).train()
    distiller(X[n_id], edge_index)
    layer = distiller._step.layers[-1].detach()
    out = distiller.loss(n_id=n_id, edge_index=edge_index)
    want = peer_oracles.lsp(
        cache.layers[-1][n_id].double(),
        layer.double(),
        edge_index.t().tolist(),
        'cosine',
        'node',
        'teacher',
    )
    assert out.item() == pytest.approx(want, rel=1e-4)


def test_edges_are_asked_for():
    distiller = Distiller.from_example(
        small(), big(), (X, EDGE_INDEX), [LSPLoss, ATLoss]
    ).train()
    distiller(X, EDGE_INDEX)
    with pytest.raises(
        ValueError, match=r"^'edge_index' must be given for 'lsp'.*; pass dist"
    ):
        distiller.loss()
    # Other losses do not mind them.
    distiller = Distiller.from_example(
        small(), big(), (X, EDGE_INDEX), [ATLoss]
    ).train()
    distiller(X, EDGE_INDEX)
    assert distiller.loss(edge_index=EDGE_INDEX) > 0


@pytest.mark.parametrize(
    ('names', 'backend'),
    [
        (['fitnet', 'at', 'lsp', 'gsp', 'gsp_rbf', 'gcrd'], 'eager'),
        (['gcrd'], 'aot_eager'),
    ],
)
def test_compile(names, backend):
    torch.compiler.reset()
    teacher, student = layers()
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


@each_loss
def test_half_precision(name):
    teacher, student = layers()
    loss = build(name)
    half = [[x.bfloat16() for x in side] for side in (teacher, student)]
    want = call(loss, *([x.float() for x in side] for side in half))
    with torch.autocast('cpu', torch.bfloat16):
        out = call(loss, *half)
    assert out.dtype == torch.float
    assert_close(out, want)


@each_loss
@pytest.mark.parametrize('value', [0.0, 0.3])
@pytest.mark.parametrize('dead', ['rows', 'teacher', 'student', 'both'])
def test_dead_layers(name, dead, value):
    teacher, student = layers()
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


@each_loss
def test_copies(name):
    teacher, student = layers()
    loss = build(name)
    call(loss, teacher, student)
    file = io.BytesIO()
    torch.save(loss, file)
    file.seek(0)
    others = [
        copy.deepcopy(loss),
        torch.load(file, weights_only=False),
        build(name),
    ]
    others[2].reset_parameters()
    others[2].load_state_dict(loss.state_dict())
    want = call(loss.eval(), teacher, student)
    for other in others:
        assert call(other.eval(), teacher, student) == want
        assert repr(other) == repr(loss)


@pytest.mark.parametrize('name', ['fitnet', 'fitnet_paper', 'gcrd', 'gsp_rbf'])
def test_reset(name):
    loss = build(name)
    call(loss, *layers())
    before = copy.deepcopy(loss.state_dict())
    torch.manual_seed(6)
    loss.reset_parameters()
    changed = [
        key
        for key, value in loss.state_dict().items()
        if not torch.equal(value, before[key])
    ]
    assert {'weight'} <= {key.rpartition('.')[2] for key in changed}
    if name != 'fitnet_paper':
        assert (loss.heads.teacher[0].norm.running_mean == 0).all()


NODE_WIDTHS = (
    [{'a': 4, 'b': 3}, {'a': 4}],
    [{'a': 2, 'b': 3, 'c': 1}, {'a': 3, 'b': 2}],
)


def typed_layers(num_nodes):
    return [
        [{k: torch.randn(num_nodes[k], w) for k, w in x.items()} for x in side]
        for side in NODE_WIDTHS
    ]


@pytest.mark.parametrize(
    'name', ['fitnet', 'fitnet_paper', 'at', 'gsp', 'gcrd']
)
def test_node_types(name):
    teacher, student = typed_layers({'a': 7, 'b': 5, 'c': 2})
    loss = build(name, *NODE_WIDTHS)
    out = loss(teacher, student)
    values = []
    for k, key in enumerate('ab'):
        # The last layers that hold the type.
        pair = [
            [x for x in side if key in x][-1] for side in (teacher, student)
        ]
        pair = [x[key] for x in pair]
        alone = build(name, *([x.size(1)] for x in pair))
        with torch.no_grad():
            for part in ('heads', 'regressors'):
                module = getattr(loss, part, None)
                if module is None:
                    continue
                state = {
                    k2.replace(f'{k}.', '0.', 1): v
                    for k2, v in module.state_dict().items()
                    if f'.{k}.' in f'.{k2}'
                }
                getattr(alone, part).load_state_dict(state)
        values.append(alone([pair[0]], [pair[1]]))
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


@pytest.mark.parametrize('cache', [False, True])
@pytest.mark.parametrize('rows', [None, {'paper': 5}])
def test_distiller_with_node_types(cache, rows):
    data = hetero_graph()
    inputs = data.x_dict, data.edge_index_dict
    values = []
    for name in ('fitnet', 'at', 'gsp', 'gcrd'):
        torch.manual_seed(0)
        distiller = Distiller.from_example(
            Hetero(3, 2),
            Hetero(6, 3, seed=1),
            inputs,
            {'peer': LOSSES[name]},
            cache=cache,
        ).train()
        distiller(*inputs)
        out = distiller.loss(batch_size=rows)
        out.backward()
        values.append(out.item())
    assert all(0 < value < 10 for value in values)
    with pytest.raises(ValueError, match=r'one node type for LSPLoss'):
        Distiller.from_example(
            Hetero(3, 2), Hetero(6, 3), inputs, {'peer': LSPLoss}
        )


def test_several_processes(process_group):
    losses = {
        key: LOSSES[key] for key in ('fitnet', 'at', 'lsp', 'gsp', 'gcrd')
    }
    distiller = Distiller.from_example(
        small(), big(), (X, EDGE_INDEX), losses
    ).train()
    model = DistributedDataParallel(distiller)
    for _ in range(2):
        out = model(X, EDGE_INDEX)
        model.module.loss(task(out), edge_index=EDGE_INDEX).backward()
    assert all(p.grad is not None for p in distiller.parameters())


@pytest.mark.parametrize(
    ('maker', 'error', 'message'),
    [
        (
            lambda: ATLoss(*WIDTHS, teacher_layer=3),
            ValueError,
            r"^'teacher_layer' must be from -3 to 2, as there are 3.*\(got 3\)",
        ),
        (
            lambda: ATLoss(*WIDTHS, student_layer=-3),
            ValueError,
            r"^'student_layer' must be from -2 to 1, as there are 2.*got -3",
        ),
        (
            lambda: ATLoss(*WIDTHS, student_layer='last'),
            TypeError,
            r"^'student_layer' must be the position.*\(got 'last'\); pass -1",
        ),
        (lambda: ATLoss([], [2]), ValueError, r"^'teacher_channels' must list"),
        (
            lambda: ATLoss([{'a': 2}], [{'b': 2}]),
            ValueError,
            r"^'student_channels' must share a node type",
        ),
        (
            lambda: FitNetLoss([4], [3], None),
            ValueError,
            r"^'projection' must map layers of unequal width",
        ),
        (
            lambda: GCRDLoss([4], [3], projection=None),
            ValueError,
            r"^'projection' must map layers of unequal width",
        ),
        (
            lambda: GSPLoss(*WIDTHS, 'dot'),
            ValueError,
            r"^'kernel' must be 'cosine', 'poly', 'l2' or 'rbf' \(got 'dot'\)",
        ),
        (
            lambda: LSPLoss(*WIDTHS, reduction='mean'),
            ValueError,
            r"^'reduction' must be 'node' or 'edge' \(got 'mean'\)",
        ),
        (
            lambda: GCRDLoss(*WIDTHS, 0.0),
            ValueError,
            r"^'temperature' must be a finite number above 0",
        ),
        (
            lambda: GSPLoss(*WIDTHS, max_nodes=0),
            ValueError,
            r"^'max_nodes' must be a whole number above 0 \(got 0\)",
        ),
    ],
)
def test_bad_options(maker, error, message):
    with pytest.raises(error, match=message):
        maker()


@each_loss
def test_bad_layers(name):
    teacher, student = layers()
    loss = build(name)
    cases = [
        (teacher[:2], student, r"^'teacher' must hold the 3 layers"),
        (teacher, student[::-1], r"^'student' layer 0 must have the 2 channel"),
        (
            teacher,
            layers(9)[1],
            r'^teacher and student layers must have the sa',
        ),
        (
            [x.clone().requires_grad_() for x in teacher],
            student,
            r"^'teacher' layer 0 must not require gradients",
        ),
        (
            ATLoss([7], [3]).prepare([torch.ones(14, 7)]),
            student,
            r"^'teacher' must be a target of this loss \(got layers of \[7\]",
        ),
        (teacher, [x[:0] for x in student], r"^'student' layer 0 must have at"),
    ]
    for taught, learned, message in cases:
        with pytest.raises(ValueError, match=message):
            call(loss, taught, learned)


@pytest.mark.parametrize('name', ['fitnet', 'gcrd', 'gsp_rbf'])
def test_a_single_row(name):
    teacher, student = layers(1)
    with pytest.raises(ValueError, match=r"^'student' must have 2 rows or mor"):
        call(build(name), teacher, student)


@pytest.fixture(scope='module')
def cora():
    """Layers of two untrained models on a part of a real graph."""
    if 'PYG_DISTILL_DATA' not in os.environ:
        pytest.skip('needs PYG_DISTILL_DATA')
    root = Path(os.environ['PYG_DISTILL_DATA'], 'Planetoid')
    if not (root / 'Cora' / 'raw').is_dir():
        pytest.skip('needs the raw files of Cora')
    data = Planetoid(str(root), 'Cora')[0]
    torch.manual_seed(0)
    out = []
    for width, num_layers in [(16, 3), (8, 2)]:
        model = GCN(data.num_features, width, num_layers).eval()
        with LayerRecorder(model, detach=True) as recorder, torch.no_grad():
            model(data.x, data.edge_index)
            out.append(recorder.features())
    return *out, data.edge_index


@each_loss
def test_real_data(cora, name):
    teacher, student, edge_index = cora
    loss = build(name, [16] * 3, [8] * 2)
    out = call(loss, teacher, student, edge_index)
    assert 0 < out < 20
    if name in ('at', 'gsp'):
        # No row is short enough to be left short.
        t, s = teacher[-1].double(), student[-1].double()
        if name == 'at':
            t, s = (F.normalize(x.square().sum(1), dim=0) for x in (t, s))
            want = (t - s).square().sum()
        else:
            t, s = F.normalize(t), F.normalize(s)
            want = (t @ t.t() - s @ s.t()).square().mean()
        assert_close(out.double(), want, rtol=1e-3, atol=0.0)
    # As many nodes as loops can compare.
    part = torch.arange(60)
    edge_index, _ = subgraph(part, edge_index)
    t, s = [x[:60] for x in teacher], [x[:60] for x in student]
    loss = loss.double()
    want = peer_oracles.peer(
        loss, t[-1].double(), s[-1].double(), edges=edge_index.t().tolist()
    )
    value = call(loss, t, s, edge_index).item()
    assert value == pytest.approx(want, rel=1e-6)


@each_loss
@pytest.mark.parametrize('side', ['teacher', 'student'])
def test_rows_that_are_other_nodes(name, side):
    # Pooling that is learned keeps as many nodes on both sides, but others.
    loss = build(name, [4, 4], [2, 2])
    layers = {
        'teacher': [torch.randn(6, 4), torch.randn(6, 4)],
        'student': [torch.randn(6, 2), torch.randn(6, 2)],
    }
    layers[side][0] = torch.randn(12, layers[side][0].size(1))
    context = {'edge_index': EDGE_INDEX[:, :0]} if 'lsp' in name else {}
    with pytest.raises(ValueError, match='before any pooling'):
        loss(layers['teacher'], layers['student'], **context)
    if side == 'teacher':
        with pytest.raises(ValueError, match='before any pooling'):
            loss.prepare(layers['teacher'])


@each_loss
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.half])
def test_parameters_of_low_precision(name, dtype):
    loss = build(name).to(dtype)
    teacher = [torch.randn(len(X), width).to(dtype) for width in WIDTHS[0]]
    student = [torch.randn(len(X), width).to(dtype) for width in WIDTHS[1]]
    student = [x.requires_grad_() for x in student]
    context = {'edge_index': EDGE_INDEX} if 'lsp' in name else {}
    out = loss(teacher, student, **context)
    out.backward()
    assert out.dtype == torch.float
    assert student[-1].grad.dtype == dtype
    wide = build(name)
    wide.load_state_dict(loss.state_dict())
    want = wide(
        [x.float() for x in teacher],
        [x.detach().float() for x in student],
        **context,
    )
    assert out.item() == pytest.approx(want.item(), rel=0.05, abs=0.02)
