"""How large is the training set of a run, and what did it cost?"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pyg_distill.datasets.payload import payload
from pyg_distill.evaluation.cross.records import SetRecord


def measure(
    dataset: Any, exclude_keys: Sequence[str], name: str, key: str, run: int
) -> SetRecord:
    """Measures a training set, with what its report says of it.

    Args:
        dataset (Dataset or list): The graphs.
        exclude_keys (list): Attributes that do not count as bytes.
        name (str): The name of the task.
        key (str): The name of the training set.
        run (int): The number of the run.
    """
    size = payload(dataset, exclude_keys)
    report = _report_of(dataset, size.num_graphs)
    return SetRecord(
        dataset=name,
        train_set=key,
        run=run,
        **asdict(size),
        packed_bytes=getattr(report, 'packed_bytes', None),
        file_size=getattr(report, 'file_size', None),
        seconds=getattr(report, 'seconds', None),
    )


def _report_of(dataset: Any, num_graphs: int) -> Any:
    report = getattr(dataset, 'report', None)
    distilled = getattr(report, 'distilled', None)
    # Slices and copies of some graphs still carry the report of all of them.
    if getattr(distilled, 'num_graphs', None) != num_graphs:
        return None
    indices = getattr(dataset, '_indices', None)
    if indices is not None and sorted(indices) != [*range(num_graphs)]:
        return None
    return report
