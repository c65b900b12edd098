"""Layers whose forward pass is run again, or whose memory is freed."""

import weakref

import pytest
import torch
from torch.nn import LayerNorm, ReLU
from torch.utils.checkpoint import checkpoint
from torch_geometric.nn import DeepGCNLayer, GCNConv, GroupAddRev, SAGEConv

from pyg_distill.nn.recorder import LayerRecorder
from tests.nn.recorder.models import gcn, graph


def test_one_call_is_kept_and_no_more():
    model = gcn()
    recorder = LayerRecorder(model)
    model(*graph())
    first = [weakref.ref(f) for f in recorder.features()]
    model(*graph(1))
    assert len(recorder.features()) == 3
    assert all(ref() is None for ref in first)
    last = [weakref.ref(f) for f in recorder.features()]
    recorder.clear()
    assert all(ref() is None for ref in last)


class Checkpointed(torch.nn.Module):
    def __init__(self, use_reentrant):
        super().__init__()
        self.conv1 = GCNConv(4, 8)
        self.conv2 = GCNConv(8, 8)
        self.conv3 = GCNConv(8, 5)
        self.use_reentrant = use_reentrant

    def segment(self, x, edge_index):
        return self.conv2(self.conv1(x, edge_index), edge_index)

    def forward(self, x, edge_index):
        if self.use_reentrant is None:
            x = self.segment(x, edge_index)
        else:
            x = checkpoint(
                self.segment, x, edge_index, use_reentrant=self.use_reentrant
            )
        return self.conv3(x, edge_index)


def gradients(model, recorder):
    model.zero_grad()
    x, edge_index = graph()
    out = model(x.requires_grad_(), edge_index)
    loss = out.pow(2).sum()
    loss = loss + sum(f.pow(3).sum() for f in recorder.features())
    loss.backward()
    return [p.grad for p in model.parameters()]


def test_checkpointing_that_is_not_reentrant():
    model = Checkpointed(None)
    recorder = LayerRecorder(model)
    want = gradients(model, recorder)
    model.use_reentrant = False
    torch.testing.assert_close(gradients(model, recorder), want)
    # Layers have run again, which is not recorded.
    assert recorder.names == ['conv1', 'conv2', 'conv3']


def test_reentrant_checkpointing_of_several_layers_is_refused():
    model = Checkpointed(True)
    recorder = LayerRecorder(model)
    x, edge_index = graph()
    model(x.requires_grad_(), edge_index)
    message = "output of 'conv1' has no gradient, .*reentrant checkpointing"
    with pytest.raises(RuntimeError, match=message):
        recorder.features()
    recorder.remove()
    # The last layer of a segment gets its gradient when it is left.
    recorder = LayerRecorder(model, ['conv2', 'conv3'])
    got = gradients(model, recorder)
    assert recorder.names == ['conv2', 'conv3']
    model.use_reentrant = None
    torch.testing.assert_close(got, gradients(model, recorder))


@pytest.mark.parametrize('layers', ['auto', '*.*.*.conv'])
@pytest.mark.parametrize('block', ['res+', 'plain'])
def test_checkpointed_deep_gcn_layers(layers, block):
    def build(ckpt_grad):
        torch.manual_seed(1)
        model = torch.nn.Module()
        model.layers = torch.nn.ModuleList(
            DeepGCNLayer(
                GCNConv(4, 4),
                LayerNorm(4),
                ReLU(),
                block=block,
                ckpt_grad=ckpt_grad,
            )
            for _ in range(3)
        )
        return Stack(model)

    model = build(False)
    recorder = LayerRecorder(model, layers)
    want = gradients(model, recorder)
    model = build(True)
    recorder = LayerRecorder(model, layers)
    torch.testing.assert_close(gradients(model, recorder), want)
    assert len(recorder.names) == 3


class Stack(torch.nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x, edge_index):
        for layer in self.inner.layers:
            x = layer(x, edge_index)
        return x


