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


class Net(torch.nn.Module):
    """Modules by name, and a function of them and the input."""

    def __init__(self, run, **modules):
        super().__init__()
        self.run = run
        for name, module in modules.items():
            if isinstance(module, list):
                module = torch.nn.ModuleList(module)
            self.add_module(name, module)

    def forward(self, *args, **kwargs):
        return self.run(self, *args, **kwargs)


def stack(*convs, act=None):
    """Layers one after the other."""

    def run(net, x, *args):
        for conv in net.convs:
            x = conv(x, *args)
            x = x if act is None else act(x)
        return x

    return Net(run, convs=list(convs))


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


def num_hooks(model):
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks)
        for m in model.modules()
    )


def gradients(call, recorder, model=None):
    """The features of a call, and gradients of a loss of them and the output.

    Args:
        call: The model, or what it was compiled to.
        recorder: The recorder.
        model: The model if it is not what is called.
    """
    model = call if model is None else model
    model.zero_grad()
    x, edge_index = graph()
    out = call(x.requires_grad_(), edge_index)
    features = recorder.features()
    loss = out.pow(2).sum() + sum(f.pow(3).sum() for f in features)
    loss.backward()
    return features, [p.grad for p in model.parameters()]
