"""Which layers are recorded, under which names, and in which order."""

import pytest
import torch
from torch.nn import Linear, ReLU, Sequential
from torch_geometric.data import HeteroData
from torch_geometric.nn import (
    GAT,
    GCN,
    GIN,
    MLP,
    PNA,
    AntiSymmetricConv,
    DeepGCNLayer,
    DirGNNConv,
    EdgeCNN,
    GCNConv,
    GINConv,
    GPSConv,
    GraphSAGE,
    HANConv,
    HeteroConv,
    HGTConv,
    LayerNorm,
    MessagePassing,
    SAGEConv,
    SAGPooling,
)

from pyg_distill.nn.recorder import LayerRecorder
from tests.nn.recorder.models import Net, Tied, gcn, graph, plain_hooks, stack


def check(model, names, args=None):
    """What is recorded by default is what plain hooks see, and trains it."""
    recorder = LayerRecorder(model)
    assert recorder.names == names
    with plain_hooks(model, names) as want:
        model(*(args or graph()))
    features = recorder.features()
    assert len(features) == len(want) == len(names)
    for feature, value in zip(features, want, strict=True):
        assert feature is (value[0] if isinstance(value, tuple) else value)
    assert recorder.channels == [f.size(-1) for f in features]
    sum(f.pow(2).sum() for f in features).backward()
    for name in names:
        parameters = model.get_submodule(name).parameters()
        assert any(p.grad is not None for p in parameters)
    return features


@pytest.mark.parametrize('gnn', [GCN, GraphSAGE, GIN, GAT, EdgeCNN, PNA])
@pytest.mark.parametrize('jk', [None, 'cat', 'last'])
def test_basic_gnns(gnn, jk):
    kwargs = {}
    if gnn is PNA:
        kwargs = {'aggregators': ['mean', 'max'], 'scalers': ['identity']}
        kwargs['deg'] = torch.tensor([0, 3, 5])
    model = gnn(4, 8, num_layers=3, out_channels=5, jk=jk, **kwargs)
    features = check(model, [f'convs.{i}' for i in range(3)])
    widths = [f.size(-1) for f in features]
    assert widths == [8, 8, 5 if jk is None else 8]


def gps(conv):
    return GPSConv(4, conv, heads=2)


def deep(block, width=4):
    return DeepGCNLayer(
        GCNConv(width, width), LayerNorm(width), ReLU(), block=block
    )


@pytest.mark.parametrize(
    'layers',
    [
        [deep('res+'), deep('res+')],
        [deep('res'), deep('res')],
        [deep('dense'), deep('dense', 8)],
        [deep('plain'), deep('plain')],
        [gps(GINConv(Sequential(Linear(4, 4), ReLU()))), gps(GCNConv(4, 4))],
        [DirGNNConv(SAGEConv(4, 4))],
        [AntiSymmetricConv(4), AntiSymmetricConv(4, num_iters=3)],
    ],
    ids=str,
)
def test_wrappers_are_recorded_whole(layers):
    check(stack(*layers), [f'convs.{i}' for i in range(len(layers))])


def test_pooling_layers_are_not_recorded():
    model = Net(
        lambda net, x, e: net.pool(net.conv(x, e), e)[0],
        conv=GCNConv(4, 8),
        pool=SAGPooling(8),
    )
    check(model, ['conv'])


EDGE_TYPES = [
    ('author', 'writes', 'paper'),
    ('paper', 'cites', 'paper'),
    ('word', 'in', 'paper'),
    ('paper', 'rev_writes', 'author'),
]
METADATA = (['paper', 'author', 'word'], EDGE_TYPES)


@pytest.mark.parametrize(
    'layer',
    [
        lambda: HeteroConv({t: SAGEConv((4, 4), 4) for t in EDGE_TYPES}),
        lambda: HGTConv(4, 4, METADATA, heads=2),
        lambda: HANConv(4, 4, METADATA, heads=2),
    ],
)
def test_hetero_layers_give_dictionaries(layer):
    data = HeteroData()
    for key in METADATA[0]:
        data[key].x = torch.randn(5, 4)
    for key in EDGE_TYPES:
        data[key].edge_index = torch.randint(5, (2, 9))

    def run(net, x_dict, edge_index_dict):
        for conv in net.convs:
            out = conv(x_dict, edge_index_dict)
            out = {key: x for key, x in out.items() if x is not None}
            x_dict = {**x_dict, **out}
        return x_dict

    model = Net(run, convs=[layer(), layer()])
    recorder = LayerRecorder(model)
    with plain_hooks(model, ['convs.0', 'convs.1']) as want:
        model(data.x_dict, data.edge_index_dict)
    features = recorder.features()
    assert recorder.names == ['convs.0', 'convs.1']
    for feature, value in zip(features, want, strict=True):
        # Nothing points to words.
        assert set(feature) == {'paper', 'author'}
        assert all(feature[key] is value[key] for key in feature)
    assert recorder.channels == [{'paper': 4, 'author': 4}] * 2
    features[0]['paper'].sum().backward()


def test_every_call_of_a_tied_layer_counts():
    model = Tied()
    recorder = LayerRecorder(model)
    assert recorder.names == ['conv']
    with plain_hooks(model, ['conv']) as want:
        model(*graph())
    assert recorder.names == ['conv#0', 'conv#1', 'conv#2', 'conv#3']
    features = recorder.features()
    assert all(f is w for f, w in zip(features, want, strict=True))

    def run(net, x, edge_index):
        for conv in (net.a, net.b, net.a, net.b):
            x = conv(x, edge_index)
        return x

    model = Net(run, a=GCNConv(4, 4), b=GCNConv(4, 4))
    recorder = LayerRecorder(model)
    out = model(*graph())
    assert recorder.names == ['a#0', 'b#0', 'a#1', 'b#1']
    assert recorder.features()[3] is out


