"""Where the nodes of a graph go: as far apart on paper as they are in it."""

from __future__ import annotations

import torch
from torch import Tensor

_STEPS = 300


def layout_graph(edge_index: Tensor, num_nodes: int) -> Tensor:
    r"""Places a graph such that distances on paper are those in the graph.

    It minimises the stress :math:`\sum_{i < j} d_{ij}^{-2} (\| \mathbf{p}_i -
    \mathbf{p}_j \| - d_{ij})^2` by majorisation (Gansner et al., `"Graph
    Drawing by Stress Majorization" <https://doi.org/10.1007/978-3-540-31843-9_25>`_,
    2004). Components are put side by side. The result is always the same.

    Args:
        edge_index (torch.Tensor): Edges of shape :obj:`[2, E]`, whose
            direction does not matter.
        num_nodes (int): The number of nodes :math:`N`.

    Returns:
        torch.Tensor: Positions of shape :obj:`[N, 2]`.
    """
    distance = hop_distances(edge_index, num_nodes)
    position = torch.zeros(num_nodes, 2, dtype=torch.double)
    left = torch.ones(num_nodes, dtype=torch.bool)
    right = 0.0
    while bool(left.any()):
        start = int(left.nonzero()[0])
        nodes = distance[start].isfinite().nonzero().view(-1)
        left[nodes] = False
        part = _place(distance[nodes][:, nodes])
        part -= part.min(dim=0).values
        part[:, 1] -= part[:, 1].max() / 2
        part[:, 0] += right
        right = float(part[:, 0].max()) + 1.5
        position[nodes] = part
    return position


def hop_distances(edge_index: Tensor, num_nodes: int) -> Tensor:
    """The number of hops between all nodes, infinite where there is no way.

    Args:
        edge_index (torch.Tensor): Edges of shape :obj:`[2, E]`.
        num_nodes (int): The number of nodes :math:`N`.

    Returns:
        torch.Tensor: Distances of shape :obj:`[N, N]`.
    """
    near = torch.eye(num_nodes, dtype=torch.double)
    source, target = edge_index.cpu()
    near[source, target] = near[target, source] = 1.0
    distance = torch.full_like(near, torch.inf).fill_diagonal_(0.0)
    reached = torch.eye(num_nodes, dtype=torch.double)
    for hop in range(1, num_nodes):
        further = (reached @ near > 0).double()
        new = further > reached
        if not bool(new.any()):
            break
        distance[new] = float(hop)
        reached = further
    return distance


def _place(distance: Tensor) -> Tensor:
    num_nodes = distance.size(0)
    if num_nodes == 1:
        return distance.new_zeros(1, 2)
    weight = distance.square().reciprocal().fill_diagonal_(0.0)
    laplacian = weight.sum(dim=1).diag() - weight
    inverse = torch.linalg.pinv(laplacian)
    position = _scale(distance)
    for _ in range(_STEPS):
        apart = torch.cdist(position, position).clamp(min=1e-9)
        pull = (weight * distance / apart).fill_diagonal_(0.0)
        position = inverse @ ((pull.sum(dim=1).diag() - pull) @ position)
    # The longer side lies flat.
    centred = position - position.mean(dim=0)
    _, axes = torch.linalg.eigh(centred.t() @ centred)
    return centred @ axes.flip(1)


def _scale(distance: Tensor) -> Tensor:
    # Classical scaling, and a little spiral that parts what it puts together.
    num_nodes = distance.size(0)
    square = distance.square()
    gram = -(square - square.mean(0) - square.mean(1, True) + square.mean()) / 2
    value, vector = torch.linalg.eigh(gram)
    out = vector[:, -2:] * value[-2:].clamp(min=0).sqrt()
    angle = torch.arange(num_nodes, dtype=torch.double) * 2.399963
    spiral = torch.stack([angle.cos(), angle.sin()], dim=1)
    return out + 0.1 * spiral
