"""Trees in full, one node for every walk that ends in the root."""

import torch
from torch import Tensor

from pyg_distill.trees.csr import IncomingEdges
from pyg_distill.trees.linked import LinkedTrees
from pyg_distill.trees.unique import lexsort


def unroll(
    keys: list[Tensor],
    edge_index: Tensor,
    incoming: IncomingEdges,
    root: Tensor,
    group: Tensor,
    edge_key: Tensor | None,
) -> LinkedTrees:
    """Builds every tree node by node; see :meth:`build_trees`."""
    nodes, groups, parents, edges = [root], [group], [], []
    above = 0
    for key in keys[-2::-1]:
        parent, edge = incoming.expand(nodes[-1])
        child = edge_index[0, edge]
        columns = [] if edge_key is None else edge_key[edge].unbind(1)
        order = lexsort(parent, *columns, *key[child].unbind(1))
        parent, edge, child = parent[order], edge[order], child[order]
        groups.append(groups[-1][parent])
        parents.append(parent + above)
        above += nodes[-1].numel()
        nodes.append(child)
        edges.append(edge)

    node, group = torch.cat(nodes), torch.cat(groups)
    parent, edge = (
        torch.cat([node[:0], *column]) for column in (parents, edges)
    )

    order = torch.argsort(group, stable=True)
    number = torch.empty_like(order)
    number[order] = torch.arange(order.numel(), device=order.device)
    # Every node but the roots is the child of exactly one edge.
    child = number[root.numel() :]
    edge_order = torch.argsort(child)
    return LinkedTrees(
        node=node[order],
        group=group[order],
        edge=edge[edge_order],
        child=child[edge_order],
        parent=number[parent[edge_order]],
        root=number[: root.numel()],
    )


def unrolled_size(
    edge_index: Tensor, num_nodes: int, num_layers: int
) -> Tensor:
    """Counts the nodes of all depth-:math:`L` trees without unrolling them.

    Args:
        edge_index (torch.Tensor): The edges of shape :obj:`[2, E]`.
        num_nodes (int): The number of nodes :math:`N`.
        num_layers (int): The depth :math:`L`.

    Returns:
        torch.Tensor: The sizes of shape :obj:`[N]`, in double precision since
        a few hops of hubs pass :math:`2^{63}`.
    """
    source, target = edge_index
    size = torch.ones(num_nodes, dtype=torch.double, device=source.device)
    for _ in range(num_layers):
        size = torch.ones_like(size).index_add_(0, target, size[source])
    return size
