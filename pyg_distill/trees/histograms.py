"""Graphs -> how often each tree occurs in each, as rows to compare."""

import torch
from torch import Tensor

from pyg_distill.trees.forest import Forest
from pyg_distill.trees.hashing import chain
from pyg_distill.trees.unique import unique_keys

_DEPTHS = ('all', 'last')
_NORMALIZE = ('none', 'sqrt', 'l2', 'hellinger')
# Separates these hashes from others of the same keys; the depth is added.
_HISTOGRAM = 1 << 16


def tree_histograms(
    forest: Forest,
    depths: str = 'all',
    num_features: int | None = None,
    normalize: str = 'none',
) -> Tensor:
    r"""Counts how often each distinct tree occurs in each graph.

    Row :math:`i` is what a network of at most :math:`L` layers can know of
    graph :math:`i` under a sum readout: the inner product of two rows is the
    Weisfeiler-Leman subtree kernel of their graphs (Shervashidze et al.,
    `"Weisfeiler-Lehman Graph Kernels"
    <https://www.jmlr.org/papers/v12/shervashidze11a.html>`_, JMLR 2011,
    Section 3.2). No model is trained, and no label is read.

    Args:
        forest (Forest): The trees of :math:`G` graphs.
        depths (str, optional): Which trees to count: those of :obj:`"all"`
            depths :math:`0, \ldots, L`, where trees of different depths are
            different columns, or those of the :obj:`"last"` depth only.
            (default: :obj:`"all"`)
        num_features (int, optional): If set, columns are hashed to this
            number, with random signs (Weinberger et al., `"Feature Hashing
            for Large Scale Multitask Learning"
            <https://arxiv.org/abs/0902.2206>`_, ICML 2009, Section 2), so that
            inner products of rows are right on average. A tree then has the
            same column whatever the graphs, so that rows of different data
            sets can be compared. (default: :obj:`None`)
        normalize (str, optional): What to do with counts before they are
            hashed: :obj:`"none"`, :obj:`"sqrt"` for their square roots,
            :obj:`"l2"` to scale rows to length 1, or :obj:`"hellinger"` for
            both in turn, which gives the square roots of shares and leaves
            the number of nodes out. (default: :obj:`"none"`)

    Returns:
        torch.Tensor: A coalesced sparse matrix of shape :obj:`[G, D]` (float).
        Without hashing, its :math:`D` columns are the distinct trees, sorted
        by depth and key, so that they do not depend on the order of graphs.

    Raises:
        ValueError: If an option is none of the above.
    """
    for name, option, allowed in [
        ('depths', depths, _DEPTHS),
        ('normalize', normalize, _NORMALIZE),
    ]:
        if option not in allowed:
            raise ValueError(
                f"'{name}' must be one of {', '.join(map(repr, allowed))} "
                f'(got {option!r})'
            )
    if num_features is not None and (
        isinstance(num_features, bool)
        or not isinstance(num_features, int)
        or num_features < 1
    ):
        raise ValueError(
            f"'num_features' must be an integer of 1 or more (got "
            f'{num_features!r}); pass None for one column a tree'
        )

    first = 0 if depths == 'all' else forest.num_layers
    column, tree_key, num_trees = [], [], 0
    for depth, key in enumerate(forest.keys[first:], first):
        tree = unique_keys(key)
        column.append(tree.inverse + num_trees)
        num_trees += tree.first.numel()
        if num_features is not None:
            tree_key.append(chain(_HISTOGRAM + depth, key[tree.first]))

    num_graphs = forest.graphs.num_graphs
    graph = forest.graphs.graph_of_node().repeat(len(column))
    index = torch.stack([graph, torch.cat(column)])
    one = torch.ones(graph.numel(), device=graph.device)
    count = _sum(index, one, num_graphs, num_trees)
    index, value = count.indices(), _normalize(count, normalize)
    if num_features is None:
        return _sum(index, value, num_graphs, num_trees)
    # Both halves of a key are scrambled, so that any bits of theirs will do.
    bucket, sign = torch.cat(tree_key).unbind(1)
    index = torch.stack([index[0], (bucket % num_features)[index[1]]])
    value = value * (1 - 2 * (sign & 1))[count.indices()[1]]
    return _sum(index, value, num_graphs, num_features)


def _sum(index: Tensor, value: Tensor, *size: int) -> Tensor:
    # Checking the indices, which come from counting, would cost time.
    return torch.sparse_coo_tensor(
        index, value, size, check_invariants=False
    ).coalesce()


def _normalize(count: Tensor, normalize: str) -> Tensor:
    value = count.values()
    if normalize in ('sqrt', 'hellinger'):
        value = value.sqrt()
    if normalize in ('l2', 'hellinger'):
        graph = count.indices()[0]
        square = value.new_zeros(count.size(0))
        square.index_add_(0, graph, value * value)
        value = value / square.sqrt()[graph]
    return value
