"""The costs of graphs, of tree sets and of the trees of a vocabulary."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_distill.datasets.packing.attributes import Collated, collated
from pyg_distill.datasets.packing.column import Code
from pyg_distill.datasets.packing.costs import Costs, Meter
from pyg_distill.datasets.packing.dictionary import TreeDictionary
from pyg_distill.datasets.packing.edges import shorter_layout
from pyg_distill.datasets.packing.gaps import to_gaps
from pyg_distill.datasets.packing.graphs import OF_EDGES, cells_of
from pyg_distill.datasets.packing.rows import take_rows
from pyg_distill.datasets.packing.tree_sets import NOT_CARRIED
from pyg_distill.trees import Forest, Graphs
from pyg_distill.trees.csr import ragged_range
from pyg_distill.trees.unique import lexsort


def graph_costs(
    data: Data,
    slices: dict[str, Tensor] | None,
    index: Tensor | Sequence[int] | None = None,
) -> Costs:
    """At most how many bytes each graph adds to :meth:`pack_graphs`.

    Whatever graphs are chosen, what is packed is no larger than this says, as
    codes are chosen anew then. (Unless the source as a whole has edges
    without their opposite and what is chosen has not, when that is not
    proven.)

    Args:
        data (torch_geometric.data.Data): The collated graphs.
        slices (dict, optional): Where each of them begins.
        index (torch.Tensor or list, optional): Which of them to look at; they
            are numbered from zero then. (default: :obj:`None`)
    """
    read = collated(data, slices, index)
    graphs = read.graphs
    meter, every = _meter(read)
    node = graphs.graph_of_node()
    meter.add_column(graphs.node_ptr.diff(), every)
    if graphs.x is not None:
        meter.add_rows(graphs.x, node)
    cells = cells_of(read)
    layout, size, gap = shorter_layout(cells)
    graph = cells.graph()
    meter.add_column(size, node if layout == 'rows' else every)
    meter.add_column(gap, graph)
    for name in OF_EDGES:
        value = getattr(graphs, name)
        if value is not None:
            meter.add_rows(take_rows(value, cells.edge), graph)
    return meter.costs()


def tree_set_costs(
    data: Data,
    slices: dict[str, Tensor] | None,
    index: Tensor | Sequence[int] | None = None,
) -> Costs:
    """About how many bytes each tree set adds to :meth:`pack_tree_sets`.

    The entries of the dictionary are numbered anew when tree sets are packed,
    so that this is an estimate.

    Args:
        data (torch_geometric.data.Data): The collated tree sets.
        slices (dict, optional): Where each of them begins.
        index (torch.Tensor or list, optional): Which of them to look at; they
            are numbered from zero then. (default: :obj:`None`)
    """
    read = collated(data, slices, index)
    meter, every = _meter(read)
    root, root_ptr = read.attributes['root_index']
    depth = read.attributes['num_layers'][0]
    graph, _ = ragged_range(root_ptr.diff())
    root = root + read.graphs.node_ptr[graph]
    trees, entry, _ = TreeDictionary.of(read.graphs, int(depth[0]), root)
    _add_trees(meter, trees, entry, read.graphs.graph_of_node())
    tree = entry[root]
    order = lexsort(graph, tree)
    gap, _ = to_gaps(tree[order], graph[order])
    meter.add_column(root_ptr.diff(), every)
    meter.add_column(gap, graph)
    meter.add_rows(read.attributes['root_count'][0], graph)
    return meter.costs()


def vocabulary_costs(forest: Forest, root: Tensor) -> Costs:
    """About how many bytes trees add to a dictionary, with all subtrees.

    In the result, each given tree counts as a graph: the bytes of the first
    trees of an order, as a dictionary, are :meth:`Costs.cumulative` of it.

    Args:
        forest (Forest): All trees of some graphs.
        root (torch.Tensor): Nodes with the trees of the vocabulary, :obj:`[V]`.
    """
    every = torch.arange(root.numel())
    built = forest.build(root, every, root.numel(), compact=True)
    source = forest.graphs
    rows = {
        name: take_rows(value, index)
        for name, index in [
            ('x', built.node),
            ('edge_attr', built.edge),
            ('edge_weight', built.edge),
        ]
        if (value := getattr(source, name)) is not None
    }
    graphs = Graphs(built.edge_index, built.node_ptr, built.edge_ptr, **rows)
    trees, entry, _ = TreeDictionary.of(
        graphs, forest.num_layers, built.root_index
    )
    meter = Meter(root.numel())
    _add_trees(meter, trees, entry, graphs.graph_of_node())
    return meter.costs()


def multiset_bits(
    graph: Tensor, tree: Tensor, count: Tensor, num_graphs: int
) -> Tensor:
    """The bits that multisets of trees of a dictionary take by themselves.

    Args:
        graph (torch.Tensor): The graph of each of its trees, :obj:`[n]`.
        tree (torch.Tensor): The trees, of shape :obj:`[n]`.
        count (torch.Tensor): How often each counts, of shape :obj:`[n]`.
        num_graphs (int): The number of graphs :math:`G`.

    Returns:
        torch.Tensor: The bits of each graph, of shape :obj:`[G]`.
    """
    places = torch.bincount(tree)
    number = torch.empty_like(places)
    number[places.argsort(descending=True, stable=True)] = torch.arange(
        places.numel()
    )
    order = lexsort(graph, number[tree])
    graph, count = graph[order], count[order]
    gap, _ = to_gaps(number[tree[order]], graph)
    bits = Code.of(gap).bits(gap) + Code.of(count).bits(count)
    size = torch.bincount(graph, minlength=num_graphs)
    return Code.of(size).bits(size).index_add_(0, graph, bits)


def _meter(read: Collated) -> tuple[Meter, Tensor]:
    num_graphs = read.graphs.num_graphs
    meter, every = Meter(num_graphs), torch.arange(num_graphs)
    for name, (value, ptr) in read.attributes.items():
        if name not in NOT_CARRIED:
            meter.add_column(ptr.diff(), every)
            meter.add_rows(value, every.repeat_interleave(ptr.diff()))
    return meter, every


def _add_trees(
    meter: Meter, trees: TreeDictionary, entry: Tensor, graph: Tensor
) -> None:
    # Its entries are to this meter what graphs are to the other.
    num_trees = trees.height.numel()
    inner = Meter(num_trees)
    every = torch.arange(num_trees)
    high = trees.height > 0
    inner.add_column(trees.degree()[high] - 1, every[high])
    inner.add_column(trees.gaps()[0], trees.parent)
    inner.add_column(trees.times - 1, trees.parent)
    if trees.x is not None:
        inner.add_rows(trees.x, every)
    for name in OF_EDGES:
        value = getattr(trees, name)
        if value is not None:
            inner.add_rows(value, trees.parent)
    costs = inner.costs()
    meter.num_streams += costs.num_streams
    meter.add_items(entry, graph, costs.graph_bits)
    # Which graph needs which row: that of its entries.
    order = costs.graph.argsort(stable=True)
    size = torch.bincount(costs.graph, minlength=num_trees)
    start = size.cumsum(0) - size
    which, offset = ragged_range(size[entry])
    item = costs.item[order[start[entry[which]] + offset]]
    meter.add_items(item, graph[which], costs.item_bits)
