"""Copies of a recorded model, and saved ones."""

import copy
import gc
import pickle
import subprocess
import sys
import weakref

import pytest
import torch
from torch.optim.swa_utils import AveragedModel
from torch_geometric.nn import SAGEConv, to_hetero

from pyg_distill.nn.recorder import LayerRecorder
from tests.conftest import with_to_hetero
from tests.nn.recorder.models import Tied, gcn, graph


def num_hooks(model):
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks)
        for m in model.modules()
    )


@pytest.mark.parametrize('copy_model', [copy.deepcopy, AveragedModel])
def test_copies_do_not_write_to_the_record_of_the_original(copy_model):
    model = gcn()
    recorder = LayerRecorder(model)
    # With captures that have a gradient, and cannot be copied.
    out = model(*graph())
    other = copy_model(model)
    other(*graph(1))
    other.zero_grad()
    assert recorder.features()[2] is out
    assert torch.equal(other(*graph()), model(*graph()))
    inner = other.module if copy_model is AveragedModel else other
    own = LayerRecorder(inner)
    out = model(*graph())
    want = inner(*graph(1))
    assert own.features()[2] is want
    assert recorder.features()[2] is out


def test_averaged_models_can_be_updated():
    model = gcn()
    recorder = LayerRecorder(model)
    average = AveragedModel(model)
    out = model(*graph())
    average.update_parameters(model)
    assert recorder.features()[2] is out


def test_hooks_of_copies_hold_nothing():
    model = gcn()
    recorder = LayerRecorder(model)
    other = copy.deepcopy(model)
    assert num_hooks(model) == num_hooks(other) == 5
    for module in other.modules():
        for hook in module._forward_hooks.values():
            assert not type(hook).__module__.startswith('pyg_distill')
            assert hook(module, (), 1) is None
    recorder.remove()
    assert num_hooks(model) == 0


def test_the_state_of_a_recorded_model_has_the_same_keys():
    model = gcn()
    keys = list(model.state_dict())
    recorder = LayerRecorder(model)
    model(*graph())
    assert list(model.state_dict()) == keys
    gcn().load_state_dict(model.state_dict())
    recorder.features()


LOAD = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == 'pyg_distill':
            raise ImportError(name)

sys.meta_path.insert(0, Missing())
import torch
model, args, want = torch.load(sys.argv[1], weights_only=False)
torch.testing.assert_close(model(*args), want)
assert not any(name.startswith('pyg_distill') for name in sys.modules)
print('loaded')
"""


def test_saved_models_load_without_this_package(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU())
    recorder = LayerRecorder(model, '*')
    x, _ = graph()
    out = model(x)
    path = tmp_path / 'model.pt'
    torch.save((model, (x,), out.detach()), path)
    result = subprocess.run(
        [sys.executable, '-c', LOAD, path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout == 'loaded\n', result.stderr
    assert recorder.features()[1] is out


def test_the_copy_of_a_recorder_records_the_copy_of_its_model():
    model = gcn()
    recorder = LayerRecorder(model, 'convs.[01]', clone=True, detach=True)
    out = model(*graph())
    holder = {'recorder': recorder, 'model': model}
    for other in (
        copy.deepcopy(holder),
        pickle.loads(pickle.dumps(holder)),
    ):
        assert repr(other['recorder']) == repr(recorder)
        other['model'](*graph(1))
        want = other['model'].convs[0](*graph(1))
        assert torch.equal(other['recorder'].features()[0], want)
    assert torch.equal(model(*graph()), out)
    alone = LayerRecorder(model.convs[0])
    assert copy.deepcopy(alone).names == ['model']


def test_a_copy_of_a_module_that_holds_a_recorder():
    class Holder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.student = Tied()
            self.recorder = LayerRecorder(self.student)

    holder = Holder()
    other = copy.deepcopy(holder)
    out = other.student(*graph())
    assert other.recorder.model is other.student
    assert torch.equal(other.recorder.features()[3].tanh(), out)
    with pytest.raises(RuntimeError, match='was not recorded'):
        holder.recorder.features()


def test_a_model_is_freed_with_its_recorder():
    gc.collect()
    gc.disable()
    try:
        model = gcn()
        recorder = LayerRecorder(model)
        model(*graph())
        recorder.features()
        ref = weakref.ref(model)
        del model, recorder
        assert ref() is None
    finally:
        gc.enable()


def test_a_recorder_that_is_dropped_takes_its_hooks_along():
    model = gcn()
    recorder = LayerRecorder(model)
    model(*graph())
    features = weakref.ref(recorder.features()[0])
    del recorder
    assert num_hooks(model) == 0
    assert features() is None


@with_to_hetero
def test_hooks_of_a_recorded_layer_are_split_up_with_it():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = SAGEConv(4, 4)

        def forward(self, x, edge_index):
            return self.conv(x, edge_index)

    model = Net()
    recorder = LayerRecorder(model)
    model(*graph())
    before = recorder.features()[0]
    metadata = (['p'], [('p', 'a', 'p'), ('p', 'b', 'p')])
    hetero = to_hetero(model, metadata)
    x, edge_index = graph(1)
    hetero({'p': x}, dict.fromkeys(metadata[1], edge_index))
    assert recorder.features()[0] is before
