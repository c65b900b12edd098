"""An order of points within each class."""

from collections.abc import Callable, Iterator

from torch import Tensor


def order_by_class(
    steps: Callable[[Tensor], Iterator[int]], embedding: Tensor, label: Tensor
) -> dict[int, Iterator[int]]:
    """Orders the graphs of each class, one at a time as they are asked for.

    Args:
        steps (callable): Picks points one by one, such as
            :meth:`herding_steps`.
        embedding (torch.Tensor): A row a graph, of shape :obj:`[G, D]`.
        label (torch.Tensor): The class of each graph, of shape :obj:`[G]`.
    """
    out = {}
    for c in label.unique().tolist():
        member = (label == c).nonzero().view(-1)
        found = steps(embedding.index_select(0, member))
        out[c] = _numbered(found, member.tolist())
    return out


def _numbered(steps: Iterator[int], number: list[int]) -> Iterator[int]:
    return (number[step] for step in steps)
