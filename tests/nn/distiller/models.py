"""Small models and graphs, and a training step without any distiller."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader import NeighborLoader
from torch_geometric.nn import GCN, GraphSAGE, HeteroConv, SAGEConv
from torch_geometric.utils import k_hop_subgraph

from pyg_distill.nn import DistillationLoss, Distiller, LayerRecorder

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


def distil(**kwargs):
    """A distiller of `small` and `big`, always with the same parameters."""
    student = small()
    torch.manual_seed(7)
    return Distiller.from_example(student, big(), graph(), **kwargs).train()


def step(distiller, args=None, optimizer=None, **kwargs):
    """One training step, and its loss."""
    distiller.zero_grad()
    args = graph() if args is None else args
    loss = distiller.loss(task(distiller(*args)), **kwargs)
    loss.backward()
    if optimizer is not None:
        optimizer.step()
    return loss.detach()


def grads(module):
    return [p.grad.clone() for p in module.parameters()]


def recorded(model, args, layers='auto'):
    """The layers of a model in evaluation mode, without gradients."""
    training = model.training
    with LayerRecorder(model, layers, detach=True) as recorder, torch.no_grad():
        model.eval()(*args)
    model.train(training)
    return recorder.features()


class LastLayer(DistillationLoss):
    """What a user may write: compares the last layers."""

    def forward(self, teacher, student):
        return (teacher[-1] - student[-1]).square().mean()


class PreparedLastLayer(LastLayer):
    """Keeps one layer of a cached teacher alone."""

    can_prepare = True

    def prepare(self, teacher):
        return [teacher[-1].clone()]


class Logits(DistillationLoss):
    needs = 'logits'

    def forward(self, teacher, student):
        return (teacher - student).abs().mean()


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


def sage(channels, num_layers=2):
    torch.manual_seed(channels)
    return GraphSAGE(4, channels, num_layers, 5)


BATCHES = [[3, 7, 1], [0, 2, 4, 5], [13, 6, 8, 9, 10, 11, 12]]


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


def batches(num_hops=2):
    return [batch_of(seeds, num_hops) for seeds in BATCHES]


def make_loader(num_neighbors, data=None, **kwargs):
    if data is None:
        x, edge_index = graph()
        data = Data(x=x, edge_index=edge_index)
    kwargs.setdefault('batch_size', 5)
    return NeighborLoader(data, num_neighbors, **kwargs)


def batch_step(cache, batch, **kwargs):
    """The loss of a mini-batch, and its distiller."""
    torch.manual_seed(0)
    distiller = Distiller.from_example(sage(8), cache, graph()).train()
    distiller(batch.x, batch.edge_index)
    size = kwargs.pop('batch_size', batch.batch_size)
    loss = distiller.loss(n_id=batch.n_id, batch_size=size, **kwargs)
    return loss, distiller
