"""Source -> distilled graphs and a report of what was done."""

from collections.abc import Sequence
from time import perf_counter

from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from pyg_distill.datasets.checks import check_repetition
from pyg_distill.datasets.counting.census import Census
from pyg_distill.datasets.counting.frequent_trees import (
    FrequentTrees,
    join_trees,
)
from pyg_distill.datasets.counting.processes import Processes
from pyg_distill.datasets.counting.shard import Shard
from pyg_distill.datasets.lossless import select_lossless, summarise_lossless
from pyg_distill.datasets.materialising import (
    add_weights,
    materialise,
    split,
    to_cpu,
)
from pyg_distill.datasets.options import MirageOptions
from pyg_distill.datasets.patterns import select_patterns
from pyg_distill.datasets.report import DistillationReport, Size
from pyg_distill.datasets.selection import ClassSummary
from pyg_distill.datasets.sharing import graph_sizes, predict_sharing
from pyg_distill.datasets.thresholds import Thresholds
from pyg_distill.trees import Forest

Distilled = tuple[Data, dict[str, Tensor] | None, DistillationReport]


def distil(
    shard: Shard, options: MirageOptions, processes: Processes, log: bool
) -> Distilled | None:
    """Distils the graphs of all processes.

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
    start = perf_counter() - shard.seconds
    counting = 'counting trees'
    alone = processes.size == 1

    def take_census() -> Census | None:
        census = shard.census()
        return census if alone or census is None else census.cpu()

    by_rank = processes.gather(take_census, counting)
    census = processes.in_first(lambda: _merge(by_rank, options), counting)
    distil_all = _by_pattern if options.selection == 'patterns' else _lossless
    out = distil_all(shard, census, options, processes, log)

    def finish() -> Distilled | None:
        if out is None or census is None:
            return None
        graphs, classes = out
        sizes = {label: kept.num_graphs for label, kept in classes.items()}
        add_weights(graphs, sizes, options.balance)
        seconds = perf_counter() - start - shard.seconds
        data, slices = InMemoryDataset.collate(graphs)
        report = _report(data, slices, census, classes, options, seconds)
        return data, slices, report

    return processes.in_first(finish, 'putting all together')


def _report(
    data: Data,
    slices: dict[str, Tensor] | None,
    census: Census,
    classes: dict[int, ClassSummary],
    options: MirageOptions,
    seconds: float,
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
        seconds=seconds,
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


def _by_pattern(
    shard: Shard,
    census: Census | None,
    options: MirageOptions,
    processes: Processes,
    log: bool,
) -> tuple[list[Data], dict[int, ClassSummary]] | None:
    alone, doing = processes.size == 1, 'collecting trees'
    wanted = options.of_patterns

    def find_frequent() -> tuple[Thresholds, Tensor]:
        assert census is not None
        known = Thresholds.of(wanted.min_support, census.by_class())
        return known, census.counts.frequent(known.least)

    planned = processes.in_first(find_frequent, 'looking for frequent trees')
    key = processes.share(None if planned is None else planned[1], doing)

    def collect() -> FrequentTrees | None:
        found = shard.trees(key)
        return found if alone or found is None else found.cpu()

    by_rank = processes.gather(collect, doing)

    def mine() -> tuple[list[Data], dict[int, ClassSummary]]:
        assert census is not None
        assert planned is not None
        frequent = join_trees([part for part in by_rank if part is not None])
        chosen, classes = select_patterns(
            frequent, census.by_class(), planned[0], wanted, log
        )
        forest = Forest(frequent.graphs, options.num_layers, options.verify)
        graphs = materialise(forest, chosen, options.compact, census.y_dim)
        return graphs, classes

    return processes.in_first(mine, 'mining tree sets')


def _lossless(
    shard: Shard,
    census: Census | None,
    options: MirageOptions,
    processes: Processes,
    log: bool,
) -> tuple[list[Data], dict[int, ClassSummary]] | None:
    def build() -> list[Data]:
        out: list[Data] = []
        for part in shard.parts('Building trees'):
            chosen = select_lossless(part)
            y_dim = part.source.y_dim
            out += materialise(part.forest, chosen, options.compact, y_dim)
        return out

    doing = 'building trees'
    if processes.size == 1:
        graphs = build()
    else:

        def send() -> tuple | None:
            mine = build()
            return to_cpu(mine) if mine else None

        parts = processes.gather(send, doing)
        graphs = [data for part in parts if part for data in split(part)]
    if census is None:
        return None
    return graphs, summarise_lossless(census.by_class())


def _size(data: Data, slices: dict[str, Tensor] | None) -> Size:
    nodes, edges, _ = graph_sizes(data, slices)
    tensors = [v for v in data.to_dict().values() if isinstance(v, Tensor)]
    return Size(
        nodes.numel(),
        int(nodes.sum()),
        int(edges.sum()),
        sum(t.numel() * t.element_size() for t in tensors),
    )
