"""Data set -> distilled data set."""

import contextlib
import hashlib
import inspect
import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from time import perf_counter
from typing import Any, overload

import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.data.dataset import Dataset, _repr
from torch_geometric.io import fs

from pyg_distill.data.attributes import (
    FEATURES,
    STRUCTURE,
    check_exclude_keys,
    check_num_layers,
)
from pyg_distill.data.distributed import Ranks
from pyg_distill.data.progress import Progress
from pyg_distill.data.sources import Source
from pyg_distill.data.statistics import collect_statistics
from pyg_distill.data.storage import Encoded, decode, encode
from pyg_distill.data.table import GraphTable
from pyg_distill.data.tree_sets import TreeSets
from pyg_distill.datasets.cache import (
    CachedSet,
    check_writable,
    read_cache,
    write_cache,
)
from pyg_distill.datasets.report import (
    DistillationReport,
    Size,
    format_options,
    predict_sharing,
)
from pyg_distill.datasets.transform_checks import check_item, check_transform
from pyg_distill.selection.base import sample_weights
from pyg_distill.selection.budget import (
    Budget,
    ClassWeight,
    check_choice,
    check_count,
    count_or_share,
)
from pyg_distill.selection.frequent import (
    FrequentTrees,
    Support,
    repetition_message,
)
from pyg_distill.selection.resolver import (
    Selection,
    Selector,
    selector_resolver,
)
from pyg_distill.trees import pointer

Slices = dict[str, Tensor] | None


