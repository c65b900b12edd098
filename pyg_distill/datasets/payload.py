"""How large is a data set? One measure for all of them."""

from collections.abc import Sequence
from math import prod

from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.dataset import Dataset

from pyg_distill.datasets.reading.stored import read_stored
from pyg_distill.datasets.report import Size


def payload(
    dataset: Dataset | Sequence[Data], exclude_keys: Sequence[str] = ()
) -> Size:
    r"""Measures a data set by the tensors of its graphs.

    The bytes are the number of elements times their size, summed over all
    dense tensors of all graphs: no overhead of files, of Python objects or of
    the positions at which graphs begin. Of a slice of a data set only the
    selected graphs count. What a :obj:`transform` makes of a graph counts as
    if it were stored.

    .. code-block:: python

        payload(dataset[train_idx]).num_bytes
        payload(MirageDataset(dataset[train_idx], num_layers=2)).num_bytes

    Args:
        dataset (Dataset or list): Graphs, ordinary ones or in tree-set form.
        exclude_keys (list, optional): Names of attributes that do not count,
            since no model reads them. (default: :obj:`()`)

    Returns:
        Size: The number of graphs, nodes, edges and bytes.

    Raises:
        TypeError: If :obj:`dataset` is no collection of homogeneous graphs, or
            :obj:`exclude_keys` is no list of names.
        ValueError: If it is empty, or its graphs have different attributes.
    """
    if isinstance(exclude_keys, str):
        raise TypeError(
            f"'exclude_keys' must be a list of names (got {exclude_keys!r}); "
            f'pass [{exclude_keys!r}]'
        )
    graphs = read_stored(dataset, 'dataset')
    num_bytes = 0
    for key in graphs.slices:
        value = graphs.data[key]
        if isinstance(value, Tensor) and key not in exclude_keys:
            shape = list(value.size())
            # Scalars are stacked, so that there is always one to cut along.
            shape.pop(graphs.data.__cat_dim__(key, value) or 0)
            rows = int(graphs.num_rows(key).sum())
            num_bytes += rows * prod(shape) * value.element_size()
    return Size(
        num_graphs=graphs.num_graphs,
        num_nodes=int(graphs.num_nodes().sum()),
        num_edges=int(graphs.num_rows('edge_index').sum()),
        num_bytes=num_bytes,
    )
