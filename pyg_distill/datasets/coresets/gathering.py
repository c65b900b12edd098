"""Some graphs of a source -> ordinary graphs, collated."""

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_distill.datasets.reading.source import Source
from pyg_distill.transforms.levels import IDENTITY
from pyg_distill.trees.csr import pointer, ragged_range

Collated = tuple[Data, dict[str, Tensor] | None]


def gather(
    source: Source, index: Tensor, weight: Tensor | None = None
) -> Collated:
    """Copies graphs as they are, and gives each its weight in the loss.

    Args:
        source (Source): The graphs.
        index (torch.Tensor): Which of them, of shape :obj:`[P]`.
        weight (torch.Tensor, optional): Their weights, of shape :obj:`[P]`.
            (default: :obj:`None`)

    Returns:
        tuple: The graphs in this order, collated, and where each begins,
        which is :obj:`None` if there is only one, as in PyG.
    """
    graphs = source.graphs
    index = index.to(graphs.node_ptr.device)
    node, num_nodes = _rows(graphs.node_ptr, index)
    edge, num_edges = _rows(graphs.edge_ptr, index)
    start = graphs.node_ptr[index].repeat_interleave(num_edges)
    single = torch.ones_like(index)

    columns = {'edge_index': (graphs.edge_index[:, edge] - start, num_edges)}
    for key in IDENTITY:
        value = getattr(graphs, key)
        if value is not None:
            row, size = (node, num_nodes) if key == 'x' else (edge, num_edges)
            columns[key] = value[row], size
    y = source.label[index].view(-1, *[1] * (source.y_dim - 1))
    columns['y'] = y, single
    for key, values in source.attributes.items():
        chosen = [values[i] for i in index.tolist()]
        sizes = index.new_tensor([value.size(0) for value in chosen])
        columns[key] = torch.cat(chosen), sizes
    if weight is not None:
        columns['weight'] = weight.to(index.device), single

    data = Data.from_dict({key: value for key, (value, _) in columns.items()})
    if graphs.x is None:
        data.num_nodes = node.numel()
    if index.numel() == 1:
        return data, None
    if graphs.x is None:
        # What PyG's own `collate` leaves behind for `separate`.
        data._num_nodes = num_nodes.tolist()
    # PyG has them on the CPU wherever the graphs are.
    slices = {key: pointer(size).cpu() for key, (_, size) in columns.items()}
    return data, slices


def _rows(ptr: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    size = ptr[index + 1] - ptr[index]
    graph, offset = ragged_range(size)
    return ptr[index][graph] + offset, size