class MirageDataset(InMemoryDataset):
    r"""A graph classification data set, distilled to computation trees.

    Message passing networks see a graph as the multiset of its nodes'
    :math:`L`-hop computation trees. Few of these trees are frequent, and they
    stand for the data set (Gupta et al., `"Mirage: Model-Agnostic Graph
    Distillation for Graph Classification"
    <https://arxiv.org/abs/2310.09486>`_, ICLR 2024). No network is trained.

    The items are whole graphs or sets of computation trees, as
    :obj:`selection` decides, and all have the same form:

    - :obj:`x`, :obj:`edge_index`, :obj:`edge_attr`, :obj:`edge_weight`,
    - :obj:`root_index` of shape :obj:`[R]`, the nodes that a readout pools,
      and :obj:`root_count` of shape :obj:`[R]`, how many nodes each stands
      for. All nodes of a whole graph are roots,
    - :obj:`num_layers` of shape :obj:`[1]`, the depth of the trees,
    - :obj:`y`, the class, in the shape of the source, and :obj:`target` of
      shape :obj:`[1, C]`, the probability of each class,
    - :obj:`weight` of shape :obj:`[1]`, the weight in the loss, 1 on average,
    - :obj:`support` of shape :obj:`[1]`, the source graphs that hold the set,
    - :obj:`graph_id` of shape :obj:`[1]`, the position in the source of a
      graph, or -1 for a set of several graphs.

    A whole graph keeps all attributes and the class of its source.
    :meth:`~pyg_distill.nn.global_root_pool` pools mini-batches of any kind:

    .. code-block:: python

        train = MirageDataset(dataset[train_idx], num_layers=3, budget=0.02)
        print(train.report)
        for data in DataLoader(train, batch_size=64, shuffle=True):
            x = gnn(data.x, data.edge_index)
            out = head(global_root_pool(x, data))
            loss = F.cross_entropy(out, data.target, reduction='none')
            loss = (loss * data.weight).mean()

    Args:
        source (Dataset or iterable): The graphs to distil: a data set, a
            slice of one (nothing outside of it is read), a list of graphs, or
            a :class:`~torch.utils.data.Subset` or
            :class:`~torch.utils.data.ConcatDataset` of these. Other sources
            are read several times, a chunk at a time: any other
            :class:`~torch_geometric.data.Dataset`, a list of data sets, or an
            iterable of graphs, of lists of them or of mini-batches.
        num_layers (int): The depth :math:`L` of the trees, the number of
            message passing layers of the models that will be trained (one
            more for :class:`~torch_geometric.nn.conv.GCNConv`).
        budget (float or int, optional): The size of the result when
            compressed, as a share of that of the source in :obj:`(0, 1]` (a
            :obj:`float`) or in bytes (an :obj:`int`). By default,
            :obj:`0.1` if nothing else says how much to keep.
            (default: :obj:`None`)
        num_graphs (int, optional): The number of graphs to keep, as an
            alternative. (default: :obj:`None`)
        selection (str or Selector, optional): What to keep:

            - :obj:`"auto"`, the best of herding and frequent trees, by a score
              (:class:`~pyg_distill.selection.Auto`),
            - :obj:`"herding"`, graphs whose mean is near that of their class
              (:class:`~pyg_distill.selection.Herding`),
            - :obj:`"kcenter"`, graphs that leave no other far away
              (:class:`~pyg_distill.selection.KCenter`),
            - :obj:`"random"`, graphs drawn at random
              (:class:`~pyg_distill.selection.Random`),
            - :obj:`"frequent"`, the frequent tree sets of each class, as the
              paper does (:class:`~pyg_distill.selection.FrequentTrees`),
            - :obj:`"multisets"`, graphs whose rare trees are replaced by
              frequent ones (:class:`~pyg_distill.selection.Multisets`),
            - :obj:`"lossless"`, all trees of all graphs
              (:class:`~pyg_distill.selection.Lossless`).

            (default: :obj:`"auto"`)
        selection_kwargs (dict, optional): The arguments of the selector.
            (default: :obj:`None`)
        class_weight (str, optional): What the weights of a class sum to:
            :obj:`"source"`, its share of the source graphs,
            :obj:`"uniform"`, the same for all, or :obj:`"none"`, the sum of
            its supports. (default: :obj:`"source"`)
        exclude_keys (list, optional): Attributes of the source to leave out.
            (default: :obj:`None`)
        root (str, optional): The folder where the result is cached, under a
            name that depends on every option and on the content of the
            source. Without, it is kept in memory. (default: :obj:`None`)
        source_id (str, optional): A name for the content of the source, which
            is then not read if there is a cache. (default: :obj:`None`)
        transform (callable, optional): A transform of every access. It must
            not change the number of nodes, nor the edges of tree sets.
            (default: :obj:`None`)
        pre_transform (callable, optional): A transform of every graph of the
            source before distilling. (default: :obj:`None`)
        pre_filter (callable, optional): Keeps a graph of the source if it
            returns :obj:`True`. Positions count the graphs that are kept.
            (default: :obj:`None`)
        force_reload (bool, optional): Whether to distil even if there is a
            cache. (default: :obj:`False`)
        distributed (bool, optional): If set to :obj:`True`, :obj:`source` is
            the shard of this process, and all processes of
            :obj:`torch.distributed` get the same result: that of all shards
            in the order of their ranks. (default: :obj:`False`)
        log (bool, optional): Whether to show progress if it takes long.
            (default: :obj:`True`)

    Raises:
        RuntimeError: If :obj:`distributed` is set and there is no process
            group, or another process failed.
        TypeError: If :obj:`source` is no collection of homogeneous graphs.
        ValueError: If the graphs, their labels or an option do not fit, the
            budget is too small, or :obj:`root` cannot be used.
    """

    #: Indexing returns what is stored, so that readers may use the tensors.
    returns_stored_items = True

    _data: Data
    slices: Slices
    #: What distilling did, in numbers.
    report: DistillationReport

    def __init__(
        self,
        source: Dataset | Iterable[Any],
        num_layers: int,
        *,
        budget: float | int | None = None,
        num_graphs: int | None = None,
        selection: Selection | Selector | type[Selector] = 'auto',
        selection_kwargs: dict[str, Any] | None = None,
        class_weight: ClassWeight = 'source',
        exclude_keys: Sequence[str] | None = None,
        root: str | None = None,
        source_id: str | None = None,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
        pre_filter: Callable | None = None,
        force_reload: bool = False,
        distributed: bool = False,
        log: bool = True,
    ) -> None:
        name = type(self).__name__
        ranks = Ranks(distributed)

        def options() -> dict[str, Any]:
            if isinstance(source, str | PathLike):
                raise TypeError(
                    f"'{name}' expects the source first (got "
                    f"'{type(source).__name__}'); pass the folder as root=..."
                )
            if source_id is not None and root is None:
                raise ValueError(
                    f"'source_id' needs a cache (got {source_id!r} and "
                    f'root=None); pass root=..., or leave source_id out'
                )
            weights = ('source', 'uniform', 'none')
            check_choice('class_weight', class_weight, weights)
            size = budget
            if budget is not None:
                hint = 'an int is bytes, 0.02 is 2 % of the source'
                size = count_or_share('budget', budget, hint)
            self._selector = selector_resolver(
                selection, **(selection_kwargs or {})
            )
            self._selector.check_limits(budget, num_graphs)
            if self._selector.builds_trees:
                check_transform(transform)
            self._options: dict[str, Any] = {
                'num_layers': check_num_layers(num_layers),
                'budget': size,
                'num_graphs': check_count('num_graphs', num_graphs),
                'selection': self._selector.name,
                'selection_kwargs': self._selector.options(),
                'class_weight': class_weight,
                'exclude_keys': check_exclude_keys(exclude_keys),
            }
            return self._options | {
                'root': None if root is None else str(root),
                'source_id': source_id,
                'force_reload': force_reload,
                'pre_transform': _repr(pre_transform),
                'pre_filter': _repr(pre_filter),
            }

        ranks.assert_equal(options)
        super().__init__(
            root, transform, pre_transform, pre_filter, log, force_reload
        )
        source_graphs = Source(
            source,
            self._options['num_layers'],
            self._options['exclude_keys'],
            pre_filter,
            pre_transform,
            ranks,
            name,
            self.log and ranks.rank == 0,
        )
        if root is None:
            self._store(*_distil(source_graphs, self._options, self._selector))
        else:
            self._load_or_distil(source_graphs, source_id)

    @classmethod
    def paper(
        cls,
        source: Dataset | Iterable[Any],
        num_layers: int,
        min_support: Support,
        **kwargs: Any,
    ) -> 'MirageDataset':
        r"""Distils as the paper describes it (Section 3.2), for comparison.

        All frequent tree sets are kept, not only closed ones. Each tree counts
        once, trees are unrolled, and sets weigh as much as their support.

        Args:
            source (Dataset or list): The graphs to distil.
            num_layers (int): The depth :math:`L` of the trees.
            min_support (float or int or dict): How many graphs of a class must
                hold a tree set, for which the paper has no default.
            **kwargs (optional): Further arguments of the class or of
                :class:`~pyg_distill.selection.FrequentTrees`. The released
                scripts pass :obj:`drop_shared=True` for some data sets.
        """
        own = {*kwargs} & {*inspect.signature(FrequentTrees).parameters}
        options: dict[str, Any] = {'kind': 'all', 'multiplicity': 'one'}
        options |= {'compact': False} | {key: kwargs.pop(key) for key in own}
        selector = FrequentTrees(min_support, **options)
        kwargs = {'class_weight': 'none'} | kwargs
        return cls(source, num_layers, selection=selector, **kwargs)

    @classmethod
    def from_file(
        cls,
        path: str,
        transform: Callable | None = None,
        data_cls: type[Data] = Data,
    ) -> 'MirageDataset':
        """Opens a cached data set without its source.

        Args:
            path (str): The file, such as :obj:`root/processed/mirage_*.pt`.
            transform (callable, optional): A transform of every access.
                (default: :obj:`None`)
            data_cls (type, optional): The class of the graphs.
                (default: :class:`~torch_geometric.data.Data`)

        Raises:
            ValueError: If the file is damaged or its graphs are of another
                class.
        """
        cached = read_cache(str(path))
        out = cls.__new__(cls)
        InMemoryDataset.__init__(out, None, transform)
        out._options = dict(cached.report.options)
        out._open(cached, lambda: data_cls, str(path))
        return out

    @property
    def processed_file_names(self) -> list[str]:
        """The name of the file that holds the data set."""
        return [f'mirage_{self._digest}.pt']

    @property
    def num_classes(self) -> int:
        """The number of classes of the source."""
        return self.report.num_classes

    @property
    def source_index(self) -> Tensor:
        """The source position of each item, -1 for sets of several graphs."""
        return self._data.graph_id[list(self.indices())]

    @overload
    def __getitem__(self, idx: int) -> Data: ...

    @overload
    def __getitem__(self, idx: Any) -> 'MirageDataset': ...

    def __getitem__(self, idx: Any) -> Any:
        """Returns a graph, or a data set with some of the graphs."""
        out = super().__getitem__(idx)
        if not isinstance(out, Dataset) and self.transform is not None:
            if self._has_trees:
                check_transform(self.transform)
            before = self.get(self.indices()[idx])
            for view in out if isinstance(out, tuple | list) else (out,):
                check_item(before, view, self._has_trees)
        return out

    def __repr__(self) -> str:
        report = self.report
        number, whole = f'{len(self)}', report.distilled.num_graphs
        number += f' of {whole}' * (len(self) != whole)
        size = f'{report.compressed_bytes:,} compressed bytes'
        if report.source_compressed_bytes:
            share = report.compressed_bytes / report.source_compressed_bytes
            size = f'{share:.2%} of the compressed bytes'
        known = inspect.signature(type(self)).parameters
        options = {
            key: value
            for key, value in report.options.items()
            if key not in known or known[key].default != value
        }
        options['selection'] = report.selection
        options.pop('selection_kwargs', None)
        return (
            f'{type(self).__name__}({number}, from '
            f'{report.source.num_graphs:,} graphs, {size}, '
            f'{format_options(options)})'
        )

    def _load_or_distil(self, source: Source, source_id: str | None) -> None:
        ranks = source.ranks
        content = f'given {source_id}'
        if source_id is None:
            with Progress('Reading the source', source.log):
                content = source.digest()
        kind, code = type(self._selector), ''
        if not kind.__module__.startswith('pyg_distill.'):
            # A selector of a user may change between two runs.
            with contextlib.suppress(OSError, TypeError):
                code = inspect.getsource(kind)
        named = {
            'version': 1,
            'code': code,
            'source': content,
            'pre_transform': _repr(self.pre_transform),
            'pre_filter': _repr(self.pre_filter),
            **self._options,
        }
        try:
            text = json.dumps(named, sort_keys=True)
        except TypeError as error:
            raise TypeError(
                f"the arguments of '{self._selector!r}' cannot name a cache "
                f'(got {error}); pass numbers or strings, or root=None'
            ) from error
        self._digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        path = self.processed_paths[0]

        def is_missing() -> bool:
            if self.force_reload or not fs.exists(path):
                check_writable(self.processed_dir)
                return True
            return False

        if ranks.on_rank_zero(is_missing, 'looking for a cache'):
            data, slices, report, encoded = _distil(
                source, self._options, self._selector
            )
            cached = CachedSet(
                encoded, data.graph_id.clone(), report, self._digest
            )
            report = ranks.on_rank_zero(
                lambda: write_cache(cached, path), 'writing the cache'
            )
            self._store(data, slices, report, encoded)
            return
        with Progress('Reading the cache', source.log):
            cached = ranks.on_rank_zero(
                lambda: read_cache(path, self._digest), 'reading the cache'
            )

        def data_class() -> type[Data]:
            # An empty shard does not know the class.
            kinds = ranks.all_gather(source.data_class, 'reading its class')
            return next((kind for kind in kinds if kind is not Data), Data)

        self._open(cached, data_class, path)

    def _store(
        self, data: Data, slices: Slices, report: Any, encoded: Encoded
    ) -> None:
        self._data, self.slices, self.report = data, slices, report
        self._has_trees = encoded.schema['form'] == 'tree sets'
        if self._has_trees:
            check_transform(self.transform)

    def _open(
        self, cached: CachedSet, data_class: Callable[[], type[Data]], path: str
    ) -> None:
        data_cls, report = Data, cached.report
        stored = cached.encoded.schema.get('class', _name(Data))
        if stored != _name(Data):
            data_cls = data_class()
            if _name(data_cls) != stored:
                raise ValueError(
                    f"'{path}' holds graphs of the class '{stored}' (got "
                    f"'{_name(data_cls)}'); pass it as data_cls=..."
                )
        data, slices, _ = _finish(
            decode(cached.encoded, data_cls),
            cached.graph_id,
            report.options,
            report.num_classes,
            report.class_sizes,
        )
        self._store(data, slices, report, cached.encoded)


