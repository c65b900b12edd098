"""A PyG graph -> what decides its trees, and what is carried beside."""

from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_distill.transforms.levels import (
    IDENTITY,
    STRUCTURE,
    level_of,
    refuse_others,
)
from pyg_distill.transforms.opening import open_graph
from pyg_distill.trees import Graphs


def read_graph(
    data: Data, exclude_keys: Collection[str], owner: str
) -> tuple[Graphs, dict[str, Any]]:
    """Reads one graph.

    Args:
        data (torch_geometric.data.Data): The graph.
        exclude_keys (list): Names of attributes that are left out.
        owner (str): The class named in error messages.

    Returns:
        tuple: The graph and its graph-level attributes by name.

    Raises:
        TypeError: If it is no homogeneous graph.
        ValueError: If it has other node or edge attributes than trees
            compare, or tensors that do not fit each other.
    """
    data = open_graph(data, owner)
    num_nodes = torch.tensor([data.num_nodes])
    num_edges = torch.tensor([data.edge_index.size(-1)])
    # Unlike `keys()`, in the order in which they were set.
    attributes = data.to_dict()
    levels = {
        key: level_of(key, _num_rows(data, key), num_nodes, num_edges)
        for key, value in attributes.items()
        if _has_rows(value)
    }
    refuse_others(levels, exclude_keys)

    device = data.edge_index.device
    identity = {k: data.get(k) for k in IDENTITY if k not in exclude_keys}
    graphs = Graphs.from_local(
        data.edge_index, num_nodes.to(device), num_edges.to(device), **identity
    )
    carried = {
        key: value
        for key, value in attributes.items()
        if key not in (*IDENTITY, *STRUCTURE, *exclude_keys)
    }
    return graphs, carried


def _has_rows(value: Any) -> bool:
    if isinstance(value, Tensor | np.ndarray):
        return value.ndim > 0
    return isinstance(value, list | tuple)


def _num_rows(data: Data, key: str) -> Tensor:
    value = data[key]
    if isinstance(value, Tensor):
        return torch.tensor([value.size(data.__cat_dim__(key, value))])
    return torch.tensor([len(value)])
