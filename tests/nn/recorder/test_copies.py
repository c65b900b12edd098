"""Copies of a recorded model, and saved ones."""

import copy
import gc
import pickle
import weakref

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from pyg_distill.nn.recorder import LayerRecorder
from tests.nn.recorder.models import Net, Tied, gcn, graph, num_hooks


@pytest.mark.parametrize('copy_model', [copy.deepcopy, AveragedModel])
def test_copies_do_not_write_to_the_record_of_the_original(copy_model):
    model = gcn()
    recorder = LayerRecorder(model)
    # With captures that have a gradient, and cannot be copied.
    out = model(*graph())
    other = copy_model(model)
    other(*graph(1))
    if isinstance(other, AveragedModel):
        other.update_parameters(model)
    assert recorder.features()[2] is out
    assert torch.equal(other(*graph()), model(*graph()))
    inner = other.module if isinstance(other, AveragedModel) else other
    second = LayerRecorder(inner)
    out = model(*graph())
    want = inner(*graph(1))
    assert second.features()[2] is want
    assert recorder.features()[2] is out


def test_the_copy_of_a_recorder_records_the_copy_of_its_model():
    model = gcn()
    recorder = LayerRecorder(model, 'convs.[01]', clone=True, detach=True)
    out = model(*graph())
    holder = {'recorder': recorder, 'model': model}
    for other in (copy.deepcopy(holder), pickle.loads(pickle.dumps(holder))):
        assert repr(other['recorder']) == repr(recorder)
        other['model'](*graph(1))
        want = other['model'].convs[0](*graph(1))
        assert torch.equal(other['recorder'].features()[0], want)
    assert torch.equal(model(*graph()), out)
    alone = LayerRecorder(model.convs[0])
    assert copy.deepcopy(alone).names == ['model']

    # A module that holds a recorder.
    holder = Net(None, student=Tied())
    holder.recorder = LayerRecorder(holder.student)
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
