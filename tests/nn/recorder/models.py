"""Small models and graphs, and a recorder that could not be simpler."""

import contextlib

import torch
from torch_geometric.nn import GCN, GCNConv, SAGEConv

NUM_NODES = 12


def graph(seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(NUM_NODES, 4, generator=generator)
    edge_index = torch.randint(0, NUM_NODES, (2, 40), generator=generator)
    return x, edge_index


def gcn(**kwargs):
    return GCN(4, 8, num_layers=3, out_channels=5, **kwargs)


class Tied(torch.nn.Module):
    """One layer, called again and again."""

    def __init__(self, num_calls=4):
        super().__init__()
        self.conv = SAGEConv(4, 4)
        self.num_calls = num_calls

    def forward(self, x, edge_index):
        for _ in range(self.num_calls):
            x = self.conv(x, edge_index).tanh()
        return x


class InPlace(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = GCNConv(4, 8)
        self.conv2 = GCNConv(8, 5)

    def forward(self, x, edge_index):
        x = self.conv1(x, edge_index).relu_()
        return self.conv2(x, edge_index)


@contextlib.contextmanager
def plain_hooks(model, names):
    """Yields a list of what the named modules return, in order."""
    found = []
    handles = [
        model.get_submodule(name).register_forward_hook(
            lambda module, args, out: found.append(out)
        )
        for name in names
    ]
    yield found
    for handle in handles:
        handle.remove()
