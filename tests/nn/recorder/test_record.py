"""What is recorded when, and what is refused as being out of date."""

import pytest
import torch
from torch.nn import LayerNorm
from torch.utils.checkpoint import checkpoint
from torch_geometric.nn import DeepGCNLayer, GCNConv, GroupAddRev, SAGEConv

from pyg_distill.nn.recorder import LayerRecorder
from tests.nn.recorder.models import (
    InPlace,
    Net,
    gcn,
    gradients,
    graph,
    num_hooks,
)


def refuses(recorder, message, error=RuntimeError):
    with pytest.raises(error, match=message) as info:
        recorder.features()
    assert '\n' not in str(info.value)


def fragile(**more):
    """Fails between its layers, if it is told to."""

    def run(net, x, edge_index):
        x = net.conv1(x, edge_index)
        if net.broken:
            raise ArithmeticError
        return net.conv2(x, edge_index)

    model = Net(run, conv1=GCNConv(4, 8), conv2=GCNConv(8, 5), **more)
    model.broken = False
    return model


def test_nothing_is_recorded_yet():
    recorder = LayerRecorder(gcn())
    message = (
        r"'GCN' was not recorded; call the model itself, not its forward\(\) "
        r'.*attach the recorder before torch.compile'
    )
    refuses(recorder, message)
    with pytest.raises(RuntimeError, match=message):
        _ = recorder.channels


def test_an_exception_leaves_nothing_stale():
    model = fragile()
    recorder = LayerRecorder(model)
    model(*graph())
    model.broken = True
    with pytest.raises(ArithmeticError):
        model(*graph())
    message = "the call of 'Net' did not end.*call the model again"
    refuses(recorder, message)
    assert recorder.names == ['conv1', 'conv2']
    # The second layer alone does not make up for it.
    model.conv2(torch.randn(12, 8), graph()[1])
    refuses(recorder, message)
    # Nor does a call that is not recorded.
    model.broken = False
    with torch.no_grad():
        model(*graph())
    refuses(recorder, message)
    out = model(*graph())
    assert recorder.features()[1] is out


def test_a_layer_that_is_not_called_is_named():
    recorder = LayerRecorder(fragile(conv3=GCNConv(5, 5)))
    recorder.model(*graph())
    message = (
        r"'conv3' was not called by 'Net' \(called: conv1, conv2\); "
        r'choose others with layers=\.\.\., and attach'
    )
    refuses(recorder, message)
    with pytest.raises(RuntimeError, match=message):
        _ = recorder.channels
    assert recorder.names == ['conv1', 'conv2']

    # As deep networks do, whose first norm would see inputs.
    model = Net(
        lambda net, x, e: net.layers[1](net.layers[0].conv(x, e), e),
        layers=[DeepGCNLayer(GCNConv(4, 4), LayerNorm(4)) for _ in range(2)],
    )
    recorder = LayerRecorder(model)
    model(*graph())
    refuses(recorder, r"such as 'layers\.0\.conv'")
    recorder = LayerRecorder(model, ['layers.0.conv', 'layers.1'])
    out = model(*graph())
    assert torch.equal(recorder.features()[1], out)


def test_only_calls_of_the_model_count():
    model = gcn()
    recorder = LayerRecorder(model)
    x, edge_index = graph()
    model.forward(x, edge_index)
    model.convs[0](x, edge_index)
    refuses(recorder, 'was not recorded')
    # Also if it is part of a larger one.
    out = torch.nn.ModuleDict({'gnn': model})['gnn'](x=x, edge_index=edge_index)
    model.forward(x, edge_index)
    model.convs[2](torch.randn(12, 8), edge_index)
    assert len(recorder.features()) == 3
    assert recorder.features()[2] is out


@pytest.mark.parametrize('context', [torch.no_grad, torch.inference_mode])
def test_evaluation_leaves_the_record_of_a_student_alone(context):
    model = gcn()
    recorder = LayerRecorder(model)
    out = model(*graph())
    with context():
        model.eval()(*graph(1))
    assert recorder.features()[2] is out
    recorder.clear()
    with context():
        model(*graph())
    refuses(recorder, 'with gradients unless')


def test_a_teacher_is_recorded_without_gradients():
    model = gcn()
    recorder = LayerRecorder(model, detach=True)
    with torch.no_grad():
        out = model(*graph())
    assert recorder.features()[2].data_ptr() == out.data_ptr()
    out = model(*graph())
    assert out.requires_grad
    assert not any(f.requires_grad for f in recorder.features())
    assert torch.equal(recorder.features()[2], out)
    # Of a teacher, nothing is trained, so nothing can be out of date.
    with torch.no_grad():
        model.convs[0].bias.add_(1)
    recorder.features()


@pytest.mark.parametrize('clone', [True, False])
def test_a_teacher_in_inference_mode_can_be_used(clone):
    model = InPlace()
    recorder = LayerRecorder(model, detach=True, clone=clone)
    with torch.inference_mode():
        out = model(*graph())
    features = recorder.features()
    assert not any(f.is_inference() for f in features)
    assert torch.equal(features[1], out)
    assert features[0].min() < 0
    student = torch.nn.Linear(4, 8)
    (student(graph()[0]) * features[0]).sum().backward()
    assert student.weight.grad.abs().sum() > 0


