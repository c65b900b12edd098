r"""Losses that compare a student with its teacher."""

from pyg_distill.nn.losses.abkd import ABKDLoss
from pyg_distill.nn.losses.kd import KDLoss
from pyg_distill.nn.losses.pairwise import LayerComparison
from pyg_distill.nn.losses.stride import StrideLoss
from pyg_distill.nn.losses.target import TeacherTarget

__all__ = [
    'ABKDLoss',
    'KDLoss',
    'LayerComparison',
    'StrideLoss',
    'TeacherTarget',
]
