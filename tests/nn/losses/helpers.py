"""Layers and losses that several tests share."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.datasets import Planetoid

from pyg_distill.nn import (
    ABKDLoss,
    ATLoss,
    FitNetLoss,
    GCRDLoss,
    GSPLoss,
    LSPLoss,
    StrideLoss,
)

WIDTHS = [4, 3, 4], [2, 3]
ABKD = {
    'default': ABKDLoss,
    'learned': partial(ABKDLoss, attention='learned'),
    'paper': ABKDLoss.paper,
    'stride': StrideLoss,
}
PEERS = {
    'fitnet': partial(FitNetLoss, hidden_channels=6),
    'fitnet_paper': FitNetLoss.paper,
    'at': ATLoss,
    'at_paper': ATLoss.paper,
    'lsp': LSPLoss,
    'lsp_paper': LSPLoss.paper,
    'gsp': GSPLoss,
    'gsp_rbf': partial(
        GSPLoss, kernel='rbf', projection='both', hidden_channels=6
    ),
    'gcrd': partial(GCRDLoss, hidden_channels=6),
}
each_abkd = pytest.mark.parametrize('name', ABKD)
each_peer = pytest.mark.parametrize('name', PEERS)


def layers(
    widths: list[int],
    num_nodes: int = 6,
    dtype: Any = torch.double,
    seed: int | None = None,
) -> list[Tensor]:
    """Random layers whose mean is not zero."""
    generator = None
    if seed is not None:
        generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(num_nodes, width, dtype=dtype, generator=generator) + 0.5
        for width in widths
    ]


def both(widths: Any = WIDTHS, *args: Any, **kwargs: Any) -> Any:
    """The layers of a teacher and of a student."""
    return [layers(side, *args, **kwargs) for side in widths]


def grads(value: Tensor, inputs: Any) -> list[Tensor]:
    """The gradient by each input, zeros where there is none."""
    return list(
        torch.autograd.grad(
            value, list(inputs), allow_unused=True, materialize_grads=True
        )
    )


def cora() -> Any:
    """A real graph."""
    if 'PYG_DISTILL_DATA' not in os.environ:
        pytest.skip('needs PYG_DISTILL_DATA')
    root = Path(os.environ['PYG_DISTILL_DATA'], 'Planetoid')
    if not (root / 'Cora' / 'raw').is_dir():
        pytest.skip('needs the raw files of Cora')
    return Planetoid(str(root), 'Cora')[0]
