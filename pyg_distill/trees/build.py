"""The computation trees of some graphs, and graphs built of them."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.utils import lexsort

from pyg_distill.trees.graphs import Graphs
from pyg_distill.trees.grouping import (
    UniqueKeys,
    inverse_permutation,
    pointer,
    unique_keys,
)
from pyg_distill.trees.keys import edge_keys, tree_keys


@dataclass(frozen=True)
class BuiltTrees:
    r"""Sets of trees as graphs, given as positions in the source.

    Their features are :obj:`x[node]` and :obj:`edge_attr[edge]` of the source.

    Shapes:
        - **node:** the source node of each of the :math:`M` nodes
          :math:`(M)`, sorted by set,
        - **edge:** the source edge of each of the :math:`K` edges
          :math:`(K)`, sorted by set,
        - **edge_index:** child and parent :math:`(2, K)`, numbered through,
        - **root_index:** the node of each given root :math:`(R)`, numbered
          through,
        - **node_ptr**, **edge_ptr:** where the nodes and the edges of each
          set begin :math:`(G + 1)`.
    """

    node: Tensor
    edge: Tensor
    edge_index: Tensor
    root_index: Tensor
    node_ptr: Tensor
    edge_ptr: Tensor


class Forest:
    r"""The depth-:math:`L` computation trees of all nodes of some graphs.

    All keys are computed at once; trees are built on request.

    Args:
        graphs (Graphs): The graphs.
        num_layers (int): The depth :math:`L` of the trees.
    """

    def __init__(self, graphs: Graphs, num_layers: int) -> None:
        self.graphs = graphs
        self.num_layers = num_layers
        self.edge_key = edge_keys(graphs.edge_attr, graphs.edge_weight)
        self.keys = tree_keys(
            graphs.edge_index,
            graphs.num_nodes,
            num_layers,
            graphs.x,
            self.edge_key,
        )

    def distinct(self) -> UniqueKeys:
        """The classes of equal trees over all graphs."""
        return unique_keys(self.keys[-1])

    def distinct_by_graph(self) -> UniqueKeys:
        """The classes of equal trees of each graph."""
        return unique_keys(self.keys[-1], self.graphs.graph_of_node())

    def build(
        self,
        root: Tensor,
        group: Tensor,
        num_groups: int,
        compact: bool = True,
        max_nodes: int = 10_000_000,
    ) -> BuiltTrees:
        r"""Builds the computation trees of the given roots.

        The result depends on the trees alone: neither the order of nodes and
        edges in the source matters, nor which of several equal trees is given.

        Args:
            root (torch.Tensor): The source nodes of the trees, :obj:`[R]`.
            group (torch.Tensor): The set of each tree, :obj:`[R]`.
            num_groups (int): The number of sets :math:`G`.
            compact (bool, optional): If :obj:`True`, equal subtrees of a set
                are built once, in an acyclic graph of at most
                :math:`(L + 1) \cdot N` nodes. If :obj:`False`, trees are
                unrolled, with up to :math:`\deg^L` nodes each.
                (default: :obj:`True`)
            max_nodes (int, optional): The number of nodes above which
                unrolling is refused. (default: :obj:`10_000_000`)

        Returns:
            BuiltTrees: The trees, as positions in the source.

        Raises:
            ValueError: If unrolling takes more than :obj:`max_nodes` nodes.
        """
        if not compact:
            source, target = self.graphs.edge_index
            # A few hops of hubs exceed 2^63.
            size = torch.ones_like(self.keys[0][:, 0], dtype=torch.double)
            for _ in range(self.num_layers):
                size = torch.ones_like(size).index_add_(0, target, size[source])
            total = float(size[root].sum())
            if total > max_nodes:
                raise ValueError(
                    f'unrolling {root.numel():,} trees takes {total:.3g} nodes '
                    f'(at most {max_nodes:,} are allowed); pass compact=True, '
                    f'or lower num_layers'
                )
        build = _share_subtrees if compact else _unroll
        node, group, edge, child, parent, root = build(self, root, group)
        num_edges = torch.bincount(group[parent], minlength=num_groups)
        return BuiltTrees(
            node=node,
            edge=edge,
            edge_index=torch.stack([child, parent]),
            root_index=root,
            node_ptr=pointer(torch.bincount(group, minlength=num_groups)),
            edge_ptr=pointer(num_edges),
        )


def _share_subtrees(
    forest: Forest, root: Tensor, group: Tensor
) -> tuple[Tensor, ...]:
    """Builds every subtree of a set once, layer by layer from the roots."""
    keys, edge_key = forest.keys, forest.edge_key
    source, incoming = forest.graphs.edge_index[0], forest.graphs.incoming()
    tree = unique_keys(keys[-1][root], group)
    root_entry = tree.inverse
    node, group = root[tree.first], group[tree.first]
    levels, parents, children, edges = [(node, group)], [], [], []
    above = 0
    for key in keys[-2::-1]:
        parent, edge = incoming.expand(node)
        child, child_group = source[edge], group[parent]
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

    # A tree that ends early is the same at several depths: only the topmost
    # copy stays, with the edges from its own children.
    tree = unique_keys(key, group)
    stays = torch.zeros_like(node, dtype=torch.bool)
    stays[tree.first] = True
    mask = stays[parent]
    child, parent, edge = child[mask], parent[mask], edge[mask]

    first = tree.first
    columns = [*key[first].flip(1).unbind(1), depth[first], group[first]]
    order = lexsort(columns)
    number, first = inverse_permutation(order)[tree.inverse], first[order]

    child, parent = number[child], number[parent]
    columns = [] if edge_key is None else [*edge_key[edge].flip(1).unbind(1)]
    order = lexsort([*columns, child, parent])
    links = [column[order] for column in (edge, child, parent)]
    return node[first], group[first], *links, number[root_entry]


def _unroll(forest: Forest, root: Tensor, group: Tensor) -> tuple[Tensor, ...]:
    """Builds every tree in full, one node for every walk to the root."""
    keys, edge_key = forest.keys, forest.edge_key
    source, incoming = forest.graphs.edge_index[0], forest.graphs.incoming()
    nodes, groups, parents, edges = [root], [group], [], []
    above = 0
    for key in keys[-2::-1]:
        parent, edge = incoming.expand(nodes[-1])
        columns = [*key[source[edge]].flip(1).unbind(1)]
        if edge_key is not None:
            columns += edge_key[edge].flip(1).unbind(1)
        order = lexsort([*columns, parent])
        parent, edge = parent[order], edge[order]
        groups.append(groups[-1][parent])
        parents.append(parent + above)
        above += nodes[-1].numel()
        nodes.append(source[edge])
        edges.append(edge)

    node, group = torch.cat(nodes), torch.cat(groups)
    parent, edge = (
        torch.cat([node[:0], *column]) for column in (parents, edges)
    )
    order = torch.argsort(group, stable=True)
    number = inverse_permutation(order)
    # Every node but the roots is the child of exactly one edge.
    child = number[root.numel() :]
    edge_order = torch.argsort(child)
    links = [column[edge_order] for column in (edge, child, number[parent])]
    return node[order], group[order], *links, number[: root.numel()]
