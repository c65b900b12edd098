"""Data set of graphs or tree sets -> mini-batches that share their trees."""

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.collate import collate
from torch_geometric.data.dataset import Dataset

from pyg_distill.data.attributes import (
    FEATURES,
    STRUCTURE,
    check_exclude_keys,
    check_num_layers,
)
from pyg_distill.data.sources import read_table
from pyg_distill.data.table import GraphTable, refuse_uncarried
from pyg_distill.trees import (
    expected_size,
    pointer,
    ragged_rows,
    share_trees,
)

_ROOTS = ('root_index', 'root_count')
_MERGED = (*FEATURES, 'edge_index', 'num_nodes')


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
        """Raises an error, as merged trees cannot be told apart."""
        self._refuse(f'get_example({idx})')

    def index_select(self, idx: Any) -> NoReturn:
        """Raises an error, as merged trees cannot be told apart."""
        self._refuse('index_select(...)')

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            self._refuse('data[...]')
        return super().__getitem__(key)

    def __len__(self) -> int:
        return self.num_graphs

    def __getattr__(self, key: str) -> Any:
        store = self.__dict__.get('_store')
        if store is not None and key in ('batch', 'ptr') and key not in store:
            raise AttributeError(
                f"'{type(self).__name__}' has no '{key}', as graphs share its "
                f"nodes; pass data.get('{key}') and root_index_batch="
                f"data.root_index_batch to the readout, or use 'DataLoader'"
            )
        return super().__getattr__(key)

    def _refuse(self, call: str) -> NoReturn:
        raise TypeError(
            f"'{type(self).__name__}' does not support {call}, as its graphs "
            f"share trees; ask the data set, or use 'DataLoader'"
        )


class TreeSetLoader(torch.utils.data.DataLoader):
    r"""Loads graphs, with equal trees merged over the whole mini-batch.

    Equal trees have equal embeddings, so it suffices to compute them once.
    Each mini-batch, a :class:`~pyg_distill.loader.TreeSetBatch`, holds every
    distinct tree and subtree once, and the readout finds the roots of each
    graph through :obj:`root_index`, :obj:`root_index_batch` and
    :obj:`root_count`. In evaluation mode, outputs and gradients are those of
    :class:`~torch_geometric.loader.DataLoader`, for all layers that are exact
    on trees.

    .. code-block:: python

        loader = TreeSetLoader(
            dataset[train_idx], batch_size=64, shuffle=True, num_layers=3
        )
        for data in loader:
            x = gnn(data.x, data.edge_index)
            out = head(global_root_pool(x, data))

    All trees are read once, into one dictionary of the distinct ones. A batch
    is then made of indices alone, in any order and by any sampler.

    Args:
        dataset (Dataset or list): Graphs, as a data set, a slice of one or a
            list: ordinary ones, or in tree-set form, as in a
            :class:`~pyg_distill.datasets.MirageDataset` or returned by
            :class:`~pyg_distill.transforms.ToComputationTrees`.
        batch_size (int, optional): How many graphs per batch to load.
            (default: :obj:`1`)
        shuffle (bool, optional): If set to :obj:`True`, the graphs will be
            reshuffled at every epoch. (default: :obj:`False`)
        follow_batch (list, optional): Creates batch vectors for these
            attributes of roots or graphs. (default: :obj:`None`)
        exclude_keys (list, optional): Leaves out these attributes. Trees that
            differ in nothing else are merged, too. (default: :obj:`None`)
        num_layers (int, optional): The depth of the trees if
            :obj:`dataset` holds ordinary graphs: the number of message
            passing layers of the model (one more for
            :class:`~torch_geometric.nn.conv.GCNConv`).
            (default: :obj:`None`)
        **kwargs (optional): Additional arguments of
            :class:`torch.utils.data.DataLoader`, but :obj:`collate_fn`.

    Raises:
        TypeError: If :obj:`dataset` is no collection of homogeneous graphs.
        ValueError: If it is empty, has a :obj:`transform`, or its graphs are
            not in tree-set form of the same depth and no depth is given, or
            an argument does not fit.
    """

    def __init__(
        self,
        dataset: Dataset | Sequence[Data],
        batch_size: int = 1,
        shuffle: bool = False,
        follow_batch: Sequence[str] | None = None,
        exclude_keys: Sequence[str] | None = None,
        num_layers: int | None = None,
        **kwargs: Any,
    ) -> None:
        name = type(self).__name__
        # Lightning makes loaders anew out of the attributes of a loader.
        collate_fn = kwargs.pop('collate_fn', None)
        if not isinstance(collate_fn, _Collater | None):
            raise ValueError(
                f"'{name}' has its own 'collate_fn' (got another one); leave "
                f"it out, or use 'DataLoader'"
            )
        if batch_size is None:
            raise ValueError(
                f"'{name}' needs batches (got batch_size=None); pass "
                f'batch_sampler=...'
            )
        if isinstance(follow_batch, str):
            raise TypeError(
                f"'follow_batch' must be a list of names (got a string); "
                f'pass [{follow_batch!r}]'
            )
        merged = sorted({*(follow_batch or [])} & {*_MERGED})
        if merged:
            raise ValueError(
                f"'follow_batch' must name attributes of roots or graphs (got "
                f"{merged}); leave these out, or use 'DataLoader'"
            )
        excluded = check_exclude_keys(exclude_keys)
        sets: Any = dataset
        if not isinstance(sets, _TreeSetDataset):
            sets = _TreeSetDataset(dataset, num_layers, excluded, name)
        elif sets.options != (num_layers, excluded):
            sets = _TreeSetDataset(sets.source, num_layers, excluded, name)
        self.num_layers = num_layers
        self.follow_batch = follow_batch
        self.exclude_keys = exclude_keys
        super().__init__(
            sets,
            batch_size,
            shuffle,
            collate_fn=_Collater(sets, list(follow_batch or [])),
            **kwargs,
        )

    def expected_size(
        self, batch_size: int | None = None
    ) -> tuple[float, float]:
        """Tells how large mini-batches are on average.

        They are assumed to be drawn without replacement, as by
        :obj:`shuffle=True`; see :meth:`~pyg_distill.trees.expected_size`.

        Args:
            batch_size (int, optional): The number of graphs, if not that of
                the loader. (default: :obj:`None`)

        Returns:
            tuple: The expected number of nodes and of edges.
        """
        sets: Any = self.dataset
        size = self.batch_size if batch_size is None else batch_size
        if size is None:
            raise ValueError(
                "'batch_size' is not known with a batch_sampler (got None); "
                'pass the number of graphs of a batch'
            )
        number = torch.arange(len(sets), device=sets.root_ptr.device)
        graph = number.repeat_interleave(sets.root_ptr.diff())
        return expected_size(sets.trees, sets.root, graph, len(sets), size)

    def __repr__(self) -> str:
        sets: Any = self.dataset
        size = ''
        if self.batch_size is not None:
            size = f', batch_size={self.batch_size}'
        return (
            f'{type(self).__name__}({len(sets):,} graphs, '
            f'{sets.trees.num_trees:,} distinct trees{size})'
        )


