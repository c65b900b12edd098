"""Points in random order."""

import torch
from torch import Tensor


def random_order(num_points: int, seed: int = 0) -> Tensor:
    """Shuffles points; global random states are neither read nor changed.

    Args:
        num_points (int): The number of points :math:`N`.
        seed (int, optional): The seed. (default: :obj:`0`)

    Returns:
        torch.Tensor: The order of shape :obj:`[N]`.
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(num_points, generator=generator)
