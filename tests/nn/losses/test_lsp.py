import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from torch_geometric.utils import to_torch_csr_tensor

from pyg_distill.nn import LSPLoss
from tests.conftest import with_torch_sparse
from tests.nn.losses import peer_oracles

KERNELS = ['cosine', 'poly', 'l2', 'rbf']
EDGES = torch.tensor([[0, 1, 2, 3, 3, 4, 4, 1], [1, 0, 1, 1, 3, 2, 2, 2]])


def layers(num_nodes, *widths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(num_nodes, width, dtype=torch.double, generator=generator)
        for width in widths
    ]


def edges_of(num_nodes):
    node = st.integers(0, num_nodes - 1)
    return st.lists(st.tuples(node, node), max_size=15)


@settings(max_examples=60)
@given(
    kernel=st.sampled_from(KERNELS),
    reduction=st.sampled_from(['node', 'edge']),
    divergence=st.sampled_from(['teacher', 'student']),
    edges=edges_of(6),
    seed=st.integers(0, 100),
)
def test_against_loops(kernel, reduction, divergence, edges, seed):
    t, s = layers(6, 4, 3, seed=seed)
    loss = LSPLoss([4], [3], kernel, reduction, divergence)
    edge_index = torch.tensor(edges, dtype=torch.long).view(-1, 2).t()
    out = loss([t], [s], edge_index=edge_index).item()
    want = peer_oracles.lsp(t, s, edges, kernel, reduction, divergence)
    assert out == pytest.approx(want, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize('kernel', KERNELS)
@pytest.mark.parametrize('divergence', ['teacher', 'student'])
def test_gradient(kernel, divergence):
    t, s = layers(6, 4, 3)
    loss = LSPLoss([4], [3], kernel, divergence=divergence)
    # Without the loop, where a distance of 0 has a gradient from one side.
    edge_index = EDGES[:, EDGES[0] != EDGES[1]]
    assert torch.autograd.gradcheck(
        lambda s: loss([t], [s], edge_index=edge_index), (s.requires_grad_(),)
    )


@settings(max_examples=30)
@given(
    kernel=st.sampled_from(KERNELS),
    edges=edges_of(6),
    seed=st.integers(0, 100),
)
def test_what_does_not_matter(kernel, edges, seed):
    t, s = layers(6, 4, 3, seed=seed)
    loss = LSPLoss([4], [3], kernel)
    edge_index = torch.tensor(edges, dtype=torch.long).view(-1, 2).t()
    want = loss([t], [s], edge_index=edge_index)
    assert want >= -1e-12
    # The names of the nodes, the order of the edges, a rotation.
    order = torch.randperm(6)
    renamed = order.argsort()[edge_index][:, torch.randperm(len(edges))]
    out = loss([t[order]], [s[order]], edge_index=renamed)
    assert_close(out, want)
    rotation = torch.linalg.qr(layers(3, 3, seed=seed + 1)[0])[0]
    assert_close(loss([t], [s @ rotation], edge_index=edge_index), want)
    # A node with a single neighbor tells nothing.
    same = LSPLoss([4], [4], kernel)
    assert same([t], [t @ t.new_ones(4).diag()], edge_index=edge_index) == 0
    one_each = torch.stack([order, torch.arange(6)])
    assert loss([t], [s], edge_index=one_each) == 0


def test_divisors_and_direction():
    t, s = layers(5, 4, 3)
    value = LSPLoss([4], [3])([t], [s], edge_index=EDGES)
    edge = LSPLoss([4], [3], reduction='edge')([t], [s], edge_index=EDGES)
    assert_close(edge * 8 / 5, value)
    # Neighbors are where edges come from.
    flipped = LSPLoss([4], [3])([t], [s], edge_index=EDGES.flip(0))
    assert abs(flipped - value) > 1e-3
    paper = LSPLoss.paper([4], [3])
    want = peer_oracles.lsp(t, s, EDGES.t().tolist(), 'rbf', 'node', 'student')
    out = paper([t], [s], edge_index=EDGES).item()
    assert out == pytest.approx(want, rel=1e-5)
    turned = LSPLoss([3], [4])([s], [t], edge_index=EDGES)
    student = LSPLoss([4], [3], divergence='student')
    assert_close(student([t], [s], edge_index=EDGES), turned)


def test_probabilities_next_to_nothing():
    t, s = layers(5, 4, 3)
    loss = LSPLoss([4], [3], 'l2')
    x = (1e4 * s).float().requires_grad_()
    out = loss([1e4 * t.float()], [x], edge_index=EDGES)
    out.backward()
    assert out > 100
    assert out.isfinite()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize('edges', [0, 3])
def test_few_edges(edges):
    t, s = layers(5, 4, 3)
    s.requires_grad_()
    for reduction in ('node', 'edge'):
        loss = LSPLoss([4], [3], reduction=reduction)
        out = loss([t], [s], edge_index=EDGES[:, :edges])
        out.backward()
        assert (out == 0) == (edges == 0)
        assert s.grad.isfinite().all()


def test_sparse_matrices():
    t, s = layers(5, 4, 3)
    loss = LSPLoss([4], [3])
    edge_index = EDGES.unique(dim=1)
    want = loss([t], [s], edge_index=edge_index)
    # Transposed, as convolutions take them.
    adj_t = to_torch_csr_tensor(edge_index.flip(0), size=(5, 5))
    assert_close(loss([t], [s], edge_index=adj_t), want)
    for layout in (torch.sparse_coo, torch.sparse_csc):
        adj_t = adj_t.to_sparse(layout=layout)
        assert_close(loss([t], [s], edge_index=adj_t), want)
    assert_close(loss([t], [s], edge_index=edge_index.int()), want)


@with_torch_sparse
def test_torch_sparse():
    from torch_sparse import SparseTensor

    t, s = layers(5, 4, 3)
    loss = LSPLoss([4], [3])
    adj_t = SparseTensor.from_edge_index(EDGES.flip(0), sparse_sizes=(5, 5))
    want = loss([t], [s], edge_index=EDGES)
    assert_close(loss([t], [s], edge_index=adj_t), want)


@pytest.mark.parametrize(
    ('edge_index', 'message'),
    [
        (None, r"^'edge_index' must be given \(got None\); pass the edges"),
        ([[0], [1]], r"^'edge_index' must hold the edges.*\(got list\)"),
        (EDGES.t(), r'\(got torch.int64 of shape \[8, 2\]\); pass data.edge'),
        (EDGES.float(), r'\(got torch.float32 of shape \[2, 8\]\)'),
        (EDGES + 1, r'must hold rows from 0 to 4, .*\(got 1 to 5\); pass'),
        (EDGES - 1, r'must hold rows from 0 to 4, .*\(got -1 to 3\); pass'),
        (
            torch.eye(6).to_sparse(),
            r"^'edge_index' must be a matrix of 5 x 5 nodes.*\(got 6 x 6\)",
        ),
    ],
)
def test_bad_edges(edge_index, message):
    t, s = layers(5, 4, 3)
    with pytest.raises(ValueError, match=message):
        LSPLoss([4], [3])([t], [s], edge_index=edge_index)


def test_refuses_node_types():
    with pytest.raises(
        ValueError, match=r'one node type for LSPLoss.*got a, b'
    ):
        LSPLoss([{'a': 4, 'b': 4}], [{'a': 2, 'b': 2}])
