import pytest
import torch
from torch.nn import Linear, ReLU, Sequential
from torch_geometric.data import HeteroData
from torch_geometric.nn import (
    GAT,
    GCN,
    GIN,
    MLP,
    PMLP,
    PNA,
    AntiSymmetricConv,
    AttentiveFP,
    DeepGCNLayer,
    DenseGCNConv,
    DirGNNConv,
    EdgeCNN,
    GCN2Conv,
    GCNConv,
    GINConv,
    GPSConv,
    GraphSAGE,
    GraphUNet,
    HANConv,
    HeteroConv,
    HGTConv,
    JumpingKnowledge,
    LayerNorm,
    MessagePassing,
    MetaLayer,
    SAGEConv,
    SAGPooling,
)
from torch_geometric.nn import Sequential as GraphSequential

from pyg_distill.nn.recorder import LayerRecorder
from tests.nn.recorder.models import Tied, gcn, graph, plain_hooks


def check(model, names, args, kwargs=None):
    """What is recorded by default is what plain hooks see, and trains it."""
    recorder = LayerRecorder(model)
    assert recorder.names == names
    with plain_hooks(model, names) as want:
        model(*args, **(kwargs or {}))
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
        kwargs = {
            'aggregators': ['mean', 'max'],
            'scalers': ['identity'],
            'deg': torch.tensor([0, 3, 5]),
        }
    model = gnn(4, 8, num_layers=3, out_channels=5, jk=jk, **kwargs)
    features = check(model, [f'convs.{i}' for i in range(3)], graph())
    widths = [f.size(-1) for f in features]
    assert widths == [8, 8, 5 if jk is None else 8]


def test_gcn2_stack():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = Linear(4, 8)
            self.convs = torch.nn.ModuleList(
                GCN2Conv(8, 0.1, 0.5, layer + 1) for layer in range(6)
            )

        def forward(self, x, edge_index):
            x = x0 = self.lin(x).relu()
            for conv in self.convs:
                x = conv(x, x0, edge_index).relu()
            return x

    check(Net(), [f'convs.{i}' for i in range(6)], graph())


@pytest.mark.parametrize('block', ['res+', 'res', 'dense', 'plain'])
def test_deep_gcn_layers_are_recorded_whole(block):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.ModuleList(
                DeepGCNLayer(
                    GCNConv(width, width),
                    LayerNorm(width),
                    ReLU(),
                    block=block,
                )
                for width in ((4, 8) if block == 'dense' else (4, 4))
            )

        def forward(self, x, edge_index):
            for layer in self.layers:
                x = layer(x, edge_index)
            return x

    check(Net(), ['layers.0', 'layers.1'], graph())


def test_gps_is_recorded_whole():
    mlp = Sequential(Linear(4, 4), ReLU(), Linear(4, 4))
    model = GraphSequential(
        'x, edge_index',
        [
            (GPSConv(4, GINConv(mlp), heads=2), 'x, edge_index -> x'),
            (GPSConv(4, GCNConv(4, 4), heads=2), 'x, edge_index -> x'),
        ],
    )
    check(model, ['module_0', 'module_1'], graph())


@pytest.mark.parametrize(
    'layer',
    [
        DirGNNConv(SAGEConv(4, 4)),
        AntiSymmetricConv(4),
        AntiSymmetricConv(4, num_iters=3),
    ],
)
def test_wrappers_are_recorded_whole(layer):
    model = GraphSequential('x, edge_index', [(layer, 'x, edge_index -> x')])
    check(model, ['module_0'], graph())


def test_dense_layers():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = DenseGCNConv(4, 8)

        def forward(self, x, adj):
            return self.conv(x, adj).relu()

    check(Net(), ['conv'], (torch.randn(2, 5, 4), torch.ones(2, 5, 5)))


