r"""Losses that compare a student with its teacher."""

from pyg_distill.nn.losses.abkd import ABKDLoss, LayerComparison
from pyg_distill.nn.losses.at import ATLoss
from pyg_distill.nn.losses.base import (
    DistillationLoss,
    LayerLoss,
    LayerPairLoss,
    TeacherTarget,
)
from pyg_distill.nn.losses.fitnet import FitNetLoss
from pyg_distill.nn.losses.gcrd import GCRDLoss
from pyg_distill.nn.losses.gsp import GSPLoss
from pyg_distill.nn.losses.kd import KDLoss
from pyg_distill.nn.losses.lsp import LSPLoss
from pyg_distill.nn.losses.stride import StrideLoss

__all__ = [
    'ABKDLoss',
    'ATLoss',
    'DistillationLoss',
    'FitNetLoss',
    'GCRDLoss',
    'GSPLoss',
    'KDLoss',
    'LSPLoss',
    'LayerComparison',
    'LayerLoss',
    'LayerPairLoss',
    'StrideLoss',
    'TeacherTarget',
]
