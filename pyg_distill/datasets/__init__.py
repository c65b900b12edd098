r"""Distilled data sets, and one to try them on."""

from pyg_distill.datasets.mirage import MirageDataset
from pyg_distill.datasets.report import DistillationReport
from pyg_distill.datasets.toy_molecules import ToyMolecules

distilled_datasets = ['MirageDataset']
reports = ['DistillationReport']
toy_datasets = ['ToyMolecules']

__all__ = distilled_datasets + reports + toy_datasets