def test_meta_layer_gives_nodes():
    class Node(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = Linear(4, 8)

        def forward(self, x, *args):
            return self.lin(x)

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = MetaLayer(node_model=Node())

        def forward(self, x, edge_index):
            return self.layer(x, edge_index)[0]

    check(Net(), ['layer'], graph())


def test_graph_unet_has_fewer_rows_in_the_middle():
    model = GraphUNet(4, 8, 5, depth=2, pool_ratios=0.5)
    names = [
        'down_convs.0',
        'down_convs.1',
        'down_convs.2',
        'up_convs.0',
        'up_convs.1',
    ]
    features = check(model, names, graph())
    assert [f.size(0) for f in features] == [12, 6, 3, 6, 12]


def test_pooling_layers_are_not_recorded():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = GCNConv(4, 8)
            self.pool = SAGPooling(8)

        def forward(self, x, edge_index):
            return self.pool(self.conv(x, edge_index), edge_index)[0]

    check(Net(), ['conv'], graph())


def test_attentive_fp_ends_with_graphs():
    model = AttentiveFP(
        4, 8, 5, edge_dim=3, num_layers=2, num_timesteps=2, dropout=0.0
    )
    x, edge_index = graph()
    edge_attr = torch.randn(edge_index.size(1), 3)
    batch = torch.zeros(12, dtype=torch.long)
    # It changes what its layers return in-place.
    recorder = LayerRecorder(model, clone=True)
    model(x, edge_index, edge_attr, batch)
    assert recorder.names == [
        'gate_conv',
        'atom_convs.0',
        'mol_conv#0',
        'mol_conv#1',
    ]
    assert [f.size(0) for f in recorder.features()] == [12, 12, 1, 1]


def test_pmlp_passes_messages_only_after_training():
    model = PMLP(4, 8, 5, num_layers=3)
    recorder = LayerRecorder(model)
    model(*graph())
    with pytest.raises(RuntimeError, match="'conv' was not called by 'PMLP'"):
        recorder.features()
    model.eval()
    model(*graph())
    assert recorder.names == ['conv#0', 'conv#1', 'conv#2']
    assert [f.size(-1) for f in recorder.features()] == [8, 8, 5]


def test_jumping_knowledge_can_be_recorded():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.convs = torch.nn.ModuleList([GCNConv(4, 8), GCNConv(8, 8)])
            self.jump = JumpingKnowledge('cat')

        def forward(self, x, edge_index):
            xs = []
            for conv in self.convs:
                x = conv(x, edge_index)
                xs.append(x)
            return self.jump(xs)

    model = Net()
    recorder = LayerRecorder(model, ['convs.*', 'jump'])
    out = model(*graph())
    *features, last = recorder.features()
    assert last is out
    assert torch.equal(torch.cat(features, -1), out)


def hetero_data():
    data = HeteroData()
    data['paper'].x = torch.randn(6, 4)
    data['author'].x = torch.randn(5, 4)
    data['word'].x = torch.randn(3, 4)
    for edge_type in [
        ('author', 'writes', 'paper'),
        ('paper', 'cites', 'paper'),
        ('word', 'in', 'paper'),
        ('paper', 'rev_writes', 'author'),
    ]:
        src, _, dst = edge_type
        data[edge_type].edge_index = torch.stack(
            [
                torch.randint(data[src].num_nodes, (9,)),
                torch.randint(data[dst].num_nodes, (9,)),
            ]
        )
    return data


class Hetero(torch.nn.Module):
    def __init__(self, *convs):
        super().__init__()
        self.convs = torch.nn.ModuleList(convs)

    def forward(self, x_dict, edge_index_dict):
        for conv in self.convs:
            out = conv(x_dict, edge_index_dict)
            x_dict = {
                **x_dict,
                **{k: v for k, v in out.items() if v is not None},
            }
        return x_dict


@pytest.mark.parametrize('kind', ['hetero', 'hgt', 'han'])
def test_hetero_layers_give_dictionaries(kind):
    data = hetero_data()

    def layer():
        if kind == 'hgt':
            return HGTConv(4, 4, data.metadata(), heads=2)
        if kind == 'han':
            return HANConv(4, 4, data.metadata(), heads=2)
        return HeteroConv(
            {t: SAGEConv((4, 4), 4) for t in data.edge_types}, aggr='mean'
        )

    model = Hetero(layer(), layer())
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


def test_order_is_that_of_calls():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.last = GCNConv(8, 2)
            self.first = GCNConv(4, 8)

        def forward(self, x, edge_index):
            return self.last(self.first(x, edge_index), edge_index)

    model = Net()
    recorder = LayerRecorder(model, ['last', 'first'])
    assert recorder.names == ['last', 'first']
    out = model(*graph())
    assert recorder.names == ['first', 'last']
    assert recorder.channels == [8, 2]
    assert recorder.features()[1] is out
    recorder.clear()
    assert recorder.names == ['last', 'first']


def test_every_call_of_a_tied_layer_counts():
    model = Tied()
    recorder = LayerRecorder(model)
    assert recorder.names == ['conv']
    with plain_hooks(model, ['conv']) as want:
        model(*graph())
    assert recorder.names == ['conv#0', 'conv#1', 'conv#2', 'conv#3']
    features = recorder.features()
    assert all(f is w for f, w in zip(features, want, strict=True))


def test_interleaved_calls_stay_in_order():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a = GCNConv(4, 4)
            self.b = GCNConv(4, 4)

        def forward(self, x, edge_index):
            for conv in (self.a, self.b, self.a, self.b):
                x = conv(x, edge_index)
            return x

    model = Net()
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
    recorder = LayerRecorder(model, names)
    assert recorder.names == ['convs.0', 'convs.1']


def test_an_alias_into_a_wrapper_is_not_recorded():
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
    ],
)
def test_names_and_patterns(layers, names):
    assert LayerRecorder(gcn(), layers).names == names