def _name(kind: type) -> str:
    return f'{kind.__module__}.{kind.__qualname__}'


def _distil(
    source: Source, options: dict[str, Any], selector: Selector
) -> tuple[Data, Slices, DistillationReport, Encoded]:
    """Selects what to keep, and says what was done."""
    start = perf_counter() - source.seconds
    with (
        source.ranks.share_errors('distilling'),
        Progress('Distilling', source.log) as progress,
    ):
        progress.stage('counting trees')
        statistics = collect_statistics(source, selector.needs)
        message = repetition_message(statistics)
        if message:
            warnings.warn(message, stacklevel=4)
        most = options['num_graphs']
        budget = Budget(
            statistics, options['budget'], most, options['class_weight']
        )
        progress.stage(f'selecting ({selector.name})')
        selected = selector(statistics, budget)
        progress.stage('compressing')
        encoded = encode(selected.graphs)
        num_graphs = len(selected.label)
        if (most is not None and num_graphs > most) or (
            not budget.is_default and encoded.num_bytes > budget.num_bytes
        ):
            raise ValueError(
                f'{selector.name!r} must not keep more than budget='
                f'{budget.budget} and num_graphs={most} allow (got '
                f'{encoded.num_bytes} bytes in {num_graphs} graphs); let it '
                f'return budget.fill(order)'
            )
        data, slices, num_nodes = _finish(
            selected.graphs,
            selected.graph_id,
            options,
            statistics.num_classes,
            statistics.class_sizes(),
        )
        progress.stage('counting shared trees')
        table = GraphTable.from_list([data])
        if slices is not None:
            table = GraphTable(data, slices, num_nodes)
        sizes = int(statistics.num_nodes.sum()), int(statistics.num_edges.sum())
        before = Size(statistics.num_graphs, *sizes, statistics.num_bytes)
        sizes = int(num_nodes.sum()), int(table.num_edges.sum())
        after = Size(len(table), *sizes, table.num_bytes)
        # Without loss, one would train on the graphs themselves instead.
        other = before if selected.selection == 'lossless' else after
        carried = {*FEATURES, *STRUCTURE}
        if isinstance(selected.graphs, TreeSets):
            carried |= {*selected.graphs.attributes}
        else:
            carried |= {*selected.graphs.keys}
        report = DistillationReport(
            options=options,
            num_classes=statistics.num_classes,
            num_trees=statistics.counts.num_trees(),
            classes=selected.classes,
            source=before,
            distilled=after,
            sharing=predict_sharing(
                table, statistics.num_layers, other.num_nodes, other.num_edges
            ),
            compressed_bytes=encoded.num_bytes,
            source_compressed_bytes=budget.measured_bytes,
            selection=selected.selection,
            scores=selected.scores,
            left_out=sorted(
                {*statistics.left_out} | {*statistics.attributes} - carried
            ),
            seconds=perf_counter() - start - source.seconds,
        )
        return data, slices, report, encoded


