"""A cached data set: one file that is whole or absent."""

import hashlib
import json
import os
import os.path as osp
import uuid
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from io import BytesIO
from typing import Any

import fsspec
import torch
from torch import Tensor
from torch_geometric.io import fs

from pyg_distill.data.storage import Encoded
from pyg_distill.datasets.report import DistillationReport

# Raised when the same options give other tensors, or files another form.
VERSION = 8
PATTERN = 'mirage_*.pt'


@dataclass(frozen=True)
class CachedSet:
    """What a cache file holds.

    Attributes:
        encoded: The compressed graphs or tree sets.
        graph_id: The position in the source of each, of shape :obj:`[P]`.
        report: What distilling did.
        digest: A hash of the source and of all options.
    """

    encoded: Encoded
    graph_id: Tensor
    report: DistillationReport
    digest: str


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


def write_cache(cached: CachedSet, path: str) -> DistillationReport:
    """Writes a file under a temporary name, then renames it.

    Args:
        cached (CachedSet): What to write.
        path (str): Where to.

    Returns:
        DistillationReport: The report, with the size of the file.
    """
    temporary = osp.join(osp.dirname(path), _temporary(osp.basename(path)))
    header = json.dumps(
        {
            'digest': cached.digest,
            'schema': cached.encoded.schema,
            'report': cached.report.to_dict(),
        }
    )
    payload = bytearray(cached.encoded.payload)
    tensor = (
        torch.frombuffer(payload, dtype=torch.uint8)
        if payload
        else (torch.empty(0, dtype=torch.uint8))
    )
    content = {
        'format': 'pyg_distill',
        'version': VERSION,
        'header': header,
        'graph_id': cached.graph_id,
        'payload': tensor,
        'checksum': _checksum(header, cached.graph_id, bytes(payload)),
    }
    try:
        fs.torch_save(content, temporary)
        size = fs.get_fs(temporary).size(temporary)
        fs.mv(temporary, path)
    finally:
        if fs.exists(temporary):
            fs.rm(temporary)
    return replace(cached.report, file_size=size)


def read_cache(path: str, digest: str | None = None) -> CachedSet:
    """Reads a file that :meth:`write_cache` wrote, and checks all of it.

    Args:
        path (str): The file.
        digest (str, optional): The hash of source and options that is
            expected. (default: :obj:`None`)

    Raises:
        ValueError: If the file is damaged, or belongs to something else.
    """
    try:
        with fsspec.open(path, 'rb') as file:
            stored = BytesIO(file.read())
    except OSError as error:
        raise ValueError(
            f"cannot read '{path}' ({error.strerror or error}); pass the file "
            f'that MirageDataset cached, or another root'
        ) from error
    try:
        content = torch.load(stored, map_location='cpu', weights_only=True)
        header, payload, report = _check_content(content)
    except Exception as error:
        reason = str(error).partition('\n')[0] or type(error).__name__
        raise ValueError(
            f"'{path}' is damaged or was not written by this version of "
            f'MirageDataset ({reason}); delete it, or rebuild it with '
            f'force_reload=True'
        ) from error
    if digest is not None and header['digest'] != digest:
        raise ValueError(
            f"'{path}' belongs to another source or other options (got the "
            f'digest {header["digest"]}, expected {digest}); delete it, or '
            f'rebuild it with force_reload=True'
        )
    return CachedSet(
        Encoded(header['schema'], payload),
        content['graph_id'],
        replace(report, file_size=stored.getbuffer().nbytes),
        header['digest'],
    )


def read_report(path: str) -> DistillationReport:
    """Reads the report of a cached data set, and checks the whole file.

    Args:
        path (str): The file.

    Raises:
        ValueError: If the file is damaged or was not written by this version.
    """
    return read_cache(path).report


def find_caches(path: str) -> list[str]:
    """Finds cached data sets.

    Args:
        path (str): A file, or a folder that holds some at any depth.

    Raises:
        ValueError: If there is none.
    """
    if not fs.exists(path):
        raise ValueError(
            f"'path' must be a cached data set or a folder with some (got "
            f"'{path}', which does not exist); pass the root of a "
            f'MirageDataset'
        )
    if not fs.isdir(path):
        return [path]
    paths = [
        name
        for name in fs.get_fs(path).find(path)
        if fnmatchcase(name.rpartition('/')[2], PATTERN)
    ]
    if not fs.isdisk(path):
        paths = [fs.get_fs(path).unstrip_protocol(name) for name in paths]
    if not paths:
        raise ValueError(
            f"'path' must hold data sets that MirageDataset cached (got "
            f"'{path}' without a {PATTERN}); pass the root=... that they were "
            f'made with'
        )
    return sorted(paths)


def _check_content(
    content: Any,
) -> tuple[dict[str, Any], bytes, DistillationReport]:
    if not isinstance(content, dict) or content.get('format') != 'pyg_distill':
        raise ValueError('a file of something else')
    if content.get('version') != VERSION:
        raise ValueError(f'a file of version {content.get("version")}')
    payload = content['payload'].numpy().tobytes()
    checksum = _checksum(content['header'], content['graph_id'], payload)
    if checksum != content['checksum']:
        raise ValueError('its checksum does not match')
    header = json.loads(content['header'])
    return header, payload, DistillationReport.from_dict(header['report'])


def _checksum(header: str, graph_id: Tensor, payload: bytes) -> str:
    out = hashlib.blake2b(header.encode(), digest_size=16)
    out.update(graph_id.long().numpy().tobytes())
    out.update(payload)
    return out.hexdigest()


def _temporary(name: str) -> str:
    return f'.{name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp'
