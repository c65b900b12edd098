"""How time and memory grow: with layers, edges, graphs and hubs.

Every curve changes one thing: the layers of the keys of one data set, the edges
of 8-regular random graphs (ever more of 1,024 nodes, or a single one), the
degree of stars with the same number of edges, or the number of graphs, of keys
and of distilling. The slope of its logarithms is fitted over the larger half of
its points; 1 is linear. Distilling from end to end follows. Data sets are NCI1,
REDDIT-BINARY and molhiv with `--root`, else toy molecules. Seconds are
processor time. Memory (Linux) is the most that is needed beyond the input,
divided by the input where that is large. `--plot FILE` draws the curves.

`--streaming` compares distilling in memory with distilling files of toy
molecules chunk by chunk, each in a process of its own.
"""

import argparse
import tempfile
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from measure import added_mib, cpu_seconds, in_process
from recipes import load_graphs
from torch_geometric.data import InMemoryDataset

from pyg_distill.data import read_table
from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.trees import Forest, Graphs


def mib_of(tensors):
    """The size of some tensors."""
    tensors = [t for t in tensors if isinstance(t, torch.Tensor)]
    return sum(t.numel() * t.element_size() for t in tensors) / 2**20


def mib_of_graphs(graphs):
    return mib_of([graphs.edge_index, graphs.x, graphs.edge_attr])


def as_graphs(edge_index, num_nodes):
    x = torch.randint(5, (num_nodes,))
    num_edges = torch.tensor([edge_index.size(1)])
    return Graphs.from_local(
        edge_index, torch.tensor([num_nodes]), num_edges, x
    )