def _finish(
    graphs: GraphTable | TreeSets,
    graph_id: Tensor,
    options: dict[str, Any],
    num_classes: int,
    class_sizes: dict[int, int],
) -> tuple[Data, Slices, Tensor]:
    """Gives every item the same form, as a data set stores it."""
    table = graphs.to_table() if isinstance(graphs, TreeSets) else graphs
    label, num_nodes = table.label, table.num_nodes
    assert label is not None
    data, slices = table.collate()
    single = torch.arange(len(table) + 1)
    columns: dict[str, tuple[Tensor, Tensor]] = {}
    support = torch.ones_like(num_nodes)
    if isinstance(graphs, GraphTable):
        node_ptr = pointer(num_nodes)
        start = node_ptr[:-1].repeat_interleave(num_nodes)
        root = torch.arange(int(num_nodes.sum())) - start
        depth = torch.full_like(num_nodes, options['num_layers'])
        columns['root_index'] = root, node_ptr
        columns['root_count'] = torch.ones_like(root), node_ptr
        columns['num_layers'] = depth, single
        columns['support'] = support, single
    else:
        support = table.rows('support')
    target = torch.nn.functional.one_hot(label, num_classes).float()
    columns['target'] = target, single
    weight = sample_weights(
        support, label, class_sizes, options['class_weight']
    )
    columns['weight'] = weight, single
    columns['graph_id'] = graph_id, single
    for key, (value, ptr) in columns.items():
        data[key] = value.to(data.edge_index.device)
        if slices is not None:
            slices[key] = ptr
    return data, slices, num_nodes
