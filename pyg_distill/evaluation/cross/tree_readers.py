"""Which models see nothing but trees, also while they are trained?"""

from typing import Any

import torch
from torch_geometric.nn import (
    GAT,
    GCN,
    GIN,
    MLP,
    GATConv,
    GATv2Conv,
    GCNConv,
    GINConv,
    GraphSAGE,
    Linear,
    MaxAggregation,
    MeanAggregation,
    MinAggregation,
    SAGEConv,
    SumAggregation,
)

_MODELS = (GCN, GIN, GAT, GraphSAGE)
# Others may mix the nodes of a batch or draw random numbers, and their first
# weights may hide it.
_PARTS = (
    *(GCNConv, GINConv, GATConv, GATv2Conv, SAGEConv),
    *(SumAggregation, MeanAggregation, MaxAggregation, MinAggregation),
    *(MLP, Linear, torch.nn.Linear),
    *(torch.nn.Identity, torch.nn.ModuleList, torch.nn.Sequential),
    *(torch.nn.ReLU, torch.nn.LeakyReLU, torch.nn.PReLU, torch.nn.ELU),
    *(torch.nn.SELU, torch.nn.GELU, torch.nn.SiLU, torch.nn.Softplus),
    *(torch.nn.Tanh, torch.nn.Sigmoid),
)
_FUNCTIONS = (None, torch.relu, torch.tanh, torch.sigmoid)


def reads_trees(gnn: Any) -> bool:
    """Whether a model is made of nothing but parts that are known.

    Args:
        gnn (torch.nn.Module): What computes node embeddings.
    """
    if type(gnn) not in _MODELS or gnn.dropout.p:
        return False
    parts = [*gnn.convs.modules(), *gnn.norms]
    # Functions are no modules.
    acts = [gnn.act, *(p.act for p in parts if isinstance(p, MLP))]
    return all(type(part) in _PARTS for part in parts) and all(
        type(act) in _PARTS or act in _FUNCTIONS for act in acts
    )
