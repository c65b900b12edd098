r"""Losses that compress models, and readout over the roots of trees."""

from pyg_distill.nn.attention_init import TakenLayers, attention_init
from pyg_distill.nn.distiller import Distiller, TeacherCache
from pyg_distill.nn.hops import num_hops
from pyg_distill.nn.losses import (
    ABKDLoss,
    ATLoss,
    DistillationLoss,
    FitNetLoss,
    GCRDLoss,
    GSPLoss,
    KDLoss,
    LayerComparison,
    LSPLoss,
    StrideLoss,
    TeacherTarget,
)
from pyg_distill.nn.pool import global_root_pool
from pyg_distill.nn.recorder import LayerRecorder
from pyg_distill.nn.root_aggregation import RootAggregation
from pyg_distill.nn.root_readout import RootReadout

distillation = ['Distiller', 'LayerRecorder', 'TeacherCache']
distillation_losses = [
    'DistillationLoss',
    'ABKDLoss',
    'StrideLoss',
    'KDLoss',
    'FitNetLoss',
    'ATLoss',
    'LSPLoss',
    'GSPLoss',
    'GCRDLoss',
    'LayerComparison',
    'TeacherTarget',
]
readouts = ['global_root_pool', 'RootAggregation', 'RootReadout']
tools = ['attention_init', 'TakenLayers', 'num_hops']

__all__ = distillation + distillation_losses + readouts + tools
