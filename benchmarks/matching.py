r"""What a loss adds to a student's step: milliseconds, percent and memory.

Losses are those of this package with the teacher's side prepared (`sampled`:
8,192 nodes drawn in each step), the same loss in a loop over all pairs of
layers, and the contrastive loss of the G-CRD paper,
https://arxiv.org/abs/2111.04964, between the last layers of all nodes: its
similarities are a matrix of nodes by nodes, so that nodes are sampled up to
16,384 as there. `--teacher` runs the teacher in every step or keeps what it
said, both through Distiller, instead.

The student is a plain GCN without dropout or norms on a random graph, and its
step is forward, cross-entropy and backward. Milliseconds are those of the
processor, steps with and without a loss take turns, and medians are compared,
of fewer steps where they are long. Memory is that of a fresh process, as the
system (Linux) counts it, in MiB: what the teacher's side of a loss holds, and
what a step needs beyond that and more than a step of the student alone.
"""

import argparse
import ctypes
import multiprocessing
import statistics
import time

import torch
import torch.nn.functional as F
from torch_geometric.nn import GCN

from pyg_distill.nn import (
    ABKDLoss,
    Distiller,
    LayerRecorder,
    StrideLoss,
    TeacherCache,
)

PRESETS = {
    # Nodes, features, degree, classes, teacher's width and depths, student's
    # width and depth, repeats.
    'cora': (2708, 1433, 4, 7, 64, [4, 16, 64], 16, 4, 9),
    'large': (40000, 128, 14, 40, 256, [3], 64, 2, 5),
}
NAMES = [
    'diagonal',
    'uniform',
    'sampled',
    'group',
    'learned',
    'paper',
    'stride',
    'gcrd',
    'loop',
]
MAX_NODES = 8192
# Seconds after which a loss is not repeated.
LONG = 25

parser = argparse.ArgumentParser()
parser.add_argument('--preset', choices=list(PRESETS), default='cora')
parser.add_argument('--teacher', action='store_true')
parser.add_argument('--num_nodes', type=int)
parser.add_argument('--teacher_layers', type=int, nargs='+')
parser.add_argument('--hidden_channels', type=int)
parser.add_argument('--num_layers', type=int)
parser.add_argument('--losses', nargs='+', choices=NAMES)
parser.add_argument('--max_samples', type=int, default=16384)
parser.add_argument('--repeats', type=int)
parser.add_argument('--num_threads', type=int, default=1)
args = parser.parse_args()
preset = PRESETS[args.preset]
num_nodes = args.num_nodes or preset[0]
_, num_features, degree, num_classes, width = preset[:5]
depths = args.teacher_layers or preset[5]
hidden = args.hidden_channels or preset[6]
num_layers = args.num_layers or preset[7]
repeats = args.repeats or preset[8]
# What draws from nodes needs more than it draws.
names = args.losses or [
    name for name in NAMES if name != 'sampled' or num_nodes > MAX_NODES
]


class PairLoop(torch.nn.Module):
    """The same loss, one pair of layers at a time."""

    def __init__(self, loss):
        super().__init__()
        self.attention = loss.matchings[0].attention
        self.projection = loss.matchings[0].student_projections[0]

    def forward(self, teacher, student):
        total = 0.0
        for i, t in enumerate(teacher):
            t = F.normalize(t - t.mean(dim=0), dim=-1)
            for j, s in enumerate(self.projection(student)):
                s = F.normalize(s - s.mean(dim=0), dim=-1)
                distance = (t - s).square().sum(dim=-1).mean()
                total = total + self.attention[i, j] * distance
        return total / self.attention.sum()


class GCRD(torch.nn.Module):
    """Each student node has to tell its own teacher node from all others."""

    def __init__(self, teacher_channels, student_channels, hidden=64):
        super().__init__()
        self.teacher = self.head(teacher_channels[-1], hidden)
        self.student = self.head(student_channels[-1], hidden)

    def head(self, in_channels, out_channels):
        return torch.nn.Sequential(
            torch.nn.Linear(in_channels, out_channels),
            torch.nn.BatchNorm1d(out_channels),
            torch.nn.ReLU(),
        )

    def forward(self, teacher, student):
        t, s = teacher[-1], student[-1]
        if t.size(0) > args.max_samples:
            index = torch.randperm(t.size(0))[: args.max_samples]
            t, s = t[index], s[index]
        t = F.normalize(self.teacher(t), dim=-1)
        s = F.normalize(self.student(s), dim=-1)
        return F.cross_entropy(s @ t.t() / 0.075, torch.arange(s.size(0)))


