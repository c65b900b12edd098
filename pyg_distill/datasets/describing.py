"""A distilled data set in one line."""

import inspect
from typing import Any

from torch_geometric.data import InMemoryDataset

from pyg_distill.datasets.report import format_options


def describe(dataset: InMemoryDataset, report: Any) -> str:
    """What a data set is, what it was made from and how.

    Options that have their default are left out; the report has them all.

    Args:
        dataset (InMemoryDataset): The data set, or a slice of it.
        report (DistillationReport or CoresetReport): What was done.
    """
    cls = type(dataset)
    number, whole = f'{len(dataset)}', report.distilled.num_graphs
    if len(dataset) != whole:
        number += f' of {whole}'
    size = f'{report.packed_bytes:,} packed bytes'
    if report.source_packed_bytes:
        share = report.packed_bytes / report.source_packed_bytes
        size = f'{share:.2%} of the packed bytes'
    options = _changed(cls, report.options)
    if 'selection' in options:
        # What it holds, even if nobody asked for it.
        options['selection'] = report.selection
    return (
        f'{cls.__name__}({number}, from {report.source.num_graphs:,} graphs, '
        f'{size}, {format_options(options)})'
    )


def _changed(cls: type, options: dict[str, Any]) -> dict[str, Any]:
    known = inspect.signature(cls).parameters
    # What says how to choose is shown even if nobody chose it.
    return {
        name: value
        for name, value in options.items()
        if name in ('method', 'selection')
        or name not in known
        or known[name].default != value
    }
