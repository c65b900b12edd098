"""Layers that `to_hetero` has split by relation."""

import io

import pytest
import torch
from torch_geometric.nn import SAGEConv, to_hetero

from pyg_distill.nn.recorder import LayerRecorder
from tests.conftest import with_to_hetero

pytestmark = with_to_hetero

NODE_TYPES = ['p', 'a', 'c']
EDGE_TYPES = [
    ('a', 'w', 'p'),
    ('p', 'q', 'p'),
    ('c', 'x', 'p'),
    ('p', 'r', 'a'),
    ('a', 's', 'a'),
    ('p', 't', 'c'),
]
METADATA = (NODE_TYPES, EDGE_TYPES)
SIZES = {'p': 7, 'a': 5, 'c': 3}
CALLS = ['convs_0', 'convs_1', 'conv3', 'conv3_1']


class Net(torch.nn.Module):
    """Two layers and a layer that is called twice, with all that may follow.

    The model divides by the number of relations, as averaging does.
    """

    def __init__(self):
        super().__init__()
        self.convs = torch.nn.ModuleList([SAGEConv((-1, -1), 4)] * 1)
        self.convs.append(SAGEConv((-1, -1), 4))
        self.act = torch.nn.ReLU()
        self.conv3 = SAGEConv((-1, -1), 4)

    def forward(self, x, edge_index):
        x = self.act(self.convs[0](x, edge_index))
        x = torch.div(self.convs[1](x, edge_index), 3)
        x = x + self.conv3(x, edge_index).tanh()
        return torch.add(self.conv3(x, edge_index), x)


class Simple(Net):
    def forward(self, x, edge_index):
        x = self.act(self.convs[0](x, edge_index))
        return self.convs[1](x, edge_index)


class InPlace(Net):
    def forward(self, x, edge_index):
        x = self.convs[0](x, edge_index)
        return self.convs[1](x.relu_(), edge_index)


def inputs():
    generator = torch.Generator().manual_seed(0)
    x_dict = {
        key: torch.randn(size, 4, generator=generator)
        for key, size in SIZES.items()
    }
    edge_index_dict = {
        key: torch.stack(
            [
                torch.randint(SIZES[key[0]], (9,), generator=generator),
                torch.randint(SIZES[key[-1]], (9,), generator=generator),
            ]
        )
        for key in EDGE_TYPES
    }
    return x_dict, edge_index_dict


def build(aggr='sum', model=Net):
    model = to_hetero(model(), METADATA, aggr)
    model(*inputs())
    return model


def interpreted(model, *args):
    """What the nodes of the generated graph return, by name."""

    class Keep(torch.fx.Interpreter):
        def run_node(self, node):
            values[node.name] = out = super().run_node(node)
            return out

    values = {}
    Keep(model).run(*args)
    return values


def assert_same(features, want):
    """Compares features with values of the graph, each by its name."""
    for feature, (values, name) in zip(features, want, strict=True):
        for key in feature:
            assert torch.equal(feature[key], values[f'{name}__{key}'])


@pytest.mark.parametrize('aggr', ['sum', 'mean', 'max', 'min', 'mul'])
def test_relations_are_combined_as_the_model_does(aggr):
    model = build(aggr)
    recorder = LayerRecorder(model)
    assert recorder.names == ['convs.0', 'convs.1', 'conv3']
    model(*inputs())
    assert recorder.names == ['convs.0', 'convs.1', 'conv3#0', 'conv3#1']
    features = recorder.features()
    want = interpreted(model, *inputs())
    assert all(set(feature) == set(NODE_TYPES) for feature in features)
    assert_same(features, [(want, name) for name in CALLS])
    assert recorder.channels == [dict.fromkeys(NODE_TYPES, 4) for _ in CALLS]

    # Gradients flow, and are those of the generated graph.
    names = [f'{name}__{key}' for name in CALLS for key in NODE_TYPES]
    found = []
    for tensors in (
        [f for feature in features for f in feature.values()],
        [want[name] for name in names],
    ):
        model.zero_grad()
        sum(tensor.pow(2).sum() for tensor in tensors).backward()
        found.append([p.grad.clone() for p in model.parameters()])
    torch.testing.assert_close(*found)


@pytest.mark.parametrize('aggr', ['sum', 'mean', 'max'])
def test_a_model_that_was_saved(aggr):
    model = build(aggr, Simple)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    recorders = [LayerRecorder(m, 'convs.*') for m in (model, loaded)]
    model(*inputs())
    loaded(*inputs())
    first, second = (recorder.features() for recorder in recorders)
    assert len(first) == 2
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_a_relation_that_is_changed_in_place_is_noticed():
    model = build('sum', InPlace)
    recorder = LayerRecorder(model, 'convs.*')
    model(*inputs())
    # Only one relation leads to 'c', so nothing is added up.
    with pytest.raises(RuntimeError, match=r"'convs.0' was changed in-place"):
        recorder.features()
    recorder = LayerRecorder(model, 'convs.*', clone=True)
    model(*inputs())
    assert all(f.min() < 0 for f in recorder.features()[0].values())
    types = ', '.join(recorder.features()[0])
    assert f'  convs.0: {types}\n' in str(recorder)