@pytest.mark.parametrize('use_reentrant', [True, False])
def test_a_model_that_is_checkpointed_as_a_whole(use_reentrant):
    model = gcn()
    recorder = LayerRecorder(model)
    x, edge_index = graph()
    x.requires_grad_()
    out = checkpoint(model, x, edge_index, use_reentrant=use_reentrant)
    if use_reentrant:
        with pytest.raises(RuntimeError, match='was not recorded'):
            recorder.features()
        out.sum().backward()
        with pytest.raises(RuntimeError, match='was not recorded'):
            recorder.features()
    else:
        features = recorder.features()
        out.sum().backward()
        for feature, old in zip(recorder.features(), features, strict=True):
            assert feature is old


def test_a_model_that_differentiates_in_its_forward_pass():
    class Forces(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = GCNConv(4, 4)

        def forward(self, x, edge_index):
            x = x.requires_grad_()
            out = checkpoint(
                lambda x: self.conv(x, edge_index).tanh(),
                x,
                use_reentrant=False,
            )
            (force,) = torch.autograd.grad(out.sum(), x, create_graph=True)
            return out + force

    model = Forces()
    recorder = LayerRecorder(model)
    x, edge_index = graph()
    model(x, edge_index)
    assert recorder.names == ['conv']
    assert torch.equal(recorder.features()[0], model.conv(x, edge_index))


class Reversible(torch.nn.Module):
    def __init__(self, disable=False):
        super().__init__()
        self.conv = GCNConv(4, 8)
        self.layers = torch.nn.ModuleList(
            GroupAddRev(SAGEConv(4, 4), num_groups=2, disable=disable)
            for _ in range(2)
        )

    def forward(self, x, edge_index):
        x = self.conv(x, edge_index)
        for layer in self.layers:
            # It frees its input, which is the record of the one before.
            x = layer(x, edge_index)
        return x


def test_reversible_layers_need_copies():
    message = "'layers.0' is reversible and frees .*pass clone=True"
    with pytest.raises(ValueError, match=message):
        LayerRecorder(Reversible())
    with pytest.raises(ValueError, match=message):
        LayerRecorder(Reversible(), detach=True)


def test_copies_of_reversible_layers_have_the_right_gradients():
    model = Reversible(disable=True)
    recorder = LayerRecorder(model)
    assert recorder.names == ['conv', 'layers.0', 'layers.1']
    want = gradients(model, recorder)
    reversible = Reversible()
    reversible.load_state_dict(model.state_dict())
    recorder = LayerRecorder(reversible, clone=True)
    got = gradients(reversible, recorder)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_layers_in_reversible_ones_are_refused():
    names = ['layers.*.convs.*']
    message = (
        "'layers.0.convs.0' runs without gradients inside of 'layers.0', "
        'which is reversible'
    )
    for clone in (True, False):
        with pytest.raises(ValueError, match=message):
            LayerRecorder(Reversible(), names, clone=clone)
        with pytest.raises(ValueError, match=message):
            LayerRecorder(Reversible(), ['layers.0', *names], clone=True)
    model = Reversible(disable=True)
    recorder = LayerRecorder(model, names)
    model(*graph())
    assert recorder.channels == [4, 4, 4, 4]
    recorder.features()


def test_layers_in_reversible_ones_of_a_teacher():
    model = Reversible()
    recorder = LayerRecorder(model, 'layers.*.convs.*', detach=True)
    with torch.no_grad():
        model(*graph())
    got = recorder.features()
    for layer in model.layers:
        layer.disable = True
    with torch.no_grad():
        model(*graph())
    assert len(got) == 4
    torch.testing.assert_close(got, recorder.features())


def test_a_layer_before_a_reversible_one_needs_copies():
    model = Reversible()
    recorder = LayerRecorder(model, 'conv')
    model(*graph())
    with pytest.raises(RuntimeError, match=r"'conv' was freed .*clone=True"):
        recorder.features()
    recorder.remove()
    recorder = LayerRecorder(model, 'conv', clone=True)
    model(*graph())
    assert torch.equal(recorder.features()[0], model.conv(*graph()))
