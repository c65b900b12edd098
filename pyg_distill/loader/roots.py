"""Which trees does each graph hold, how often, and how deep are they?"""

import torch
from torch import Tensor

from pyg_distill.datasets.reading.collection import Collection
from pyg_distill.loader.columns import Column
from pyg_distill.transforms.to_computation_trees import check_num_layers
from pyg_distill.trees import Graphs

_FORM = ('edge_index', 'root_index', 'root_count', 'num_layers')


def tree_depth(graphs: Collection, num_layers: int | None, owner: str) -> int:
    """Tells how deep the trees of some graphs are, or are to be.

    Args:
        graphs (Collection): The graphs, in tree-set form or ordinary ones.
        num_layers (int, optional): The depth if they are ordinary ones.
        owner (str): The class named in error messages.

    Raises:
        ValueError: If there is no depth, or more than one.
    """
    names = [key for key in graphs.slices if key != 'num_nodes']
    ordinary = 'edge_index' in names and not {*_FORM[1:]} & {*names}
    if ordinary and num_layers is not None:
        return check_num_layers(num_layers)
    if not all(key in names for key in _FORM):
        remedy = 'pass num_layers=... for the trees of ordinary graphs, or'
        raise ValueError(
            f"'{owner}' expects graphs with 'edge_index', or in tree-set form "
            f'(got graphs with {", ".join(names) or "nothing"}); '
            f'{remedy if ordinary else "pass"} MirageDataset(..., '
            f"selection='lossless')"
        )
    depth = graphs.rows('num_layers').unique().tolist()
    if len(depth) != 1 or bool((graphs.num_rows('num_layers') != 1).any()):
        raise ValueError(
            f"'{owner}' expects trees of one depth (got num_layers of {depth}"
            f'); make all with the same num_layers'
        )
    if num_layers not in (None, depth[0]):
        raise ValueError(
            f"'num_layers' is {depth[0]} in all graphs (got {num_layers}); "
            f'leave it out for graphs in tree-set form'
        )
    return depth[0]


def given_roots(
    graphs: Collection, local: Graphs, entry: Tensor
) -> tuple[Column, Tensor]:
    """Reads the roots of graphs in tree-set form.

    Args:
        graphs (Collection): The graphs.
        local (Graphs): The same, numbered through.
        entry (torch.Tensor): The entry of each node, of shape :obj:`[N]`.

    Returns:
        tuple: The entries of the roots, graph by graph, and their counts.

    Raises:
        ValueError: If roots or counts do not fit.
    """
    size = graphs.num_rows('root_index')
    count = graphs.num_rows('root_count')
    if bool((size != count).any()):
        raise ValueError(
            f"'root_count' must have one entry a root in every graph (got "
            f'{int(count.sum())} for {int(size.sum())} roots); make both with '
            f"'ToComputationTrees'"
        )
    root = graphs.rows('root_index')
    repeats = size.to(root.device)
    limit = local.node_ptr.diff().repeat_interleave(repeats)
    if bool(((root < 0) | (root >= limit)).any()):
        raise ValueError(
            f"'root_index' must hold nodes of its own graph (got "
            f'{int(root.min())} to {int(root.max())}); make it with '
            f"'ToComputationTrees'"
        )
    root = root + local.node_ptr[:-1].repeat_interleave(repeats)
    return Column.of(entry[root], size), graphs.rows('root_count')


def all_roots(local: Graphs, entry: Tensor) -> tuple[Column, Tensor]:
    """Takes all nodes of ordinary graphs for roots and counts equal ones.

    Args:
        local (Graphs): The graphs.
        entry (torch.Tensor): The entry of each node, of shape :obj:`[N]`.

    Returns:
        tuple: The entries of the roots, graph by graph, and their counts.
    """
    num_nodes = max(1, entry.numel())
    pair = local.graph_of_node() * num_nodes + entry
    pair, count = pair.unique(return_counts=True)
    size = torch.bincount(pair // num_nodes, minlength=local.num_graphs)
    return Column.of(pair % num_nodes, size), count
