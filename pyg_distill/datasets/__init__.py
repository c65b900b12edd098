r"""Distilled data sets, and one to try them on."""

from pyg_distill.datasets.coreset_dataset import CoresetDataset
from pyg_distill.datasets.coresets.report import CoresetReport
from pyg_distill.datasets.mirage import MirageDataset
from pyg_distill.datasets.report import DistillationReport
from pyg_distill.datasets.toy_molecules import ToyMolecules

distilled_datasets = ['MirageDataset']
coresets = ['CoresetDataset']
reports = ['DistillationReport', 'CoresetReport']
toy_datasets = ['ToyMolecules']

__all__ = distilled_datasets + coresets + reports + toy_datasets
