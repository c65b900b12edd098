"""How much do mini-batches save if they share their trees?"""

import torch
from torch import Tensor

from pyg_distill.trees.sharing import SharedTrees


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
    hold trees of the stem, and :math:`a` of them no other one. Nothing is
    sampled, and the result is exact if each graph holds the trees of all
    children, as graphs and their lossless tree sets do; else it is a lower
    bound.

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
