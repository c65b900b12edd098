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
        (GatedGraphConv(8, 3), 3),
        (AntiSymmetricConv(8, num_iters=3), 4),
    ],
    ids=str,
)
def test_num_hops(model, hops):
    assert num_hops(model) == hops


def test_num_hops_of_other_models():
    class Kernel(MessagePassing):
        # As in SplineConv, where it is the size of a kernel.
        K = 9

    assert num_hops(Kernel()) == 1
    # The degrees of neighbours cost one hop, however often they are read.
    layers = [GCNConv(2, 8), torch.nn.ReLU(), GCNConv(8, 8), SGConv(8, 8, K=2)]
    assert num_hops(torch.nn.ModuleList(layers)) == 5
    # A layer that calls another one several times.
    sage = SAGEConv(8, 8)
    assert num_hops(AntiSymmetricConv(8, sage, num_iters=2)) == 2
