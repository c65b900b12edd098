"""What a loss adds to a student's step: milliseconds, percent and MiB.

Losses are those of this package, with the teacher's side prepared where it can
be (`sampled`: 8,192 nodes drawn in each step). `loop` is the default loss in a
loop over all pairs of layers. The student is a plain GCN on a random graph, and
its step is forward, cross-entropy and backward. Milliseconds are medians of
processor time; steps with and without a loss take turns. Memory is measured in
a fresh process (Linux): what the teacher's side of a loss holds, and what a
step needs beyond that and beyond a step of the student alone.

`--teacher` compares, through Distiller, a cached teacher with one that runs in
every step. `--compile` counts how often models are compiled on mini-batches of
changing sizes, with the largest deviation of their losses from those of eager
mode and the ratio of the time of an epoch.

    python benchmarks/step_cost.py --preset large
    python benchmarks/step_cost.py --compile --epochs 3
"""

import argparse
import statistics
import time
from functools import partial

import torch
import torch.nn.functional as F
from measure import added_mib, in_process, median_ms, resident
from torch._dynamo import lookup_backend
from torch_geometric import seed_everything
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE

from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.loader import TreeSetLoader
from pyg_distill.nn import (
    ABKDLoss,
    Distiller,
    GCRDLoss,
    LayerRecorder,
    StrideLoss,
    TeacherCache,
    global_root_pool,
)

PRESETS = {
    'cora': {
        'num_nodes': 2708,
        'num_features': 1433,
        'degree': 4,
        'num_classes': 7,
        'teacher_channels': 64,
        'teacher_layers': [4, 16, 64],
        'channels': 16,
        'num_layers': 4,
        'repeats': 9,
    },
    'large': {
        'num_nodes': 40000,
        'num_features': 128,
        'degree': 14,
        'num_classes': 40,
        'teacher_channels': 256,
        'teacher_layers': [3],
        'channels': 64,
        'num_layers': 2,
        'repeats': 5,
    },
}


class PairLoop(torch.nn.Module):
    """The default loss, one pair of layers at a time."""

    can_prepare = False

    def __init__(self, teacher_channels, student_channels):
        super().__init__()
        self.maps = torch.nn.ModuleList(
            torch.nn.Linear(c, teacher_channels[0], bias=False)
            for c in student_channels
        )

    def forward(self, teacher, student):
        total = 0.0
        for t in teacher:
            t = F.normalize(t - t.mean(dim=0), dim=-1)
            for lin, s in zip(self.maps, student, strict=True):
                s = lin(s)
                s = F.normalize(s - s.mean(dim=0), dim=-1)
                total = total + (t - s).square().sum(dim=-1).mean()
        return total / (len(teacher) * len(student))


LOSSES = {
    'diagonal': partial(ABKDLoss, attention='diagonal'),
    'uniform': ABKDLoss,
    'sampled': partial(ABKDLoss, max_nodes=8192),
    'group': partial(ABKDLoss, granularity='group'),
    'learned': partial(ABKDLoss, attention='learned'),
    'paper': ABKDLoss.paper,
    'stride': StrideLoss,
    'gcrd': partial(GCRDLoss, hidden_channels=64, max_nodes=16384),
    'loop': PairLoop,
}
GNNS = {'GCN': GCN, 'GIN': GIN, 'GAT': GAT, 'SAGE': GraphSAGE}


def make_inputs(args):
    torch.manual_seed(0)
    n = args.num_nodes
    x = torch.randn(n, args.num_features)
    edge_index = torch.randint(n, (2, n * args.degree))
    y = torch.randint(args.num_classes, (n,))
    student = GCN(
        args.num_features, args.channels, args.num_layers, args.num_classes
    )
    return x, edge_index, y, student


def cost(args, name, depth, memory):
    """MiB that is held and added by a step, or ms without and with a loss."""
    x, edge_index, y, student = make_inputs(args)
    recorder = LayerRecorder(student)

    def step(loss=None, target=None):
        total = F.cross_entropy(student(x, edge_index), y)
        if loss is not None:
            total = total + loss(target, recorder.features())
        total.backward()
        student.zero_grad()

    step()  # The recorder knows the channels of layers that it has seen.
    alone = added_mib(step) if memory else 0.0
    before = resident()
    shape = args.num_nodes, args.teacher_channels
    target = [torch.randn(shape) for _ in range(depth)]
    loss = LOSSES[name]([shape[1]] * depth, recorder.channels)
    if loss.can_prepare:
        target = loss.prepare(target)
    if not memory:
        return median_ms([step, lambda: step(loss, target)], args.repeats)
    held = resident() - before
    step(loss, target)
    return held, added_mib(lambda: step(loss, target)) - alone


def losses(args):
    print('teacher layers  loss     added ms      %  held MiB  step MiB')
    # Before anything is computed here, so that processes are fresh.
    pairs = [(n, d) for d in args.teacher_layers for n in args.losses]
    mib = {p: in_process(partial(cost, args, *p, True)) for p in pairs}
    for name, depth in pairs:
        alone, with_loss = cost(args, name, depth, memory=False)
        added = with_loss - alone
        held, step = mib[name, depth]
        print(
            f'{depth:>14}  {name:<10}{added:>7.1f}{added / alone:>7.0%}'
            f'{held:>10.1f}{step:>10.1f}',
            flush=True,
        )


