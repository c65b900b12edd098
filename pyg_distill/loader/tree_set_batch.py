"""A mini-batch whose nodes belong to several graphs at once."""

from typing import Any, NoReturn

from torch_geometric.data import Data

_NODE_LEVEL = ('batch', 'ptr')


class TreeSetBatch(Data):
    r"""A mini-batch of tree sets in which equal trees are merged.

    It holds what a mini-batch of tree sets holds, :obj:`x` (or
    :obj:`num_nodes`), :obj:`edge_index`, :obj:`edge_attr`,
    :obj:`edge_weight`, :obj:`root_index`, :obj:`root_count` and all
    graph-level attributes, and :obj:`root_index_batch` of shape :obj:`[R]`,
    the graph of each root. A root of several graphs repeats in
    :obj:`root_index`.

    Its nodes belong to no single graph, so there is no node-level
    :obj:`batch` nor :obj:`ptr`, and reading these raises an error (rather
    than giving :obj:`None`, which pools all graphs into one);
    :obj:`data.get('batch')` is :obj:`None`, so that one line of code serves
    both kinds of mini-batches.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    @property
    def num_graphs(self) -> int:
        """The number of graphs."""
        return self._num_graphs

    @property
    def batch_size(self) -> int:
        """Alias for :obj:`num_graphs`."""
        return self.num_graphs

    @property
    def batch(self) -> Any:
        """The graph of each node, which is only there if it was set."""
        return self._store.batch

    @batch.setter
    def batch(self, value: Any) -> None:
        self._store['batch'] = value

    def to_data_list(self) -> NoReturn:
        """Raises an error, as merged trees cannot be told apart."""
        self._refuse('to_data_list()')

    def get_example(self, idx: int) -> NoReturn:
        """Raises an error, as merged trees cannot be told apart.

        Args:
            idx (int): The graph.
        """
        self._refuse(f'get_example({idx})')

    def index_select(self, idx: Any) -> NoReturn:
        """Raises an error, as merged trees cannot be told apart.

        Args:
            idx (list): The graphs.
        """
        self._refuse('index_select(...)')

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            self._refuse('data[...]')
        return super().__getitem__(key)

    def __len__(self) -> int:
        return self.num_graphs

    def __getattr__(self, key: str) -> Any:
        store = self.__dict__.get('_store')
        if store is not None and key in _NODE_LEVEL and key not in store:
            raise AttributeError(
                f"'{type(self).__name__}' has no '{key}', as a node of merged "
                f"trees may belong to several graphs; pass data.get('{key}') "
                f'and root_index_batch=data.root_index_batch to the readout, '
                f"or use 'DataLoader' for what reads '{key}'"
            )
        return super().__getattr__(key)

    def _refuse(self, call: str) -> NoReturn:
        raise TypeError(
            f"'{type(self).__name__}' does not support {call}, as its graphs "
            f'share their trees; take single graphs from the data set, or use '
            f"'DataLoader'"
        )
