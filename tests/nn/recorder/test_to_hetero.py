import io

import pytest
import torch
from torch_geometric.nn import (
    GraphSAGE,
    SAGEConv,
    to_hetero,
    to_hetero_with_bases,
)

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
SIZES = {'p': 7, 'a': 5, 'c': 3}


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


def inputs(seed=0):
    torch.manual_seed(seed)
    x_dict = {key: torch.randn(size, 4) for key, size in SIZES.items()}
    edge_index_dict = {
        key: torch.stack(
            [
                torch.randint(SIZES[key[0]], (9,)),
                torch.randint(SIZES[key[-1]], (9,)),
            ]
        )
        for key in EDGE_TYPES
    }
    return x_dict, edge_index_dict


def build(aggr='sum', node_types=NODE_TYPES, edge_types=EDGE_TYPES):
    model = to_hetero(Net(), (node_types, edge_types), aggr)
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


CALLS = ['convs_0', 'convs_1', 'conv3', 'conv3_1']


@pytest.mark.parametrize('aggr', ['sum', 'mean', 'max', 'min', 'mul'])
def test_relations_are_combined_as_the_model_does(aggr):
    model = build(aggr)
    recorder = LayerRecorder(model)
    assert recorder.names == ['convs.0', 'convs.1', 'conv3']
    out = model(*inputs())
    assert recorder.names == ['convs.0', 'convs.1', 'conv3#0', 'conv3#1']
    features = recorder.features()
    want = interpreted(model, *inputs())
    for feature, name in zip(features, CALLS, strict=True):
        assert set(feature) == set(NODE_TYPES)
        for key in NODE_TYPES:
            assert torch.equal(feature[key], want[f'{name}__{key}'])
    assert recorder.channels == [dict.fromkeys(feature, 4) for _ in CALLS]

    # Gradients flow, and are those of the generated graph.
    loss = sum(f.pow(2).sum() for v in features for f in v.values())
    loss.backward(retain_graph=True)
    got = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    loss = sum(
        want[f'{name}__{key}'].pow(2).sum()
        for name in CALLS
        for key in NODE_TYPES
    )
    loss.backward()
    torch.testing.assert_close(got, [p.grad for p in model.parameters()])
    assert set(out) == set(NODE_TYPES)


@pytest.mark.parametrize('aggr', ['sum', 'mean', 'max'])
def test_a_model_that_was_saved(aggr):
    class Simple(Net):
        def forward(self, x, edge_index):
            x = self.act(self.convs[0](x, edge_index))
            return self.convs[1](x, edge_index)

    model = to_hetero(Simple(), (NODE_TYPES, EDGE_TYPES), aggr)
    model(*inputs())
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


def test_inside_a_larger_model_that_calls_it_twice():
    class Outer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gnn = build('mean')
            self.lin = torch.nn.Linear(4, 4)

        def forward(self, x_dict, edge_index_dict):
            x_dict = self.gnn(x_dict, edge_index_dict)
            x_dict = {key: self.lin(x) for key, x in x_dict.items()}
            return self.gnn(x_dict, edge_index_dict)

    model = Outer()
    recorder = LayerRecorder(model)
    assert recorder.names == ['gnn.convs.0', 'gnn.convs.1', 'gnn.conv3']
    model(*inputs())
    assert recorder.names == [
        'gnn.convs.0#0',
        'gnn.convs.1#0',
        'gnn.conv3#0',
        'gnn.conv3#1',
        'gnn.convs.0#1',
        'gnn.convs.1#1',
        'gnn.conv3#2',
        'gnn.conv3#3',
    ]
    x_dict, edge_index_dict = inputs()
    first = interpreted(model.gnn, x_dict, edge_index_dict)
    x_dict = model.gnn(x_dict, edge_index_dict)
    x_dict = {key: model.lin(x) for key, x in x_dict.items()}
    second = interpreted(model.gnn, x_dict, edge_index_dict)
    model(*inputs())
    want = [(values, name) for values in (first, second) for name in CALLS]
    for feature, (values, name) in zip(recorder.features(), want, strict=True):
        for key in NODE_TYPES:
            assert torch.equal(feature[key], values[f'{name}__{key}'])


