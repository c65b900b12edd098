"""Data set -> some of its graphs."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.data.dataset import Dataset

from pyg_distill.datasets.coresets.gathering import Collated, gather
from pyg_distill.datasets.coresets.options import CoresetOptions, Embedding
from pyg_distill.datasets.coresets.picking import pick
from pyg_distill.datasets.coresets.report import CoresetReport
from pyg_distill.datasets.describing import describe
from pyg_distill.datasets.packing.column import packed_bytes
from pyg_distill.datasets.packing.packed import pack
from pyg_distill.datasets.progress import Progress
from pyg_distill.datasets.reading.chunks import open_chunks
from pyg_distill.datasets.reading.source import Source, read_source
from pyg_distill.datasets.report import Size
from pyg_distill.datasets.weights import sample_weights
from pyg_distill.transforms.own_names import refuse_own_names


class CoresetDataset(InMemoryDataset):
    r"""Some graphs of a graph classification data set, as they are.

    What a distilled data set has to beat: a coreset that is drawn at random,
    or whose graphs are chosen by their embeddings, or all graphs. Classes have
    the shares that they have in the source (and one graph at least), and each
    class is picked by itself.

    Graphs are those of the source with, in addition, :obj:`weight` of shape
    :obj:`[1]`, which makes up for what rounding does to the shares, so that
    the training loop of :class:`MirageDataset` needs no change:

    .. code-block:: python

        train = CoresetDataset(dataset[train_idx], 'herding', budget=0.02)
        print(train.report)
        for data in DataLoader(train, batch_size=64, shuffle=True):
            x = gnn(data.x, data.edge_index)
            out = head(global_add_pool(x, data.batch))
            loss = F.cross_entropy(out, data.y, reduction='none')
            loss = (loss * data.weight).mean()

    Args:
        source (Dataset or iterable): The graphs, as for
            :class:`MirageDataset`; nothing outside of a split is read. All of
            them are held in memory.
        method (str, optional): Which graphs to keep: drawn at
            :obj:`"random"`; by :obj:`"herding"`, those whose mean embedding
            is nearest to that of all graphs of the class (see Welling,
            `"Herding Dynamical Weights to Learn"
            <https://doi.org/10.1145/1553374.1553517>`_, ICML 2009); by
            :obj:`"k_center"`, those that leave no graph of the class far from
            all of them (see Sener and Savarese, `"Active Learning for
            Convolutional Neural Networks" <https://arxiv.org/abs/1708.00489>`_,
            ICLR 2018); or all, for :obj:`"full"`. (default: :obj:`"random"`)
        budget (float or int, optional): The size of the result in bytes (an
            :obj:`int`), or as a share of the source's in :obj:`(0, 1]` (a
            :obj:`float`), which is filled but not exceeded. Either this or
            :obj:`num_graphs` is needed. (default: :obj:`None`)
        num_graphs (int, optional): The number of graphs to keep.
            (default: :obj:`None`)
        embedding (str or torch.Tensor or callable, optional): What herding
            and k-center compare: how often each computation tree occurs in
            the graph, for :obj:`"trees"`, which needs no training; a tensor
            of shape :obj:`[num_graphs, D]`; or a function that makes such a
            tensor of the source. For the embeddings of a trained model, see
            :meth:`~pyg_distill.evaluation.model_embeddings`.
            (default: :obj:`"trees"`)
        num_layers (int, optional): The depth of these trees.
            (default: :obj:`2`)
        depths (str, optional): Whether trees of :obj:`"all"` depths are
            counted, or those of the :obj:`"last"` one.
            (default: :obj:`"all"`)
        normalize (str, optional): What becomes of their numbers:
            :obj:`"hellinger"`, the square roots of shares, :obj:`"none"`,
            where the few trees that are everywhere decide all, :obj:`"sqrt"`
            or :obj:`"l2"`; see :meth:`~pyg_distill.trees.tree_histograms`.
            (default: :obj:`"hellinger"`)
        seed (int, optional): The seed of a random draw. (default: :obj:`0`)
        balance (str, optional): What the weights of a class sum to:
            :obj:`"source"`, its share of the source graphs,
            :obj:`"uniform"`, the same for all, or :obj:`"none"`, its share of
            the graphs kept. (default: :obj:`"source"`)
        exclude_keys (list, optional): Names of attributes of the source that
            are left out. (default: :obj:`None`)
        transform (callable, optional): A transform of every access.
            (default: :obj:`None`)
        log (bool, optional): Whether to show progress if it takes long.
            (default: :obj:`True`)

    Attributes:
        source_index (torch.Tensor): The place in the source of each graph,
            of shape :obj:`[num_graphs]`: class by class, and within a class
            in the order in which they were picked.
        report (CoresetReport): What was kept, in numbers.

    Raises:
        TypeError: If :obj:`source` is no collection of homogeneous graphs.
        ValueError: If the graphs, their labels or an option do not fit, or
            there is not room for one graph a class; then the message names
            the smallest budget that works.
    """

    _data: Data
    slices: dict[str, Tensor] | None

    def __init__(
        self,
        source: Dataset | Iterable[Any],
        method: str = 'random',
        budget: float | int | None = None,
        num_graphs: int | None = None,
        embedding: Embedding = 'trees',
        num_layers: int = 2,
        depths: str = 'all',
        normalize: str = 'hellinger',
        seed: int = 0,
        balance: str = 'source',
        exclude_keys: Sequence[str] | None = None,
        transform: Callable | None = None,
        log: bool = True,
    ) -> None:
        owner = self.__class__.__name__
        if isinstance(source, str | PathLike):
            raise TypeError(
                f"'{owner}' expects the source first (got "
                f"'{type(source).__name__}'); pass a data set or a list of "
                f'graphs'
            )
        options = CoresetOptions(
            method,
            budget,
            num_graphs,
            embedding,
            num_layers,
            depths,
            normalize,
            seed,
            balance,
            exclude_keys,
        )
        super().__init__(None, transform, log=log)
        with Progress(f'Picking graphs ({method})', log) as progress:
            self._pick(source, options, progress, log)

    def _pick(
        self,
        source: Any,
        options: CoresetOptions,
        progress: Progress,
        log: bool,
    ) -> None:
        owner = self.__class__.__name__
        progress.stage('reading the source')
        read, given = _read(source, options, owner, log)
        refuse_own_names(read.attributes, ['weight'], owner)
        start = perf_counter()
        label = read.label.cpu()
        present, count = label.unique(return_counts=True)
        sizes = dict(zip(present.tolist(), count.tolist(), strict=True))

        progress.stage('measuring the source')
        everything = gather(read, torch.arange(label.numel()))
        is_full = options.method == 'full'
        is_share = is_full or isinstance(options.budget, float)
        total = _packed(everything) if is_share else None
        progress.stage('choosing graphs')
        index = pick(read, given, options, partial(_packed, everything), total)
        weight = sample_weights(
            torch.ones_like(index), label[index], sizes, options.balance
        )
        self.source_index = index
        self._data, self.slices = gather(read, index, weight)
        kept = label[index].bincount(minlength=int(present[-1]) + 1).tolist()
        progress.stage('measuring what is kept')
        self.report = CoresetReport(
            options=options.to_dict(),
            num_classes=read.num_classes,
            classes={c: (sizes[c], kept[c]) for c in sizes},
            source=_size(*everything),
            distilled=_size(self._data, self.slices),
            source_packed_bytes=total,
            packed_bytes=_packed(everything, index),
            left_out=read.left_out,
            seconds=perf_counter() - start,
        )

    @property
    def num_classes(self) -> int:
        """The number of classes of the source."""
        return self.report.num_classes

    def __repr__(self) -> str:
        return describe(self, self.report)


def _read(
    source: Any, options: CoresetOptions, owner: str, log: bool
) -> tuple[Source, Any]:
    exclude_keys = options.exclude_keys or []
    chunks = open_chunks(source, owner)
    if chunks.is_whole:
        given = chunks.source
        return read_source(given, exclude_keys, owner, log), given
    given, num_classes = [], 0
    for chunk, known in chunks:
        given += list(chunk)
        num_classes = max(num_classes, known)
    read = read_source(given, exclude_keys, owner, log)
    num_classes = max(num_classes, read.num_classes)
    return replace(read, num_classes=num_classes), given


def _packed(graphs: Collated, index: Tensor | None = None) -> int:
    # Without weights, which follow from the labels and the sizes of classes.
    return packed_bytes(pack(*graphs, index))


def _size(data: Data, slices: dict[str, Tensor] | None) -> Size:
    tensors = [v for v in data.to_dict().values() if isinstance(v, Tensor)]
    return Size(
        num_graphs=data.y.numel(),
        num_nodes=data.num_nodes or 0,
        num_edges=data.num_edges,
        num_bytes=sum(t.numel() * t.element_size() for t in tensors),
    )
