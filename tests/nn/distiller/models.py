"""Small models and graphs, and a training step without any distiller."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch_geometric.data import HeteroData
from torch_geometric.nn import GCN, HeteroConv, SAGEConv

from pyg_distill.nn import ABKDLoss, KDLoss, LayerRecorder

NUM_NODES = 14
TYPES = ['paper', 'author']
RELATIONS = [('author', 'writes', 'paper'), ('paper', 'by', 'author')]


def graph(seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(NUM_NODES, 4, generator=generator)
    edge_index = torch.randint(0, NUM_NODES, (2, 40), generator=generator)
    return x, edge_index


def labels(num_nodes=NUM_NODES):
    return torch.arange(num_nodes) % 5


def task(out):
    return F.cross_entropy(out, labels(out.size(0)))


def small(seed=1, **kwargs):
    """A student."""
    torch.manual_seed(seed)
    options = {'num_layers': 2, 'out_channels': 5, 'norm': 'batch_norm'}
    return GCN(4, 8, **(options | kwargs))


def big(seed=2, **kwargs):
    """A teacher, whose statistics differ from those of any other graph."""
    torch.manual_seed(seed)
    options = {'num_layers': 3, 'out_channels': 5, 'norm': 'batch_norm'}
    model = GCN(4, 16, dropout=0.5, **(options | kwargs))
    model(*graph(seed=3))
    return model


def new_losses(seed=3, student=(8, 5), teacher=(16, 16, 5)):
    torch.manual_seed(seed)
    return {
        'abkd': ABKDLoss(list(teacher), list(student), 'uniform'),
        'kd': KDLoss(4.0),
    }


WEIGHTS = {'abkd': 0.5, 'kd': 3.0}


def by_hand(student, teacher, losses, weights, *args):
    """The loss of one step, as it is without a distiller."""
    teacher.eval()
    with (
        LayerRecorder(teacher, detach=True) as taught,
        LayerRecorder(student) as learned,
    ):
        with torch.no_grad():
            logits = teacher(*args)
        out = student(*args)
        layers = losses['abkd'](taught.features(), learned.features())
    kd = losses['kd'](logits, out)
    return task(out) + weights['abkd'] * layers + weights['kd'] * kd


def calls(module):
    """A list that grows with each call of a module."""
    out = []
    module.register_forward_pre_hook(lambda *args: out.append(1))
    return out


def num_hooks(model):
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks)
        for m in model.modules()
    )


def hetero_graph(seed=0):
    generator = torch.Generator().manual_seed(seed)
    data = HeteroData()
    data['paper'].x = torch.randn(8, 4, generator=generator)
    data['author'].x = torch.randn(6, 4, generator=generator)
    for relation in RELATIONS:
        source = data[relation[0]].num_nodes
        target = data[relation[2]].num_nodes
        data[relation].edge_index = torch.stack(
            [
                torch.randint(0, source, (20,), generator=generator),
                torch.randint(0, target, (20,), generator=generator),
            ]
        )
    return data


class Hetero(torch.nn.Module):
    """Returns a dictionary, or one node type of it."""

    def __init__(self, channels, num_layers, only=None, seed=4):
        super().__init__()
        torch.manual_seed(seed)
        widths = [4, *[channels] * (num_layers - 1), 5]
        self.convs = torch.nn.ModuleList(
            HeteroConv({r: SAGEConv(a, b) for r in RELATIONS})
            for a, b in pairwise(widths)
        )
        self.only = only

    def forward(self, x_dict, edge_index_dict):
        for conv in self.convs:
            x_dict = conv(x_dict, edge_index_dict)
        return x_dict if self.only is None else x_dict[self.only]
