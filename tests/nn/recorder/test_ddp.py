import subprocess
import sys

import pytest
import torch

from pyg_distill.nn.recorder import LayerRecorder


@pytest.mark.slow
@pytest.mark.skipif(
    not torch.distributed.is_available() or sys.platform != 'linux',
    reason='needs torch.distributed and fork',
)
def test_two_processes_get_the_same_gradients(tmp_path):
    result = subprocess.run(
        [sys.executable, '-m', 'tests.nn.recorder.ddp', tmp_path / 'store'],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    # Processes may write over each other's ends of line.
    assert 'rank 0 done' in result.stdout
    assert 'rank 1 done' in result.stdout


def test_the_module_inside_is_recorded(process_group):
    net = torch.nn.Sequential(torch.nn.Linear(4, 4))
    model = torch.nn.parallel.DistributedDataParallel(net)
    recorder = LayerRecorder(model, '0')
    assert recorder.model is net
    assert recorder.names == ['0']
    x = torch.randn(3, 4)
    torch.testing.assert_close(recorder.model(x), model(x))
    assert recorder.channels == [4]
