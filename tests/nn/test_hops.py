import pytest
import torch
from torch_geometric.nn import (
    APPNP,
    GAT,
    GCN,
    GIN,
    AntiSymmetricConv,
    ARMAConv,
    DNAConv,
    EGConv,
    GATConv,
    GatedGraphConv,
    GCNConv,
    GINConv,
    GINEConv,
    LGConv,
    MessagePassing,
    MixHopConv,
    PDNConv,
    SAGEConv,
    Sequential,
    SGConv,
    SSGConv,
    TAGConv,
)

from pyg_distill.nn import num_hops


@pytest.mark.parametrize(
    ('model', 'hops'),
    [
        (torch.nn.Linear(2, 2), 0),
        (GIN(2, 8, 3), 3),
        (GAT(2, 8, 3, jk='cat'), 3),
        (GCN(2, 8, 3), 4),
        (GINConv(torch.nn.Linear(2, 2)), 1),
        (GINEConv(torch.nn.Linear(2, 2), edge_dim=1), 1),
        (GCNConv(2, 2), 2),
        (GCNConv(2, 2, normalize=False), 1),
        (GATConv(2, 2), 1),
        (SGConv(2, 2, K=3), 4),
        (SSGConv(2, 2, alpha=0.1, K=3), 4),
        (APPNP(K=10, alpha=0.1), 11),
        (APPNP(K=10, alpha=0.1, normalize=False), 10),
        (TAGConv(2, 2, K=2), 3),
        (TAGConv(2, 2, K=2, normalize=False), 2),
        (ARMAConv(2, 2, num_stacks=3, num_layers=2), 3),
        (LGConv(), 2),
        (MixHopConv(2, 2, powers=[0, 1, 3]), 4),
        (DNAConv(8), 2),
        (DNAConv(8, normalize=False), 1),
        (PDNConv(2, 2, edge_dim=1, hidden_channels=2), 2),
        (EGConv(4, 4, aggregators=['symnorm'], num_heads=2), 2),
        (EGConv(4, 4, aggregators=['mean'], num_heads=2), 1),
    ],
    ids=str,
)
def test_num_hops(model, hops):
    assert num_hops(model) == hops


def test_num_hops_of_other_layers():
    class Kernel(MessagePassing):
        # As in SplineConv, where it is the size of a kernel.
        K = 9

    assert num_hops(Kernel()) == 1


def test_num_hops_of_a_sequence():
    model = Sequential(
        'x, edge_index',
        [
            (GCNConv(2, 8), 'x, edge_index -> x'),
            torch.nn.ReLU(),
            (GCNConv(8, 8), 'x, edge_index -> x'),
            (SGConv(8, 8, K=2), 'x, edge_index -> x'),
        ],
    )
    # The degrees of neighbours cost one hop, however often they are read.
    assert num_hops(model) == 5


def test_layers_that_repeat_themselves():
    assert num_hops(GatedGraphConv(8, 3)) == 3
    assert num_hops(AntiSymmetricConv(8, num_iters=3)) == 4
    sage = SAGEConv(8, 8)
    assert num_hops(AntiSymmetricConv(8, sage, num_iters=2)) == 2
