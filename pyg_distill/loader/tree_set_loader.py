"""Data set of tree sets -> mini-batches that share their trees."""

from collections.abc import Sequence
from typing import Any

import torch
from torch_geometric.data import Data
from torch_geometric.data.dataset import Dataset

from pyg_distill.loader.collater import TreeSetCollater
from pyg_distill.loader.reading import read_tree_sets
from pyg_distill.loader.tree_sets import TreeSets
from pyg_distill.trees import expected_size

_MERGED = ('x', 'edge_index', 'edge_attr', 'edge_weight', 'num_nodes')


class TreeSetLoader(torch.utils.data.DataLoader):
    r"""Loads tree sets, with equal trees merged over the whole mini-batch.

    Equal trees have equal embeddings, so that it suffices to compute them
    once. Each mini-batch, a :class:`~pyg_distill.loader.TreeSetBatch`, holds
    every distinct tree and subtree once, and the readout finds the roots of
    each graph through :obj:`root_index`, :obj:`root_index_batch` and
    :obj:`root_count`. In evaluation mode the outputs and their gradients are
    those of :class:`~torch_geometric.loader.DataLoader`, for all layers that
    are exact on trees.

    .. code-block:: python

        loader = TreeSetLoader(
            dataset[train_idx], batch_size=64, shuffle=True, num_layers=3
        )
        for data in loader:
            x = gnn(data.x, data.edge_index)
            out = head(
                global_root_pool(
                    x,
                    data.get('batch'),
                    data.root_index,
                    data.root_count,
                    size=data.num_graphs,
                    root_index_batch=data.root_index_batch,
                )
            )

    All trees are read once, into one dictionary of the distinct ones, with
    the features of each; what is drawn, in any order and by any sampler, are
    indices.

    Args:
        dataset (Dataset or list): Graphs, as a data set, a slice of one
            (nothing outside of it is read) or a list: either ordinary ones,
            or in tree-set form, as those of a
            :class:`~pyg_distill.datasets.MirageDataset` are and what
            :class:`~pyg_distill.transforms.ToComputationTrees` returns.
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
        owner = self.__class__.__name__
        # Lightning makes loaders anew out of the attributes of a loader.
        collate_fn = kwargs.pop('collate_fn', None)
        if not isinstance(collate_fn, TreeSetCollater | None):
            raise ValueError(
                f"'{owner}' merges trees in a 'collate_fn' of its own (got "
                f"another one); leave it out, or use 'DataLoader'"
            )
        if batch_size is None:
            raise ValueError(
                f"'{owner}' needs batches to merge (got batch_size=None); pass "
                f'a sampler of batches as batch_sampler=...'
            )
        for name, value in [
            ('follow_batch', follow_batch),
            ('exclude_keys', exclude_keys),
        ]:
            if isinstance(value, str):
                raise TypeError(
                    f"'{name}' must be a list of names (got {value!r}); pass "
                    f'[{value!r}]'
                )
        merged = sorted({*(follow_batch or [])} & {*_MERGED})
        if merged:
            raise ValueError(
                f"'follow_batch' must name attributes of roots or graphs (got "
                f'{merged}), as nodes and edges of merged trees may belong to '
                f"several graphs; leave these out, or use 'DataLoader'"
            )
        excluded = list(exclude_keys or [])
        sets: Any = dataset
        if not isinstance(sets, TreeSets):
            sets = read_tree_sets(dataset, num_layers, excluded, owner)
        elif sets.options != (num_layers, excluded):
            sets = read_tree_sets(sets.source, num_layers, excluded, owner)
        self.num_layers = num_layers
        self.follow_batch = follow_batch
        self.exclude_keys = exclude_keys
        super().__init__(
            sets,
            batch_size,
            shuffle,
            collate_fn=TreeSetCollater(sets, list(follow_batch or [])),
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
                "'batch_size' is not known to a loader with a batch_sampler "
                '(got None); pass the number of graphs of a batch'
            )
        number = torch.arange(len(sets), device=sets.root.ptr.device)
        graph = number.repeat_interleave(sets.root.ptr.diff())
        return expected_size(
            sets.trees, sets.root.value, graph, len(sets), size
        )

    def __repr__(self) -> str:
        sets: Any = self.dataset
        size = ''
        if self.batch_size is not None:
            size = f', batch_size={self.batch_size}'
        return (
            f'{self.__class__.__name__}({len(sets):,} graphs, '
            f'{sets.trees.num_trees:,} distinct trees{size})'
        )
