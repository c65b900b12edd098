import pytest
import torch
from torch_geometric.nn import GATConv, GCNConv, HeteroConv, SAGEConv

from pyg_distill.nn.recorder import LayerRecorder
from tests.nn.recorder.models import gcn, graph


class Attention(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = GATConv(4, 8)

    def forward(self, x, edge_index):
        return self.conv(x, edge_index, return_attention_weights=True)


class Odd(torch.nn.Module):
    """Has a layer that returns whatever it is told to."""

    def __init__(self, value):
        super().__init__()
        self.conv = GCNConv(4, 8)
        self.layer = Fixed(value)

    def forward(self, x, edge_index):
        return self.layer(self.conv(x, edge_index))


class Fixed(torch.nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return self.value(x)


def record(model, layers='auto', **kwargs):
    recorder = LayerRecorder(model, layers, **kwargs)
    return model(*graph()), recorder


def test_the_first_tensor_of_a_tuple():
    (out, _), recorder = record(Attention())
    assert recorder.features()[0] is out


def test_output_by_position_and_function():
    (_, (_, alpha)), recorder = record(
        Attention(), output=lambda out: out[1][1]
    )
    assert recorder.features()[0] is alpha
    out, recorder = record(Odd(lambda x: (x, x + 1)), 'layer', output=-1)
    assert recorder.features()[0] is out[1]


def test_output_by_key():
    out, recorder = record(
        Odd(lambda x: {'a': x, 'b': x + 1}), 'layer', output='b'
    )
    assert recorder.features()[0] is out['b']
    assert recorder.channels == [8]


def test_a_function_may_return_a_dictionary():
    out, recorder = record(
        Odd(lambda x: x),
        'layer',
        output=lambda x: {'a': x, 'b': None, 'c': x[:, :2]},
    )
    (features,) = recorder.features()
    assert features['a'] is out
    assert set(features) == {'a', 'c'}
    assert recorder.channels == [{'a': 8, 'c': 2}]


def test_missing_types_are_left_out():
    model = HeteroConv(
        {
            ('a', 'to', 'b'): SAGEConv((4, 4), 8),
            ('b', 'to', 'b'): SAGEConv(4, 8),
        }
    )
    recorder = LayerRecorder(model, [model])
    edge_index = torch.tensor([[0, 1], [1, 0]])
    x_dict = {'a': torch.randn(2, 4), 'b': torch.randn(2, 4)}
    model(x_dict, dict.fromkeys(model.convs.keys(), edge_index))
    assert set(recorder.features()[0]) == {'b'}
    _, recorder = record(Odd(lambda x: ({'a': x, 'b': None}, 'more')), 'layer')
    assert set(recorder.features()[0]) == {'a'}


def test_the_width_of_a_vector_is_one():
    _, recorder = record(Odd(lambda x: x.sum(-1)), 'layer')
    assert recorder.channels == [1]
    _, recorder = record(Odd(lambda x: {'a': x.sum(-1)}), 'layer')
    assert recorder.channels == [{'a': 1}]


@pytest.mark.parametrize(
    ('value', 'output', 'kind'),
    [
        (lambda x: 'text', None, 'str'),
        (lambda x: ('text', 3), None, 'tuple'),
        (lambda x: {'a': [x]}, None, 'dict'),
        (lambda x: {'a': None}, None, 'dict'),
        (lambda x: (x, x), 2, 'tuple'),
        (lambda x: (x, (x, x)), 1, 'tuple'),
        (lambda x: (x, x), 'a', 'tuple'),
        (lambda x: {'a': x}, 'b', 'dict'),
        (lambda x: {'a': x}, 0, 'dict'),
        # It is the first row that is at position 0.
        (lambda x: x, 0, 'Tensor'),
        (lambda x: x, lambda x: (x, x), 'Tensor'),
    ],
)
def test_says_if_there_are_no_features(value, output, kind):
    _, recorder = record(Odd(value), 'layer', output=output)
    message = f"'layer' returned '{kind}', .* say what they are with output="
    with pytest.raises(ValueError, match=message):
        recorder.features()
    with pytest.raises(ValueError, match=message):
        _ = recorder.channels
    assert recorder.names == ['layer']


def test_sparse_outputs():
    out, recorder = record(Odd(lambda x: x.relu().to_sparse()), 'layer')
    assert recorder.features()[0] is out


@pytest.mark.parametrize('output', [1.5, True, [0], {}])
def test_refuses_outputs_of_another_type(output):
    with pytest.raises(TypeError, match="'output' must be None, a position"):
        LayerRecorder(gcn(), output=output)
