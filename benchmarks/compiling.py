"""How often models are compiled anew, and whether it pays, with tree sets."""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._dynamo import list_backends, lookup_backend
from torch_geometric import seed_everything
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE

from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.loader import TreeSetLoader
from pyg_distill.nn import Distiller, global_root_pool

GNNS = {'GCN': GCN, 'GIN': GIN, 'GAT': GAT, 'SAGE': GraphSAGE}

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument('--backend', default='eager', choices=list_backends())
parser.add_argument('--gnns', default=list(GNNS), choices=GNNS, nargs='+')
parser.add_argument('--num_graphs', type=int, default=1000)
parser.add_argument('--hidden_channels', type=int, default=64)
parser.add_argument('--batch_size', type=int, default=64)
parser.add_argument('--epochs', type=int, default=5)
parser.add_argument('--threads', type=int, default=1)


class Net(torch.nn.Module):
    def __init__(self, gnn: str, channels: int, num_layers: int = 2) -> None:
        super().__init__()
        self.gnn = GNNS[gnn](9, channels, num_layers)
        self.lin = torch.nn.Linear(channels, 3)

    def forward(self, data: tuple[Any, ...]) -> Tensor:
        x, edge_index, batch, root_index, root_count, size, of_root = data
        x = self.gnn(x, edge_index)
        x = global_root_pool(
            x, batch, root_index, root_count, size, root_index_batch=of_root
        )
        return self.lin(x)


def arguments(data: Data) -> tuple[Any, ...]:
    """What the model reads: a Data object itself would be a graph break."""
    keys = ('batch', 'root_index', 'root_count')
    given = [data.get(key) for key in keys]
    of_root = data.get('root_index_batch')
    return data.x, data.edge_index, *given, data.num_graphs, of_root


class Count:
    """Compiles as a backend does, and counts the graphs."""

    def __init__(self, backend: str) -> None:
        self.compiler = lookup_backend(backend)
        self.graphs = 0

    def __call__(self, graph: Any, inputs: Any, **kwargs: Any) -> Callable:
        self.graphs += 1
        return self.compiler(graph, inputs, **kwargs)


def train(
    call: Callable, model: torch.nn.Module, batches: list, epochs: int
) -> tuple[list[float], float]:
    """The losses, and the median seconds of an epoch but the first."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    losses, seconds = [], []
    for _ in range(epochs):
        start = time.perf_counter()
        for data, y in batches:
            optimizer.zero_grad()
            loss = call(data, y)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        seconds.append(time.perf_counter() - start)
    return torch.stack(losses).tolist(), statistics.median(seconds[1:])


def student_alone(name: str, args: Any) -> tuple[torch.nn.Module, Callable]:
    seed_everything(0)
    model = Net(name, args.hidden_channels).train()
    return model, lambda run: lambda data, y: F.cross_entropy(run(data), y)


def print_row(label: str, build: Callable, batches: list, args: Any) -> None:
    want, model = None, None
    for mode in ('eager', 'automatic', 'dynamic'):
        torch.compiler.reset()
        count = Count(args.backend)
        model, whole = build()
        options = {'backend': count}
        if mode == 'dynamic':
            options['dynamic'] = True
        call = model if mode == 'eager' else torch.compile(model, **options)
        found, seconds = train(whole(call), model, batches, args.epochs)
        if mode == 'eager':
            want, base = found, seconds
            continue
        gap = max(abs(a - b) for a, b in zip(want, found, strict=True))
        print(
            f'{label:28}{mode:>10}{count.graphs:>8}{gap:>11.1e}'
            f'{base / seconds:>8.2f}',
            flush=True,
        )


def main() -> None:
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    dataset = ToyMolecules(args.num_graphs)
    options = {'num_layers': 2, 'exclude_keys': ['edge_attr']}
    loaders = {}
    for kind in ('graphs', 'multisets'):
        kept = MirageDataset(dataset, selection=kind, budget=0.3, **options)
        loaders[kind] = DataLoader(kept, args.batch_size)
    loaders['shared trees'] = TreeSetLoader(kept, args.batch_size)
    print(f'{"":28}{"sizes":>10}{"graphs":>8}{"deviation":>11}{"faster":>8}')
    for kind, loader in loaders.items():
        batches = [(arguments(data), data.y) for data in loader]
        for name in args.gnns:
            print_row(
                f'{name}, {kind}',
                lambda name=name: student_alone(name, args),
                batches,
                args,
            )
    batches = [(arguments(data), data.y) for data in loaders['graphs']]
    for label, compile_step in [('student', False), ('step', True)]:
        print_row(
            f'Distiller, {label}',
            lambda part=compile_step: distiller(part, batches, args),
            batches,
            args,
        )


def distiller(
    whole_step: bool, batches: list, args: Any
) -> tuple[torch.nn.Module, Callable]:
    seed_everything(0)
    teacher, student = Net('GIN', args.hidden_channels, 4), Net('GIN', 8)
    model = Distiller.from_example(student, teacher, (batches[0][0],)).train()
    if not whole_step:
        return (
            model,
            lambda run: (
                lambda data, y: model.loss(F.cross_entropy(run(data), y))
            ),
        )
    step = Step(model)
    return step, lambda run: run


class Step(torch.nn.Module):
    """A whole step, to be compiled as one."""

    def __init__(self, model: Distiller) -> None:
        super().__init__()
        self.model = model

    def forward(self, data: tuple[Any, ...], y: Tensor) -> Tensor:
        return self.model.loss(F.cross_entropy(self.model(data), y))


if __name__ == '__main__':
    main()
