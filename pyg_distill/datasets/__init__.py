r"""Distilled data sets, and one to try them on."""

from pyg_distill.datasets.mirage import MirageDataset
from pyg_distill.datasets.report import DistillationReport

distilled_datasets = ['MirageDataset']
reports = ['DistillationReport']

__all__ = distilled_datasets + reports
