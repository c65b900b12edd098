"""What a distiller may know of its source: the given split, nothing else."""

from collections.abc import Collection as Names
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch_geometric.data import InMemoryDataset
from torch_geometric.data.dataset import Dataset

from pyg_distill.datasets.reading.collection import collect
from pyg_distill.datasets.reading.labels import class_labels
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


def read_source(
    source: Any, exclude_keys: Names[str], owner: str, log: bool
) -> Source:
    """Reads the selected graphs of a chunk.

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
    collection = collect(source, exclude_keys, owner, log)
    num_nodes = collection.num_nodes()
    num_edges = collection.num_rows('edge_index')
    tensors = {
        key: collection.num_rows(key)
        for key in collection.slices
        if isinstance(collection.data[key], Tensor)
        and key not in exclude_keys
        and key not in STRUCTURE
    }
    for key in IDENTITY:
        if key in collection.slices and key not in {*tensors, *exclude_keys}:
            got = collection.data[key][0]
            got = getattr(got, 'layout', type(got).__name__)
            raise TypeError(
                f"'{key}' must be a dense tensor to be compared (got {got}); "
                f"convert it, or leave it out with exclude_keys=['{key}']"
            )
    if 'y' not in tensors:
        names = [key for key in collection.slices if key not in exclude_keys]
        raise ValueError(
            f"'{owner}' needs class labels 'y' (got graphs with "
            f'{", ".join(names)}); for graphs of one kind set '
            f'data.y = torch.tensor([0])'
        )
    y = collection.rows('y')
    label = class_labels(y, tensors['y'])
    levels = {
        key: level_of(key, size, num_nodes, num_edges)
        for key, size in tensors.items()
        if key != 'y'
    }
    refuse_others(levels, exclude_keys)
    for key in ('edge_attr', 'edge_weight'):
        _check_rows(key, tensors.get(key, num_edges), num_edges)

    identity = {key: collection.rows(key) for key in IDENTITY if key in tensors}
    edge_index = collection.rows('edge_index')
    device = edge_index.device
    graphs = Graphs.from_local(
        edge_index, num_nodes.to(device), num_edges.to(device), **identity
    )
    attributes = {
        key: list(collection.rows(key).split(size.tolist()))
        for key, size in tensors.items()
        if key not in ('y', *IDENTITY) and levels[key] == 'graph'
    }
    read = {'y', *STRUCTURE, *identity, *attributes}
    return Source(
        graphs=graphs,
        label=label.to(device),
        y_dim=y.dim(),
        num_classes=max(int(label.max()) + 1, declared_classes(source)),
        attributes=attributes,
        left_out=[key for key in collection.names if key not in read],
    )


def _check_rows(key: str, size: Tensor, num_edges: Tensor) -> None:
    # In sum they may fit, although they belong to other edges.
    if bool((size != num_edges).any()):
        graph = int((size != num_edges).nonzero()[0])
        raise ValueError(
            f"'{key}' must have one row an edge (got {int(size[graph])} rows "
            f'for the {int(num_edges[graph])} edges of graph {graph}); fill '
            f"it in, or leave it out with exclude_keys=['{key}']"
        )


def declared_classes(source: Any) -> int:
    """The classes that a data set says it has, whatever the split.

    The head of a model is as wide. Zero if nothing is known but its labels.

    Args:
        source (Dataset or list): The graphs.
    """
    if not isinstance(source, Dataset):
        return 0
    own = type(source).num_classes
    if own is InMemoryDataset.num_classes and source.transform is None:
        # PyG counts the distinct values of labels that are floats.
        y = source._data.y
        return int(y[y.isfinite()].max()) + 1
    if own in (InMemoryDataset.num_classes, Dataset.num_classes):
        return 0  # They look at the same labels again.
    return int(source.num_classes)