def make(name, taught, learned):
    if name == 'sampled':
        return ABKDLoss(taught, learned, max_nodes=MAX_NODES)
    if name == 'group':
        return ABKDLoss(taught, learned, granularity='group')
    if name == 'paper':
        return ABKDLoss.paper(taught, learned)
    if name == 'stride':
        return StrideLoss(taught, learned)
    if name == 'gcrd':
        return GCRD(taught, learned)
    if name == 'loop':
        return PairLoop(ABKDLoss(taught, learned, 'uniform'))
    return ABKDLoss(taught, learned, name)


def setting():
    torch.set_num_threads(args.num_threads)
    torch.manual_seed(0)
    x = torch.randn(num_nodes, num_features)
    edge_index = torch.randint(num_nodes, (2, num_nodes * degree))
    y = torch.randint(num_classes, (num_nodes,))
    student = GCN(num_features, hidden, num_layers, num_classes)
    return x, edge_index, y, student


def size(field):
    """MiB of this process, VmRSS now or VmHWM at most."""
    with open('/proc/self/status') as file:
        (line,) = [line for line in file if line.startswith(field)]
    return int(line.split()[1]) / 1024


def needs(step, *inputs):
    """MiB that a step needs at most beyond what was there."""
    step(*inputs)
    with open('/proc/self/clear_refs', 'w') as file:
        file.write('5')
    before = size('VmRSS')
    step(*inputs)
    return size('VmHWM') - before


def steps(name, depth, sender=None):
    """Milliseconds of steps without and with a loss."""
    x, edge_index, y, student = setting()
    recorder = LayerRecorder(student)

    def step(loss=None, target=None):
        start = time.process_time()
        total = F.cross_entropy(student(x, edge_index), y)
        if loss is not None:
            total = total + loss(target, recorder.features())
        total.backward()
        student.zero_grad()
        return 1000 * (time.process_time() - start)

    if sender is not None:
        # What is freed goes back to the system at once.
        ctypes.CDLL(None).mallopt(-3, 65536)
        alone = needs(step)
    # Records layers, and thus knows their widths.
    step()
    before = size('VmRSS')
    taught = [torch.randn(num_nodes, width) for _ in range(depth)]
    loss = make(name, [width] * depth, recorder.channels)
    target = taught
    if hasattr(loss, 'prepare'):
        target = loss.prepare(taught)
        del taught
    if sender is not None:
        held = size('VmRSS') - before
        sender.send((held, needs(step, loss, target) - alone))
        return None
    start, times = time.process_time(), []
    for _ in range(repeats + 1):
        times.append((step(), step(loss, target)))
        if len(times) > 1 and time.process_time() - start > LONG:
            break
    return [statistics.median(t) for t in zip(*times[1:], strict=True)]


def memory(name, depth):
    """MiB that the prepared teacher holds, and that a step needs in all."""
    context = multiprocessing.get_context('fork')
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=steps, args=(name, depth, sender))
    child.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        return float('nan'), float('nan')
    finally:
        child.join()


def with_teacher():
    x, edge_index, y, student = setting()
    print(
        f'{"":>26}{"teacher cached":>19}{"in each step":>19}\n'
        f'teacher layers  student ms' + f'{"added ms":>12}{"%":>7}' * 2
    )
    for depth in depths:
        teacher = GCN(num_features, width, depth, num_classes)
        cache = TeacherCache.from_inputs(teacher, (x, edge_index))
        both = [
            Distiller.from_example(student, side, (x, edge_index)).train()
            for side in (cache, teacher)
        ]
        times = []
        for _ in range(repeats + 1):
            row = []
            for model in (student, *both):
                start = time.process_time()
                loss = F.cross_entropy(model(x, edge_index), y)
                if model is not student:
                    loss = model.loss(loss)
                loss.backward()
                row.append(1000 * (time.process_time() - start))
            times.append(row)
        alone, *others = (
            statistics.median(t) for t in zip(*times[1:], strict=True)
        )
        row = ''.join(
            f'{t - alone:>12.1f}{t / alone - 1:>7.0%}' for t in others
        )
        print(f'{depth:>14}{alone:>12.1f}{row}', flush=True)


print(
    f'{num_nodes:,} nodes of degree {degree}, teacher of {width} channels, '
    f'student of {num_layers} layers of {hidden}; {args.num_threads} thread(s)'
)
if args.teacher:
    with_teacher()
else:
    print('teacher layers  loss     added ms      %  held MiB  step MiB')
    # All of it before anything is computed here, so that processes are fresh.
    pairs = [(depth, name) for depth in depths for name in names]
    sizes = {pair: memory(pair[1], pair[0]) for pair in pairs}
    for depth in depths:
        for name in names:
            held, most = sizes[depth, name]
            alone, with_loss = steps(name, depth)
            added = with_loss - alone
            print(
                f'{depth:>14}  {name:<10}{added:>7.1f}{added / alone:>7.0%}'
                f'{held:>10.1f}{most:>10.1f}',
                flush=True,
            )
