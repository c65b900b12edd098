"""What a user has at hand -> graphs as the engine reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.dataset import Dataset

from pyg_distill.datasets.reading.collection import as_slice, collect
from pyg_distill.transforms.levels import (
    IDENTITY,
    STRUCTURE,
    check_exclude_keys,
    level_of,
    refuse_others,
)
from pyg_distill.transforms.reading import read_graph
from pyg_distill.transforms.to_computation_trees import check_num_layers
from pyg_distill.trees import Forest, Graphs, unique_keys


def tree_counts(
    dataset: Dataset | Iterable[Data] | Data,
    num_layers: int | Sequence[int],
    exclude_keys: Sequence[str] | None,
    owner: str,
) -> dict[int, Tensor]:
    r"""How often each distinct tree occurs, the most frequent first.

    Args:
        dataset (Dataset or list or Data): The graphs.
        num_layers (int or list): The depths of the trees, or the largest one.
        exclude_keys (list, optional): Names of attributes that are left out.
        owner (str): The function named in error messages.

    Returns:
        dict: Counts of shape :obj:`[U]` by depth, in descending order.
    """
    depths = check_depths(num_layers)
    graphs = read_graphs(dataset, exclude_keys, owner)
    if graphs.num_nodes == 0:
        raise ValueError(
            f"'{owner}' needs nodes to count trees of (got none in "
            f'{graphs.num_graphs} graphs); pass other graphs'
        )
    keys = Forest(graphs, max(depths)).keys
    return {
        depth: unique_keys(keys[depth]).count.sort(descending=True).values
        for depth in depths
    }


def check_depths(num_layers: Any) -> list[int]:
    """Turns the largest depth, or some depths, into a list of depths."""
    if isinstance(num_layers, Sequence) and not isinstance(num_layers, str):
        depths = sorted({check_num_layers(depth) for depth in num_layers})
        if not depths:
            raise ValueError(
                "'num_layers' must hold a depth (got none); pass for example "
                '[1, 2]'
            )
        return depths
    depth = check_num_layers(num_layers)
    return list(range(1, depth + 1)) or [0]


def read_graphs(
    dataset: Dataset | Iterable[Data] | Data,
    exclude_keys: Sequence[str] | None,
    owner: str,
) -> Graphs:
    """Reads all graphs at once; labels are neither read nor needed.

    Args:
        dataset (Dataset or list or Data): The graphs.
        exclude_keys (list, optional): Names of attributes that are left out.
        owner (str): The function named in error messages.

    Raises:
        TypeError: If it is no collection of homogeneous graphs.
        ValueError: If there are no graphs, they do not fit each other, or
            they have other node or edge attributes than trees compare.
    """
    check_exclude_keys(exclude_keys)
    left_out = [*(exclude_keys or []), 'y']
    if isinstance(dataset, Data):
        return read_graph(dataset, left_out, owner)[0]
    source = as_slice(dataset)
    if isinstance(source, str) or not isinstance(source, Iterable):
        raise TypeError(
            f"'{owner}' expects graphs (got '{type(source).__name__}'); pass "
            f'a data set, a list of graphs or one graph'
        )
    if not hasattr(source, '__len__'):
        source = list(source)
    if len(source) == 0:
        raise ValueError(
            f"'{owner}' expects graphs (got an empty data set); pass at least "
            f'one'
        )
    collection = collect(source, left_out, owner, log=False)
    num_nodes = collection.num_nodes()
    num_edges = collection.num_rows('edge_index')
    levels = {
        key: level_of(key, collection.num_rows(key), num_nodes, num_edges)
        for key in collection.slices
        if isinstance(collection.data[key], Tensor)
        and key not in left_out
        and key not in STRUCTURE
    }
    refuse_others(levels, left_out)
    identity = {key: collection.rows(key) for key in IDENTITY if key in levels}
    edge_index = collection.rows('edge_index')
    device = edge_index.device
    return Graphs.from_local(
        edge_index, num_nodes.to(device), num_edges.to(device), **identity
    )


def check_root(root: Any, num_nodes: int) -> Tensor:
    """Turns the number of a node into an index, checked."""
    is_index = isinstance(root, int) and not isinstance(root, bool)
    if isinstance(root, Tensor):
        is_index = root.numel() == 1 and not root.is_floating_point()
    if not is_index:
        raise TypeError(
            f"'root' must be the number of a node (got {root!r}); pass an "
            f'integer below {num_nodes}'
        )
    if not 0 <= int(root) < num_nodes:
        raise ValueError(
            f"'root' must be a node of the graph (got {int(root)} for "
            f'{num_nodes} nodes); pass an integer from 0 to {num_nodes - 1}'
        )
    return torch.tensor([int(root)])
