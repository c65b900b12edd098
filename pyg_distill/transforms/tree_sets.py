"""Built trees -> one `Data` in tree-set form for each set."""

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_distill.trees import BuiltTrees, Graphs


def tree_set_list(
    graphs: Graphs,
    trees: BuiltTrees,
    root_count: Tensor,
    root_ptr: Tensor,
    num_layers: int,
) -> list[Data]:
    r"""Cuts built trees into the tree-set form of each set.

    Args:
        graphs (Graphs): Where the trees were taken from.
        trees (BuiltTrees): The trees of :math:`G` sets, roots sorted by set.
        root_count (torch.Tensor): How often each root occurs, :obj:`[R]`.
        root_ptr (torch.Tensor): Where the roots of each set begin, of shape
            :obj:`[G + 1]`.
        num_layers (int): The depth of the trees.

    Returns:
        list: :math:`G` objects with the attributes :obj:`x` (if there are
        features, else :obj:`num_nodes`), :obj:`edge_index` (from child to
        parent), :obj:`edge_attr` and :obj:`edge_weight` (if there are any),
        :obj:`root_index` and :obj:`root_count` of shape :obj:`[R_i]` and
        :obj:`num_layers` of shape :obj:`[1]`.
    """
    node_size, edge_size = trees.node_ptr.diff(), trees.edge_ptr.diff()
    root_size = root_ptr.diff()
    start = trees.node_ptr[:-1]
    edge_index = trees.edge_index - start.repeat_interleave(edge_size)
    root_index = trees.root_index - start.repeat_interleave(root_size)

    columns = {
        'edge_index': edge_index.split(edge_size.tolist(), dim=1),
        'root_index': root_index.split(root_size.tolist()),
        'root_count': root_count.split(root_size.tolist()),
    }
    if graphs.x is not None:
        columns['x'] = graphs.x[trees.node].split(node_size.tolist())
    for name in ('edge_attr', 'edge_weight'):
        value = getattr(graphs, name)
        if value is not None:
            columns[name] = value[trees.edge].split(edge_size.tolist())

    depth = torch.tensor([num_layers], device=trees.node.device)
    out = []
    for i, num_nodes in enumerate(node_size.tolist()):
        data = Data(**{name: column[i] for name, column in columns.items()})
        if graphs.x is None:
            data.num_nodes = num_nodes
        data.num_layers = depth
        out.append(data)
    return out
