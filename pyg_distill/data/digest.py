"""The content of graphs -> a digest that does not depend on chunks."""

import hashlib
import pickle

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
        kind = type(table.data)
        self._add('num_nodes', table.num_nodes)
        for key in table.keys:
            if table.is_tensor(key):
                value = table.rows(key).movedim(table.dim(key), 0)
                self._add(f'{key} {table.dim(key)}', value)
                self._add(f'size of {key}', table.sizes(key))
            else:
                for data in table.to_list():
                    content = pickle.dumps(data[key], protocol=4)
                    self._column(f'{key} of {kind.__name__}').update(content)

    def hexdigest(self) -> str:
        """The digest of everything that was added."""
        text = '\n'.join(
            f'{name} {self._columns[name].hexdigest()}'
            for name in sorted(self._columns)
        )
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def _add(self, name: str, value: Tensor) -> None:
        value = value.detach().cpu().contiguous()
        name = f'{name} {value.dtype} {list(value.size()[1:])}'
        data = value.reshape(-1).view(torch.uint8).numpy().data
        self._column(name).update(data)

    def _column(self, name: str) -> hashlib.blake2b:
        return self._columns.setdefault(name, hashlib.blake2b(digest_size=16))
