"""The paper's way: tree sets that are frequent in a class."""

from dataclasses import replace

from torch import Tensor
from torch_geometric.data import InMemoryDataset

from pyg_distill.datasets.counting.census import Census
from pyg_distill.datasets.counting.frequent_trees import (
    FrequentTrees,
    join_trees,
)
from pyg_distill.datasets.counting.processes import Processes
from pyg_distill.datasets.counting.shard import Shard
from pyg_distill.datasets.materialising import add_weights, materialise
from pyg_distill.datasets.options import MirageOptions, PatternOptions
from pyg_distill.datasets.packing.column import packed_bytes
from pyg_distill.datasets.packing.packed import pack
from pyg_distill.datasets.patterns import TooManyPatterns, select_patterns
from pyg_distill.datasets.selecting.room import NoRoom, Room
from pyg_distill.datasets.selection import Kept
from pyg_distill.datasets.thresholds import Thresholds
from pyg_distill.trees import Forest


def keep_patterns(
    shard: Shard,
    census: Census | None,
    options: MirageOptions,
    processes: Processes,
    log: bool,
    wanted: PatternOptions | None = None,
) -> Kept | None:
    """Mines the frequent tree sets of each class.

    Args:
        shard (Shard): The graphs of this process.
        census (Census, optional): What is known of all, in the first process.
        options (MirageOptions): What to keep.
        processes (Processes): Those that take part.
        log (bool): Whether to show progress if it takes long.
        wanted (PatternOptions, optional): Which sets, if not those of
            :obj:`options`; then too many of them are no error.
            (default: :obj:`None`)

    Returns:
        tuple: The tree sets and what was kept of each class, in the first
        process; :obj:`None` in all others, or if there are too many.

    Raises:
        ValueError: If there are none, or too many.
    """
    alone, doing = processes.size == 1, 'collecting trees'
    asked = wanted or options.of_patterns

    def find_frequent() -> tuple[Thresholds, Tensor]:
        assert census is not None
        assert asked.min_support is not None
        known = Thresholds.of(asked.min_support, census.by_class())
        return known, census.counts.frequent(known.least)

    planned = processes.in_first(find_frequent, 'looking for frequent trees')
    key = processes.share(None if planned is None else planned[1], doing)

    def collect() -> FrequentTrees | None:
        found = shard.trees(key)
        return found if alone or found is None else found.cpu()

    by_rank = processes.gather(collect, doing)

    def mine() -> Kept | None:
        assert census is not None
        assert planned is not None
        frequent = join_trees([part for part in by_rank if part is not None])
        try:
            chosen, classes = select_patterns(
                frequent, census.by_class(), planned[0], asked, log
            )
        except TooManyPatterns:
            if wanted is None:
                raise
            return None
        forest = Forest(frequent.graphs, options.num_layers, options.verify)
        graphs = materialise(forest, chosen, options.compact, census.y_dim)
        return graphs, classes

    return processes.in_first(mine, 'mining tree sets')


def fill_with_patterns(
    shard: Shard,
    census: Census | None,
    room: Room,
    options: MirageOptions,
    processes: Processes,
    log: bool,
) -> Kept | None:
    """Finds the smallest support whose tree sets there is room for.

    Supports are the same share of every class, as far as its trees reach it.

    Args:
        shard (Shard): The graphs of this process.
        census (Census, optional): What is known of all, in the first process.
        room (Room): What there is to fill.
        options (MirageOptions): What to keep.
        processes (Processes): Those that take part.
        log (bool): Whether to show progress if it takes long.

    Returns:
        tuple: What :meth:`keep_patterns` returns.

    Raises:
        ValueError: If there is no room for the most frequent tree sets.
    """
    doing = 'looking for a support'
    share = processes.in_first(lambda: census and _highest(census), doing)
    high = processes.share(share, doing)
    kept, num_bytes = _try(shard, census, high, options, processes, log)
    if num_bytes == float('inf'):
        raise NoRoom(
            f"'max_patterns' is too low even for the most frequent tree sets "
            f'of a class (got {options.of_patterns.max_patterns}); raise it, '
            f"or pass patterns='maximal' or max_size"
        )
    if num_bytes > room.num_bytes:
        what = 'the most frequent tree sets of each class'
        raise room.too_small(int(num_bytes), what)
    # Low supports take long, so they are tried only if higher ones fit.
    low = 0
    while high - low > 1:
        new = max(low + 1, high // 2) if low == 0 else (low + high) // 2
        tried = _try(shard, census, new, options, processes, log)
        if tried[1] <= room.num_bytes:
            high, kept = new, tried[0]
        else:
            low = new
    return kept


def _try(
    shard: Shard,
    census: Census | None,
    support: int,
    options: MirageOptions,
    processes: Processes,
    log: bool,
) -> tuple[Kept | None, float]:
    """The tree sets of a support, and their bytes when packed."""
    doing = 'looking for a support'

    def by_class() -> PatternOptions:
        assert census is not None
        known = census.by_class()
        most = max(c.num_graphs for c in known.values())
        least = {
            label: min(c.best_support, -(-support * c.num_graphs // most))
            for label, c in known.items()
        }
        return replace(options.of_patterns, min_support=least)

    wanted = processes.share(processes.in_first(by_class, doing), doing)
    kept = keep_patterns(shard, census, options, processes, log, wanted)

    def measure() -> float:
        if kept is None or census is None:
            return float('inf')
        sizes, balance = census.sizes(), options.balance
        add_weights(kept[0], sizes, balance)
        data, slices = InMemoryDataset.collate(kept[0])
        return packed_bytes(pack(data, slices, None, balance, sizes))

    measured = processes.in_first(measure, doing)
    return kept, processes.share(measured, doing)


def _highest(census: Census) -> int:
    """The highest support that trees of any class reach, in the largest."""
    known = census.by_class()
    for label, one in known.items():
        if one.best_support == 0:
            raise NoRoom(
                f"selection='patterns' needs trees of every class (got no "
                f'nodes in the {one.num_graphs} graphs of class {label}); '
                f"leave the class out, or pass selection='graphs'"
            )
    most = max(c.num_graphs for c in known.values())
    return max(
        -(-c.best_support * most // c.num_graphs) for c in known.values()
    )