def test_removal():
    model = gcn()
    with LayerRecorder(model) as recorder:
        out = model(*graph())
    assert recorder.features()[2] is out
    assert num_hooks(model) == 0
    model(*graph())
    assert recorder.features()[2] is out
    recorder.remove()
    recorder.clear()
    refuses(recorder, 'not recorded before the hooks were removed')
    with pytest.raises(ArithmeticError), LayerRecorder(model):
        raise ArithmeticError
    assert num_hooks(model) == 0


@pytest.mark.parametrize('detach', [True, False])
def test_changes_in_place_are_noticed(detach):
    model = InPlace()
    recorder = LayerRecorder(model, detach=detach)
    model(*graph())
    refuses(recorder, "'conv1' was changed in-place.*pass clone=True")
    assert recorder.channels == [8, 5]
    recorder.remove()
    recorder = LayerRecorder(model, clone=True, detach=detach)
    model(*graph())
    want = model.conv1(*graph())
    assert want.min() < 0
    assert torch.equal(recorder.features()[0], want)
    if not detach:
        recorder.features()[0].sum().backward()
        assert model.conv1.bias.grad is not None


@pytest.mark.parametrize('foreach', [True, False])
def test_a_step_of_the_optimizer_makes_the_record_stale(foreach):
    model = gcn()
    optimizer = torch.optim.Adam(model.parameters(), foreach=foreach)
    recorder = LayerRecorder(model)
    for _ in range(2):
        model(*graph()).sum().backward()
        recorder.features()
        optimizer.step()
        refuses(recorder, "'GCN' have changed .* call the model again")
        optimizer.zero_grad()
    assert recorder.channels == [8, 8, 5]
    model(*graph())
    optimizer.zero_grad()
    recorder.features()


def test_refuses_replicas():
    model = gcn()
    with pytest.raises(ValueError, match=r'in .DataParallel.*Distributed'):
        LayerRecorder(torch.nn.DataParallel(model))
    recorder = LayerRecorder(model)
    replica = model._replicate_for_data_parallel()
    with pytest.raises(RuntimeError, match='cannot run in DataParallel'):
        replica(*graph())
    out = model(*graph())
    assert recorder.features()[2] is out


def checkpointed(use_reentrant):
    def segment(net, x, edge_index):
        return net.conv2(net.conv1(x, edge_index), edge_index)

    def run(net, *args):
        if net.use_reentrant is None:
            x = segment(net, *args)
        else:
            x = checkpoint(segment, net, *args, use_reentrant=net.use_reentrant)
        return net.conv3(x, args[1])

    convs = (GCNConv(4, 8), GCNConv(8, 8), GCNConv(8, 5))
    model = Net(run, conv1=convs[0], conv2=convs[1], conv3=convs[2])
    model.use_reentrant = use_reentrant
    return model


def test_checkpointing():
    model = checkpointed(None)
    recorder = LayerRecorder(model)
    want = gradients(model, recorder)
    model.use_reentrant = False
    torch.testing.assert_close(gradients(model, recorder), want)
    # Layers have run again, which is not recorded.
    assert recorder.names == ['conv1', 'conv2', 'conv3']
    model.use_reentrant = True
    x, edge_index = graph()
    model(x.requires_grad_(), edge_index)
    refuses(recorder, "'conv1' has no gradient .*reentrant checkpointing")
    recorder.remove()
    # The last layer of a segment gets its gradient when it is left.
    recorder = LayerRecorder(model, ['conv2', 'conv3'])
    got = gradients(model, recorder)
    assert recorder.names == ['conv2', 'conv3']
    model.use_reentrant = None
    torch.testing.assert_close(got, gradients(model, recorder))


def reversible(disable=False):
    """Each of its layers frees its input, the record of the one before."""

    def run(net, x, edge_index):
        x = net.conv(x, edge_index)
        for layer in net.layers:
            x = layer(x, edge_index)
        return x

    layers = [
        GroupAddRev(SAGEConv(4, 4), num_groups=2, disable=disable)
        for _ in range(2)
    ]
    return Net(run, conv=GCNConv(4, 8), layers=layers)


@pytest.mark.parametrize('detach', [True, False])
def test_reversible_layers_need_copies(detach):
    message = "'layers.0' is reversible and frees .*pass clone=True"
    with pytest.raises(ValueError, match=message):
        LayerRecorder(reversible(), detach=detach)
    # So does a layer before them.
    model = reversible()
    recorder = LayerRecorder(model, 'conv', detach=detach)
    model(*graph())
    refuses(recorder, r"'conv' was freed .*clone=True")
    recorder.remove()
    recorder = LayerRecorder(model, 'conv', clone=True, detach=detach)
    model(*graph())
    assert torch.equal(recorder.features()[0], model.conv(*graph()))
