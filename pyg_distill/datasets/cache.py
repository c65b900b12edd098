"""A cache that is whole or absent, even if several processes write it."""

import json
import os
import os.path as osp
import uuid
from dataclasses import replace

import fsspec
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.io import fs

from pyg_distill.datasets.materialising import add_graph_weights
from pyg_distill.datasets.packing.column import Packed
from pyg_distill.datasets.packing.packed import unpack
from pyg_distill.datasets.report import DistillationReport


def check_writable(folder: str) -> None:
    """Refuses a folder that cannot be written, before any work is done.

    Args:
        folder (str): The folder, made if it is absent.

    Raises:
        ValueError: If files cannot be created there.
    """
    path = osp.join(folder, _temporary('probe'))
    try:
        fs.makedirs(folder, exist_ok=True)
        with fsspec.open(path, 'wb') as file:
            file.write(b'')
        fs.rm(path)
    except OSError as error:
        raise ValueError(
            f"cannot write to '{folder}' ({error.strerror or error}); pass a "
            f'root that can be written, or root=None to keep the data set in '
            f'memory'
        ) from error


def store(packed: Packed, report: DistillationReport, paths: list[str]) -> None:
    """Writes the tensors and the report under temporary names, then renames.

    Args:
        packed (dict): The packed graphs.
        report (DistillationReport): The report.
        paths (list): The paths of the tensors and of the report.
    """
    tensor_path, report_path = paths
    folder = osp.dirname(tensor_path)
    temporary = [osp.join(folder, _temporary(osp.basename(p))) for p in paths]
    try:
        fs.torch_save(packed, temporary[0])
        size = fs.get_fs(folder).size(temporary[0])
        with fsspec.open(temporary[1], 'w') as file:
            json.dump(replace(report, file_size=size).to_dict(), file, indent=2)
        # The tensors last: where they are, the report is, too.
        fs.mv(temporary[1], report_path)
        fs.mv(temporary[0], tensor_path)
    finally:
        for path in temporary:
            if fs.exists(path):
                fs.rm(path)


def restore(
    paths: list[str],
) -> tuple[Data, dict[str, Tensor] | None, DistillationReport]:
    """Reads what :meth:`store` wrote.

    Args:
        paths (list): The paths of the tensors and of the report.

    Returns:
        tuple: The collated graphs, their slices and the report.

    Raises:
        ValueError: If a file is truncated or was not written by it.
    """
    tensor_path, report_path = paths
    path = tensor_path
    try:
        with fsspec.open(path, 'rb') as file:
            packed = torch.load(file, map_location='cpu', weights_only=True)
        path = report_path
        with fsspec.open(path, 'r') as file:
            report = DistillationReport.from_dict(json.load(file))
        path = tensor_path
        data, slices = unpack(packed)
        if report.selection == 'graphs':
            sizes = {c: known.num_graphs for c, known in report.classes.items()}
            data, slices = add_graph_weights(
                (data, slices), sizes, report.options['balance']
            )
        missing = {'y', 'support', 'weight'} - set(data.keys())
        if missing:
            raise ValueError(f'no {", ".join(sorted(missing))}')
    except MemoryError:
        raise
    except PermissionError as error:
        raise ValueError(
            f"cannot read '{path}' ({error.strerror}); pass another root, "
            f'or root=None to keep the data set in memory'
        ) from error
    except Exception as error:
        reason = str(error).partition('\n')[0] or type(error).__name__
        raise ValueError(
            f"'{path}' is truncated or was not written by this class "
            f'({reason}); delete it, or rebuild it with force_reload=True'
        ) from error
    return data, slices, report


def _temporary(name: str) -> str:
    return f'.{name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp'