def test_modules():
    model = gcn()
    names = ['convs.0', 'convs.1', 'convs.2']
    assert LayerRecorder(model, model.convs).names == names
    assert LayerRecorder(model, list(model.convs)).names == names
    assert LayerRecorder(model, model.convs[1]).names == names[1:2]
    assert LayerRecorder(model, [model.convs[1], 'act']).names == [
        'convs.1',
        'act',
    ]


def test_shared_activations():
    model = gcn()
    recorder = LayerRecorder(model, 'act')
    model(*graph())
    assert recorder.names == ['act#0', 'act#1']
    assert all((f >= 0).all() for f in recorder.features())


def test_a_layer_is_recorded_if_it_is_the_model():
    conv = GCNConv(4, 8)
    recorder = LayerRecorder(conv)
    out = conv(*graph())
    assert recorder.names == ['model']
    assert recorder.features()[0] is out


def test_layers_inside_go_before_the_model():
    class Net(MessagePassing):
        def __init__(self):
            super().__init__()
            self.conv = GCNConv(4, 8)

        def forward(self, x, edge_index):
            return self.conv(x, edge_index).relu()

    assert LayerRecorder(Net()).names == ['conv']


def test_recorders_are_independent():
    model = gcn()
    first = LayerRecorder(model, 'convs.0')
    second = LayerRecorder(model, 'convs.1', detach=True)
    model(*graph())
    first.remove()
    assert len(first.features()) == len(second.features()) == 1
    old = second.features()[0]
    model(*graph(1))
    assert second.features()[0] is not old
    assert len(model.convs[0]._forward_hooks) == 0


@pytest.mark.parametrize(
    ('layers', 'message'),
    [
        (
            'conv.9',
            r"must name submodules of 'GCN' \(got 'conv.9'\); there are "
            r'convs.0, convs.1, convs.2$',
        ),
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
    message = "'layers' must be given for 'MLP'.*there are act, lins.0, .*"
    with pytest.raises(ValueError, match=message):
        LayerRecorder(MLP([4, 8, 8, 5]))
    with pytest.raises(TypeError, match=r"torch.nn.Module \(got 'str'\)"):
        LayerRecorder('GCN')


def test_messages_and_repr_stay_short():
    model = GCN(4, 8, num_layers=64)
    with pytest.raises(ValueError, match=r'convs.5, \.\.\., convs.63$'):
        LayerRecorder(model, 'x')
    assert repr(LayerRecorder(model)).endswith("'convs.5', ..., 'convs.63'])")


def test_repr():
    assert repr(LayerRecorder(gcn())) == (
        "LayerRecorder(GCN, layers=['convs.0', 'convs.1', 'convs.2'])"
    )
    recorder = LayerRecorder(
        gcn(), 'convs.1', output=0, clone=True, detach=True
    )
    assert repr(recorder) == (
        "LayerRecorder(GCN, layers=['convs.1'], output=0, clone=True, "
        'detach=True)'
    )


def test_print_says_what_is_recorded():
    model = gcn()
    recorder = LayerRecorder(model)
    first = repr(recorder)
    assert str(recorder) == f'{first}\n  nothing recorded; call the model'
    x, edge_index = graph()
    model(x, edge_index)
    want = [f'  {n}: {list(h.size())}' for n, h in recorded(recorder)]
    assert len(want) == 3
    assert str(recorder).split('\n') == [first, *want]
    with pytest.raises(RuntimeError):
        model(x, edge_index + len(x))
    assert str(recorder).endswith('  the latest call of the model did not end')
    recorder.clear()
    recorder.remove()
    assert str(recorder).split('\n') == [
        first,
        '  hooks removed; nothing more will be recorded',
    ]


def recorded(recorder):
    return zip(recorder.names, recorder.features(), strict=True)


def test_print_of_other_outputs():
    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.typed = torch.nn.Identity()
            self.none = torch.nn.Identity()
            self.idle = torch.nn.Identity()

        def forward(self, x):
            self.none(3)
            return self.typed({'a': x})['a']

    model = Odd()
    recorder = LayerRecorder(model, ['typed', 'none', 'idle'])
    model(torch.ones(2, 3, requires_grad=True))
    assert str(recorder).split('\n')[1:] == [
        "  none: no features (got 'int')",
        "  typed: {'a': [2, 3]}",
        '  idle: not called',
    ]
