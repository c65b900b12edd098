"""Ordinary graphs <-> packed tensors."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_distill.datasets.packing.attributes import (
    Collated,
    collated,
    decode_attributes,
    encode_attributes,
    restore,
)
from pyg_distill.datasets.packing.column import Packed, decode, encode
from pyg_distill.datasets.packing.dictionary import edge_kinds
from pyg_distill.datasets.packing.edges import (
    Cells,
    decode_edges,
    encode_edges,
)
from pyg_distill.datasets.packing.rows import (
    decode_rows,
    encode_rows,
    take_rows,
)
from pyg_distill.trees.csr import pointer

OF_EDGES = ('edge_attr', 'edge_weight')


def pack_graphs(
    data: Data,
    slices: dict[str, Tensor] | None,
    index: Tensor | Sequence[int] | None = None,
) -> Packed:
    """Packs graphs.

    Distinct feature rows are stored once, and which one each node has. Edges
    are stored as gaps between the cells of the adjacency matrix, one triangle
    of it if they come in pairs of opposite directions that carry the same.
    All is restored bit by bit, but edges are sorted by source, then by
    target, as :meth:`~torch_geometric.utils.coalesce` does.

    Args:
        data (torch_geometric.data.Data): The graphs, as collated by
            :class:`~torch_geometric.data.InMemoryDataset`.
        slices (dict, optional): Where each of them begins, or :obj:`None` for
            a single graph.
        index (torch.Tensor or list, optional): Which of them to pack, all by
            default. (default: :obj:`None`)

    Returns:
        dict: Tensors, plain numbers and strings.

    Raises:
        TypeError: If an attribute is no dense tensor.
        ValueError: If there are other attributes of nodes or edges than
            :obj:`x`, :obj:`edge_attr` and :obj:`edge_weight`, or tensors do
            not fit each other.
    """
    graphs = collated(data, slices, index)
    edges = graphs.graphs
    out = graphs.head | {
        'form': 'graphs',
        'nodes': encode(edges.node_ptr.diff()),
    }
    if edges.x is not None:
        out['x'] = encode_rows(edges.x)
    cells = cells_of(graphs)
    out['edges'] = encode_edges(cells)
    for name in OF_EDGES:
        value = getattr(edges, name)
        if value is not None:
            out[name] = encode_rows(take_rows(value, cells.edge))
    return out | {'attributes': encode_attributes(graphs.attributes)}


def unpack_graphs(packed: Packed) -> tuple[Data, dict[str, Tensor] | None]:
    """Restores what :meth:`pack_graphs` packed.

    Args:
        packed (dict): What it returned.

    Returns:
        tuple: The collated graphs and where each begins.
    """
    num_nodes = decode(packed['nodes'])
    node_ptr = pointer(num_nodes)
    edge_index, graph, edge = decode_edges(packed['edges'], node_ptr)
    edge_ptr = pointer(torch.bincount(graph, minlength=num_nodes.numel()))
    edge_index = edge_index - node_ptr[graph]
    columns = {'edge_index': (edge_index, edge_ptr)}
    if 'x' in packed:
        columns['x'] = decode_rows(packed['x']), node_ptr
    for name in OF_EDGES:
        if name in packed:
            value = take_rows(decode_rows(packed[name]), edge)
            columns[name] = value, edge_ptr
    columns |= decode_attributes(packed['attributes'])
    return restore(packed, columns, num_nodes)


def cells_of(collated: Collated) -> Cells:
    """Finds the cells of all edges, and which edges carry the same.

    Args:
        collated (Collated): The graphs.
    """
    graphs = collated.graphs
    kind, _ = edge_kinds(graphs)
    return Cells.of(graphs.edge_index, graphs.node_ptr, kind)
