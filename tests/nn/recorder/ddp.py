"""Two processes train one model, each on its own graph."""

import os
import sys

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from pyg_distill.nn.recorder import LayerRecorder


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lin1 = torch.nn.Linear(4, 8)
        self.lin2 = torch.nn.Linear(8, 2)

    def forward(self, x):
        return self.lin2(self.lin1(x).relu())


def gradients(model, recorder, x):
    model.zero_grad()
    loss = model(x).pow(2).mean()
    loss = loss + recorder.features()[0].pow(2).mean()
    loss.backward()
    return [p.grad.clone() for p in model.parameters()]


def work(rank: int, path: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo', init_method=f'file://{path}', rank=rank, world_size=2
    )
    compare(rank)
    dist.barrier()
    dist.destroy_process_group()
    print(f'rank {rank} done', flush=True)


def compare(rank: int) -> None:
    torch.manual_seed(0)
    net = Net()
    xs = torch.randn(2, 6, 4)
    model = DistributedDataParallel(net)
    recorder = LayerRecorder(model, ['lin1', 'lin2'])
    assert recorder.names == ['lin1', 'lin2']
    got = gradients(model, recorder, xs[rank])
    other = [torch.empty_like(g) for g in got]
    for mine, copy in zip(got, other, strict=True):
        copy.copy_(mine)
        dist.broadcast(copy, 0)
    torch.testing.assert_close(got, other)
    # They are the mean over both graphs.
    single = LayerRecorder(net, ['lin1', 'lin2'])
    both = [gradients(net, single, x) for x in xs]
    want = [(a + b) / 2 for a, b in zip(*both, strict=True)]
    torch.testing.assert_close(got, want)


if __name__ == '__main__':
    child = os.fork()
    work(int(child > 0), sys.argv[1])
    if child:
        _, status = os.waitpid(child, 0)
        sys.exit(int(status != 0))
    os._exit(0)
