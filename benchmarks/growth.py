r"""How time and memory grow: with layers, edges, graphs and hubs.

Every curve changes one thing and leaves the others alone:

* layers: keys of one data set (NCI1 with --root, else toy molecules),
* edges: keys of 8-regular random graphs, either ever more of them with 1,024
  nodes each, or a single one that grows beyond what the cache holds,
* hubs: keys of stars of ever more leaves, the number of edges being the same,
* graphs: keys, and distilling from end to end, of ever more graphs (molhiv
  with --ogb_root, else NCI1, else toy molecules),

and the slope of its logarithms is fitted over the larger half of its points:
1 is linear. Distilling from end to end follows, from a loaded data set. Seconds
are those of the processor, on one thread, so that other programs do not count.
Memory is the largest amount held at a time beside the input, divided by the
input, where that is large enough to tell. With --plot FILE the curves are drawn
with matplotlib.
"""

import argparse
import ctypes
import gc
import threading
import time

import numpy as np
import psutil
import torch
from pyg_distill.datasets.ogb_molecules import OGBMolecules
from pyg_distill.datasets.reading.source import read_source
from torch_geometric.datasets import TUDataset

from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.trees import Forest, Graphs

parser = argparse.ArgumentParser()
parser.add_argument('--root', default=None, help='folder of TUDataset')
parser.add_argument('--ogb_root', default=None, help='folder of ogbg_molhiv')
parser.add_argument('--num_layers', type=int, default=3)
parser.add_argument('--max_edges', type=int, default=1 << 22)
parser.add_argument('--repeats', type=int, default=5)
parser.add_argument('--seed', type=int, default=0)
parser.add_argument('--plot', default=None, metavar='FILE')
args = parser.parse_args()

torch.set_num_threads(1)


