"""Node and edge features -> keys, and rounds of refinement -> tree keys."""

import torch
from torch import Tensor

from pyg_distill.trees.features import hash_features
from pyg_distill.trees.hashing import (
    Lanes,
    chain,
    chain_lanes,
    extend_lanes,
)

_NODE, _CHILD, _EDGE = 1, 2, 3
# Edges that are looked at together: what the cache holds, and little memory.
_BLOCK = 1 << 18


def edge_keys(
    edge_attr: Tensor | None = None,
    edge_weight: Tensor | None = None,
) -> Tensor | None:
    """Hashes what an edge carries.

    Args:
        edge_attr (torch.Tensor, optional): Edge features of shape :obj:`[E]`
            or :obj:`[E, D]`. (default: :obj:`None`)
        edge_weight (torch.Tensor, optional): Edge weights of shape :obj:`[E]`.
            (default: :obj:`None`)

    Returns:
        torch.Tensor, optional: Keys of shape :obj:`[E, 2]`, or :obj:`None` if
        edges carry nothing and are all alike.
    """
    keys = [
        chain(seed, hash_features(value, name))
        for seed, name, value in [
            (1, 'edge_attr', edge_attr),
            (2, 'edge_weight', edge_weight),
        ]
        if value is not None
    ]
    return chain(_EDGE, *keys) if keys else None


def tree_keys(
    edge_index: Tensor,
    num_nodes: int,
    num_layers: int,
    x: Tensor | None = None,
    edge_key: Tensor | None = None,
) -> list[Tensor]:
    r"""Computes the keys of all computation trees up to depth :math:`L`.

    The depth-:math:`\ell` tree of a node is the node with, as children, the
    depth-:math:`(\ell-1)` trees of the sources of its incoming edges (Mirage,
    Definition 3; walking back along an edge counts). Its key is

    .. math::
        k_\ell(v) = h \big( x_v, \sum_{e = (u, v)}
        g \big( k_{\ell - 1}(u), e \big) \big), \qquad k_0(v) = h(x_v, 0),

    that is, :math:`L` rounds of Weisfeiler-Leman colour refinement in
    :math:`\mathcal{O}(L \cdot |\mathcal{E}|)` steps, and no tree is unrolled.

    Equal trees have equal keys, whatever the graph, data set, process or
    machine, and whatever the depth at which they were found (the tree of a
    node without incoming edges is the same at every depth). Unequal trees
    collide with a probability of about :math:`2^{-128}` a pair, as far as the
    mixing behaves like a random function.

    Args:
        edge_index (torch.Tensor): Edges of shape :obj:`[2, E]`, of one graph
            or of many that are numbered through.
        num_nodes (int): The number of nodes :math:`N`.
        num_layers (int): The depth :math:`L \geq 0`.
        x (torch.Tensor, optional): Node features of shape :obj:`[N]` or
            :obj:`[N, F]`; without, all nodes are alike.
            (default: :obj:`None`)
        edge_key (torch.Tensor, optional): What :meth:`edge_keys` returned, of
            shape :obj:`[E, 2]`. (default: :obj:`None`)

    Returns:
        list: :math:`L + 1` tensors of shape :obj:`[N, 2]` (int64), the keys of
        the trees of depth :math:`0, \ldots, L`.

    Raises:
        ValueError: If :obj:`num_layers` is negative or a feature is NaN.
    """
    if num_layers < 0:
        raise ValueError(
            f"'num_layers' must be 0 or more (got {num_layers}); pass the "
            f'number of message passing layers of the model'
        )
    if x is None:
        own = edge_index.new_zeros(1, 2)
    else:
        own = chain(1, hash_features(x, 'x'))

    source, target = edge_index
    edge = None
    if edge_key is not None:
        edge = edge_key[:, 0], edge_key[:, 1]
    # Both hash functions take in what every edge or round shares only once,
    # and nothing is kept longer than needed, as it is as large as a key.
    node = chain_lanes(_NODE, own.unbind(1))
    del own
    children = [node[0].new_zeros(num_nodes)] * 2
    keys = [torch.stack(extend_lanes(node, children), dim=1)]
    for _ in range(num_layers):
        child = chain_lanes(_CHILD, keys[-1].unbind(1))
        children = _sum_children(child, source, target, edge)
        keys.append(torch.stack(extend_lanes(node, children), dim=1))
    return keys


def _sum_children(
    child: Lanes, source: Tensor, target: Tensor, edge: Lanes | None
) -> list[Tensor]:
    # A multiset hashes to the sum of its elements, which tells little of them
    # only as they are scrambled: then a + d = b + c says nothing of the sums.
    sums = [torch.zeros_like(lane) for lane in child]
    for begin in range(0, source.numel(), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        low, high = (lane.index_select(0, source[part]) for lane in child)
        if edge is not None:
            low, high = extend_lanes((low, high), [e[part] for e in edge])
        for total, lane in zip(sums, (low, high), strict=True):
            total.scatter_add_(0, target[part], lane)
    return sums