def teachers(args):
    x, edge_index, y, student = make_inputs(args)
    print(
        f'{"":>26}{"teacher cached":>19}{"in each step":>19}\n'
        f'teacher layers  student ms' + f'{"added ms":>12}{"%":>7}' * 2
    )

    def step(model):
        loss = F.cross_entropy(model(x, edge_index), y)
        (loss if model is student else model.loss(loss)).backward()

    for depth in args.teacher_layers:
        teacher = GCN(
            args.num_features, args.teacher_channels, depth, args.num_classes
        )
        cache = TeacherCache.from_inputs(teacher, (x, edge_index))
        models = [
            Distiller.from_example(student, side, (x, edge_index)).train()
            for side in (cache, teacher)
        ]
        calls = [partial(step, model) for model in (student, *models)]
        alone, *others = median_ms(calls, args.repeats)
        line = ''.join(
            f'{t - alone:>12.1f}{t / alone - 1:>7.0%}' for t in others
        )
        print(f'{depth:>14}{alone:>12.1f}{line}', flush=True)


class Net(torch.nn.Module):
    """Takes tensors: a Data object would be a graph break."""

    def __init__(self, gnn, channels):
        super().__init__()
        self.gnn = GNNS[gnn](9, channels, 2)
        self.lin = torch.nn.Linear(channels, 3)

    def forward(self, x, edge_index, batch, index, count, of_root, size):
        x = global_root_pool(
            self.gnn(x, edge_index),
            batch,
            root_index=index,
            root_count=count,
            root_index_batch=of_root,
            size=size,
        )
        return self.lin(x)


class Step(torch.nn.Module):
    """The forward pass of a student, and its loss with that of a distiller."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, y, *inputs):
        loss = F.cross_entropy(self.model(*inputs), y)
        return self.model.loss(loss) if hasattr(self.model, 'loss') else loss


def tensors(data):
    keys = 'batch', 'root_index', 'root_count', 'root_index_batch'
    return data.x, data.edge_index, *map(data.get, keys), data.num_graphs


def train_epochs(step, batches, num_epochs):
    """The losses, and the median seconds of an epoch but the first."""
    optimizer = torch.optim.SGD(step.parameters(), lr=0.01)
    values, seconds = [], []
    for _ in range(num_epochs):
        start = time.perf_counter()
        for y, inputs in batches:
            optimizer.zero_grad()
            loss = step(y, *inputs)
            loss.backward()
            optimizer.step()
            values.append(loss.detach())
        seconds.append(time.perf_counter() - start)
    return torch.stack(values), statistics.median(seconds[1:])


def compiled(args):
    dataset = ToyMolecules(1000)
    options = {'num_layers': 2, 'exclude_keys': ['edge_attr'], 'log': False}
    loaders = {}
    for name in ('herding', 'multisets'):
        small = MirageDataset(dataset, selection=name, budget=0.3, **options)
        loaders[name] = DataLoader(small, 64)
    loaders['shared trees'] = TreeSetLoader(small, 64)
    batches = {
        name: [(data.y, tensors(data)) for data in loader]
        for name, loader in loaders.items()
    }

    def distiller(gnn):
        teacher, example = Net(gnn, 64), batches['herding'][0][1]
        return Distiller.from_example(Net(gnn, 16), teacher, example).train()

    rows = [(gnn, kind, 'student') for kind in batches for gnn in args.gnns]
    rows += [('GIN', 'herding', what) for what in ('distiller', 'whole step')]
    print(
        f'{"":6}{"":14}{"compiled":12}{"sizes":>10}{"graphs":>8}'
        f'{"deviation":>11}{"faster":>8}'
    )
    for gnn, kind, what in rows:
        eager = None
        for mode in ('eager', 'automatic', 'dynamic'):
            torch.compiler.reset()
            seed_everything(0)
            step = Step(Net(gnn, 64) if what == 'student' else distiller(gnn))
            graphs = []

            def backend(graph, inputs, graphs=graphs, **kwargs):
                graphs.append(graph)
                return lookup_backend(args.backend)(graph, inputs, **kwargs)

            if mode != 'eager':
                dynamic = True if mode == 'dynamic' else None
                part = step if what == 'whole step' else step.model
                part.compile(backend=backend, dynamic=dynamic)
            values, seconds = train_epochs(step, batches[kind], args.epochs)
            if mode == 'eager':
                eager = values, seconds
                continue
            print(
                f'{gnn:6}{kind:14}{what:12}{mode:>10}{len(graphs):>8}'
                f'{(values - eager[0]).abs().max():>11.1e}'
                f'{eager[1] / seconds:>8.2f}',
                flush=True,
            )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--preset', choices=PRESETS, default='cora')
    for name, value in PRESETS['cora'].items():
        nargs = '+' if isinstance(value, list) else None
        parser.add_argument(f'--{name}', type=int, nargs=nargs)
    parser.add_argument('--losses', nargs='+', choices=LOSSES)
    parser.add_argument('--teacher', action='store_true')
    parser.add_argument('--compile', action='store_true')
    parser.add_argument('--backend', default='eager', help='of --compile')
    parser.add_argument('--gnns', nargs='+', default=[*GNNS], choices=GNNS)
    parser.add_argument('--epochs', type=int, default=5, help='of --compile')
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name, value in PRESETS[args.preset].items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if args.losses is None:  # 'sampled' is 'uniform' on few nodes.
        is_large = args.num_nodes > 8192
        args.losses = [n for n in LOSSES if n != 'sampled' or is_large]
    if args.compile:
        compiled(args)
        return
    print(
        f'{args.num_nodes:,} nodes of degree {args.degree}, teacher of '
        f'{args.teacher_channels} channels, student of {args.num_layers} '
        f'layers of {args.channels}'
    )
    teachers(args) if args.teacher else losses(args)


if __name__ == '__main__':
    main()
