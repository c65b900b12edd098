import torch

from pyg_distill.nn.recorder import LayerRecorder


def test_the_module_inside_is_recorded(process_group):
    net = torch.nn.Sequential(torch.nn.Linear(4, 4))
    model = torch.nn.parallel.DistributedDataParallel(net)
    recorder = LayerRecorder(model, '0')
    assert recorder.model is net
    assert recorder.names == ['0']
    x = torch.randn(3, 4)
    torch.testing.assert_close(recorder.model(x), model(x))
    assert recorder.channels == [4]
