"""Any GNN, a readout and a linear head."""

import inspect
from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn.models.basic_gnn import BasicGNN

from pyg_distill.evaluation.cross.graph_batch import GraphBatch
from pyg_distill.nn import global_root_pool

ModelBuilder = Callable[[int, int, int], torch.nn.Module]

_OPTIONAL = ('edge_weight', 'edge_attr')


class GraphClassifier(torch.nn.Module):
    """Classifies graphs, given as such or in tree-set form.

    Args:
        gnn (torch.nn.Module): Computes node embeddings of width
            :obj:`hidden_channels` from :obj:`x`, :obj:`edge_index` and what
            else of :obj:`edge_attr` and :obj:`edge_weight` it reads.
        hidden_channels (int): The width of node embeddings.
        num_classes (int): The number of classes.
        readout (str): How embeddings are pooled.
    """

    def __init__(
        self,
        gnn: torch.nn.Module,
        hidden_channels: int,
        num_classes: int,
        readout: str,
    ) -> None:
        super().__init__()
        self.gnn = gnn
        self.head = torch.nn.Linear(hidden_channels, num_classes)
        self.readout = readout
        self.reads = _names_read(gnn)

    def forward(self, data: GraphBatch) -> Tensor:
        """Computes logits of shape :obj:`[B, C]`."""
        more: dict[str, Any] = {}
        for name in self.reads:
            value = getattr(data, name)
            if value is not None and name == 'edge_attr':
                # Without edges there is nothing to tell a width of -1 from.
                width = prod(value.size()[1:])
                value = value.reshape(value.size(0), width).to(data.x.dtype)
            more[name] = value
        x = self.gnn(data.x, data.edge_index, **more)
        if not isinstance(x, Tensor) or list(x.size()) != [
            data.x.size(0),
            self.head.in_features,
        ]:
            got = list(x.size()) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(
                f"'{type(self.gnn).__name__}' must return node embeddings of "
                f'shape {[data.x.size(0), self.head.in_features]} (got {got}); '
                f'readout and head are added to it'
            )
        x = global_root_pool(
            x,
            data.batch,
            data.root_index,
            data.root_count,
            size=data.num_graphs,
            reduce=self.readout,
            root_index_batch=data.root_index_batch,
        )
        return self.head(x)


def _names_read(gnn: torch.nn.Module) -> list[str]:
    parameters = inspect.signature(gnn.forward).parameters
    names = [name for name in _OPTIONAL if name in parameters]
    if isinstance(gnn, BasicGNN):
        # Its `forward` names both, and its layers refuse what they cannot
        # read.
        reads = {
            'edge_weight': gnn.supports_edge_weight,
            'edge_attr': any(
                getattr(conv, 'edge_dim', None) is not None
                for conv in gnn.convs
            ),
        }
        return [name for name in names if reads[name]]
    return names
