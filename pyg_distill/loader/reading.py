"""Data set -> dictionary of trees, and all else graph by graph."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.separate import separate

from pyg_distill.datasets.reading.collection import Collection
from pyg_distill.loader.columns import Column
from pyg_distill.loader.opening import open_source
from pyg_distill.loader.roots import all_roots, given_roots, tree_depth
from pyg_distill.loader.tree_sets import TreeSets
from pyg_distill.transforms.levels import (
    IDENTITY,
    STRUCTURE,
    level_of,
    refuse_others,
)
from pyg_distill.trees import Graphs, share_trees

_ROOTS = ('root_index', 'root_count')


def read_tree_sets(
    source: Any, num_layers: int | None, exclude_keys: list[str], owner: str
) -> TreeSets:
    """Reads the trees of a data set.

    Args:
        source (Dataset or list): The graphs.
        num_layers (int, optional): The depth of the trees, needed if graphs
            are not in tree-set form.
        exclude_keys (list): Names of attributes that are left out.
        owner (str): The class named in error messages.

    Returns:
        TreeSets: Their distinct trees, and what else they carry.

    Raises:
        TypeError: If it is no collection of homogeneous graphs.
        ValueError: If they are not in tree-set form of one depth, and no
            depth is given.
    """
    needed = sorted({'edge_index', 'num_nodes', *_ROOTS} & {*exclude_keys})
    if needed:
        raise ValueError(
            f"'exclude_keys' must not name what trees are made of (got "
            f'{needed}); it is for features and other attributes'
        )
    graphs = open_source(source, exclude_keys, owner)
    depth = tree_depth(graphs, num_layers, owner)
    num_nodes = graphs.num_nodes()
    # Of what has no rows, the name decides alone.
    size = {
        key: graphs.num_rows(key)
        if _is_plain(graphs.data[key])
        else torch.zeros_like(num_nodes)
        for key in graphs.slices
    }
    num_edges = size['edge_index']
    identity = {
        key: _identity(graphs, key, num_nodes if key == 'x' else num_edges)
        for key in IDENTITY
        if key in size and key not in exclude_keys
    }
    attributes = [
        key
        for key in size
        if key not in (*IDENTITY, *STRUCTURE, *_ROOTS, *exclude_keys)
    ]
    refuse_others(
        {k: level_of(k, size[k], num_nodes, num_edges) for k in attributes},
        exclude_keys,
    )
    edge_index = graphs.rows('edge_index')
    device = edge_index.device
    local = Graphs.from_local(
        edge_index, num_nodes.to(device), num_edges.to(device), **identity
    )
    trees, entry = share_trees(local, depth)
    plain = [key for key in attributes if _is_plain(graphs.data[key])]
    columns = {
        key: Column.of(graphs.rows(key), size[key], _dim(graphs, key))
        for key in plain
    }
    if 'root_index' in size:
        root, root_count = given_roots(graphs, local, entry)
    else:
        root, root_count = all_roots(local, entry)
        if 'num_layers' not in exclude_keys:
            value = torch.full_like(num_nodes, depth).to(device)
            columns['num_layers'] = Column.of(value, torch.ones_like(num_nodes))
    return TreeSets(
        source=source,
        options=(num_layers, exclude_keys),
        trees=trees,
        root=root,
        root_count=root_count,
        columns=columns,
        others=_others(graphs, [k for k in attributes if k not in plain]),
    )


def _identity(graphs: Collection, key: str, num_rows: Tensor) -> Tensor:
    value = graphs.data[key]
    if not _is_plain(value):
        got = getattr(value, 'layout', type(value).__name__)
        raise TypeError(
            f"'{key}' must be a dense tensor to be compared (got {got}); "
            f"convert it, or leave it out with exclude_keys=['{key}']"
        )
    size = graphs.num_rows(key)
    if bool((size != num_rows).any()):
        graph = int((size != num_rows).nonzero()[0])
        raise ValueError(
            f"'{key}' must have one row a {'node' if key == 'x' else 'edge'} "
            f'(got {int(size[graph])} rows in graph {graph}, which has '
            f'{int(num_rows[graph])}); fill it in'
        )
    return graphs.rows(key)


def _others(graphs: Collection, names: Sequence[str]) -> list[Data]:
    if not names:
        return []
    stored = Data(**{key: graphs.data[key] for key in names})
    slices = {key: graphs.slices[key] for key in names}
    selected = (
        range(graphs.num_graphs)
        if graphs.selected is None
        else graphs.selected.tolist()
    )
    return [
        separate(Data, stored, i, slices, decrement=False) for i in selected
    ]


def _dim(graphs: Collection, key: str) -> int:
    return graphs.data.__cat_dim__(key, graphs.data[key]) or 0


def _is_plain(value: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and not value.is_nested
    )
