r"""Distilled data sets, and data to try them on."""

from pyg_distill.datasets.mirage import MirageDataset
from pyg_distill.datasets.report import DistillationReport, Sharing, Size
from pyg_distill.datasets.toy_molecules import ToyMolecules
from pyg_distill.selection.base import ClassSummary

distilled_datasets = ['MirageDataset']
reports = ['DistillationReport', 'ClassSummary', 'Sharing', 'Size']
other_datasets = ['ToyMolecules']

__all__ = distilled_datasets + reports + other_datasets
