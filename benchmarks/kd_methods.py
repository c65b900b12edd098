"""The rows of kd.py: what a student learns from, beside the labels."""

from functools import partial

import torch

from pyg_distill.nn import (
    ABKDLoss,
    ATLoss,
    FitNetLoss,
    GCRDLoss,
    GSPLoss,
    LSPLoss,
    StrideLoss,
)


def random_attention(teacher_channels, student_channels):
    """A fixed matrix, the same for every run."""
    generator = torch.Generator().manual_seed(0)
    size = len(teacher_channels), len(student_channels)
    attention = torch.rand(size, generator=generator)
    return ABKDLoss(teacher_channels, student_channels, attention)


# Of the spaces in which both sides are compared, for every method alike.
HIDDEN = 64
METHODS = {
    'fitnet': partial(FitNetLoss, hidden_channels=HIDDEN),
    'at': ATLoss,
    'lsp': LSPLoss,
    'gsp': GSPLoss,
    'gcrd': partial(GCRDLoss, hidden_channels=HIDDEN),
    'abkd_paper': ABKDLoss.paper,
    'stride': StrideLoss,
    'abkd': ABKDLoss,
}
ABLATIONS = {
    'diagonal': partial(ABKDLoss, attention='diagonal'),
    'last': partial(ABKDLoss, attention='last'),
    'random': random_attention,
    'learned': partial(ABKDLoss, attention='learned'),
    'group': partial(ABKDLoss, granularity='group', num_groups=64),
    'uncentred': partial(ABKDLoss, center=False),
    'unscaled': partial(ABKDLoss, normalize=False),
    'both': partial(ABKDLoss, projection='both'),
    'subspace': partial(ABKDLoss, projection='both', subspace=True),
}
# With the weights of Distiller.from_example instead of tuned ones: four times
# the logits, and once the layers, whose loss is about two at first.
SHIPPED = {'shipped': ABKDLoss}
SHIPPED_WEIGHTS = 4.0, 2.0
LOSSES = METHODS | ABLATIONS | SHIPPED


def rows(names):
    """Every method alone and with logits."""
    out = ['ce', 'kd']
    out += list(names)
    return out + [f'{name}+kd' for name in names]


def split(row):
    """The layer loss of a row, if there is one, and whether it has logits."""
    name = row.removesuffix('+kd')
    kd = row == 'kd' or row.endswith('+kd')
    return (None if name in ('ce', 'kd') else name), kd
