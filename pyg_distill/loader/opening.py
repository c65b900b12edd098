"""Any collection of graphs -> their tensors, end to end."""

from collections.abc import Collection as Names
from functools import partial
from typing import Any

from torch.utils.data import ConcatDataset, Subset
from torch_geometric.data import Batch, Data

from pyg_distill.datasets.reading.collection import Collection
from pyg_distill.datasets.reading.stored import read_with


def open_source(source: Any, exclude_keys: list[str], owner: str) -> Collection:
    """Opens a data set, a slice of one, or a list of graphs.

    Args:
        source (Dataset or list): The graphs.
        exclude_keys (list): Names of attributes that are left out.
        owner (str): The class named in error messages.

    Returns:
        Collection: For an :class:`~torch_geometric.data.InMemoryDataset`, its
        own tensors; otherwise, the graphs are read one by one.

    Raises:
        TypeError: If it is no collection of homogeneous graphs.
        ValueError: If it is empty or has a :obj:`transform`, or graphs have
            different attributes.
    """
    _check_source(source, owner)
    return read_with(
        source,
        partial(_open, exclude_keys=exclude_keys, owner=owner),
        owner,
        'fill in what only some have, or leave it out with exclude_keys=[...]',
    )


def _check_source(source: Any, owner: str) -> None:
    if isinstance(source, Data) or not (
        hasattr(source, '__len__') and hasattr(source, '__getitem__')
    ):
        raise TypeError(
            f"'{owner}' expects a data set or a list of graphs (got one "
            f"'{type(source).__name__}'); pass a 'MirageDataset', or a list"
        )
    if isinstance(source, Subset):
        _check_source(source.dataset, owner)
    if isinstance(source, ConcatDataset):
        for part in source.datasets:
            _check_source(part, owner)
    if getattr(source, 'transform', None) is not None:
        raise ValueError(
            f"'{owner}' cannot apply a 'transform', which changes single "
            f'graphs, to trees that graphs share; pass a list of the '
            f"transformed graphs, or use 'DataLoader'"
        )
    if len(source) == 0:
        raise ValueError(
            f"'{owner}' expects at least one graph (got an empty "
            f"'{type(source).__name__}'); check the split"
        )


def _open(data: Any, exclude_keys: Names[str], owner: str) -> Data:
    if (
        not isinstance(data, Data)
        or isinstance(data, Batch)
        or type(data).__inc__ is not Data.__inc__
        or type(data).__cat_dim__ is not Data.__cat_dim__
    ):
        raise TypeError(
            f"'{owner}' expects graphs that are plain 'Data' objects (got "
            f"'{type(data).__name__}'); convert them, HeteroData with "
            f'to_homogeneous() and a batch with to_data_list()'
        )
    # The depth is needed here, whether it is left out or not.
    left_out = {*exclude_keys} - {'num_layers'}
    values = {k: v for k, v in data.to_dict().items() if k not in left_out}
    values['num_nodes'] = data.num_nodes or 0
    return Data(**values)
