"""A seed for a while, and all as it was before."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch_geometric import seed_everything


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds Python, NumPy and PyTorch and restores their states at the end.

    Args:
        seed (int): The seed.
    """
    states = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            seed_everything(seed)
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
