"""How much a distilled graph should count in the loss."""

import torch
from torch import Tensor


def sample_weights(
    support: Tensor, label: Tensor, num_graphs: dict[int, int], balance: str
) -> Tensor:
    r"""Scales supports to weights of mean 1.

    Supports alone would distort the class prior, since a class with many
    frequent sets has more of them.

    Args:
        support (torch.Tensor): The supports of shape :obj:`[P]`.
        label (torch.Tensor): The classes of shape :obj:`[P]`.
        num_graphs (dict): The graphs of each class in the source.
        balance (str): :obj:`"source"` if each class is to sum to its share of
            the source's graphs, :obj:`"uniform"` if all are to sum to the
            same, :obj:`"none"` if supports are only scaled.

    Returns:
        torch.Tensor: The weights of shape :obj:`[P]` (float).
    """
    weight = support.double()
    if balance == 'none':
        return (weight / weight.mean()).float()
    total = sum(num_graphs.values())
    out = torch.empty_like(weight)
    for c, size in num_graphs.items():
        share = size / total if balance == 'source' else 1 / len(num_graphs)
        mine = label == c
        out[mine] = weight[mine] / weight[mine].sum() * share
    return (out * support.numel()).float()
