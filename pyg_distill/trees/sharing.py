"""One dictionary of the trees of many graphs, and mini-batches from it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_distill.trees.build import Forest
from pyg_distill.trees.graphs import Graphs
from pyg_distill.trees.grouping import (
    pointer,
    ragged_rows,
    unique_keys,
)


@dataclass(frozen=True)
class MergedTrees:
    r"""A graph that holds some trees of a dictionary, each once.

    Shapes:
        - **node**, **edge:** the entry of each node :math:`(M)` and the edge
          of the dictionary of each edge :math:`(K)`; these have the features,
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

    The *stem* of a tree is its part down to depth :math:`L - 1`. A child is
    read no deeper, so any tree of the child's stem may take its place.

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

    def merge(self, root: Tensor) -> MergedTrees:
        r"""Builds a small graph that holds some trees.

        Its nodes are the distinct trees given. Each is linked to trees among
        them that have the stems of its children, so that its computation tree
        is itself. A child whose stem is missing becomes a node. A tree that
        would be linked to itself is linked to a copy, since some layers treat
        loops differently. The graph is only meaningful up to :math:`L` hops.

        Args:
            root (torch.Tensor): Entries of shape :obj:`[R]`; may repeat.

        Returns:
            MergedTrees: Its nodes, edges and roots.
        """
        tree, root_index = root.unique(return_inverse=True)
        node = self._add_children(tree)
        stem, order = self.stem[node].sort(stable=True)
        parent, edge = ragged_rows(self.ptr, node)
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
            child = self.child[ragged_rows(self.ptr, tree)[1]]
            tree = child[~known[self.stem[child]]].unique()
            if tree.numel() == 0:
                break
            nodes.append(tree)
        return torch.cat(nodes)


def share_trees(graphs: Graphs, num_layers: int) -> tuple[SharedTrees, Tensor]:
    r"""Finds equal trees in many graphs.

    Args:
        graphs (Graphs): The graphs, ordinary or in tree-set form.
        num_layers (int): The depth :math:`L` of the trees.

    Returns:
        tuple: The dictionary, and the entry of each node of the graphs.
    """
    forest = Forest(graphs, num_layers)
    tree = forest.distinct()
    stem = torch.arange(tree.first.numel(), device=tree.first.device)
    edge, ptr = stem[:0], pointer(torch.zeros_like(stem))
    if num_layers > 0:
        stem = unique_keys(forest.keys[-2][tree.first]).inverse
        incoming = graphs.incoming()
        _, edge = incoming.expand(tree.first)
        ptr = pointer(incoming.ptr.diff()[tree.first])

    def rows(value: Tensor | None, index: Tensor) -> Tensor | None:
        return None if value is None else value[index]

    trees = SharedTrees(
        child=tree.inverse[graphs.edge_index[0, edge]],
        ptr=ptr,
        stem=stem,
        num_layers=num_layers,
        x=rows(graphs.x, tree.first),
        edge_attr=rows(graphs.edge_attr, edge),
        edge_weight=rows(graphs.edge_weight, edge),
    )
    return trees, tree.inverse


def expected_size(
    trees: SharedTrees,
    root: Tensor,
    graph: Tensor,
    num_graphs: int,
    batch_size: int,
) -> tuple[float, float]:
    r"""Tells how large :meth:`SharedTrees.merge` makes mini-batches on average.

    Of :math:`N` graphs, :math:`B` are drawn without replacement. None of a
    given :math:`f` graphs is drawn with probability

    .. math::
        q(f) = \binom{N - f}{B} \Big/ \binom{N}{B},

    so a tree in :math:`f` graphs is drawn with probability :math:`1 - q(f)`.
    One that has a child of its own stem is copied if it is the only tree of
    this stem, with probability :math:`q(s - a) - q(s)` if :math:`s` graphs
    hold trees of the stem, and :math:`a` of them no other one. The result is
    exact if each graph holds the trees of all children, else a lower bound.

    Args:
        trees (SharedTrees): The dictionary.
        root (torch.Tensor): The trees of all graphs, of shape :obj:`[R]`.
        graph (torch.Tensor): The graph that each belongs to, :obj:`[R]`.
        num_graphs (int): The number of graphs :math:`N`.
        batch_size (int): The number of graphs of a batch :math:`B`.

    Returns:
        tuple: The expected number of nodes and of edges.
    """
    size = min(batch_size, num_graphs)

    def missed(held: Tensor) -> Tensor:
        left = (num_graphs - held).double()
        total = left.new_tensor(num_graphs)
        log = (left + 1).lgamma() - (left - size + 1).clamp(min=1).lgamma()
        log += (total - size + 1).lgamma() - (total + 1).lgamma()
        return torch.where(left < size, 0.0, log.exp())

    pair = (root * num_graphs + graph).unique()
    tree, graph = pair // num_graphs, pair % num_graphs
    held = torch.bincount(tree, minlength=trees.num_trees)
    pair, which, count = (trees.stem[tree] * num_graphs + graph).unique(
        return_inverse=True, return_counts=True
    )
    of_stem = torch.bincount(pair // num_graphs, minlength=trees.num_trees)
    of_stem = of_stem[trees.stem]
    alone = torch.bincount(tree[count[which] == 1], minlength=trees.num_trees)

    degree = trees.ptr.diff()
    parent = torch.arange(degree.numel(), device=degree.device)
    parent = parent.repeat_interleave(degree)
    loops = torch.zeros_like(degree, dtype=torch.bool)
    loops[parent[trees.stem[trees.child] == trees.stem[parent]]] = True
    copied = (missed(of_stem - alone) - missed(of_stem)) * loops
    nodes = 1 - missed(held) + copied
    return float(nodes.sum()), float((nodes * degree).sum())
