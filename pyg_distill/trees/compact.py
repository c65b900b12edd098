"""Trees of a set as one acyclic graph in which equal subtrees are shared."""

import torch
from torch import Tensor

from pyg_distill.trees.csr import IncomingEdges
from pyg_distill.trees.linked import LinkedTrees
from pyg_distill.trees.unique import lexsort, unique_keys


def share_subtrees(
    keys: list[Tensor],
    edge_index: Tensor,
    incoming: IncomingEdges,
    root: Tensor,
    group: Tensor,
    edge_key: Tensor | None,
) -> LinkedTrees:
    """Builds every subtree of a set once; see :meth:`build_trees`."""
    tree = unique_keys(keys[-1][root], group)
    root_entry = tree.inverse
    node, group = root[tree.first], group[tree.first]

    levels, parents, children, edges = [(node, group)], [], [], []
    above = 0
    for key in keys[-2::-1]:
        parent, edge = incoming.expand(node)
        child, child_group = edge_index[0, edge], group[parent]
        tree = unique_keys(key[child], child_group)
        parents.append(parent + above)
        above += node.numel()
        children.append(tree.inverse + above)
        edges.append(edge)
        node, group = child[tree.first], child_group[tree.first]
        levels.append((node, group))

    depth = torch.cat(
        [torch.full_like(node, d) for d, (node, _) in enumerate(levels)]
    )
    key = torch.cat(
        [k[node] for k, (node, _) in zip(keys[::-1], levels, strict=True)]
    )
    node, group = (torch.cat(column) for column in zip(*levels, strict=True))
    parent, child, edge = (
        torch.cat([node[:0], *column]) for column in (parents, children, edges)
    )

    # A tree that ends early is the same at several depths: the topmost one
    # stays, and of the edges those that lead to it from its own children.
    tree = unique_keys(key, group)
    stays = torch.zeros_like(node, dtype=torch.bool)
    stays[tree.first] = True
    kept = stays[parent]
    child, parent, edge = child[kept], parent[kept], edge[kept]

    first = tree.first
    order = lexsort(group[first], depth[first], *key[first].unbind(1))
    number = torch.empty_like(order)
    number[order] = torch.arange(order.numel(), device=order.device)
    number, first = number[tree.inverse], first[order]

    child, parent = number[child], number[parent]
    columns = [] if edge_key is None else edge_key[edge].unbind(1)
    order = lexsort(parent, child, *columns)
    return LinkedTrees(
        node=node[first],
        group=group[first],
        edge=edge[order],
        child=child[order],
        parent=parent[order],
        root=number[root_entry],
    )
