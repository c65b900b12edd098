r"""Distilled data sets, what to compare them with, and data to try them on."""

from pyg_distill.datasets.coreset_dataset import CoresetDataset
from pyg_distill.datasets.coresets.report import CoresetReport
from pyg_distill.datasets.mirage import MirageDataset
from pyg_distill.datasets.ogb_molecules import OGBMolecules
from pyg_distill.datasets.payload import payload
from pyg_distill.datasets.report import DistillationReport, Size
from pyg_distill.datasets.selection import ClassSummary
from pyg_distill.datasets.sharing import Sharing
from pyg_distill.datasets.toy_molecules import ToyMolecules

distilled_datasets = ['MirageDataset']
coresets = ['CoresetDataset']
reports = [
    'DistillationReport',
    'ClassSummary',
    'Sharing',
    'CoresetReport',
    'Size',
    'payload',
]
other_datasets = ['ToyMolecules', 'OGBMolecules']

__all__ = distilled_datasets + coresets + reports + other_datasets
