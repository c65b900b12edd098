"""Compiled, scripted, traced and exported models."""

import copy

import pytest
import torch
from torch_geometric.nn import GCN

from pyg_distill.nn.recorder import LayerRecorder
from tests.nn.recorder.models import InPlace, Tied, gcn, graph


def compiled(model):
    torch._dynamo.reset()
    return torch.compile(model, backend='aot_eager', fullgraph=True)


def gradients(call, model, recorder):
    model.zero_grad()
    call(*graph())
    features = recorder.features()
    sum(f.pow(3).sum() for f in features).backward()
    return features, [p.grad for p in model.parameters()]


def test_recorded_models_compile():
    model = GCN(4, 8, num_layers=2)
    recorder = LayerRecorder(model)
    want = gradients(model, model, recorder)
    names = recorder.names
    call = compiled(model)
    torch.testing.assert_close(gradients(call, model, recorder), want)
    recorder.clear()
    torch.testing.assert_close(gradients(call, model, recorder), want)
    assert recorder.names == names


def test_a_tied_layer_compiles():
    model = Tied()
    recorder = LayerRecorder(model)
    want = gradients(model, model, recorder)
    call = compiled(model)
    torch.testing.assert_close(gradients(call, model, recorder), want)
    assert recorder.names == ['conv#0', 'conv#1', 'conv#2', 'conv#3']


def test_pausing_a_compiled_model():
    model = Tied(1)
    recorder = LayerRecorder(model)
    call = compiled(model)
    call(*graph())
    before = recorder.features()[0]
    with recorder.paused():
        call(*graph(1))
    with torch.no_grad():
        call(*graph(1))
    assert torch.equal(recorder.features()[0], before)
    call(*graph(1))
    want = model.conv(*graph(1))
    torch.testing.assert_close(recorder.features()[0], want)


def test_the_whole_step_compiles():
    model = Tied(1)
    recorder = LayerRecorder(model)

    def step(x, edge_index):
        out = model(x, edge_index)
        return out, [f.value for f in recorder._store.captures]

    out, values = compiled(step)(*graph())
    torch.testing.assert_close(out, values[0].tanh())
    torch.testing.assert_close(recorder.features()[0].tanh(), out)


def test_compiled_changes_in_place_do_not_reach_captures():
    model = InPlace()
    recorder = LayerRecorder(model)
    compiled(model)(*graph())
    want = model.conv1(*graph())
    assert want.min() < 0
    torch.testing.assert_close(recorder.features()[0], want)


@pytest.mark.parametrize('context', [torch.no_grad, torch.inference_mode])
def test_a_compiled_teacher(context):
    model = Tied(1)
    recorder = LayerRecorder(model, detach=True)
    call = compiled(model)
    with context():
        out = call(*graph())
    features = recorder.features()
    torch.testing.assert_close(features[0].tanh(), out.clone())
    assert not any(f.requires_grad or f.is_inference() for f in features)


def test_a_compiled_part_of_a_model():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gnn = Tied(2)
            self.lin = torch.nn.Linear(4, 4)

        def forward(self, x, edge_index):
            return self.lin(self.gnn(x, edge_index))

    model = Net()
    recorder = LayerRecorder(model)
    want = gradients(model, model, recorder)[0]
    torch._dynamo.reset()
    model.gnn.compile(backend='aot_eager', fullgraph=True)
    for _ in range(3):
        got = gradients(model, model, recorder)[0]
        torch.testing.assert_close(got, want)


def test_a_recorder_that_comes_too_late():
    model = Tied(1)
    call = compiled(model)
    call(*graph())
    recorder = LayerRecorder(model)
    call(*graph())
    message = r'recorder before torch.compile \(torch.compiler.reset\(\) makes'
    with pytest.raises(RuntimeError, match=message):
        recorder.features()
    torch.compiler.reset()
    out = call(*graph())
    torch.testing.assert_close(recorder.features()[0].tanh(), out)


def test_compiled_code_stops_recording_when_hooks_are_removed():
    model = Tied(1)
    recorder = LayerRecorder(model)

    def step(x, edge_index):
        return model(x, edge_index) * 2

    step = compiled(step)
    step(*graph())
    before = recorder.features()[0]
    recorder.remove()
    step(*graph(1))
    assert recorder.features()[0] is before


def test_compiled_models_are_refused():
    message = 'is compiled and may run no hooks; attach the recorder first'
    with pytest.raises(ValueError, match=message):
        LayerRecorder(torch.compile(gcn()), 'convs.0')
    model = gcn()
    model.compile()
    with pytest.raises(ValueError, match=f"'model' {message}"):
        LayerRecorder(model)
    model = torch.nn.ModuleDict({'gnn': torch.compile(gcn()), 'b': gcn()})
    with pytest.raises(ValueError, match=f"'gnn' {message}"):
        LayerRecorder(model)
    with pytest.raises(ValueError, match=f"'gnn' {message}"):
        LayerRecorder(model, 'gnn')
    # What else there is may be compiled.
    assert LayerRecorder(model, 'b.convs.0').names == ['b.convs.0']
    model = gcn()
    model.convs[1].compile()
    with pytest.raises(ValueError, match=f"'convs.1' {message}"):
        LayerRecorder(model)


def test_copies_compile():
    model = Tied(1)
    recorder = LayerRecorder(model)
    want = model(*graph())
    before = recorder.features()[0]
    other = copy.deepcopy(model)
    torch.testing.assert_close(compiled(other)(*graph()), want)
    assert recorder.features()[0] is before


def test_scripting_works_once_hooks_are_removed():
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU())
    recorder = LayerRecorder(model, '0')
    with pytest.raises((AttributeError, RuntimeError)):
        torch.jit.script(model)
    recorder.remove()
    x, _ = graph()
    torch.testing.assert_close(torch.jit.script(model)(x), model(x))


def test_scripted_models_are_refused():
    script = torch.jit.script(torch.nn.Sequential(torch.nn.Linear(4, 8)))
    message = 'is scripted and runs no hooks; record the model'
    with pytest.raises(ValueError, match=f"'model' {message}"):
        LayerRecorder(script)
    model = torch.nn.ModuleDict({'a': script})
    with pytest.raises(ValueError, match=f"'a' {message}"):
        LayerRecorder(model, 'a')


def test_tracing_is_not_recorded():
    model = gcn()
    recorder = LayerRecorder(model)
    out = model(*graph())
    traced = torch.jit.trace(model, graph(1), check_trace=False)
    assert recorder.features()[2] is out
    torch.testing.assert_close(traced(*graph()), out)
    assert recorder.features()[2] is out


@pytest.mark.parametrize('strict', [True, False])
def test_exporting_is_not_recorded(strict):
    model = Tied(1)
    recorder = LayerRecorder(model)
    want = model(*graph())
    before = recorder.features()[0]
    program = torch.export.export(model, graph(1), strict=strict)
    assert recorder.features()[0] is before
    torch.testing.assert_close(program.module()(*graph()), want)
