"""Any data set, of graphs or of tree sets -> its tensors, end to end."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch_geometric.data import Batch, Data, InMemoryDataset
from torch_geometric.data.collate import collate

from pyg_distill.datasets.mirage import MirageDataset
from pyg_distill.datasets.reading.collection import (
    Collection,
    as_slice,
    own_tensors,
)
from pyg_distill.transforms.opening import open_graph

_GETTERS = (InMemoryDataset.__getitem__, MirageDataset.__getitem__)


def read_stored(source: Any, owner: str) -> Collection:
    """Opens a data set, a slice of one, or a list of graphs.

    Args:
        source (Dataset or list): Graphs, ordinary ones or in tree-set form.
        owner (str): The argument named in error messages.

    Returns:
        Collection: For an :class:`~torch_geometric.data.InMemoryDataset`
        without :obj:`transform`, its own tensors; otherwise, the graphs are
        read one by one, as a loader would.

    Raises:
        TypeError: If it holds anything but homogeneous graphs.
        ValueError: If it is empty, or its graphs have different attributes.
    """
    if isinstance(source, Data) or not (
        hasattr(source, '__len__') and hasattr(source, '__getitem__')
    ):
        raise TypeError(
            f"'{owner}' must be a data set or a list of graphs (got "
            f"'{type(source).__name__}'); pass a slice of a data set, or "
            f'[data]'
        )
    if len(source) == 0:
        raise ValueError(
            f"'{owner}' must hold at least one graph (got none); check the "
            f'split'
        )
    return read_with(
        source,
        partial(_open, owner=owner),
        owner,
        'fill in what only some have',
    )


def read_with(
    source: Any, open_one: Callable[[Any], Data], owner: str, advice: str
) -> Collection:
    """The tensors of a source, or else those of its graphs, one by one.

    Args:
        source (Dataset or list): Graphs, ordinary ones or in tree-set form.
        open_one (callable): Makes each of them a plain one, or raises.
        owner (str): The argument or class named in error messages.
        advice (str): What to do about attributes that only some graphs have.

    Returns:
        Collection: All graphs.

    Raises:
        ValueError: If graphs have different attributes.
    """
    source = as_slice(source)
    own = own_tensors(source, _GETTERS)
    if own is not None:
        return own
    graphs = [open_one(source[i]) for i in range(len(source))]
    names = sorted(graphs[0].keys())
    for i, data in enumerate(graphs):
        odd = sorted({*names} ^ {*data.keys()})
        if odd:
            raise ValueError(
                f"'{owner}' must hold graphs with the same attributes (graph "
                f'{i} differs from graph 0 in {", ".join(odd)}); {advice}'
            )
    data, slices, _ = collate(Data, graphs, increment=False, add_batch=False)
    return Collection(data, slices, None, names)


def _open(data: Any, owner: str) -> Data:
    if not isinstance(data, Data) or 'root_index' not in data:
        return open_graph(data, owner)
    if isinstance(data, Batch):
        raise ValueError(
            f"'{owner}' must hold single graphs (got a batch of "
            f'{data.num_graphs}); use data.to_data_list()'
        )
    return Data(**{**data.to_dict(), 'num_nodes': data.num_nodes or 0})
