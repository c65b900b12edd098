"""The content of graphs -> a digest that does not depend on chunks."""

import hashlib
import pickle
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pyg_distill.data.table import GraphTable


class ContentDigest:
    """A hash of all attributes of graphs, in their order.

    Each attribute has its own hash, so the digest is the same for any number
    of graphs added at a time.
    """

    def __init__(self) -> None:
        self._columns: dict[str, hashlib.blake2b] = {}

    def add(self, table: GraphTable) -> None:
        """Adds the next graphs."""
        tensors = {'num_nodes': table.num_nodes}
        for key in table.keys:
            if table.is_tensor(key):
                value = table.rows(key).movedim(table.dim(key), 0)
                tensors[f'{key} {table.dim(key)}'] = value
                tensors[f'size of {key}'] = table.sizes(key)
            else:
                column = self._column(f'{key} of {type(table.data).__name__}')
                for value in table.objects(key):
                    column.update(_content(value))
        for name, value in tensors.items():
            name = f'{name} {value.dtype} {list(value.size()[1:])}'
            self._column(name).update(_raw(value))

    def hexdigest(self) -> str:
        """The digest of everything that was added."""
        columns = sorted(self._columns.items())
        text = '\n'.join(f'{name} {h.hexdigest()}' for name, h in columns)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def _column(self, name: str) -> hashlib.blake2b:
        return self._columns.setdefault(name, hashlib.blake2b(digest_size=16))


def _raw(value: Tensor) -> memoryview:
    value = value.detach().cpu().contiguous()
    if value.numel() < 2:  # Its strides may be anything.
        value = value.clone(memory_format=torch.contiguous_format)
    return value.reshape(-1).view(torch.uint8).numpy().data


def _content(value: Any) -> bytes:
    """The content of nested values, as pickled views hold whole storages."""
    parts: list[Any]
    if isinstance(value, Tensor) and value.layout == torch.strided:
        kind = f'{value.dtype} {list(value.size())}'
        return f'{kind} '.encode() + bytes(_raw(value))
    if isinstance(value, Mapping):
        parts = [part for item in value.items() for part in item]
    elif isinstance(value, list | tuple):
        parts = list(value)
    else:
        return pickle.dumps(value, protocol=4)
    contents = [_content(part) for part in parts]
    head = f'{type(value).__name__} {[len(c) for c in contents]} '
    return head.encode() + b''.join(contents)