class _TreeSetDataset(torch.utils.data.Dataset):
    """The trees of a data set in one dictionary; a loader fetches indices.

    The trees `root` [R] of the graphs are stored in turn (`root_ptr` [G + 1]),
    with their `root_count` [R]. `columns` hold graph-level tensors: rows,
    where each graph begins, the dimension of the rows, and whether each graph
    has one row. `others` are other graph-level attributes, graph by graph.
    """

    def __init__(
        self,
        source: Any,
        num_layers: int | None,
        exclude_keys: list[str],
        caller: str,
    ) -> None:
        needed = sorted({*_ROOTS} & {*exclude_keys})
        if needed:
            raise ValueError(
                f"'exclude_keys' must not name roots (got {needed}); pass "
                f'features and other attributes'
            )
        _check_transform(source, caller)
        # The depth is needed here, even if batches leave it out.
        table = read_table(
            source,
            exclude_keys=[key for key in exclude_keys if key != 'num_layers'],
            caller=caller,
            allow_tree_sets=True,
        )
        depth = _depth(table, num_layers, caller)
        refuse_uncarried([key for key in table.uncarried if key not in _ROOTS])
        graphs = table.graphs
        self.source = source
        self.options = num_layers, exclude_keys
        self.trees, entry = share_trees(graphs, depth)
        device = entry.device
        attributes = [
            key
            for key in table.keys
            if key not in (*FEATURES, *STRUCTURE, *_ROOTS, *exclude_keys)
        ]
        self.columns = {}
        for key in attributes:
            if table.is_tensor(key):
                ptr = pointer(table.sizes(key)).to(device)
                single = bool((ptr.diff() == 1).all())
                value = table.rows(key)
                self.columns[key] = value, ptr, table.dim(key), single
        is_tree_set = 'root_index' in table.keys
        if is_tree_set:
            size, root = _given_roots(table)
            root, count = entry[root], table.rows('root_count')
        else:
            size, root = graphs.node_ptr.diff(), entry
            count = torch.ones_like(entry)
        number = torch.arange(len(table), device=device)
        if not is_tree_set and 'num_layers' not in exclude_keys:
            value, ptr = torch.full_like(number, depth), pointer(number * 0 + 1)
            self.columns['num_layers'] = value, ptr, 0, True
        # Equal roots of a graph are counted once.
        num_trees = max(1, self.trees.num_trees)
        pair = number.repeat_interleave(size.to(device)) * num_trees + root
        distinct, place = pair.unique(return_inverse=True)
        if not is_tree_set or distinct.numel() < pair.numel():
            count = torch.zeros_like(distinct).index_add_(0, place, count)
            root = distinct % num_trees
            size = torch.bincount(distinct // num_trees, minlength=len(table))
        self.root, self.root_count = root, count
        self.root_ptr = pointer(size.to(device))
        self.others: list[Data] = []
        names = [key for key in attributes if key not in self.columns]
        if names:
            self.others = [
                Data(**{key: data[key] for key in names})
                for data in table.to_list()
            ]

    def __len__(self) -> int:
        return self.root_ptr.numel() - 1

    def __getitem__(self, index: Any) -> Any:
        return self.source[index]

    def __getitems__(self, index: Sequence[int]) -> Sequence[int]:
        return index

    def __getattr__(self, name: str) -> Any:
        # It stands for the data set that was given, as `loader.dataset`.
        if name.startswith('__') or 'source' not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.source, name)


