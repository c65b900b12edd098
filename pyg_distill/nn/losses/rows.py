"""What the rows are that two layers are compared by."""

import torch
from torch import Tensor
from torch_geometric.utils import scatter

GRANULARITIES = ('node', 'group', 'graph', 'pooled')

# How short rows are of which the length counts less, beside others and
# beside what centring took away.
FLOOR_OF_ROWS = 1e-6
FLOOR_OF_MEAN = 1e-8


def pool_rows(
    layers: list[Tensor],
    granularity: str,
    num_groups: int,
    batch: Tensor | None,
    size: int | None,
) -> list[Tensor]:
    """Turns the node features of layers into the rows to compare."""
    if granularity == 'node':
        return layers
    if granularity == 'pooled':
        return [x.mean(dim=0, keepdim=True) for x in layers]
    # All at once, since the cost of many narrow layers is in the calls.
    x = torch.cat(layers, dim=1)
    if granularity == 'group':
        size = min(num_groups, x.size(0))
        batch = groups(x.size(0), size, x.device)
    assert batch is not None
    out = scatter(x, batch, dim=0, dim_size=size, reduce='mean')
    return list(out.split([x.size(1) for x in layers], dim=1))


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
    r"""Centres the rows of :obj:`[..., N, F]` and scales them to length 1."""
    mean = None
    if normalize:
        x = scale_down(x)
    if center:
        mean = x.mean(dim=-2, keepdim=True)
        x = x - mean
    if not normalize:
        return x
    return x * inverse_lengths(x.square().sum(dim=-1), mean).unsqueeze(-1)


def scale_down(x: Tensor) -> Tensor:
    """Divides each layer by its largest entry, so that squares are in range.

    For what does not depend on the scale, and has no gradient along it.
    """
    return x * inverse_of_largest(x)


def inverse_of_largest(x: Tensor) -> Tensor:
    """What brings the largest entry of each layer :obj:`[J, N, F]` to 1.

    It is 0 for a layer of zeros, and for one that has all but vanished: what it
    gets would be infinite.
    """
    largest = x.detach().abs().amax(dim=(-2, -1), keepdim=True)
    vanished = largest < torch.finfo(x.dtype).tiny
    return torch.where(vanished, 0.0, largest.reciprocal())


def inverse_lengths(square: Tensor, mean: Tensor | None) -> Tensor:
    r"""What rows of squared length :obj:`[..., N]` are multiplied by.

    Rows that are short beside the others, and what centring by a mean
    :obj:`[..., 1, F]` leaves of a constant layer, which is rounding noise, are
    not scaled up all the way: gradients would grow with it. A layer of zeros
    stays as it is and gets none.
    """
    floor = FLOOR_OF_ROWS * square.mean(dim=-1, keepdim=True)
    if mean is not None:
        floor = floor + FLOOR_OF_MEAN * mean.square().sum(dim=-1)
    square = square + floor
    dead = square == 0
    scale = torch.where(dead, 1.0, square).rsqrt()
    return torch.where(dead, 0.0, scale)
