"""Herding within each class."""

from collections.abc import Iterator

from torch import Tensor

from pyg_distill.datasets.coresets.herding import herding_steps


def herd_by_class(histogram: Tensor, label: Tensor) -> dict[int, Iterator[int]]:
    """Orders the graphs of each class, one at a time as they are asked for.

    Args:
        histogram (torch.Tensor): A row a graph, of shape :obj:`[G, D]`.
        label (torch.Tensor): The class of each graph, of shape :obj:`[G]`.
    """
    out = {}
    for c in label.unique().tolist():
        member = (label == c).nonzero().view(-1)
        steps = herding_steps(histogram.index_select(0, member))
        out[c] = _numbered(steps, member.tolist())
    return out


def _numbered(steps: Iterator[int], number: list[int]) -> Iterator[int]:
    return (number[step] for step in steps)
