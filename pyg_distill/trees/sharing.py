"""Many graphs -> one dictionary of their trees, and mini-batches out of it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_distill.trees.csr import IncomingEdges, pointer, ragged_range
from pyg_distill.trees.graphs import Graphs
from pyg_distill.trees.keys import edge_keys, tree_keys
from pyg_distill.trees.unique import unique_keys


@dataclass(frozen=True)
class MergedTrees:
    r"""A graph that holds some trees of a dictionary, each once.

    The features are :obj:`x[node]` and :obj:`edge_attr[edge]` of the
    dictionary.

    Shapes:
        - **node**, **edge:** the entry of each node :math:`(M)` and the edge
          of the dictionary of each edge :math:`(K)`,
        - **edge_index:** child and parent :math:`(2, K)`,
        - **root_index:** the node of each given root :math:`(R)`.
    """

    node: Tensor
    edge: Tensor
    edge_index: Tensor
    root_index: Tensor


@dataclass(frozen=True)
class SharedTrees:
    r"""The distinct depth-:math:`L` trees of some graphs.

    The *stem* of a tree is what is left of it at depth :math:`L - 1`. As a
    child is read no deeper than that, any tree of the child's stem may take
    its place.

    Shapes:
        - **child:** the entry at the lower end of each edge :math:`(K)`,
          sorted by the one at the upper end,
        - **ptr:** where the edges of each entry begin :math:`(C + 1)`,
        - **stem:** equal for entries with equal stems :math:`(C)`,
        - **num_layers:** the depth :math:`L`,
        - **x:** features of the root of each entry :math:`(C, *)`, if any,
        - **edge_attr**, **edge_weight:** edge features :math:`(K, *)`, if any.
    """

    child: Tensor
    ptr: Tensor
    stem: Tensor
    num_layers: int
    x: Tensor | None = None
    edge_attr: Tensor | None = None
    edge_weight: Tensor | None = None

    @property
    def num_trees(self) -> int:
        """The number of entries :math:`C`."""
        return self.ptr.numel() - 1

    def edges_of(self, tree: Tensor) -> tuple[Tensor, Tensor]:
        """Lists the edges from some entries to their children.

        Args:
            tree (torch.Tensor): Entries of shape :obj:`[n]`.

        Returns:
            tuple: The position in :obj:`tree` and the edge, both of the shape
            of all their edges together.
        """
        start = self.ptr[tree]
        position, offset = ragged_range(self.ptr[tree + 1] - start)
        return position, start[position] + offset

    def merge(self, root: Tensor) -> MergedTrees:
        r"""Builds a small graph in which some trees are found.

        Its nodes are the distinct trees given. Each is linked to trees among
        them that have the stems of its children, so that, by induction over
        the depth, its computation tree is itself. Only if there is none, a
        child is a node of its own, and so on. If a tree would be linked to
        itself alone, it has a copy instead, since some layers treat loops
        differently. So the graph has no loops, but it may have cycles; beyond
        :math:`L` hops it means nothing.

        Args:
            root (torch.Tensor): Entries of shape :obj:`[R]`; may repeat.

        Returns:
            MergedTrees: Its nodes, edges and roots.
        """
        tree, root_index = root.unique(return_inverse=True)
        node = self._add_children(tree)
        stem, order = self.stem[node].sort(stable=True)
        parent, edge = self.edges_of(node)
        wanted = self.stem[self.child[edge]]
        first = torch.searchsorted(stem, wanted)
        last = torch.searchsorted(stem, wanted, right=True) - 1
        # What is missing still is deeper than anything is read.
        found = first <= last
        parent, edge = parent[found], edge[found]
        child = order[first[found]]
        child = torch.where(child == parent, order[last[found]], child)

        # Each to its copy, and the copy to it.
        loop = child == parent
        twin = parent[loop].unique()
        copy = torch.full_like(node, -1)
        copy[twin] = torch.arange(
            node.numel(), node.numel() + twin.numel(), device=node.device
        )
        doubled = copy[parent] >= 0
        edge_index = torch.stack(
            [
                torch.cat([child.where(~loop, copy[parent]), child[doubled]]),
                torch.cat([parent, copy[parent[doubled]]]),
            ]
        )
        return MergedTrees(
            node=torch.cat([node, node[twin]]),
            edge=torch.cat([edge, edge[doubled]]),
            edge_index=edge_index,
            root_index=root_index,
        )

    def _add_children(self, tree: Tensor) -> Tensor:
        nodes = [tree]
        known = torch.zeros_like(self.stem, dtype=torch.bool)
        for _ in range(self.num_layers):
            known[self.stem[tree]] = True
            child = self.child[self.edges_of(tree)[1]]
            tree = child[~known[self.stem[child]]].unique()
            if tree.numel() == 0:
                break
            nodes.append(tree)
        return torch.cat(nodes)


def share_trees(graphs: Graphs, num_layers: int) -> tuple[SharedTrees, Tensor]:
    r"""Finds equal trees in all of some graphs.

    Graphs may be ordinary or in tree-set form, where nodes that are no roots
    have entries as well.

    Args:
        graphs (Graphs): The graphs.
        num_layers (int): The depth :math:`L` of the trees.

    Returns:
        tuple: The dictionary, and the entry of each node of the graphs.
    """
    keys = tree_keys(
        graphs.edge_index,
        graphs.num_nodes,
        num_layers,
        graphs.x,
        edge_keys(graphs.edge_attr, graphs.edge_weight),
    )
    tree = unique_keys(keys[-1])
    stem = torch.arange(tree.first.numel(), device=tree.first.device)
    if num_layers > 0:
        stem = unique_keys(keys[-2][tree.first]).inverse
    incoming = IncomingEdges.of(graphs.edge_index, graphs.num_nodes)
    _, edge = incoming.expand(tree.first)
    if num_layers == 0:
        edge = edge[:0]
    degree = incoming.ptr.diff()[tree.first] * min(num_layers, 1)

    def rows(value: Tensor | None, index: Tensor) -> Tensor | None:
        return None if value is None else value[index]

    trees = SharedTrees(
        child=tree.inverse[graphs.edge_index[0, edge]],
        ptr=pointer(degree),
        stem=stem,
        num_layers=num_layers,
        x=rows(graphs.x, tree.first),
        edge_attr=rows(graphs.edge_attr, edge),
        edge_weight=rows(graphs.edge_weight, edge),
    )
    return trees, tree.inverse