def test_types_whose_names_hold_underscores():
    node_types = ['p', 'a__b']
    edge_types = [('p', 'x__y', 'a__b'), ('a__b', 'z', 'p'), ('p', 'z', 'p')]
    model = to_hetero(GraphSAGE((-1, -1), 4, 2), (node_types, edge_types))
    recorder = LayerRecorder(model)
    x_dict = {'p': torch.randn(3, 4), 'a__b': torch.randn(2, 4)}
    edge_index = torch.tensor([[0, 1], [1, 0]])
    model(x_dict, dict.fromkeys(edge_types, edge_index))
    want = interpreted(model, x_dict, dict.fromkeys(edge_types, edge_index))
    features = recorder.features()
    for key in node_types:
        assert torch.equal(features[0][key], want[f'convs_0__{key}'])
        assert torch.equal(features[1][key], want[f'convs_1__{key}'])


def test_names_in_a_split_model():
    model = build()
    recorder = LayerRecorder(model, ['convs.*', 'act', 'conv3.p__r__a'])
    model(*inputs())
    assert recorder.names == [
        'convs.0',
        'act',
        'convs.1',
        'conv3.p__r__a#0',
        'conv3.p__r__a#1',
    ]
    want = interpreted(model, *inputs())
    first, act, _, relation, _ = recorder.features()
    for key in NODE_TYPES:
        assert torch.equal(first[key], want[f'convs_0__{key}'])
        assert torch.equal(act[key], want[f'act__{key}'])
    names = {node.target: node.name for node in reversed(model.graph.nodes)}
    assert torch.equal(relation, want[names['conv3.p__r__a']])


def test_a_relation_that_is_changed_in_place_is_noticed():
    class InPlace(Net):
        def forward(self, x, edge_index):
            x = self.convs[0](x, edge_index)
            return self.convs[1](x.relu_(), edge_index)

    model = to_hetero(InPlace(), (NODE_TYPES, EDGE_TYPES))
    recorder = LayerRecorder(model, 'convs.*')
    model(*inputs())
    # Only one relation leads to 'c', so that nothing is added up.
    with pytest.raises(RuntimeError, match=r"'convs.0' was changed in-place"):
        recorder.features()
    recorder = LayerRecorder(model, 'convs.*', clone=True)
    model(*inputs())
    assert all(f.min() < 0 for f in recorder.features()[0].values())
    types = ', '.join(recorder.features()[0])
    assert f'  convs.0: {types}\n' in str(recorder)


def test_relations_must_return_tensors():
    model = build()
    recorder = LayerRecorder(model, output='key')
    model(*inputs())
    with pytest.raises(ValueError, match=r"'convs.0' returned 'Tensor'"):
        recorder.features()
    # Nor can dictionaries be added up.
    recorder = LayerRecorder(model, output=lambda out: {'x': out})
    model(*inputs())
    with pytest.raises(ValueError, match=r"'convs.0' returned 'dict'"):
        recorder.features()


def test_a_recorded_model_that_is_split_up_later():
    model = Net()
    recorder = LayerRecorder(model)
    hetero = to_hetero(model, (NODE_TYPES, EDGE_TYPES))
    hetero(*inputs())
    with pytest.raises(RuntimeError, match='was not recorded'):
        recorder.features()


def test_bases_give_all_nodes_at_once():
    class Simple(Net):
        def forward(self, x, edge_index):
            x = self.act(self.convs[0](x, edge_index))
            return self.convs[1](x, edge_index)

    net = Simple()
    net.convs = torch.nn.ModuleList([SAGEConv(4, 4), SAGEConv(4, 4)])
    model = to_hetero_with_bases(
        net, (NODE_TYPES, EDGE_TYPES), num_bases=2, in_channels={'x': 4}
    )
    recorder = LayerRecorder(model, model.convs)
    assert LayerRecorder(model).names[:2] == recorder.names
    out = model(*inputs())
    first, last = recorder.features()
    assert first.size() == last.size() == (sum(SIZES.values()), 4)
    assert torch.equal(last, torch.cat([out[key] for key in NODE_TYPES]))
