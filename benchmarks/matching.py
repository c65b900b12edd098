r"""What a loss adds to a student's step, as the teacher gets deeper.

Beside it stands the same loss in a loop over all pairs of layers. Milliseconds
are those of the processor, so that other programs do not count.
"""

import argparse
import statistics
import time

import torch
import torch.nn.functional as F
from torch_geometric.nn import GCN

from pyg_distill.nn import ABKDLoss, LayerRecorder, StrideLoss

parser = argparse.ArgumentParser()
parser.add_argument('--num_nodes', type=int, default=2708)
parser.add_argument('--num_features', type=int, default=1433)
parser.add_argument('--degree', type=float, default=4.0)
parser.add_argument(
    '--teacher_layers', type=int, default=[4, 16, 64], nargs='+'
)
parser.add_argument('--teacher_channels', type=int, default=64)
parser.add_argument('--num_layers', type=int, default=4)
parser.add_argument('--hidden_channels', type=int, default=16)
parser.add_argument('--repeats', type=int, default=9)
parser.add_argument('--num_threads', type=int, default=1)
args = parser.parse_args()
torch.set_num_threads(args.num_threads)
torch.manual_seed(0)

x = torch.randn(args.num_nodes, args.num_features)
num_edges = int(args.num_nodes * args.degree)
edge_index = torch.randint(args.num_nodes, (2, num_edges))
y = torch.randint(7, (args.num_nodes,))
student = GCN(args.num_features, args.hidden_channels, args.num_layers, 7)
recorder = LayerRecorder(student)


class PairLoop(torch.nn.Module):
    """The same loss, one pair of layers at a time."""

    def __init__(self, loss):
        super().__init__()
        matching = loss.matchings[0]
        self.attention = matching.attention
        self.projection = matching.student_projections[0]

    def forward(self, teacher, student):
        total = 0.0
        for i, t in enumerate(teacher):
            t = F.normalize(t - t.mean(dim=0), dim=-1)
            for j, s in enumerate(self.projection(student)):
                s = F.normalize(s - s.mean(dim=0), dim=-1)
                distance = (t - s).square().sum(dim=-1).mean()
                total = total + self.attention[i, j] * distance
        return total / self.attention.sum()


def measure(loss, target):
    """Milliseconds of a step, of which the first is not counted."""
    times = []
    for _ in range(args.repeats + 1):
        start = time.process_time()
        total = F.cross_entropy(student(x, edge_index), y)
        if loss is not None:
            total = total + loss(target, recorder.features())
        total.backward()
        times.append(1000 * (time.process_time() - start))
    return statistics.median(times[1:])


student(x, edge_index)
widths = recorder.channels
print(f'{args.num_nodes:,} nodes, student layers of {widths} channels')
alone = measure(None, None)
print(f'student alone: {alone:.1f} ms a step; added by a loss, in ms and %:')
names = ['diagonal', 'group', 'uniform', 'learned', 'paper', 'stride', 'loop']
print('teacher layers' + ''.join(f'{name:>15}' for name in names))
for num_layers in args.teacher_layers:
    channels = [args.teacher_channels] * num_layers
    teacher = [torch.randn(args.num_nodes, c) for c in channels]
    uniform = ABKDLoss(channels, widths, 'uniform')
    losses = {
        'diagonal': ABKDLoss(channels, widths),
        'group': ABKDLoss(channels, widths, granularity='group'),
        'uniform': uniform,
        'learned': ABKDLoss(channels, widths, 'learned'),
        'paper': ABKDLoss.paper(channels, widths),
        'stride': StrideLoss(channels, widths),
        'loop': PairLoop(uniform),
    }
    row = f'{num_layers:14}'
    for name, loss in losses.items():
        target = teacher if name == 'loop' else loss.prepare(teacher)
        added = measure(loss, target) - alone
        row += f'{added:>8.1f}{added / alone:>7.0%}'
    print(row, flush=True)
student(x, edge_index)
layers = recorder.features()
target = uniform.prepare(teacher)
error = abs(PairLoop(uniform)(teacher, layers) - uniform(target, layers))
print(f'loop and uniform differ by {error.item():.1e}')