def seconds(call, repeats=None):
    times = []
    for _ in range(repeats or args.repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def peak_bytes(call):
    """The memory that a call holds at most, beside what was there before."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    if trim is not None:
        # Memory that is free, but not given back, would be used unseen.
        trim(0)
    process = psutil.Process()
    before = peak = process.memory_info().rss
    is_done = threading.Event()

    def watch():
        nonlocal peak
        while not is_done.is_set():
            peak = max(peak, process.memory_info().rss)
            time.sleep(1e-3)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        call()
    finally:
        is_done.set()
        thread.join()
    return peak - before


def num_bytes(tensors):
    return sum(
        t.numel() * t.element_size()
        for t in tensors
        if isinstance(t, torch.Tensor)
    )


def bytes_of(graphs):
    return num_bytes([graphs.edge_index, graphs.x, graphs.edge_attr])


def one_graph(edge_index, num_nodes):
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
    return one_graph(edge_index, num_graphs * num_nodes)


def stars(num_edges, num_leaves):
    """Edges to and from the centres of stars."""
    leaf = torch.arange(num_edges // 2)
    centre = leaf // num_leaves
    leaf = leaf + int(centre[-1]) + 1
    edge_index = torch.stack([leaf, centre])
    edge_index = torch.cat([edge_index, edge_index.flip([0])], dim=1)
    return one_graph(edge_index, int(leaf[-1]) + 1)


def read(source):
    return read_source(source, [], 'benchmark', False).graphs


def load():
    """What is distilled: title, data set, layers, support, what is left out."""
    out = [('toy', ToyMolecules(num_graphs=8000), 3, 0.1, [])]
    if args.root is not None:
        nci1 = TUDataset(args.root, 'NCI1')
        order = torch.randperm(len(nci1))[: int(0.8 * len(nci1))]
        out.append(('NCI1 (80 %)', nci1[order], 2, 0.05, []))
    if args.ogb_root is not None:
        molhiv = OGBMolecules(args.ogb_root)
        out.append(('molhiv, x only', molhiv, 3, 0.05, ['edge_attr']))
        out.append(('molhiv', molhiv, 3, 0.1, []))
        out.append(('molhiv', molhiv, 3, 0.05, []))
    return out


def slope(curve):
    sizes, times = np.log(curve).T
    half = len(curve) // 2
    return np.polyfit(sizes[half:], times[half:], 1)[0]


def times(memory, data):
    return f'{memory / data:8.1f}x' if data > 8e6 else f'{"-":>9}'


def show(curves, name, points):
    curves[name] = []
    print(f'\n{name:>40}      time      per step   memory')
    for step, size, call, data in points:
        took = seconds(call)
        curves[name].append((size, took))
        print(
            f'{step:>40}{1000 * took:8.1f} ms{1e6 * took / size:11,.2f} us'
            f'{times(peak_bytes(call), data)}',
            flush=True,
        )
    print(f'{"slope":>40}{slope(curves[name]):8.2f}')


def keys_of(graphs, num_layers=args.num_layers):
    return lambda: Forest(graphs, num_layers)


def layers(title, source):
    graphs = read(source)
    for num_layers in range(1, 11):
        call = keys_of(graphs, num_layers)
        yield f'{title}, L={num_layers}', num_layers, call, bytes_of(graphs)


def edges(num_nodes_of):
    size = 1 << 14
    while size <= args.max_edges:
        graphs = regular_graphs(size, num_nodes_of(size))
        text = f'{graphs.num_edges:,} edges'
        yield text, graphs.num_edges, keys_of(graphs), bytes_of(graphs)
        size *= 4


def hubs():
    for degree in 4 ** np.arange(1, 10):
        graphs = stars(1 << 20, int(degree))
        text = f'degree {degree:,}, {graphs.num_edges:,} edges'
        yield text, int(degree), keys_of(graphs), bytes_of(graphs)


def parts(title, source, call_of):
    order = torch.randperm(len(source))
    for share in 2.0 ** np.arange(-6, 1):
        part = source[order[: int(share * len(source))]]
        graphs = read(part)
        yield (
            f'{title}, {len(part):,} graphs',
            len(part),
            call_of(part, graphs),
            bytes_of(graphs),
        )


def distil(source, num_layers, min_support, exclude_keys=()):
    return lambda: MirageDataset(
        source,
        num_layers,
        min_support,
        max_patterns=None,
        exclude_keys=exclude_keys,
        log=False,
    )


def draw(curves):
    import matplotlib.pyplot as plt

    # Colours of Okabe and Ito, told apart whatever one's sight.
    colours = ['#0072B2', '#D55E00', '#E69F00', '#009E73', '#CC79A7', '#56B4E9']
    figure, axes = plt.subplots(2, 3, figsize=(10, 6.4), facecolor='white')
    for axis, colour, (name, curve) in zip(
        axes.flat, colours, curves.items(), strict=True
    ):
        sizes, took = np.array(curve).T
        axis.loglog(sizes, took, 'o-', color=colour, linewidth=2)
        if slope(curve) > 0.3:
            line = took[-1] * sizes / sizes[-1]
            axis.loglog(sizes, line, '--', color='#666666', label='linear')
            axis.legend(frameon=False)
        what, against = name.split(' by ')
        axis.set_title(f'{what}: slope {slope(curve):.2f}', fontsize=11)
        axis.set_xlabel(against)
        margin = 3 if took.max() > 10 * took.min() else 10
        axis.set_ylim(took.min() / margin, took.max() * margin)
        axis.grid(True, which='major', color='#dddddd')
    for axis in axes[:, 0]:
        axis.set_ylabel('seconds')
    figure.tight_layout()
    figure.savefig(args.plot, dpi=120)


torch.manual_seed(args.seed)
loaded = load()
title, source, *_ = loaded[min(1, len(loaded) - 1)]
curves = {}
show(curves, 'keys by layers', layers(title, source))
show(curves, 'keys by edges, graphs of 1,024 nodes', edges(lambda _: 1024))
show(curves, 'keys by edges, one graph', edges(lambda size: size // 8))
show(curves, 'keys by degree of hubs', hubs())
title, source, *_ = loaded[-1]
show(
    curves,
    'keys by graphs',
    parts(title, source, lambda _, graphs: keys_of(graphs)),
)
# A high support, as the number of tree sets would be what grows otherwise.
show(
    curves,
    'distilling by graphs',
    parts(title, source, lambda part, _: distil(part, 1, 0.2)),
)

if args.root is not None:
    print(
        f'\n{"keys of graphs with hubs":>40}      time      per edge   memory'
    )
    graphs = read(TUDataset(args.root, 'REDDIT-BINARY'))
    degree = int(graphs.edge_index[1].bincount().max())
    took = seconds(keys_of(graphs))
    text = f'REDDIT-BINARY, degree up to {degree:,}'
    print(
        f'{text:>40}{1000 * took:8.1f} ms'
        f'{1e6 * took / graphs.num_edges:11.2f} us'
        f'{times(peak_bytes(keys_of(graphs)), bytes_of(graphs))}'
    )

print(f'\n{"distilling from end to end":>40}      time       sets   memory')
for title, source, num_layers, min_support, left_out in loaded:
    call = distil(source, num_layers, min_support, left_out)
    text = f'{title}, L={num_layers}, support {min_support}'
    data = num_bytes(source._data.to_dict().values())
    print(
        f'{text:>40}{seconds(call):9.2f} s{len(call()):11,}'
        f'{times(peak_bytes(call), data)}',
        flush=True,
    )
if args.plot is not None:
    draw(curves)
