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
import numpy as np
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
    """What a cache file holds, under the digest of source and options."""

    encoded: Encoded
    graph_id: Tensor
    report: DistillationReport
    digest: str


def check_writable(folder: str) -> None:
    """Refuses a folder that cannot be written, before any work is done."""
    path = osp.join(folder, _temporary('probe'))
    try:
        fs.makedirs(folder, exist_ok=True)
        with fsspec.open(path, 'wb') as file:
            file.write(b'')
        fs.rm(path)
    except OSError as error:
        raise ValueError(
            f"cannot write to '{folder}' ({error.strerror or error}); pass "
            f'another root, or root=None to keep the data set in memory'
        ) from error


def write_cache(cached: CachedSet, path: str) -> DistillationReport:
    """Writes a file under a temporary name, renames it, and adds its size."""
    temporary = osp.join(osp.dirname(path), _temporary(osp.basename(path)))
    header = json.dumps(
        {
            'digest': cached.digest,
            'schema': cached.encoded.schema,
            'report': cached.report.to_dict(),
        }
    )
    payload = np.frombuffer(cached.encoded.payload, np.uint8).copy()
    content: dict[str, Any] = {
        'format': 'pyg_distill',
        'version': VERSION,
        'header': header,
        'graph_id': cached.graph_id,
        'payload': torch.from_numpy(payload),
    }
    content['checksum'] = _checksum(content)
    try:
        fs.torch_save(content, temporary)
        size = fs.get_fs(temporary).size(temporary)
        fs.mv(temporary, path)
    finally:
        if fs.exists(temporary):
            fs.rm(temporary)
    return replace(cached.report, file_size=size)


def read_cache(path: str, digest: str | None = None) -> CachedSet:
    """Reads a file, and checks all of it and the digest that is expected."""
    try:
        with fsspec.open(path, 'rb') as file:
            stored = BytesIO(file.read())
    except OSError as error:
        raise ValueError(
            f"cannot read '{path}' ({error.strerror or error}); pass a file "
            f'that MirageDataset cached'
        ) from error
    try:
        content = torch.load(stored, map_location='cpu', weights_only=True)
        if (content['format'], content['version']) != ('pyg_distill', VERSION):
            raise ValueError(f'its version is {content["version"]}')
        if content['checksum'] != _checksum(content):
            raise ValueError('its checksum does not match')
        header = json.loads(content['header'])
        report = DistillationReport.from_dict(header['report'])
    except Exception as error:
        reason = str(error).partition('\n')[0] or type(error).__name__
        raise ValueError(
            f"'{path}' is damaged or of another version (got {reason}); delete "
            f'it, or rebuild it with force_reload=True'
        ) from error
    if digest is not None and header['digest'] != digest:
        raise ValueError(
            f"'{path}' belongs to another source or other options (got "
            f'{header["digest"]}, not {digest}); delete it, or rebuild it with '
            f'force_reload=True'
        )
    return CachedSet(
        Encoded(header['schema'], content['payload'].numpy().tobytes()),
        content['graph_id'],
        replace(report, file_size=stored.getbuffer().nbytes),
        header['digest'],
    )


def read_report(path: str) -> DistillationReport:
    """Reads the report of a cached data set, and checks the whole file."""
    return read_cache(path).report


def find_caches(path: str) -> list[str]:
    """Finds cached data sets: a file, or all that are in a folder."""
    need = f"'path' must be the root of a MirageDataset (got '{path}'"
    if not fs.exists(path):
        raise ValueError(f'{need}, which does not exist); pass its root=...')
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
        raise ValueError(f'{need} without a {PATTERN}); pass its root=...')
    return sorted(paths)


def _checksum(content: dict[str, Any]) -> str:
    out = hashlib.blake2b(content['header'].encode(), digest_size=16)
    out.update(content['graph_id'].long().numpy().tobytes())
    out.update(content['payload'].numpy().tobytes())
    return out.hexdigest()


def _temporary(name: str) -> str:
    return f'.{name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp'
