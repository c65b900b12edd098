"""Collated graphs -> structure and attributes of graphs, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.collate import collate
from torch_geometric.data.separate import separate

from pyg_distill.datasets.packing.column import Packed, decode, encode
from pyg_distill.datasets.packing.rows import decode_rows, encode_rows
from pyg_distill.datasets.reading.collection import Collection
from pyg_distill.transforms.levels import IDENTITY, level_of
from pyg_distill.transforms.own_names import OF_TREE_SETS
from pyg_distill.trees import Graphs
from pyg_distill.trees.csr import pointer

# Rows and where those of each graph begin.
Ragged = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Collated:
    """Collated graphs, taken apart.

    Attributes:
        graphs: What they have at nodes and edges.
        attributes: What they have beside, by name.
        head: How the tensors were put together, which is packed as it is.
    """

    graphs: Graphs
    attributes: dict[str, Ragged]
    head: Packed


def collated(
    data: Data,
    slices: Mapping[str, Tensor] | None,
    index: Tensor | Sequence[int] | None = None,
) -> Collated:
    """Takes collated graphs apart.

    Args:
        data (torch_geometric.data.Data): The graphs.
        slices (dict, optional): Where each of them begins.
        index (torch.Tensor or list, optional): Which of them to read.
            (default: :obj:`None`)

    Raises:
        TypeError: If an attribute is no dense tensor, or :obj:`index` does
            not hold integers.
        ValueError: If :obj:`index` names no graph or one that is not there,
            there are other attributes of nodes or edges than
            :obj:`x`, :obj:`edge_attr` and :obj:`edge_weight`, or tensors do
            not fit each other.
    """
    single = slices is None
    if slices is None:
        data, slices, _ = collate(Data, [data], False, False)
    names = [name for name in data.to_dict() if name in slices]
    others = {*data.to_dict()} - {*names, 'num_nodes', '_num_nodes'}
    if others:
        raise ValueError(
            f"'slices' must tell where each graph begins in all attributes "
            f'(got none for {", ".join(sorted(others))}); pass both as '
            f'InMemoryDataset.collate returns them'
        )
    if 'edge_index' not in slices:
        raise ValueError(
            f"'data' needs an 'edge_index' to be packed (got {names}); for "
            f'graphs without edges pass one of shape [2, 0]'
        )
    counted = '_num_nodes' in data.to_dict()
    if 'x' not in slices and not counted:
        raise ValueError(
            f"'data' needs 'x' or 'num_nodes' to be packed (got {names}); set "
            f'num_nodes of every graph before collating'
        )
    for name in names:
        value = data[name]
        if not isinstance(value, Tensor) or value.layout != torch.strided:
            got = getattr(value, 'layout', type(value).__name__)
            raise TypeError(
                f"'{name}' must be a dense tensor to be packed (got {got}); "
                f'convert it, or delete it'
            )
    selected = None
    if index is not None:
        num_graphs = slices['edge_index'].numel() - 1
        selected = _check_index(torch.as_tensor(index).cpu(), num_graphs)
    read = Collection(data, dict(slices), selected, names)
    num_nodes, num_edges = read.num_nodes(), read.num_rows('edge_index')
    attributes = {}
    for name in names:
        if name in (*IDENTITY, 'edge_index'):
            continue
        size = read.num_rows(name)
        level = level_of(name, size, num_nodes, num_edges)
        if name not in (*OF_TREE_SETS, 'y') and level != 'graph':
            raise ValueError(
                f"'{name}' is an attribute of every {level}, of which only "
                f"'x', 'edge_attr' and 'edge_weight' can be packed; delete it"
            )
        attributes[name] = read.rows(name).cpu(), pointer(size)
    rows = {name: read.rows(name).cpu() for name in IDENTITY if name in names}
    graphs = Graphs.from_local(
        read.rows('edge_index').cpu(), num_nodes.cpu(), num_edges, **rows
    )
    index_type = str(data.edge_index.dtype).removeprefix('torch.')
    head = {
        'names': names,
        'num_nodes': counted,
        'single': single or num_nodes.numel() == 1,
        'index_type': index_type,
    }
    return Collated(graphs, attributes, head)


def restore(
    head: Packed, columns: Mapping[str, Ragged], num_nodes: Tensor
) -> tuple[Data, dict[str, Tensor] | None]:
    """Collates graphs again.

    Args:
        head (dict): What :meth:`collated` gave.
        columns (dict): The rows of each attribute and where those of each
            graph begin.
        num_nodes (torch.Tensor): The nodes of each graph, :obj:`[G]`.

    Returns:
        tuple: The collated graphs and where each begins, or :obj:`None` if
        there is only one, as :class:`~torch_geometric.data.InMemoryDataset`
        has it.
    """
    values: dict[str, Any] = {n: columns[n][0] for n in head['names']}
    slices = {name: columns[name][1] for name in head['names']}
    index_type = getattr(torch, head['index_type'])
    values['edge_index'] = values['edge_index'].to(index_type)
    data = Data.from_dict(values)
    if head['num_nodes']:
        data.num_nodes = int(num_nodes.sum())
        data._num_nodes = num_nodes.tolist()
    if not head['single']:
        return data, slices
    return separate(Data, data, 0, slices, decrement=False), None


def encode_attributes(attributes: Mapping[str, Ragged]) -> Packed:
    """Packs what graphs have beside nodes and edges.

    Args:
        attributes (dict): Rows and where those of each graph begin, by name.
    """
    return {
        name: {'size': encode(ptr.diff()), 'rows': encode_rows(value)}
        for name, (value, ptr) in attributes.items()
    }


def decode_attributes(stored: Packed) -> dict[str, Ragged]:
    """Reads what :meth:`encode_attributes` packed.

    Args:
        stored (dict): What it returned.
    """
    return {
        name: (decode_rows(column['rows']), pointer(decode(column['size'])))
        for name, column in stored.items()
    }


def _check_index(index: Tensor, num_graphs: int) -> Tensor:
    if index.numel() and (
        index.is_floating_point() or index.dtype == torch.bool
    ):
        raise TypeError(
            f"'index' must hold the numbers of graphs (got {index.dtype}); "
            f'pass mask.nonzero().view(-1) for a mask'
        )
    index = index.long().view(-1)
    bad = index[(index < 0) | (index >= num_graphs)]
    if index.numel() == 0 or bad.numel():
        got = f'the graph {int(bad[0])}' if bad.numel() else 'none'
        raise ValueError(
            f"'index' must name at least one of the {num_graphs} graphs (got "
            f'{got}); pass numbers from 0 to {num_graphs - 1}'
        )
    return index
