"""Tree sets <-> packed tensors."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_distill.datasets.packing.attributes import (
    Ragged,
    collated,
    decode_attributes,
    encode_attributes,
    restore,
)
from pyg_distill.datasets.packing.column import Packed, decode, encode
from pyg_distill.datasets.packing.dictionary import (
    TreeDictionary,
    decode_trees,
    encode_trees,
)
from pyg_distill.datasets.packing.gaps import from_gaps, to_gaps
from pyg_distill.datasets.packing.rows import (
    decode_rows,
    encode_rows,
    take_rows,
)
from pyg_distill.datasets.weights import sample_weights
from pyg_distill.trees import Forest
from pyg_distill.trees.csr import pointer, ragged_range
from pyg_distill.trees.unique import lexsort

NOT_CARRIED = ('root_index', 'root_count')


def pack_tree_sets(
    data: Data,
    slices: dict[str, Tensor] | None,
    index: Tensor | Sequence[int] | None = None,
    balance: str | None = None,
    num_graphs: Mapping[int, int] | None = None,
) -> Packed:
    """Packs graphs in tree-set form.

    There is one dictionary of all trees, in which equal subtrees of all
    graphs are stored once; a graph is a list of trees and their numbers. All
    is restored bit by bit; the roots of a graph are sorted by their keys, as
    those of :class:`~pyg_distill.datasets.MirageDataset` are, and so are its
    nodes and edges.

    Args:
        data (torch_geometric.data.Data): The graphs, as collated by
            :class:`~torch_geometric.data.InMemoryDataset`.
        slices (dict, optional): Where each of them begins, or :obj:`None` for
            a single graph.
        index (torch.Tensor or list, optional): Which of them to pack, all by
            default. (default: :obj:`None`)
        balance (str, optional): How :obj:`weight` follows from
            :obj:`support`; then it is not stored, but computed when read.
            (default: :obj:`None`)
        num_graphs (dict, optional): The graphs of each class in the source,
            which that needs. (default: :obj:`None`)

    Returns:
        dict: Tensors, plain numbers and strings.

    Raises:
        TypeError: If an attribute is no dense tensor.
        ValueError: If graphs are not in tree-set form, only some are
            unrolled, or there are other attributes of nodes or edges than
            :obj:`x`, :obj:`edge_attr` and :obj:`edge_weight`.
    """
    read = collated(data, slices, index)
    missing = {*NOT_CARRIED, 'num_layers'} - {*read.attributes}
    if missing:
        raise ValueError(
            f"'data' must be in tree-set form (it has no "
            f'{", ".join(sorted(missing))}); use pack_graphs'
        )
    depth = read.attributes['num_layers'][0]
    if depth.unique().numel() > 1:
        raise ValueError(
            f"'num_layers' must be the same in all graphs (got "
            f'{depth.unique().tolist()}); pack them one by one'
        )
    num_layers = int(depth[0]) if depth.numel() else 0

    root, root_ptr = read.attributes['root_index']
    graph, _ = ragged_range(root_ptr.diff())
    root = root + read.graphs.node_ptr[graph]
    trees, entry, compact = TreeDictionary.of(read.graphs, num_layers, root)
    tree = entry[root]
    order = lexsort(graph, tree)
    tree, graph = tree[order], graph[order]
    gap, distinct = to_gaps(tree, graph)
    count = read.attributes['root_count'][0]
    carried = {
        name: column
        for name, column in read.attributes.items()
        if name not in NOT_CARRIED
    }
    out = read.head | {
        'form': 'tree sets',
        'compact': compact,
        'distinct': distinct,
        'trees': encode_trees(trees),
        'roots': encode(root_ptr.diff()),
        'root': encode(gap),
        'root_count': encode_rows(take_rows(count, order)),
    }
    if balance is not None and num_graphs is not None:
        weight = _weight(carried, num_graphs, balance)
        if weight is not None and weight.equal(carried['weight'][0]):
            del carried['weight']
            label, size = torch.tensor(sorted(num_graphs.items())).t()
            out['balance'] = balance
            out['classes'] = {'label': encode(label), 'size': encode(size)}
    return out | {'attributes': encode_attributes(carried)}


def unpack_tree_sets(packed: Packed) -> tuple[Data, dict[str, Tensor] | None]:
    """Restores what :meth:`pack_tree_sets` packed.

    Args:
        packed (dict): What it returned.

    Returns:
        tuple: The collated graphs and where each begins.
    """
    columns = decode_attributes(packed['attributes'])
    num_roots = decode(packed['roots'])
    graph, _ = ragged_range(num_roots)
    tree = from_gaps(
        decode(packed['root']), num_roots, graph, packed['distinct']
    )
    count = decode_rows(packed['root_count'])

    graphs = decode_trees(packed['trees'])
    depth = columns['num_layers'][0]
    forest = Forest(graphs, int(depth[0]) if depth.numel() else 0)
    order = lexsort(graph, *forest.keys[-1][tree].unbind(1))
    built = forest.build(
        tree[order], graph, num_roots.numel(), packed['compact']
    )
    num_nodes, num_edges = built.node_ptr.diff(), built.edge_ptr.diff()
    start = built.node_ptr[:-1]
    columns |= {
        'edge_index': (
            built.edge_index - start.repeat_interleave(num_edges),
            built.edge_ptr,
        ),
        'root_index': (built.root_index - start[graph], pointer(num_roots)),
        'root_count': (take_rows(count, order), pointer(num_roots)),
    }
    for name, value, row, ptr in [
        ('x', graphs.x, built.node, built.node_ptr),
        ('edge_attr', graphs.edge_attr, built.edge, built.edge_ptr),
        ('edge_weight', graphs.edge_weight, built.edge, built.edge_ptr),
    ]:
        if value is not None:
            columns[name] = take_rows(value, row), ptr
    if 'balance' in packed:
        classes = {name: decode(v) for name, v in packed['classes'].items()}
        sizes = zip(
            classes['label'].tolist(), classes['size'].tolist(), strict=True
        )
        weight = _weight(columns, dict(sizes), packed['balance'])
        assert weight is not None
        columns['weight'] = weight, columns['support'][1]
    return restore(packed, columns, num_nodes)


def _weight(
    columns: Mapping[str, Ragged], num_graphs: Mapping[int, int], balance: str
) -> Tensor | None:
    if not {'weight', 'support', 'y'} <= {*columns, 'weight'}:
        return None
    support, label = columns['support'][0], columns['y'][0].view(-1)
    return sample_weights(support, label, dict(num_graphs), balance)
