"""The reports of distilled sets on disk, without the sets themselves."""

import json
from dataclasses import fields
from fnmatch import fnmatchcase
from typing import Any

import fsspec
from torch_geometric.io import fs

from pyg_distill.datasets.report import DistillationReport

_PATTERN = 'mirage_*.json'  # As `MirageDataset.processed_file_names` has it.


def find_reports(path: str) -> list[str]:
    """Finds the reports that belong to a file, or lie in a folder.

    Args:
        path (str): A cached set, its report, or a folder that holds some, at
            any depth.

    Returns:
        list: The paths of the reports, sorted.

    Raises:
        ValueError: If there is none.
    """
    if not fs.exists(path):
        raise ValueError(
            f"'path' must be a cached data set or a folder with some (got "
            f"'{path}', which is not there); pass the root of a MirageDataset"
        )
    if not fs.isdir(path):
        return [_report_path(path)]
    found = [
        name
        for name in fs.get_fs(path).find(path)
        if fnmatchcase(name.rpartition('/')[2], _PATTERN)
    ]
    if not fs.isdisk(path):
        found = [fs.get_fs(path).unstrip_protocol(name) for name in found]
    if not found:
        raise ValueError(
            f"'path' must hold data sets that MirageDataset cached (got "
            f"'{path}' without a {_PATTERN}); pass the root=... they were "
            f'made with'
        )
    return sorted(found)


def read_report(path: str) -> DistillationReport:
    """Reads a report, which is text, and checks that the set is beside it.

    Args:
        path (str): The path of the report.

    Raises:
        ValueError: If it is no report of this version, or the cached set is
            absent or of another size.
    """
    try:
        with fsspec.open(path, 'r') as file:
            values = json.load(file)
        _check_fields(values)
        report = DistillationReport.from_dict(values)
        str(report)  # Values of other types cannot be printed.
    except OSError as error:
        raise ValueError(
            f"cannot read '{path}' ({error.strerror or error}); check that it "
            f'is a file that you may read'
        ) from error
    except (
        AttributeError,
        KeyError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        reason = str(error).partition('\n')[0]
        raise ValueError(
            f"'{path}' must be a report that this version of MirageDataset "
            f'wrote (got {reason}); pass the root=... of one, or rebuild it '
            f'with force_reload=True'
        ) from error
    _check_size(path, report)
    return report


def tensor_path(path: str) -> str:
    """The path of the set that a report is about.

    Args:
        path (str): The path of the report.
    """
    return path.removesuffix('.json') + '.pt'


def _report_path(path: str) -> str:
    if path.endswith('.json'):
        return path
    report = path.removesuffix('.pt') + '.json'
    if not path.endswith('.pt') or not fs.exists(report):
        raise ValueError(
            f"'path' must be a data set that MirageDataset cached (got "
            f"'{path}' without a report beside it); pass its mirage_*.pt or "
            f'its root=...'
        )
    return report


def _check_fields(values: Any) -> None:
    if not isinstance(values, dict):
        raise TypeError(f'a {type(values).__name__}')
    names = [field.name for field in fields(DistillationReport)]
    missing = [name for name in names if name not in values]
    if missing == names:
        raise ValueError('a file of something else')
    if missing:
        raise ValueError(f'one of another version, without {missing[0]!r}')


def _check_size(path: str, report: DistillationReport) -> None:
    tensors = tensor_path(path)
    if not fs.exists(tensors):
        raise ValueError(
            f"'{tensors}' must lie beside its report (got none, as if it was "
            f'moved or never finished); rebuild it with force_reload=True'
        )
    size = fs.get_fs(tensors).size(tensors)
    if report.file_size is not None and size != report.file_size:
        raise ValueError(
            f"'{tensors}' must be of {report.file_size:,} bytes (got "
            f'{size:,}); rebuild it with force_reload=True'
        )
