"""The attributes of a graph: which are compared, carried or refused."""

from collections.abc import Collection, Sequence
from numbers import Integral
from typing import Any, Literal

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.edge_index import EdgeIndex
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import to_edge_index

Level = Literal['node', 'edge', 'graph']

# What trees are compared by, and what every graph is made of.
FEATURES = ('x', 'edge_attr', 'edge_weight')
STRUCTURE = ('edge_index', 'adj_t', 'num_nodes')
# What a graph in tree-set form has for itself, and what a distilled one has.
OF_TREE_SETS = ('root_index', 'root_count', 'num_layers')
OF_DISTILLED = (*OF_TREE_SETS, 'target', 'weight', 'support', 'graph_id')

_NODE_NAMES = ('node', 'pos', 'n_id', 'mask')
_EDGE_NAMES = ('edge', 'e_id')


def level_of(
    name: str, size: Tensor, num_nodes: Tensor, num_edges: Tensor
) -> Level:
    """Tells the level of an attribute from its rows in each graph.

    Where the rows fit several levels (every graph has one node, say), the
    name decides, and the level is ``'graph'`` if the name tells nothing.
    Names that PyG increments in mini-batches hold nodes.

    Args:
        name (str): The name of the attribute.
        size (torch.Tensor): Its rows in each graph, of shape :obj:`[G]`.
        num_nodes (torch.Tensor): The nodes of each graph, :obj:`[G]`.
        num_edges (torch.Tensor): The edges of each graph, :obj:`[G]`.
    """
    if 'index' in name or 'batch' in name or name == 'face':
        return 'node'
    single = bool((size == 1).all())
    per_node = bool((size == num_nodes).all())
    per_edge = bool((size == num_edges).all())
    named_edge = any(part in name for part in _EDGE_NAMES)
    named_node = any(part in name for part in _NODE_NAMES)
    if per_edge and (named_edge or (not single and not per_node)):
        return 'edge'
    if per_node and (named_node or not single):
        return 'node'
    return 'graph'


def check_num_layers(num_layers: Any) -> int:
    """Refuses depths that are no whole number of layers."""
    remedy = 'pass the number of message passing layers of the model'
    if isinstance(num_layers, bool) or not isinstance(num_layers, Integral):
        raise TypeError(
            f"'num_layers' must be an integer (got {num_layers!r}); {remedy}"
        )
    if num_layers < 0:
        raise ValueError(
            f"'num_layers' must be 0 or more (got {num_layers}); {remedy}"
        )
    return int(num_layers)


def check_exclude_keys(exclude_keys: Any) -> list[str]:
    """Returns the names in order; refuses a string and parts of a graph."""
    if isinstance(exclude_keys, str):
        raise TypeError(
            f"'exclude_keys' must be a list of names (got {exclude_keys!r}); "
            f'pass [{exclude_keys!r}]'
        )
    needed = sorted({*STRUCTURE} & {*(exclude_keys or [])})
    if needed:
        raise ValueError(
            f"'exclude_keys' must not name what trees are made of (got "
            f'{needed}); name features and other attributes only'
        )
    return sorted(exclude_keys or [])


def refuse_reserved(
    names: Collection[str], reserved: Sequence[str], caller: str
) -> None:
    """Refuses graphs with attributes that the result has for itself."""
    clashes = [name for name in reserved if name in names]
    if clashes:
        raise ValueError(
            f"'{caller}' gives each graph attributes of its own (got graphs "
            f'with {clashes}); rename it, or leave it out with '
            f'exclude_keys={clashes}'
        )


def to_plain(data: Any, caller: str, allow_tree_sets: bool = False) -> Data:
    """Checks a graph and gives it a plain :obj:`edge_index`.

    An adjacency :obj:`adj_t` (a :class:`torch_sparse.SparseTensor` or a
    sparse tensor) becomes :obj:`edge_index` and, where it has values,
    :obj:`edge_weight`, or :obj:`edge_attr` if they are vectors.

    Args:
        data (torch_geometric.data.Data): The graph.
        caller (str): The class named in error messages.
        allow_tree_sets (bool, optional): Whether graphs may be in tree-set
            form. (default: :obj:`False`)

    Returns:
        torch_geometric.data.Data: A shallow copy of the same class.

    Raises:
        TypeError: If it is no homogeneous graph.
        ValueError: If it is a batch, has no edges, or is in tree-set form.
    """
    if isinstance(data, HeteroData):
        raise TypeError(
            f"'{caller}' does not support 'HeteroData'; call "
            f'data.to_homogeneous() and put the node and edge types into '
            f"'x' and 'edge_attr'"
        )
    if not isinstance(data, Data):
        raise TypeError(
            f"'{caller}' expects a 'torch_geometric.data.Data' object (got "
            f"'{type(data).__name__}'); pass one graph at a time"
        )
    if isinstance(data, Batch):
        raise ValueError(
            f"'{caller}' expects one graph (got a batch of "
            f'{data.num_graphs}); use data.to_data_list()'
        )
    if 'root_index' in data and not allow_tree_sets:
        raise ValueError(
            f"'{caller}' expects an ordinary graph (got one in tree-set "
            f'form); use it as it is'
        )
    num_nodes = data.num_nodes
    out = data.__copy__()
    if 'adj_t' in out:
        # Beside an `edge_index`, the order of its edges may be another.
        adj_t = out.adj_t
        del out.adj_t
        if 'edge_index' not in data:
            for key, value in _open_adjacency(adj_t, data).items():
                out[key] = value
    if isinstance(out.get('edge_index'), EdgeIndex):
        out.edge_index = out.edge_index.as_tensor()
    if not isinstance(out.get('edge_index'), Tensor):
        if num_nodes:
            raise ValueError(
                f"'{caller}' needs 'edge_index' or 'adj_t' (got {data}); set "
                f'edge_index=torch.empty(2, 0, dtype=torch.long)'
            )
        out.edge_index = torch.empty(2, 0, dtype=torch.long)
    if 'x' not in out:
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


def class_labels(y: Tensor, num_rows: Tensor) -> Tensor:
    """Checks the labels of a graph classification task.

    Args:
        y (torch.Tensor): The labels of all graphs in turn.
        num_rows (torch.Tensor): The rows of each graph, of shape :obj:`[G]`.

    Returns:
        torch.Tensor: The labels of shape :obj:`[G]`, as long.

    Raises:
        ValueError: If a graph does not have one whole number from 0.
    """
    size = num_rows * y[:1].numel() if y.size(0) else num_rows
    if bool((size != 1).any()):
        graph = int((size != 1).nonzero()[0])
        raise ValueError(
            f"'y' must hold one class label a graph (got {int(size[graph])} "
            f'values for graph {graph}: a multi-label or node-level task?); '
            f'distil one task at a time, with y of shape [1]'
        )
    y = y.reshape(-1)
    label = y.long()
    bad = y[(label < 0) | (label != y)]
    if bad.numel():
        raise ValueError(
            f"'y' must hold class labels 0, 1, 2, ... (got {float(bad[0]):g}); "
            f'bin regression targets, drop unlabelled graphs, or map -1/1 to '
            f'0/1'
        )
    return label
