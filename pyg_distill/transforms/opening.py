"""A PyG graph, however it stores its edges -> plain attributes."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.edge_index import EdgeIndex
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import to_edge_index


def open_graph(data: Any, owner: str) -> Data:
    """Checks a graph and gives it a plain :obj:`edge_index`.

    An adjacency :obj:`adj_t`, as made by
    :class:`~torch_geometric.transforms.ToSparseTensor`
    (:class:`torch_sparse.SparseTensor` or a sparse tensor), becomes
    :obj:`edge_index` and, where it has values, :obj:`edge_weight`, or
    :obj:`edge_attr` if they are vectors.

    Args:
        data (torch_geometric.data.Data): The graph.
        owner (str): The class named in error messages.

    Returns:
        torch_geometric.data.Data: A shallow copy with an explicit
        :obj:`num_nodes`.

    Raises:
        TypeError: If it is no homogeneous graph.
        ValueError: If it is a batch, has neither :obj:`edge_index` nor
            :obj:`adj_t`, or is in
            tree-set form already.
    """
    if isinstance(data, HeteroData):
        raise TypeError(
            f"'{owner}' does not support 'HeteroData', whose trees have typed "
            f'edges; call data.to_homogeneous() and put the node and edge '
            f"types into 'x' and 'edge_attr'"
        )
    if not isinstance(data, Data):
        raise TypeError(
            f"'{owner}' expects a 'torch_geometric.data.Data' object (got "
            f"'{type(data).__name__}'); pass one graph at a time"
        )
    if isinstance(data, Batch):
        raise ValueError(
            f"'{owner}' expects one graph (got a batch of "
            f'{data.num_graphs}); use data.to_data_list()'
        )
    if 'root_index' in data:
        raise ValueError(
            f"'{owner}' expects an ordinary graph (got one that is in "
            f'tree-set form already); use it as it is'
        )

    num_nodes = data.num_nodes
    out = Data()
    for key, value in data.to_dict().items():
        if key == 'adj_t':
            # Beside an `edge_index` it says nothing new, but may be in an
            # order that is not that of the edge attributes.
            if 'edge_index' not in data:
                out.update(_open_adjacency(value, data))
        elif key == 'edge_index' and isinstance(value, EdgeIndex):
            out.edge_index = value.as_tensor()
        elif key != 'num_nodes':
            out[key] = value
    if not isinstance(out.get('edge_index'), Tensor):
        if not num_nodes:
            out.edge_index = torch.empty(2, 0, dtype=torch.long)
        else:
            raise ValueError(
                f"'{owner}' needs 'edge_index' or 'adj_t' (got "
                f'{data}); for a graph without edges set '
                f'edge_index=torch.empty(2, 0, dtype=torch.long)'
            )
    out.num_nodes = num_nodes or 0
    return out


def _open_adjacency(adj_t: Any, data: Data) -> dict[str, Tensor]:
    if isinstance(adj_t, SparseTensor):
        target, source, value = adj_t.coo()
    else:
        (target, source), value = to_edge_index(adj_t)
    out = {'edge_index': torch.stack([source, target])}
    if value is not None:
        key = 'edge_weight' if value.dim() == 1 else 'edge_attr'
        if isinstance(data.get(key), Tensor) and not data[key].equal(value):
            raise ValueError(
                f"'adj_t' must hold the values of '{key}' (got others); make "
                f"it with ToSparseTensor(attr='{key}'), or delete '{key}'"
            )
        out[key] = value
    return out
