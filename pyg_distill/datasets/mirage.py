"""Data set -> distilled data set."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from typing import Any

from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.data.dataset import Dataset
from torch_geometric.io import fs

from pyg_distill.datasets.cache import check_writable, restore, store
from pyg_distill.datasets.counting.processes import Processes
from pyg_distill.datasets.counting.shard import Shard
from pyg_distill.datasets.describing import describe
from pyg_distill.datasets.distilling import distil
from pyg_distill.datasets.options import (
    MirageOptions,
    PatternOptions,
    SizeOptions,
    Support,
)
from pyg_distill.datasets.progress import Progress
from pyg_distill.datasets.report import DistillationReport
from pyg_distill.datasets.structure import check_structure, check_transform

# Part of every digest: raise it when the same options give other tensors.
_FORMAT = 7


class MirageDataset(InMemoryDataset):
    r"""A graph classification data set, distilled to computation trees.

    Message passing networks see a graph as the multiset of its nodes'
    :math:`L`-hop computation trees. Few of these trees are frequent, and they
    stand for the data set (Gupta et al., `"Mirage: Model-Agnostic Graph
    Distillation for Graph Classification"
    <https://arxiv.org/abs/2310.09486>`_, ICLR 2024). No network is trained.

    What is kept is up to :obj:`selection`. By default, the budget is filled
    in three ways: with graphs of each class whose trees are on average those
    of their class, compared in two ways, and with the paper's sets of trees
    that many graphs of a class hold (:meth:`paper`). A judge compares them:
    ridge regressions on random features of trees, summed and averaged, are
    fitted to the labels of each result, in closed form, and tested on graphs
    of the source. The first is kept unless another one's mean ROC-AUC is more
    than 0.03 ahead.
    :obj:`report.selection` and :obj:`report.scores` tell the outcome.

    The result are thus whole graphs, or tree sets in the form of
    :class:`~pyg_distill.transforms.ToComputationTrees`, of which only the
    roots are pooled. Both have :obj:`y` (the class, in the shape of the
    source), :obj:`support` of shape :obj:`[1]` (the number of source graphs
    that hold the set) and :obj:`weight` of shape :obj:`[1]` (the support,
    scaled to mean 1; see :obj:`balance`).
    :meth:`~pyg_distill.nn.global_root_pool` pools both, and the graphs of any
    other data set:

    .. code-block:: python

        train = MirageDataset(dataset[train_idx], num_layers=3, budget=0.02)
        print(train.report)
        for data in DataLoader(train, batch_size=64, shuffle=True):
            x = gnn(data.x, data.edge_index)
            roots = data.get('root_index'), data.get('root_count')
            out = head(global_root_pool(x, data.batch, *roots))
            loss = F.cross_entropy(out, data.y, reduction='none')
            loss = (loss * data.weight).mean()

    Args:
        source (Dataset or iterable): The graphs to distil: a data set, a
            slice of one (nothing outside of it is read), a list of
            :class:`~torch_geometric.data.Data`, or a
            :class:`~torch.utils.data.Subset` or
            :class:`~torch.utils.data.ConcatDataset` of these. What need not
            fit into memory is read several times, a chunk at a time: any
            :class:`~torch_geometric.data.Dataset` that is not in memory, such
            as :class:`~torch_geometric.data.OnDiskDataset`, a list of data
            sets, or an iterable of graphs, of lists of them or of the
            mini-batches of a :class:`~torch_geometric.loader.DataLoader`.
        num_layers (int): The depth :math:`L` of the trees, the number of
            message passing layers of the models that will be trained (one
            more for :class:`~torch_geometric.nn.conv.GCNConv`).
        min_support (float or int or dict, optional): How many graphs of a
            class must hold a tree set: a share in :obj:`(0, 1]`, a count
            (:obj:`1` is one graph, :obj:`1.0` is all), or a dictionary with
            either for each class. It selects :obj:`"patterns"`, for which its
            default is :obj:`0.1`. (default: :obj:`None`)
        selection (str, optional): What to keep:

            - :obj:`"auto"`, what a judge likes best of :obj:`"patterns"` and
              :obj:`"graphs"`, herded in two ways,
            - :obj:`"graphs"`, some graphs as they are, which are ordinary
              graphs without roots: those whose mean is near to that of their
              class (herding), as compared by how many nodes have each tree
              and by which share of them,
            - :obj:`"multisets"`, the trees of some graphs, herded, too, after
              rare trees were replaced by the nearest one of a vocabulary (as
              compared by their histograms of labels hop by hop),
            - :obj:`"patterns"`, the frequent tree sets of each class, as the
              paper does,
            - :obj:`"lossless"`, all trees of all graphs with their number.

            By default, :obj:`"patterns"` if one of its options is given,
            :obj:`"multisets"` if :obj:`num_trees` or :obj:`compact` is, else
            :obj:`"auto"`. (default: :obj:`None`)
        budget (float or int, optional): The size of the result when packed
            (see :obj:`report.packed_bytes`), as a share of that of the source
            in :obj:`(0, 1]` (a :obj:`float`, for sources in memory) or in
            bytes (an :obj:`int`). It decides on the number of graphs and on
            the size of the vocabulary, or on the smallest support. By
            default, :obj:`0.1` if nothing else says how much to keep.
            (default: :obj:`None`)
        num_graphs (int, optional): The number of graphs to keep, if not as
            :obj:`"patterns"`. (default: :obj:`None`)
        num_trees (int, optional): The size of the vocabulary of
            :obj:`"multisets"`. By default, what fits into 15 % of the budget,
            or :obj:`400` without one. (default: :obj:`None`)
        patterns (str, optional): Which frequent tree sets: :obj:`"closed"`
            (those without a superset of the same support, which lose no
            support), :obj:`"maximal"` (those without a frequent superset) or
            :obj:`"all"` (the paper's). (default: :obj:`"closed"`)
        shared (str, optional): Whether to :obj:`"keep"` or to :obj:`"drop"`
            tree sets that are frequent in several classes.
            (default: :obj:`"keep"`)
        root_count (str, optional): How often each tree of a set counts:
            :obj:`"mean"`, the rounded mean over the graphs that hold the set,
            or :obj:`"one"` (the paper's). (default: :obj:`"mean"`)
        max_patterns (int, optional): The number of tree sets of a class above
            which an error names the support that would fit.
            (default: :obj:`10_000`)
        max_size (int, optional): If set, leaves out sets of more trees.
            (default: :obj:`None`)
        balance (str, optional): What the weights of a class sum to:
            :obj:`"source"`, its share of the source graphs,
            :obj:`"uniform"`, the same for all, or :obj:`"none"`, the sum of
            its supports. (default: :obj:`"source"`)
        compact (bool, optional): If set to :obj:`False`, trees are unrolled
            instead of sharing equal subtrees. (default: :obj:`True`)
        exclude_keys (list, optional): Names of attributes of the source that
            are left out; those of nodes and edges other than :obj:`x`,
            :obj:`edge_attr` and :obj:`edge_weight` must be, and so must those
            that are named as one of the result. (default: :obj:`None`)
        verify (bool, optional): If set to :obj:`True`, compares trees exactly
            and not only by their 128-bit keys. (default: :obj:`False`)
        root (str, optional): The folder where the result is cached, under a
            name that depends on every option and on the source's content.
            Without, it is kept in memory. (default: :obj:`None`)
        source_id (str, optional): A name for the content of the source, which
            is then not read if there is a cache. (default: :obj:`None`)
        transform (callable, optional): A transform of every access. Where
            tree sets are kept, it must not change edges or the number of
            nodes, which is checked every time, nor compute with edges.
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
            group, or another process failed; then nothing is written.
        TypeError: If :obj:`source` is no collection of homogeneous graphs.
        ValueError: If the graphs, their labels or an option do not fit, a
            class has no frequent tree set or too many, or :obj:`root` cannot
            be written or holds a broken file.
    """

    _data: Data
    slices: dict[str, Tensor] | None
    #: What distilling did, in numbers.
    report: DistillationReport

    def __init__(
        self,
        source: Dataset | Iterable[Any],
        num_layers: int,
        min_support: Support | None = None,
        selection: str | None = None,
        budget: float | int | None = None,
        num_graphs: int | None = None,
        num_trees: int | None = None,
        patterns: str = 'closed',
        shared: str = 'keep',
        root_count: str = 'mean',
        max_patterns: int | None = 10_000,
        max_size: int | None = None,
        balance: str = 'source',
        compact: bool = True,
        exclude_keys: Sequence[str] | None = None,
        verify: bool = False,
        root: str | None = None,
        source_id: str | None = None,
        transform: Callable | None = None,
        force_reload: bool = False,
        distributed: bool = False,
        log: bool = True,
    ) -> None:
        processes = Processes(distributed)

        def read_options() -> dict[str, Any]:
            if isinstance(source, str | PathLike):
                raise TypeError(
                    f"'{self.__class__.__name__}' expects the source first "
                    f"(got '{type(source).__name__}'); pass the folder as "
                    f'root=...'
                )
            self._options = MirageOptions(
                num_layers,
                selection,
                SizeOptions(budget, num_graphs, num_trees),
                PatternOptions(
                    min_support,
                    patterns,
                    shared,
                    root_count,
                    max_patterns,
                    max_size,
                ),
                balance,
                compact,
                exclude_keys,
                verify,
            )
            if source_id is not None and root is None:
                raise ValueError(
                    f"'source_id' names the source of a cache, which needs a "
                    f'root (got source_id={source_id!r} and root=None); pass '
                    f'root=..., or leave source_id out'
                )
            if self._options.keeps_trees:
                check_transform(transform)
            return self._options.to_dict() | {
                'root': None if root is None else str(root),
                'source_id': source_id,
                'force_reload': force_reload,
            }

        processes.check_alike(read_options)
        super().__init__(root, transform, log=log, force_reload=force_reload)
        # PyG's own `root` is a folder even if none was given.
        found = self._obtain(source, source_id, root is not None, processes)
        self._data, self.slices, self.report = found
        if self._has_trees:
            check_transform(transform)

    @classmethod
    def paper(
        cls,
        source: Dataset | Iterable[Any],
        num_layers: int,
        min_support: Support,
        **kwargs: Any,
    ) -> 'MirageDataset':
        r"""Distils as the paper describes it (Section 3.2), for comparison.

        All frequent tree sets are kept, not only closed ones, each tree counts
        once, trees are unrolled, and sets weigh as much as their support.

        Args:
            source (Dataset or list): The graphs to distil.
            num_layers (int): The depth :math:`L` of the trees.
            min_support (float or int or dict): How many graphs of a class must
                hold a tree set, for which the paper has no default.
            **kwargs (optional): Further arguments of the class, such as
                :obj:`shared="drop"` for what the released scripts do on NCI1,
                IMDB-BINARY and ogbg-molbbbp.
        """
        options: dict[str, Any] = {
            'patterns': 'all',
            'root_count': 'one',
            'balance': 'none',
            'compact': False,
        }
        return cls(source, num_layers, min_support, **(options | kwargs))

    @property
    def processed_file_names(self) -> list[str]:
        """The names of the tensors and of the report."""
        name = f'mirage_{self._digest}'
        return [f'{name}.pt', f'{name}.json']

    @property
    def num_classes(self) -> int:
        """The number of classes of the source."""
        return self.report.num_classes

    def __getitem__(self, idx: Any) -> Any:
        out = super().__getitem__(idx)
        is_graph = not isinstance(out, Dataset)
        if is_graph and self.transform is not None and self._has_trees:
            check_transform(self.transform)
            before = self.get(self.indices()[idx])
            for view in out if isinstance(out, tuple | list) else (out,):
                check_structure(before, view)
        return out

    def __repr__(self) -> str:
        return describe(self, self.report)

    @property
    def _has_trees(self) -> bool:
        # What a judge kept is known only now.
        return 'root_index' in self._data

    def _obtain(
        self,
        source: Any,
        source_id: str | None,
        has_cache: bool,
        processes: Processes,
    ) -> tuple[Data, dict[str, Tensor] | None, DistillationReport]:
        shard = Shard(
            source,
            self._options,
            self.__class__.__name__,
            self.log and processes.is_first,
            may_be_empty=processes.size > 1,
        )

        if not has_cache:
            self._digest = self._digest_of('in memory')
            result = distil(shard, self._options, processes, self.log)
            made = None if result is None else result[:3]
            return processes.share(made, 'sharing the result')

        content = f'given {source_id}'
        if source_id is None:
            with self._progress('Reading the source', processes):
                by_rank = processes.gather(shard.digest, 'reading its shard')
            content = processes.share(' '.join(by_rank), 'naming the cache')
        self._digest = self._digest_of(content)
        paths = self.processed_paths

        def is_missing() -> bool:
            if self.force_reload or not all(map(fs.exists, paths)):
                check_writable(self.processed_dir)
                return True
            return False

        missing = processes.in_first(is_missing, 'looking for a cache')
        if processes.share(missing, 'looking for a cache'):
            result = distil(shard, self._options, processes, self.log)

            def write() -> None:
                if result is not None:
                    store(result.packed, result.report, paths)

            processes.in_first(write, 'writing the cache')
        with self._progress('Reading the cache', processes):
            restored = processes.in_first(
                lambda: restore(paths), 'reading the cache'
            )
        return processes.share(restored, 'sharing the result')

    def _progress(self, what: str, processes: Processes) -> Progress:
        return Progress(what, self.log and processes.is_first)

    def _digest_of(self, content: str) -> str:
        named = {
            'format': _FORMAT,
            'source': content,
            **self._options.to_dict(),
        }
        text = json.dumps(named, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
