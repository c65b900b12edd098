"""What a source holds -> a digest that does not depend on its chunks."""

import hashlib

import torch
from torch import Tensor

from pyg_distill.datasets.reading.source import Source
from pyg_distill.transforms.levels import IDENTITY


class ContentDigest:
    """A hash of all that is read, in its order.

    Each attribute has a hash of its own, so that it makes no difference how
    many graphs are added at a time.
    """

    def __init__(self) -> None:
        self._columns: dict[str, hashlib.blake2b] = {}

    def add(self, source: Source) -> None:
        """Reads on with the next graphs."""
        graphs = source.graphs
        num_edges = graphs.edge_ptr.diff()
        start = graphs.node_ptr[:-1].repeat_interleave(num_edges)
        self._add(f'y {source.y_dim}', source.label)
        self._add('num_nodes', graphs.node_ptr.diff())
        self._add('num_edges', num_edges)
        self._add('edge_index', (graphs.edge_index - start).t())
        for name in IDENTITY:
            value = getattr(graphs, name)
            if value is not None:
                self._add(name, value)
        for name, column in source.attributes.items():
            # Rows are told apart by their number in each graph.
            size = torch.tensor([list(value.size()) for value in column])
            self._add(f'size of {name}', size)
            self._add(name, torch.cat([v.reshape(-1) for v in column]))

    def hexdigest(self) -> str:
        """The digest of all that was added."""
        text = '\n'.join(
            f'{name} {self._columns[name].hexdigest()}'
            for name in sorted(self._columns)
        )
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def _add(self, name: str, value: Tensor) -> None:
        value = value.detach().cpu().contiguous()
        name = f'{name} {value.dtype} {list(value.size()[1:])}'
        state = self._columns.setdefault(name, hashlib.blake2b(digest_size=16))
        state.update(value.reshape(-1).view(torch.uint8).numpy().data)
