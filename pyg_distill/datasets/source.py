"""What a distiller may know of its source: the given split, nothing else."""

import hashlib
from collections.abc import Collection as Names
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data.dataset import Dataset

from pyg_distill.datasets.collection import collect
from pyg_distill.datasets.labels import class_labels
from pyg_distill.transforms.levels import (
    IDENTITY,
    STRUCTURE,
    level_of,
    refuse_others,
)
from pyg_distill.trees import Graphs


@dataclass(frozen=True)
class Source:
    """The graphs of a classification task.

    Attributes:
        graphs: What decides the identity of trees.
        label: The class of each graph, of shape :obj:`[G]`.
        y_dim: The number of dimensions that :obj:`y` has.
        num_classes: The number of classes of the data set.
        attributes: Graph-level attributes, as one tensor a graph.
        left_out: Names of the attributes that are not read.
    """

    graphs: Graphs
    label: Tensor
    y_dim: int
    num_classes: int
    attributes: dict[str, list[Tensor]]
    left_out: list[str]

    @property
    def num_bytes(self) -> int:
        """The tensor payload of what is read, in bytes."""
        graphs = self.graphs
        tensors = [graphs.edge_index, self.label]
        tensors += [getattr(graphs, name) for name in IDENTITY]
        for column in self.attributes.values():
            tensors += column
        return sum(
            t.numel() * t.element_size() for t in tensors if t is not None
        )

    def digest(self) -> str:
        """A hash of all that is read, in its order."""
        state = hashlib.blake2b(digest_size=16)
        graphs = self.graphs
        named = {
            'label': self.label,
            'y_dim': torch.tensor(self.y_dim),
            'num_classes': torch.tensor(self.num_classes),
            'node_ptr': graphs.node_ptr,
            'edge_ptr': graphs.edge_ptr,
            'edge_index': graphs.edge_index,
            **{name: getattr(graphs, name) for name in IDENTITY},
        }
        for name, column in self.attributes.items():
            named |= {f'{name}/{i}': value for i, value in enumerate(column)}
        for name, value in named.items():
            if value is not None:
                value = value.detach().cpu().contiguous()
                header = f'{name} {value.dtype} {list(value.size())};'
                state.update(header.encode())
                state.update(value.reshape(-1).view(torch.uint8).numpy())
        return state.hexdigest()


def read_source(
    source: Any, exclude_keys: Names[str], owner: str, log: bool
) -> Source:
    """Reads the selected graphs of a source.

    Args:
        source (Dataset or list): The graphs.
        exclude_keys (list): Names of attributes that are left out.
        owner (str): The class named in error messages.
        log (bool): Whether to show progress if it takes long.

    Returns:
        Source: The graphs and their labels.

    Raises:
        TypeError: If :obj:`source` is no collection of homogeneous graphs.
        ValueError: If the graphs or their labels do not fit.
    """
    collection = collect(source, owner, log)
    num_nodes = collection.num_nodes()
    num_edges = collection.num_rows('edge_index')
    tensors = {
        key: collection.num_rows(key)
        for key in collection.slices
        if isinstance(collection.data[key], Tensor)
        and key not in exclude_keys
        and key not in STRUCTURE
    }
    levels = {
        key: level_of(key, size, num_nodes, num_edges)
        for key, size in tensors.items()
    }
    if 'y' not in tensors:
        raise ValueError(
            f"'{owner}' needs class labels 'y' (got graphs with "
            f'{", ".join(collection.slices)}); for graphs of one kind set '
            f'data.y = torch.tensor([0])'
        )
    refuse_others(levels, exclude_keys)

    identity = {key: collection.rows(key) for key in IDENTITY if key in tensors}
    edge_index = collection.rows('edge_index')
    device = edge_index.device
    graphs = Graphs.from_local(
        edge_index, num_nodes.to(device), num_edges.to(device), **identity
    )
    y = collection.rows('y')
    label = class_labels(y, collection.num_graphs).to(device)
    attributes = {
        key: list(collection.rows(key).split(size.tolist()))
        for key, size in tensors.items()
        if levels[key] == 'graph' and key not in ('y', *IDENTITY)
    }
    read = {'y', *STRUCTURE, *identity, *attributes}
    return Source(
        graphs=graphs,
        label=label,
        y_dim=y.dim(),
        num_classes=_num_classes(source, label),
        attributes=attributes,
        left_out=[key for key in collection.slices if key not in read],
    )


def _num_classes(source: Any, label: Tensor) -> int:
    # The head of a model is as wide as the data set says, whatever the split.
    known = source.num_classes if isinstance(source, Dataset) else 0
    return max(int(known), int(label.max()) + 1)