def regular_graphs(num_edges, num_nodes, degree=8):
    """As many edges come in and go out at each node, within each graph."""
    num_graphs = max(num_edges // (degree * num_nodes), 1)
    start = torch.arange(num_graphs).view(-1, 1) * num_nodes
    target = (start + torch.arange(num_nodes)).view(-1)
    source = [
        (start + torch.rand(num_graphs, num_nodes).argsort(dim=1)).view(-1)
        for _ in range(degree)
    ]
    edge_index = torch.stack([torch.cat(source), target.repeat(degree)])
    return as_graphs(edge_index, num_graphs * num_nodes)


def stars(num_edges, num_leaves):
    """Edges to and from the centers of stars."""
    leaf = torch.arange(num_edges // 2)
    center = leaf // num_leaves
    leaf = leaf + int(center[-1]) + 1
    edge_index = torch.stack([leaf, center])
    edge_index = torch.cat([edge_index, edge_index.flip([0])], dim=1)
    return as_graphs(edge_index, int(leaf[-1]) + 1)


def distil(dataset, num_layers, min_support, exclude_keys=()):
    return MirageDataset(
        dataset,
        num_layers,
        selection='frequent',
        selection_kwargs={'min_support': min_support, 'max_sets': None},
        exclude_keys=exclude_keys,
        log=False,
    )


def curves(args, datasets):
    """Name, and size, input in MiB and call of each point."""
    L = args.num_layers  # noqa: N806

    def point(size, graphs, num_layers=L):
        return size, mib_of_graphs(graphs), partial(Forest, graphs, num_layers)

    graphs = read_table(datasets[min(1, len(datasets) - 1)][1]).graphs
    yield 'keys by layers', (point(n, graphs, n) for n in range(1, 11))
    sizes = [1 << k for k in range(14, args.max_edges.bit_length(), 2)]
    yield (
        'keys by edges, graphs of 1,024 nodes',
        (point(n, regular_graphs(n, 1024)) for n in sizes),
    )
    yield (
        'keys by edges, one graph',
        (point(n, regular_graphs(n, n // 8)) for n in sizes),
    )
    yield (
        'keys by degree of hubs',
        (point(4**k, stars(sizes[-1] // 4, 4**k)) for k in range(1, 10)),
    )
    dataset = datasets[-1][1]
    order = torch.randperm(len(dataset))
    shares = [order[: len(dataset) >> k] for k in range(6, -1, -1)]
    yield (
        'keys by graphs',
        (point(len(i), read_table(dataset[i]).graphs) for i in shares),
    )
    # A high support: the number of tree sets would grow otherwise.
    yield (
        'distilling by graphs',
        (
            (
                len(i),
                mib_of_graphs(read_table(dataset[i]).graphs),
                partial(distil, dataset[i], 1, 0.2),
            )
            for i in shares
        ),
    )


def slope(curve):
    size, seconds = np.log(curve).T
    half = len(curve) // 2
    return np.polyfit(size[half:], seconds[half:], 1)[0]


def memory(call, mib):
    """The memory of a call, as a multiple of its input if that is large."""
    return (
        f'{in_process(partial(added_mib, call)) / mib:8.1f}x' if mib > 8 else ''
    )


def growth(args):
    torch.manual_seed(0)
    datasets = [('toy', ToyMolecules(8000), 3, 0.1, ())]
    if args.root is not None:
        nci1, molhiv = (load_graphs(args.root, n) for n in ('NCI1', 'molhiv'))
        nci1 = nci1[torch.randperm(len(nci1))[: int(0.8 * len(nci1))]]
        datasets += [
            ('NCI1 (80 %)', nci1, 2, 0.05, ()),
            ('molhiv, x only', molhiv, 3, 0.05, ['edge_attr']),
            ('molhiv', molhiv, 3, 0.1, ()),
            ('molhiv', molhiv, 3, 0.05, ()),
        ]
    found = {}
    for name, points in curves(args, datasets):
        found[name] = []
        print(f'\n{name:>40}      time      per step   memory')
        for size, mib, call in points:
            seconds = cpu_seconds(call, args.repeats)
            found[name].append((size, seconds))
            print(
                f'{size:>40,}{1000 * seconds:8.1f} ms'
                f'{1e6 * seconds / size:11,.2f} us{memory(call, mib)}',
                flush=True,
            )
        print(f'{"slope":>40}{slope(found[name]):8.2f}')
    if args.root is not None:
        graphs = read_table(load_graphs(args.root, 'REDDIT-BINARY')).graphs
        call = partial(Forest, graphs, args.num_layers)
        seconds = cpu_seconds(call, args.repeats)
        degree = int(graphs.edge_index[1].bincount().max())
        text = f'keys of REDDIT-BINARY, degree up to {degree:,}'
        print(
            f'\n{text:>40}{1000 * seconds:8.1f} ms'
            f'{memory(call, mib_of_graphs(graphs))}'
        )
    print(f'\n{"distilling from end to end":>40}      time       sets   memory')
    for title, dataset, num_layers, min_support, exclude_keys in datasets:
        call = partial(distil, dataset, num_layers, min_support, exclude_keys)
        text = f'{title}, L={num_layers}, support {min_support}'
        print(
            f'{text:>40}{cpu_seconds(call, args.repeats):9.2f} s'
            f'{len(call()):11,}'
            f'{memory(call, mib_of(dataset._data.to_dict().values()))}',
            flush=True,
        )
    if args.plot is not None:
        draw(found, args.plot)


def draw(curves, path):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(10, 6.4), layout='constrained')
    for i, (axis, name) in enumerate(zip(axes.flat, curves, strict=True)):
        size, seconds = np.array(curves[name]).T
        axis.loglog(size, seconds, 'o-', color=f'C{i}')
        line = seconds[-1] * size / size[-1]
        if slope(curves[name]) > 0.3:
            axis.loglog(size, line, '--', color='gray', label='linear')
            axis.legend(frameon=False)
        title, by = name.split(' by ')
        axis.set_title(f'{title}: slope {slope(curves[name]):.2f}')
        axis.set_xlabel(by)
        axis.set_ylim(seconds.min() / 5, seconds.max() * 5)
    for axis in axes[:, 0]:
        axis.set_ylabel('seconds')
    figure.savefig(path, dpi=120)


class Saved(InMemoryDataset):
    def __init__(self, path):
        super().__init__()
        self.load(path)


class Files:
    """Reads one file after the other, each time it is iterated."""

    def __init__(self, paths):
        self.paths = paths

    def __iter__(self):
        return map(Saved, self.paths)


def distil_files(paths, how):
    """Source MiB, distinct trees, MiB that are needed, and seconds."""
    distil(Saved(paths[0])[:10], 1, 1)  # Loads what it needs.
    reports = []

    def call():
        source = Saved(paths[0]) if how == 'in memory' else Files(paths)
        small = distil(source, 2, 0.2, ['edge_attr'])
        reports.append(small.report)

    seconds = []
    mib = added_mib(lambda: seconds.append(cpu_seconds(call)))
    (report,) = reports
    source_mib = report.source.num_bytes / 2**20
    return source_mib, report.num_trees, mib, seconds[0]


def streaming(args, chunk_size=1000):
    print('  graphs   distinct trees       bytes  how            peak   time')
    with tempfile.TemporaryDirectory() as folder:
        chunks, paths = [], []
        for i in range(max(args.num_graphs) // chunk_size):
            chunks.append(list(ToyMolecules(chunk_size, seed=i)))
            paths.append(str(Path(folder, f'{i}.pt')))
            InMemoryDataset.save(chunks[-1], paths[-1])
        for size in args.num_graphs:
            some = size // chunk_size
            whole = str(Path(folder, 'whole.pt'))
            InMemoryDataset.save([*chain(*chunks[:some])], whole)
            for how, files in [
                ('in memory', [whole]),
                ('in chunks', paths[:some]),
            ]:
                source_mib, num_trees, mib, seconds = in_process(
                    partial(distil_files, files, how)
                )
                print(
                    f'{size:8,}{num_trees:17,}{source_mib:8.1f} MiB  {how}'
                    f'{mib:7.0f} MiB{seconds:6.1f} s',
                    flush=True,
                )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--root', help='of TUDataset and OGB; else toys')
    parser.add_argument('--num_layers', type=int, default=3)
    parser.add_argument('--max_edges', type=int, default=1 << 22)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--plot', metavar='FILE')
    parser.add_argument('--streaming', action='store_true')
    parser.add_argument(
        '--num_graphs',
        type=int,
        nargs='+',
        default=[2000, 8000, 32000],
        help='of --streaming',
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    streaming(args) if args.streaming else growth(args)


if __name__ == '__main__':
    main()
