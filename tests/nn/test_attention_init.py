import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.nn import GAT, GCN, GCNConv, GINConv, SAGEConv

from pyg_distill.nn import (
    attention_init,
)
from tests.nn.distiller.models import graph


class Model(torch.nn.Module):
    """A linear layer, layers of one width each with a norm, and another."""

    def __init__(self, num_layers, width=6, norm=True, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.first = torch.nn.Linear(4, width)
        self.convs = torch.nn.ModuleList(
            GCNConv(width, width) for _ in range(num_layers)
        )
        self.norms = torch.nn.ModuleList(
            torch.nn.BatchNorm1d(width)
            for _ in range(num_layers if norm else 0)
        )
        self.last = torch.nn.Linear(width, 5)

    def forward(self, x, edge_index):
        x = self.first(x)
        for i, conv in enumerate(self.convs):
            x = conv(x, edge_index)
            if len(self.norms) > 0:
                x = self.norms[i](x)
            x = x.relu()
        return self.last(x)


@pytest.fixture
def trained():
    model = Model(4, seed=1)
    for _ in range(3):
        model(*graph())
    for norm in model.norms:
        torch.nn.init.normal_(norm.weight)
    return model


@settings(max_examples=30)
@given(
    num_layers=st.integers(1, 4),
    masses=st.permutations([0.1, 0.3, 0.5, 0.7]),
    num_rows=st.integers(1, 3),
    seed=st.integers(0, 100),
)
def test_takes_what_is_attended_to(num_layers, masses, num_rows, seed):
    trained = Model(4, seed=seed)
    for norm in trained.norms:
        torch.nn.init.normal_(norm.weight)
    before = copy.deepcopy(trained.state_dict())
    student = Model(num_layers, seed=seed + 1)
    # Any split of a column sums to the same.
    share = torch.rand(num_rows, 4).softmax(dim=0)
    attention = share * torch.tensor(masses)
    out = attention_init(student, trained, attention)
    best = sorted(range(4), key=lambda j: -masses[j])[:num_layers]
    best = sorted(best)
    assert out.taken == {f'convs.{k}': f'convs.{j}' for k, j in enumerate(best)}
    assert list(out.mass) == [f'convs.{j}' for j in range(4)]
    assert list(out.mass.values()) == pytest.approx(masses)
    assert out.left == []
    state = student.state_dict()
    assert out.copied == list(state)
    for k, j in enumerate(best):
        for key in ('convs.{}.bias', 'convs.{}.lin.weight', 'norms.{}.weight'):
            assert torch.equal(state[key.format(k)], before[key.format(j)])
    for key in ('first.weight', 'last.bias'):
        assert torch.equal(state[key], before[key])
    # Copied, not shared, and from a model that stays as it was.
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(1.0)
    for key, value in trained.state_dict().items():
        assert torch.equal(value, before[key])


def test_computes_what_the_layer_did(trained):
    student = Model(1)
    attention_init(student, trained, torch.tensor([0.0, 0.0, 1.0, 0.0]))
    trained.convs = trained.convs[2:3]
    trained.norms = trained.norms[2:3]
    args = graph(3)
    want = trained.eval()(*args)
    assert torch.equal(student.eval()(*args), want)


def test_what_does_not_match_is_left(trained):
    student = Model(1, norm=False)
    student.last = torch.nn.Linear(6, 3)
    student.extra = torch.nn.Linear(2, 2)
    before = copy.deepcopy(student.state_dict())
    out = attention_init(student, trained, torch.eye(4)[1])
    left = ['last.weight', 'last.bias', 'extra.weight', 'extra.bias']
    assert out.left == left
    for key in left:
        assert torch.equal(student.state_dict()[key], before[key])
    # Lists beside the layers stay apart: their first is not that of another.
    assert 'first.weight' in out.copied


def test_norms_are_those_of_the_layer(trained):
    student = Model(1)
    trained.norms = trained.norms[:2]
    before = copy.deepcopy(student.state_dict())
    out = attention_init(student, trained, torch.eye(4)[3])
    assert [key for key in out.left if 'norms' not in key] == []
    assert len(out.left) == 5
    for key in out.left:
        assert torch.equal(student.state_dict()[key], before[key])


@pytest.mark.parametrize('kind', [SAGEConv, GINConv, 'nested', 'attribute'])
def test_other_models(kind):
    class Other(torch.nn.Module):
        def __init__(self, names):
            super().__init__()
            for name in names:
                mlp = torch.nn.Linear(4, 4)
                conv = GINConv(mlp) if kind is GINConv else SAGEConv(4, 4)
                if kind == 'nested':
                    conv = torch.nn.Sequential(torch.nn.Linear(4, 4), conv)
                setattr(self, name, conv)
            self.head = torch.nn.Linear(4, 2)

    trained, student = Other(['a', 'b', 'c']), Other(['b'])
    if kind == 'attribute':
        outer = torch.nn.Module()
        outer.inner = student
        student = outer
    out = attention_init(student, trained, torch.tensor([[0.1, 0.2, 0.7]]))
    suffix = '.1' if kind == 'nested' else ''
    prefix = 'inner.' if kind == 'attribute' else ''
    assert out.taken == {f'{prefix}b{suffix}': f'c{suffix}'}
    mine = student.get_submodule(f'{prefix}b{suffix}').state_dict()
    theirs = trained.get_submodule(f'c{suffix}').state_dict()
    assert all(torch.equal(mine[key], theirs[key]) for key in theirs)
    # Of the same name: the linear layer before it, and the head.
    if kind == 'nested':
        assert torch.equal(student.b[0].weight, trained.b[0].weight)
    if kind == 'attribute':
        assert out.left == ['inner.head.weight', 'inner.head.bias']
    else:
        assert torch.equal(student.head.weight, trained.head.weight)


def test_only_fitting():
    trained, student = GCN(4, 8, 4), GCN(8, 8, 1)
    attention = torch.tensor([[0.6, 0.1, 0.3, 0.2]])
    with pytest.raises(
        ValueError,
        match=r"^'student' layer 'convs.0' must have the shape of 'convs.0'.*"
        r'got lin.weight of \[8, 8\] and \[8, 4\]\); build the',
    ):
        attention_init(student, trained, attention)
    out = attention_init(student, trained, attention, only_fitting=True)
    assert out.taken == {'convs.0': 'convs.2'}
    with pytest.raises(ValueError, match=r'must have 1 layers of the shape.*0'):
        attention_init(GCN(7, 8, 1), trained, attention, only_fitting=True)
    heads = GAT(8, 8, 1, heads=2)
    with pytest.raises(
        ValueError, match=r'att_src of \[1, 2, 4\] and no shape'
    ):
        attention_init(heads, GCN(8, 8, 2), torch.eye(2)[1])


@pytest.mark.parametrize(
    ('attention', 'error', 'message'),
    [
        (torch.ones(2, 4), ValueError, r'must tell the layers apart \(got as'),
        (
            torch.ones(2, 3),
            ValueError,
            r'a column for each of 4 layers.*2, 3\]',
        ),
        (torch.tensor(1.0), ValueError, r'a column for each of 4 layers'),
        (torch.ones(1, 1, 4), ValueError, r'a column for each of 4 layers'),
        (-torch.eye(4), ValueError, r'must hold finite weights of at least 0'),
        (torch.eye(4) * float('nan'), ValueError, r'must hold finite weights'),
        (
            {'a': torch.eye(4)},
            TypeError,
            r"^'attention' must be a tensor.*dict",
        ),
    ],
)
def test_bad_attention(trained, attention, error, message):
    student = Model(1)
    before = copy.deepcopy(student.state_dict())
    with pytest.raises(error, match=message):
        attention_init(student, trained, attention)
    for key, value in student.state_dict().items():
        assert torch.equal(value, before[key])


def test_bad_models(trained):
    attention = torch.eye(4)[0]
    with pytest.raises(TypeError, match=r"^'trained' must be a torch.nn.Mod"):
        attention_init(Model(1), 'trained', attention)
    with pytest.raises(ValueError, match=r"^'student' must be another model"):
        attention_init(trained, trained, attention)
    with pytest.raises(ValueError, match=r"^'student' must be another model"):
        attention_init(Model(5), trained, attention)
    with pytest.raises(ValueError, match=r"^'student' must know the shape"):
        attention_init(SAGEConv(-1, 6), trained, attention)
    with pytest.raises(ValueError, match=r"^'layers' must name submodules"):
        attention_init(Model(1), trained, attention, layers=['lins.*'])


def test_layers_by_name(trained):
    # The order of the names is that of the columns.
    names = ['convs.3', 'convs.1']
    out = attention_init(
        Model(2),
        trained,
        torch.tensor([0.9, 0.1]),
        layers=['convs.1'],
        trained_layers=names,
    )
    assert out.taken == {'convs.1': 'convs.3'}
    # That of the other layer, which was not to be initialised.
    assert all('convs.0' in key or 'norms.0' in key for key in out.left)
    assert len(out.left) == 7
