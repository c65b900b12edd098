"""What the rows are that two layers are compared by."""

import torch
from torch import Tensor
from torch_geometric.utils import scatter

GRANULARITIES = ('node', 'group', 'graph', 'pooled')


def pool_rows(
    x: Tensor,
    granularity: str,
    num_groups: int,
    batch: Tensor | None,
    size: int | None,
) -> Tensor:
    """Turns one layer's node features into the rows to compare."""
    if granularity == 'node':
        return x
    if granularity == 'pooled':
        return x.mean(dim=0, keepdim=True)
    if granularity == 'group':
        size = min(num_groups, x.size(0))
        batch = groups(x.size(0), size, x.device)
    assert batch is not None
    return scatter(x, batch, dim=0, dim_size=size, reduce='mean')


def groups(num_nodes: int, num_groups: int, device: torch.device) -> Tensor:
    """A partition into groups of equal size, the same in every call.

    Nodes are scrambled first, since their order may carry meaning.
    """
    node = torch.arange(num_nodes, device=device)
    scrambled = (node * 0x9E3779B1) & 0xFFFFFFFF
    scrambled = ((scrambled ^ (scrambled >> 15)) * 0x85EBCA6B) & 0xFFFFFFFF
    scrambled = scrambled ^ (scrambled >> 13)
    # Stable, so that it does not matter where two nodes collide.
    order = torch.argsort(scrambled, stable=True)
    return torch.empty_like(node).scatter_(0, order, node % num_groups)


def normalize_rows(x: Tensor, center: bool, normalize: bool) -> Tensor:
    r"""Centres the rows of :obj:`[..., N, F]` and scales them to length 1.

    Rows that are short beside the others, and what centring leaves of a
    constant layer, which is rounding noise, are not scaled up all the way:
    gradients would grow with it. A layer of zeros stays as it is and gets
    none.
    """
    if center:
        mean = x.mean(dim=-2, keepdim=True)
        x = x - mean
    if not normalize:
        return x
    square = x.square().sum(dim=-1, keepdim=True)
    floor = 1e-6 * square.mean(dim=-2, keepdim=True)
    if center:
        floor = floor + 1e-8 * mean.square().sum(dim=-1, keepdim=True)
    square = square + floor
    dead = square < 1e-24
    scale = torch.where(dead, 1.0, square).rsqrt()
    return x * torch.where(dead, 0.0, scale)
