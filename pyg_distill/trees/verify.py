"""Equal keys -> are the trees really equal? By comparison, not by hashing."""

import torch
from torch import Tensor

from pyg_distill.trees.csr import ragged_range
from pyg_distill.trees.keys import edge_keys
from pyg_distill.trees.unique import lexsort, unique_keys


def verify_keys(
    keys: list[Tensor],
    edge_index: Tensor,
    x: Tensor | None = None,
    edge_attr: Tensor | None = None,
    edge_weight: Tensor | None = None,
) -> None:
    """Checks that equal keys stand for equal trees, at every depth.

    Each tree is compared with the first one of its key: the features of the
    root, and the multiset of its edges and of its children's classes, which
    by induction over the depth makes the whole trees equal.

    Args:
        keys (list): What :meth:`tree_keys` returned, :math:`L + 1` tensors of
            shape :obj:`[N, 2]`.
        edge_index (torch.Tensor): Edges of shape :obj:`[2, E]`.
        x (torch.Tensor, optional): Node features. (default: :obj:`None`)
        edge_attr (torch.Tensor, optional): Edge features.
            (default: :obj:`None`)
        edge_weight (torch.Tensor, optional): Edge weights.
            (default: :obj:`None`)

    Raises:
        RuntimeError: If two unequal trees share a key.
    """
    num_nodes, (source, target) = keys[0].size(0), edge_index
    tree = unique_keys(torch.cat(keys))
    first = tree.first[tree.inverse]

    entry = torch.arange(tree.inverse.numel(), device=source.device)
    same = _same_rows(x, entry % max(1, num_nodes), first % max(1, num_nodes))

    edge_key = edge_keys(edge_attr, edge_weight)
    edge_class = torch.zeros_like(source)
    if edge_key is not None:
        edge = unique_keys(edge_key)
        edge_class, alike = edge.inverse, edge.first[edge.inverse]
        every = torch.arange(alike.numel(), device=alike.device)
        for value in (edge_attr, edge_weight):
            same &= _same_rows(value, every, alike)

    owner, kind, child = [source[:0]], [source[:0]], [source[:0]]
    for depth in range(1, len(keys)):
        below = tree.inverse[(depth - 1) * num_nodes : depth * num_nodes]
        owner.append(target + depth * num_nodes)
        kind.append(edge_class)
        child.append(below[source])
    columns = [torch.cat(column) for column in (owner, kind, child)]
    order = lexsort(*columns)
    degree = torch.bincount(columns[0], minlength=entry.numel())
    same &= bool((degree == degree[first]).all())
    if same:
        start = degree.cumsum(0) - degree
        group, offset = ragged_range(degree)
        mine = order[start[group] + offset]
        other = order[start[first[group]] + offset]
        same = all(bool((c[mine] == c[other]).all()) for c in columns[1:])
    if not same:
        raise RuntimeError(
            'two unequal computation trees share a 128-bit key; please report '
            'the data set, and meanwhile change any feature (say, x + 1)'
        )


def _same_rows(value: Tensor | None, row: Tensor, other: Tensor) -> bool:
    return value is None or bool((value[row] == value[other]).all())
