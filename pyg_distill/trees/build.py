"""Selected trees -> nodes, edges and roots, compact or unrolled."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_distill.trees.compact import share_subtrees
from pyg_distill.trees.csr import IncomingEdges, pointer
from pyg_distill.trees.unroll import unroll, unrolled_size

MAX_NODES = 10_000_000


@dataclass(frozen=True)
class BuiltTrees:
    r"""Sets of trees as graphs whose features are taken from the source.

    The features of the result are :obj:`x[node]` and :obj:`edge_attr[edge]`.

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


def build_trees(
    keys: list[Tensor],
    edge_index: Tensor,
    root: Tensor,
    group: Tensor,
    num_groups: int,
    edge_key: Tensor | None = None,
    compact: bool = True,
    max_nodes: int = MAX_NODES,
) -> BuiltTrees:
    r"""Materialises the computation trees of the given roots.

    The result depends on the trees alone, not on the order of the source's
    nodes and edges nor on which of several nodes with equal trees is given.

    Args:
        keys (list): What :meth:`tree_keys` returned, :math:`L + 1` tensors of
            shape :obj:`[N, 2]`.
        edge_index (torch.Tensor): The edges of the source, :obj:`[2, E]`.
        root (torch.Tensor): The source nodes whose depth-:math:`L` trees are
            wanted, of shape :obj:`[R]`.
        group (torch.Tensor): The set that each tree belongs to, of shape
            :obj:`[R]`.
        num_groups (int): The number of sets :math:`G`.
        edge_key (torch.Tensor, optional): The keys of the edges, of shape
            :obj:`[E, 2]`. (default: :obj:`None`)
        compact (bool, optional): If :obj:`True`, equal subtrees of a set are
            built once and shared, in a layered acyclic graph with at most
            :math:`(L + 1) \cdot N` nodes in which an edge repeats as often as
            the subtree does. If :obj:`False`, trees are unrolled, with up to
            :math:`\deg^L` nodes each. (default: :obj:`True`)
        max_nodes (int, optional): The number of nodes above which unrolling
            is refused. (default: :obj:`10_000_000`)

    Returns:
        BuiltTrees: The trees, as positions in the source.

    Raises:
        ValueError: If unrolling would take more than :obj:`max_nodes` nodes.
    """
    num_nodes, num_layers = keys[0].size(0), len(keys) - 1
    if not compact:
        size = unrolled_size(edge_index, num_nodes, num_layers)
        total = float(size[root].sum())
        if total > max_nodes:
            raise ValueError(
                f'unrolling {root.numel():,} trees of depth {num_layers} takes '
                f'{total:.3g} nodes (at most {max_nodes:,} are allowed); pass '
                f'compact=True, which builds equal subtrees once, or lower '
                f'num_layers'
            )
    incoming = IncomingEdges.of(edge_index, num_nodes)
    build = share_subtrees if compact else unroll
    trees = build(keys, edge_index, incoming, root, group, edge_key)
    node_count = torch.bincount(trees.group, minlength=num_groups)
    edge_group = trees.group[trees.parent]
    edge_count = torch.bincount(edge_group, minlength=num_groups)
    return BuiltTrees(
        node=trees.node,
        edge=trees.edge,
        edge_index=torch.stack([trees.child, trees.parent]),
        root_index=trees.root,
        node_ptr=pointer(node_count),
        edge_ptr=pointer(edge_count),
    )