def test_an_alias_is_one_layer():
    model = gcn()
    model.convs.append(model.convs[0])
    model.shortcut = model.convs[1]
    assert LayerRecorder(model).names == ['convs.0', 'convs.1', 'convs.2']
    names = ['convs.3', 'convs.0', 'shortcut']
    assert LayerRecorder(model, names).names == ['convs.0', 'convs.1']
    # Nor is a second name of what is in a wrapper a layer.
    model = torch.nn.Module()
    model.conv = GCNConv(4, 4)
    model.layer = DeepGCNLayer(model.conv, block='plain')
    assert LayerRecorder(model).names == ['layer']


@pytest.mark.parametrize(
    ('layers', 'names'),
    [
        ('convs.1', ['convs.1']),
        ('convs.*', ['convs.0', 'convs.1', 'convs.2']),
        ('convs.[02]', ['convs.0', 'convs.2']),
        ('*.?.lin', ['convs.0.lin', 'convs.1.lin', 'convs.2.lin']),
        (('convs.2', 'convs.*'), ['convs.2', 'convs.0', 'convs.1']),
        (iter(['convs.0']), ['convs.0']),
        (lambda model: model.convs, ['convs.0', 'convs.1', 'convs.2']),
        (lambda model: [*model.convs], ['convs.0', 'convs.1', 'convs.2']),
        (lambda model: model.convs[1], ['convs.1']),
        (lambda model: [model.convs[1], 'act'], ['convs.1', 'act']),
    ],
)
def test_names_patterns_and_modules(layers, names):
    model = gcn()
    layers = layers(model) if callable(layers) else layers
    assert LayerRecorder(model, layers).names == names


def test_the_model_itself():
    conv = GCNConv(4, 8)
    recorder = LayerRecorder(conv)
    out = conv(*graph())
    assert recorder.names == ['model']
    assert recorder.features()[0] is out

    class Outer(MessagePassing):
        def __init__(self):
            super().__init__()
            self.conv = GCNConv(4, 8)

    # Layers inside go first.
    assert LayerRecorder(Outer()).names == ['conv']


@pytest.mark.parametrize(
    ('layers', 'message'),
    [
        ('conv.9', r"'GCN' \(got 'conv.9'\).* convs.0, convs.1, convs.2$"),
        (['convs.0', 'convs.7*'], r"\(got 'convs.7\*'\)"),
        (['convs'], r"\(got 'convs', a 'ModuleList'\); try 'convs.\*'"),
        ([], 'at least one layer'),
        ([GCNConv(4, 4)], "got a 'GCNConv' that is not in it"),
    ],
)
def test_refuses_layers_that_are_not_there(layers, message):
    with pytest.raises(ValueError, match=message):
        LayerRecorder(gcn(), layers)


@pytest.mark.parametrize('layers', [3, {'convs.0': 1}, None, [3]])
def test_refuses_layers_of_another_type(layers):
    with pytest.raises(TypeError, match="'layers' must"):
        LayerRecorder(gcn(), layers)


def test_refuses_a_model_without_layers():
    with pytest.raises(ValueError, match=r"'layers' .*'MLP'.* act, lins.0, "):
        LayerRecorder(MLP([4, 8, 8, 5]))
    with pytest.raises(TypeError, match=r"torch.nn.Module \(got 'str'\)"):
        LayerRecorder('GCN')


def test_print():
    recorder = LayerRecorder(gcn(), 'convs.1', clone=True, detach=True)
    first = "LayerRecorder(GCN, layers=['convs.1'], clone=True, detach=True)"
    assert repr(recorder) == first
    assert str(recorder) == f'{first}\n  nothing recorded; call the model'
    recorder.model(*graph())
    assert str(recorder) == f'{first}\n  convs.1: [12, 8]'
    recorder.remove()
    assert str(recorder).endswith('nothing more will be recorded')
    # It stays short.
    text = repr(LayerRecorder(GCN(4, 8, num_layers=64)))
    assert text.endswith("'convs.5', ..., 'convs.63'])")


def record(value):
    """Records a layer that returns a function of its input, and another."""
    layers = {'last': Net(lambda net, x: value(x)), 'first': Linear(4, 8)}
    model = Net(lambda net, x: net.last(net.first(x)), **layers)
    recorder = LayerRecorder(model, ['last', 'first'])
    assert recorder.names == ['last', 'first']
    out = model(graph()[0])
    # Their order is that of calls.
    assert recorder.names == ['first', 'last']
    return out, recorder


@pytest.mark.parametrize('last', [1, 'text'])
def test_the_first_features_are_recorded(last):
    out, recorder = record(lambda x: (x.relu(), last))
    assert recorder.features()[1] is out[0]
    out, recorder = record(lambda x: (last, {'a': x, 'b': None, 'c': x[:, 1]}))
    feature = recorder.features()[1]
    assert set(feature) == {'a', 'c'}
    assert feature['a'] is out[1]['a']
    assert recorder.channels == [8, {'a': 8, 'c': 1}]


@pytest.mark.parametrize(
    ('value', 'kind'),
    [
        (lambda x: 'text', 'str'),
        (lambda x: ('text', 3), 'tuple'),
        (lambda x: {'a': [x]}, 'dict'),
        (lambda x: {'a': None}, 'dict'),
    ],
)
def test_says_if_there_are_no_features(value, kind):
    _, recorder = record(value)
    match = f"'last' returned '{kind}', .*record another module"
    with pytest.raises(ValueError, match=match):
        recorder.features()
    with pytest.raises(ValueError, match=match):
        _ = recorder.channels
    assert f"  last: no features (got '{kind}')" in str(recorder)
