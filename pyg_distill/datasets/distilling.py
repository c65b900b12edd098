"""Source -> distilled graphs and a report of what was done."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import NamedTuple

from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from pyg_distill.datasets.checks import check_repetition
from pyg_distill.datasets.counting.census import Census
from pyg_distill.datasets.counting.processes import Processes
from pyg_distill.datasets.counting.shard import Shard
from pyg_distill.datasets.materialising import add_graph_weights, add_weights
from pyg_distill.datasets.options import MirageOptions
from pyg_distill.datasets.packing.column import Packed, packed_bytes
from pyg_distill.datasets.packing.packed import pack, unpack
from pyg_distill.datasets.progress import Progress
from pyg_distill.datasets.report import DistillationReport, Size
from pyg_distill.datasets.selecting.by_graph import keep_graphs
from pyg_distill.datasets.selecting.by_judgement import Choice, keep_best
from pyg_distill.datasets.selecting.by_multiset import keep_multisets
from pyg_distill.datasets.selecting.by_pattern import (
    fill_with_patterns,
    keep_patterns,
)
from pyg_distill.datasets.selecting.everything import keep_everything
from pyg_distill.datasets.selecting.room import Room
from pyg_distill.datasets.selection import ClassSummary
from pyg_distill.datasets.sharing import graph_sizes, predict_sharing


class Distilled(NamedTuple):
    """The distilled graphs, and what was done.

    Attributes:
        data: The graphs, collated.
        slices: Where each of them begins.
        report: What was done.
        packed: The same graphs, to be stored.
    """

    data: Data
    slices: dict[str, Tensor] | None
    report: DistillationReport
    packed: Packed


def distil(
    shard: Shard, options: MirageOptions, processes: Processes, log: bool
) -> Distilled | None:
    """Distils the graphs of all processes, and tells how far it is.

    Args:
        shard (Shard): The graphs of this process.
        options (MirageOptions): What to keep.
        processes (Processes): Those that take part.
        log (bool): Whether to show progress if it takes long.

    Returns:
        tuple: The distilled graphs, collated, where each begins, and what was
        done, in the first process; :obj:`None` in all others.

    Raises:
        RuntimeError: If another process failed.
        ValueError: If the source or the options leave nothing to keep, or too
            much.
    """
    with Progress('Distilling', log and processes.is_first) as progress:
        return _distil(shard, options, processes, progress, log)


def _distil(
    shard: Shard,
    options: MirageOptions,
    processes: Processes,
    progress: Progress,
    log: bool,
) -> Distilled | None:
    start = perf_counter() - shard.seconds
    progress.stage('measuring the source')
    counting = 'counting trees'
    alone = processes.size == 1
    room = None
    if options.selection != 'lossless' and not options.has_support:
        room = Room.of(options.size, shard, processes)

    def take_census() -> Census | None:
        census = shard.census()
        return census if alone or census is None else census.cpu()

    progress.stage(counting)
    by_rank = processes.gather(take_census, counting)
    census = processes.in_first(lambda: _merge(by_rank, options), counting)
    progress.stage('choosing what to keep')
    choice = _keep(shard, census, room, options, processes, progress.stage, log)

    def finish() -> Distilled | None:
        if choice is None or census is None:
            return None
        progress.stage('packing')
        graphs, classes = choice.kept
        sizes, balance = census.sizes(), options.balance
        if choice.selection == 'graphs':
            # Read again, as edges are in another order then.
            packed = pack(*InMemoryDataset.collate(graphs))
            whole = unpack(packed)
            data, slices = add_graph_weights(whole, sizes, balance)
        else:
            add_weights(graphs, sizes, balance)
            data, slices = InMemoryDataset.collate(graphs)
            packed = pack(data, slices, None, balance, sizes)
        seconds = perf_counter() - start - shard.seconds
        progress.stage('counting shared trees')
        report = _report(data, slices, census, classes, options)
        report = replace(
            report,
            selection=choice.selection,
            scores=choice.scores,
            packed_bytes=packed_bytes(packed),
            source_packed_bytes=None if room is None else room.source_bytes,
            seconds=seconds,
        )
        return Distilled(data, slices, report, packed)

    return processes.in_first(finish, 'putting all together')


def _keep(
    shard: Shard,
    census: Census | None,
    room: Room | None,
    options: MirageOptions,
    processes: Processes,
    stage: Callable[[str], None],
    log: bool,
) -> Choice | None:
    selection, kept = str(options.selection), None
    if selection == 'lossless':
        kept = keep_everything(shard, census, options, processes)
    elif room is None:
        kept = keep_patterns(shard, census, options, processes, log)
    elif selection == 'auto':
        return keep_best(shard, census, room, options, processes, log, stage)
    elif selection == 'graphs':
        kept = keep_graphs(shard, census, room, processes)
    elif selection == 'multisets':
        num_trees = options.size.num_trees
        kept = keep_multisets(
            shard, census, room, num_trees, options, processes
        )
    else:
        kept = fill_with_patterns(shard, census, room, options, processes, log)
    return None if kept is None else Choice(kept, selection)


def _report(
    data: Data,
    slices: dict[str, Tensor] | None,
    census: Census,
    classes: dict[int, ClassSummary],
    options: MirageOptions,
) -> DistillationReport:
    source = Size(
        census.num_graphs, census.num_nodes, census.num_edges, census.num_bytes
    )
    distilled = _size(data, slices)
    # Without loss, the graphs themselves are what one would train on instead.
    other = source if options.selection == 'lossless' else distilled
    return DistillationReport(
        options=options.to_dict(),
        num_classes=census.num_classes,
        num_trees=census.counts.num_trees(),
        classes=classes,
        source=source,
        distilled=distilled,
        sharing=predict_sharing(
            data, slices, options.num_layers, other.num_nodes, other.num_edges
        ),
        left_out=sorted(
            {*census.left_out, *census.attributes} - {*data.keys()}
        ),
    )


def _merge(by_rank: Sequence[Census | None], options: MirageOptions) -> Census:
    counted = [census for census in by_rank if census is not None]
    if not counted:
        raise ValueError(
            "'MirageDataset' expects at least one graph (got none in all "
            'chunks); check the split'
        )
    census = Census.merge(counted)
    refuse = options.selection == 'patterns'
    check_repetition(census, options.num_layers, refuse)
    return census


def _size(data: Data, slices: dict[str, Tensor] | None) -> Size:
    nodes, edges, _ = graph_sizes(data, slices)
    tensors = [v for v in data.to_dict().values() if isinstance(v, Tensor)]
    return Size(
        nodes.numel(),
        int(nodes.sum()),
        int(edges.sum()),
        sum(t.numel() * t.element_size() for t in tensors),
    )