class _Collater:
    def __init__(self, sets: _TreeSetDataset, follow_batch: list[str]) -> None:
        self.sets = sets
        self.follow_batch = follow_batch

    def __call__(self, index: Sequence[int]) -> TreeSetBatch:
        sets, trees = self.sets, self.sets.trees
        # Counts from the end where an index is negative, and refuses others.
        number = torch.arange(len(sets), device=trees.ptr.device)
        graph = number[torch.as_tensor(index)]
        position, row = ragged_rows(sets.root_ptr, graph)
        merged = trees.merge(sets.root[row])

        out = TreeSetBatch()
        out._num_graphs = graph.numel()
        if trees.x is None:
            out.num_nodes = merged.node.numel()
        else:
            out.x = trees.x[merged.node]
        out.edge_index = merged.edge_index
        for name in ('edge_attr', 'edge_weight'):
            value = getattr(trees, name)
            if value is not None:
                out[name] = value[merged.edge]
        out.root_index = merged.root_index
        out.root_count = sets.root_count[row]
        out.root_index_batch = position
        for name in _ROOTS:
            self._follow(out, name, position)
        for name, (value, ptr, dim, single) in sets.columns.items():
            row, position = graph, number[: graph.numel()]
            if not single:
                position, row = ragged_rows(ptr, graph)
            elif graph.numel() > len(sets):  # Graphs may repeat.
                position = torch.arange(graph.numel(), device=graph.device)
            out[name] = value.index_select(dim, row)
            self._follow(out, name, position)
        if sets.others:
            data, _, _ = collate(
                Data,
                [sets.others[i] for i in graph.tolist()],
                add_batch=False,
                follow_batch=self.follow_batch,
            )
            out.update(data.to_dict())
        return out

    def _follow(self, out: TreeSetBatch, name: str, position: Tensor) -> None:
        if name in self.follow_batch:
            out[f'{name}_batch'] = position
            size = torch.bincount(position, minlength=out.num_graphs)
            out[f'{name}_ptr'] = pointer(size)


def _check_transform(source: Any, caller: str) -> None:
    """Refuses transforms, also below the wrappers of PyTorch."""
    for inner in [
        getattr(source, 'dataset', None),
        *getattr(source, 'datasets', []),
    ]:
        if inner is not None:
            _check_transform(inner, caller)
    if getattr(source, 'transform', None) is not None:
        raise ValueError(
            f"'{caller}' cannot apply a 'transform' to shared trees; pass a "
            f"list of the transformed graphs, or use 'DataLoader'"
        )


def _depth(table: GraphTable, num_layers: int | None, caller: str) -> int:
    """How deep the trees are, or are to be."""
    form = {'root_index', 'root_count', 'num_layers'}
    given = form & {*table.keys}
    if not given and num_layers is not None:
        return check_num_layers(num_layers)
    if given != form:
        remedy = '' if given else 'num_layers=... or '
        raise ValueError(
            f"'{caller}' expects ordinary graphs and 'num_layers', or graphs "
            f'in tree-set form (got graphs with {", ".join(table.keys)}); pass '
            f"{remedy}MirageDataset(..., selection='lossless')"
        )
    depth = table.rows('num_layers').unique().tolist()
    if len(depth) != 1 or bool((table.sizes('num_layers') != 1).any()):
        raise ValueError(
            f"'{caller}' expects trees of one depth (got num_layers of {depth}"
            f'); make all with the same num_layers'
        )
    if num_layers not in (None, depth[0]):
        raise ValueError(
            f"'num_layers' is {depth[0]} in all graphs (got {num_layers}); "
            f'leave it out'
        )
    return depth[0]


def _given_roots(table: GraphTable) -> tuple[Tensor, Tensor]:
    """The number of roots of each graph, and their nodes numbered through."""
    size, count = table.sizes('root_index'), table.sizes('root_count')
    if bool((size != count).any()):
        raise ValueError(
            f"'root_count' must have one entry a root (got {int(count.sum())} "
            f"for {int(size.sum())}); make both with 'ToComputationTrees'"
        )
    root = table.rows('root_index')
    node_ptr = table.graphs.node_ptr
    graph = torch.arange(size.numel(), device=root.device)
    graph = graph.repeat_interleave(size.to(root.device))
    limit = node_ptr.diff()[graph]
    if bool(((root < 0) | (root >= limit)).any()):
        raise ValueError(
            f"'root_index' must hold nodes of its own graph (got "
            f'{int(root.min())} to {int(root.max())}); '
            f"make it with 'ToComputationTrees'"
        )
    return size, root + node_ptr[graph]
