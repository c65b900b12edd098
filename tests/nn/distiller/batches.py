"""Mini-batches of the graph of models.py, and a network for them."""

import torch
from torch_geometric.data import Data
from torch_geometric.loader import NeighborLoader
from torch_geometric.nn.models import GraphSAGE
from torch_geometric.utils import k_hop_subgraph

from pyg_distill.nn import Distiller
from tests.nn.distiller.models import graph


def sage(channels, num_layers=2):
    torch.manual_seed(channels)
    return GraphSAGE(4, channels, num_layers, 5)


def batch_of(seeds, num_hops=2):
    """A mini-batch of whole neighborhoods, seed nodes first."""
    x, edge_index = graph()
    seeds = torch.tensor(seeds)
    subset, edge_index, mapping, _ = k_hop_subgraph(
        seeds, num_hops, edge_index, num_nodes=x.size(0)
    )
    others = torch.ones(subset.numel(), dtype=torch.bool)
    others[mapping] = False
    order = torch.cat([mapping, torch.arange(subset.numel())[others]])
    position = torch.full((x.size(0),), -1)
    n_id = subset[order]
    position[n_id] = torch.arange(n_id.numel())
    return Data(
        x=x[n_id],
        edge_index=position[edge_index],
        n_id=n_id,
        batch_size=seeds.numel(),
    )


BATCHES = [[3, 7, 1], [0, 2, 4, 5], [13, 6, 8, 9, 10, 11, 12]]


def loader():
    return [batch_of(seeds) for seeds in BATCHES]


def make_loader(num_neighbors, data=None, **kwargs):
    if data is None:
        x, edge_index = graph()
        data = Data(x=x, edge_index=edge_index)
    kwargs.setdefault('batch_size', 5)
    return NeighborLoader(data, num_neighbors, **kwargs)


def step(cache, batch, **kwargs):
    distiller = Distiller.from_example(sage(8), cache, graph()).train()
    distiller(batch.x, batch.edge_index)
    size = kwargs.pop('batch_size', batch.batch_size)
    return distiller.loss(n_id=batch.n_id, batch_size=size, **kwargs)
