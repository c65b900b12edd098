"""What is recorded when, and what is refused as being out of date."""

import pytest
import torch
from torch_geometric.nn import DeepGCNLayer, GCNConv

from pyg_distill.nn.recorder import LayerRecorder
from tests.nn.recorder.models import InPlace, gcn, graph, plain_hooks


class Fragile(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = GCNConv(4, 8)
        self.conv2 = GCNConv(8, 5)
        self.broken = False

    def forward(self, x, edge_index):
        x = self.conv1(x, edge_index)
        if self.broken:
            raise ArithmeticError
        return self.conv2(x, edge_index)


def test_nothing_is_recorded_yet():
    recorder = LayerRecorder(gcn())
    message = (
        r"'GCN' was not recorded; call the model itself, not its forward\(\) "
        r'.*attach the recorder before torch.compile'
    )
    with pytest.raises(RuntimeError, match=message):
        recorder.features()
    with pytest.raises(RuntimeError, match=message):
        _ = recorder.channels


def test_an_exception_leaves_nothing_stale():
    model = Fragile()
    recorder = LayerRecorder(model)
    model(*graph())
    model.broken = True
    with pytest.raises(ArithmeticError):
        model(*graph())
    message = "the call of 'Fragile' did not end.*call the model again"
    with pytest.raises(RuntimeError, match=message):
        recorder.features()
    assert recorder.names == ['conv1', 'conv2']
    # The second layer alone does not make up for it.
    model.conv2(torch.randn(12, 8), graph()[1])
    with pytest.raises(RuntimeError, match=message):
        recorder.features()
    # Nor does a call that is not recorded.
    model.broken = False
    with torch.no_grad():
        model(*graph())
    with pytest.raises(RuntimeError, match=message):
        recorder.features()
    out = model(*graph())
    assert recorder.features()[1] is out


def test_an_exception_in_a_hook_that_was_there_before():
    def fail(module, args):
        if broken:
            raise ArithmeticError

    broken = False
    model = gcn()
    model.register_forward_pre_hook(fail)
    recorder = LayerRecorder(model)
    model(*graph())
    broken = True
    with pytest.raises(ArithmeticError):
        model(*graph())
    with pytest.raises(RuntimeError, match='did not end'):
        recorder.features()


def test_a_layer_that_is_not_called_is_named():
    model = Fragile()
    model.conv3 = GCNConv(5, 5)
    recorder = LayerRecorder(model)
    model(*graph())
    message = (
        r"'conv3' was not called by 'Fragile' \(called: conv1, conv2\); "
        r'choose others with layers=\.\.\., and attach'
    )
    with pytest.raises(RuntimeError, match=message):
        recorder.features()
    with pytest.raises(RuntimeError, match=message):
        _ = recorder.channels
    assert recorder.names == ['conv1', 'conv2']


def test_a_layer_of_which_a_part_is_called():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.ModuleList(
                DeepGCNLayer(GCNConv(5, 5), torch.nn.LayerNorm(5))
                for _ in range(2)
            )

        def forward(self, x, edge_index):
            # As deep networks do, whose first norm would see inputs.
            x = self.layers[0].conv(x, edge_index)
            return self.layers[1](x, edge_index)

    model, args = Net(), (torch.randn(4, 5), graph()[1] % 4)
    recorder = LayerRecorder(model)
    model(*args)
    with pytest.raises(RuntimeError, match=r"such as 'layers\.0\.conv'"):
        recorder.features()
    recorder = LayerRecorder(model, ['layers.0.conv', 'layers.1'])
    out = model(*args)
    assert torch.equal(recorder.features()[1], out)


def test_only_calls_of_the_model_count():
    model = gcn()
    recorder = LayerRecorder(model)
    x, edge_index = graph()
    model.forward(x, edge_index)
    model.convs[0](x, edge_index)
    with pytest.raises(RuntimeError, match='was not recorded'):
        recorder.features()
    out = model(x, edge_index)
    model.forward(x, edge_index)
    model.convs[2](torch.randn(12, 8), edge_index)
    assert len(recorder.features()) == 3
    assert recorder.features()[2] is out


def test_a_call_inside_a_larger_model_counts():
    model = gcn()
    recorder = LayerRecorder(model)
    net = torch.nn.ModuleDict({'gnn': model})
    out = net['gnn'](*graph())
    assert recorder.features()[2] is out


def test_evaluation_leaves_the_record_of_a_student_alone():
    model = gcn()
    recorder = LayerRecorder(model)
    for context in (torch.no_grad, torch.inference_mode):
        out = model(*graph())
        with context():
            model.eval()(*graph(1))
        model.train()
        assert recorder.features()[2] is out
        recorder.clear()
        with context():
            model(*graph())
        with pytest.raises(RuntimeError, match='with gradients unless'):
            recorder.features()


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
    loss = (student(graph()[0]) * features[0]).sum()
    loss.backward()
    assert student.weight.grad.abs().sum() > 0


def test_pausing():
    model = Fragile()
    recorder = LayerRecorder(model)
    out = model(*graph())
    with recorder.paused():
        model(*graph(1))
        with recorder.paused():
            pass
        model(*graph(1))
    assert recorder.features()[1] is out
    with pytest.raises(ArithmeticError), recorder.paused():
        raise ArithmeticError
    out = model(*graph())
    assert recorder.features()[1] is out


def test_clear_frees_memory():
    model = gcn()
    recorder = LayerRecorder(model)
    model(*graph())
    recorder.clear()
    assert recorder.names == ['convs.0', 'convs.1', 'convs.2']
    with pytest.raises(RuntimeError, match=r'after clear\(\)'):
        recorder.features()


def test_removal():
    model = gcn()
    with LayerRecorder(model) as recorder:
        out = model(*graph())
    assert recorder.features()[2] is out
    assert not model._forward_hooks
    assert not model._forward_pre_hooks
    assert not any(m._forward_hooks for m in model.modules())
    model(*graph())
    assert recorder.features()[2] is out
    recorder.remove()
    recorder.clear()
    message = 'not recorded before the hooks were removed'
    with pytest.raises(RuntimeError, match=message):
        recorder.features()
    with pytest.raises(ArithmeticError), LayerRecorder(model):
        raise ArithmeticError
    assert not any(m._forward_hooks for m in model.modules())


@pytest.mark.parametrize('clone', [True, False])
def test_outputs_are_left_as_they_are(clone):
    model = gcn()
    names = ['convs.0', 'convs.1', 'convs.2']
    with plain_hooks(model, names) as before:
        recorder = LayerRecorder(model, clone=clone, detach=True)
        with plain_hooks(model, names) as after:
            out = model(*graph())
    assert all(a is b for a, b in zip(before, after, strict=True))
    assert out is after[2]
    assert out.requires_grad
    recorder.features()


def test_changes_in_place_are_noticed():
    model = InPlace()
    recorder = LayerRecorder(model)
    model(*graph())
    message = "output of 'conv1' was changed in-place.*pass clone=True"
    with pytest.raises(RuntimeError, match=message):
        recorder.features()
    assert recorder.channels == [8, 5]


@pytest.mark.parametrize('detach', [True, False])
def test_changes_in_place_do_not_reach_clones(detach):
    model = InPlace()
    recorder = LayerRecorder(model, clone=True, detach=detach)
    model(*graph())
    want = model.conv1(*graph())
    assert want.min() < 0
    assert torch.equal(recorder.features()[0], want)
    if not detach:
        recorder.features()[0].sum().backward()
        assert model.conv1.bias.grad is not None


def test_changes_in_place_of_a_teacher_are_noticed():
    model = InPlace()
    recorder = LayerRecorder(model, detach=True)
    with torch.no_grad():
        model(*graph())
    with pytest.raises(RuntimeError, match="'conv1' was changed in-place"):
        recorder.features()


def test_changes_in_place_of_one_node_type_are_noticed():
    model = gcn()
    recorder = LayerRecorder(
        model, 'convs.2', output=lambda x: {'a': x + 0, 'b': x}
    )
    model(*graph()).mul_(2)
    with pytest.raises(RuntimeError, match=r"'convs.2' was changed in-place"):
        recorder.features()


@pytest.mark.parametrize('foreach', [True, False])
def test_a_step_of_the_optimizer_makes_the_record_stale(foreach):
    model = gcn()
    optimizer = torch.optim.Adam(model.parameters(), foreach=foreach)
    recorder = LayerRecorder(model)
    model(*graph()).sum().backward()
    recorder.features()
    optimizer.zero_grad()
    recorder.features()
    model(*graph()).sum().backward()
    optimizer.step()
    message = "parameters of 'GCN' have changed .* call the model again"
    with pytest.raises(RuntimeError, match=message):
        recorder.features()
    assert recorder.channels == [8, 8, 5]
    model(*graph())
    recorder.features()


def test_lazy_parameters_may_appear():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = GCNConv(-1, 8)
            self.unused = torch.nn.LazyLinear(3)

        def forward(self, x, edge_index):
            return self.conv(x, edge_index)

    model = Net()
    recorder = LayerRecorder(model)
    model(*graph())
    assert recorder.channels == [8]
    recorder.features()
    with torch.no_grad():
        model.conv.lin.weight.mul_(2)
    with pytest.raises(RuntimeError, match='have changed'):
        recorder.features()


def test_layers_that_the_model_runs_without_gradients_are_named():
    class Net(Fragile):
        def forward(self, x, edge_index):
            with torch.no_grad():
                x = self.conv1(x, edge_index)
            return self.conv2(x, edge_index)

    model = Net()
    recorder = LayerRecorder(model)
    model(*graph())
    message = "output of 'conv1' has no gradient, .*pass detach=True"
    with pytest.raises(RuntimeError, match=message):
        recorder.features()
    model.conv1.requires_grad_(False)
    recorder.features()


def test_freed_outputs_are_noticed():
    model = gcn()
    recorder = LayerRecorder(model)
    model(*graph()).untyped_storage().resize_(0)
    message = "output of 'convs.2' was freed .*pass clone=True"
    with pytest.raises(RuntimeError, match=message):
        recorder.features()


def test_features_of_no_nodes_are_not_freed():
    model = gcn()
    recorder = LayerRecorder(model)
    model(torch.empty(0, 4), torch.empty(2, 0, dtype=torch.long))
    assert [f.size(0) for f in recorder.features()] == [0, 0, 0]


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
