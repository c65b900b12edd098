r"""Memory and time of distilling, in memory and chunk by chunk, as data grow.

Chunks are files of toy molecules. Each row is measured in a process of its
own; memory is its peak above what it had before it read anything.
"""

import argparse
import multiprocessing
import re
import tempfile
import time
from pathlib import Path

import psutil
import torch
from torch_geometric.data import InMemoryDataset

from pyg_distill.datasets import MirageDataset, ToyMolecules

parser = argparse.ArgumentParser()
parser.add_argument('--num_graphs', type=int, nargs='+')
parser.add_argument('--chunk_size', type=int, default=1000)
parser.add_argument('--num_layers', type=int, default=2)
parser.add_argument('--min_support', type=float, default=0.2)


class Graphs(InMemoryDataset):
    def __init__(self, path):
        super().__init__()
        self.load(path)


class Files:
    """Reads one file after the other, each time it is iterated."""

    def __init__(self, paths):
        self.paths = paths

    def __iter__(self):
        for path in self.paths:
            yield Graphs(path)


def high_water():
    # `getrusage` would count what the parent had when it started this one.
    status = Path('/proc/self/status').read_text()
    return 1024 * int(re.search(r'VmHWM:\s+(\d+)', status)[1])


def measure(paths, kind, options, queue):
    torch.set_num_threads(1)
    MirageDataset(Graphs(paths[0])[:10], 1, 1)  # Loads what it needs.
    before = psutil.Process().memory_info().rss
    start = time.perf_counter()
    source = Graphs(paths[0]) if kind == 'in memory' else Files(paths)
    report = MirageDataset(source, **options).report
    seconds = time.perf_counter() - start
    peak = high_water() - before
    queue.put((report.source.num_bytes, report.num_trees, peak, seconds))


if __name__ == '__main__':
    args = parser.parse_args()
    sizes = args.num_graphs or [2000, 8000, 32000]
    options = {
        'num_layers': args.num_layers,
        'min_support': args.min_support,
        'exclude_keys': ['edge_attr'],
    }
    context = multiprocessing.get_context('spawn')
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for i in range(max(sizes) // args.chunk_size):
            paths.append(str(Path(folder, f'{i}.pt')))
            chunk = ToyMolecules(args.chunk_size, seed=i)
            InMemoryDataset.save(list(chunk), paths[-1])
        print(
            '  graphs   distinct trees     payload  how            peak   time'
        )
        for size in sizes:
            some = paths[: size // args.chunk_size]
            whole = str(Path(folder, 'whole.pt'))
            InMemoryDataset.save([d for g in Files(some) for d in g], whole)
            for kind, files in [('in memory', [whole]), ('in chunks', some)]:
                queue = context.Queue()
                process = context.Process(
                    target=measure, args=(files, kind, options, queue)
                )
                process.start()
                num_bytes, num_trees, peak, seconds = queue.get()
                process.join()
                print(
                    f'{size:8,}{num_trees:17,}{num_bytes / 2**20:9.1f} MiB  '
                    f'{kind}{peak / 2**20:7.0f} MiB{seconds:6.1f} s'
                )
