"""Compiled, scripted, traced and exported models."""

import pytest
import torch

from pyg_distill.nn.recorder import LayerRecorder
from tests.nn.recorder.models import InPlace, Tied, gcn, gradients, graph

pytestmark = pytest.mark.slow


def compiled(model):
    torch._dynamo.reset()
    return torch.compile(model, backend='aot_eager', fullgraph=True)


def test_recorded_models_compile():
    model = Tied(3)
    recorder = LayerRecorder(model)
    want = gradients(model, recorder)
    names = recorder.names
    call = compiled(model)
    for _ in range(2):
        recorder.clear()
        got = gradients(call, recorder, model)
        torch.testing.assert_close(got, want)
        assert recorder.names == names


def test_the_whole_step_compiles():
    model = Tied(1)
    recorder = LayerRecorder(model)

    def step(x, edge_index):
        return model(x, edge_index), recorder.features()[0]

    out, feature = compiled(step)(*graph())
    torch.testing.assert_close(out, feature.tanh())
    torch.testing.assert_close(recorder.features()[0].tanh(), out)


def test_compiled_changes_in_place_do_not_reach_captures():
    model = InPlace()
    recorder = LayerRecorder(model)
    compiled(model)(*graph())
    want = model.conv1(*graph())
    assert want.min() < 0
    torch.testing.assert_close(recorder.features()[0], want)


def test_a_compiled_teacher():
    model = Tied(1)
    recorder = LayerRecorder(model, detach=True)
    call = compiled(model)
    with torch.inference_mode():
        out = call(*graph())
    features = recorder.features()
    torch.testing.assert_close(features[0].tanh(), out.clone())
    assert not any(f.requires_grad or f.is_inference() for f in features)


def test_a_recorder_that_comes_too_late():
    model = Tied(1)
    call = compiled(model)
    call(*graph())
    recorder = LayerRecorder(model)
    call(*graph())
    message = r'before torch.compile \(torch.compiler.reset\(\)'
    with pytest.raises(RuntimeError, match=message):
        recorder.features()
    torch.compiler.reset()
    out = call(*graph())
    torch.testing.assert_close(recorder.features()[0].tanh(), out)


def refuses(model, message, layers='auto'):
    with pytest.raises(ValueError, match=message):
        LayerRecorder(model, layers)


def test_compiled_models_are_refused():
    message = 'is compiled and may run no hooks; attach the recorder first'
    refuses(torch.compile(gcn()), f"'model' {message}", 'convs.0')
    model = gcn()
    model.compile()
    refuses(model, f"'model' {message}")
    model = torch.nn.ModuleDict({'gnn': torch.compile(gcn()), 'b': gcn()})
    refuses(model, f"'gnn' {message}")
    refuses(model, f"'gnn' {message}", 'gnn')
    # Modules without a recorded layer may be compiled.
    assert LayerRecorder(model, 'b.convs.0').names == ['b.convs.0']
    model = gcn()
    model.convs[1].compile()
    refuses(model, f"'convs.1' {message}")


def test_scripting():
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU())
    recorder = LayerRecorder(model, '0')
    with pytest.raises((AttributeError, RuntimeError)):
        torch.jit.script(model)
    recorder.remove()
    x, _ = graph()
    script = torch.jit.script(model)
    torch.testing.assert_close(script(x), model(x))
    message = 'is scripted and runs no hooks; record the model'
    refuses(script, f"'model' {message}")
    refuses(torch.nn.ModuleDict({'a': script}), f"'a' {message}", 'a')


def test_exporting_is_not_recorded():
    model = Tied(1)
    recorder = LayerRecorder(model)
    want = model(*graph())
    before = recorder.features()[0]
    program = torch.export.export(model, graph(1), strict=False)
    assert recorder.features()[0] is before
    torch.testing.assert_close(program.module()(*graph()), want)
