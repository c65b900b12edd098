"""Several ways to fill a budget, of which the best one is kept."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from torch import Tensor
from torch_geometric.data import Data

from pyg_distill.datasets.coresets.random_order import random_order
from pyg_distill.datasets.counting.census import Census
from pyg_distill.datasets.counting.processes import Processes
from pyg_distill.datasets.counting.shard import Shard
from pyg_distill.datasets.options import MirageOptions
from pyg_distill.datasets.selecting.by_graph import (
    BY_BOTH,
    BY_SHARE,
    keep_graphs,
)
from pyg_distill.datasets.selecting.by_pattern import fill_with_patterns
from pyg_distill.datasets.selecting.fetching import GraphStore
from pyg_distill.datasets.selecting.judging import Judge
from pyg_distill.datasets.selecting.room import NoRoom, Room
from pyg_distill.datasets.selection import Kept

# What is read of the source to judge with.
MAX_GRAPHS, MAX_NODES = 4096, 200_000
# By how much one has to be ahead of those before it, since scores are as
# random as features are.
MARGIN = 0.03


@dataclass(frozen=True)
class Choice:
    """What was kept, and which way it was found.

    Attributes:
        kept: The graphs, and what was kept of each class.
        selection: The way.
        scores: What the results of all ways that there is room for are worth
            to the judge, if there were several.
    """

    kept: Kept
    selection: str
    scores: dict[str, float] = field(default_factory=dict)


def keep_best(
    shard: Shard,
    census: Census | None,
    room: Room,
    options: MirageOptions,
    processes: Processes,
    log: bool,
    stage: Callable[[str], None],
) -> Choice | None:
    """Fills the room in several ways, and keeps what the judge likes best.

    The first way is kept unless another one is clearly better.

    Args:
        shard (Shard): The graphs of this process.
        census (Census, optional): What is known of all, in the first process.
        room (Room): What there is to fill.
        options (MirageOptions): What else is asked for.
        processes (Processes): Those that take part.
        log (bool): Whether to show progress if it takes long.
        stage (callable): Is told what is being done.

    Returns:
        Choice: What was kept and how, in the first process; :obj:`None` in
        all others.

    Raises:
        ValueError: If there is no room for any of them.
    """
    ways: dict[str, Callable[[], Kept | None]] = {
        name: partial(keep_graphs, shard, census, room, processes, rows)
        for name, rows in (('graphs by share', BY_SHARE), ('graphs', BY_BOTH))
    }
    if options.size.num_graphs is None:
        ways['patterns'] = partial(
            fill_with_patterns, shard, census, room, options, processes, log
        )
    stage('reading graphs to judge with')
    judge = _appoint(shard, census, options, processes)
    scores: dict[str, float] = {}
    best, highest, errors = None, 0.0, []
    for name, fill in ways.items():
        stage(f'trying {name}')
        try:
            kept = fill()
        except NoRoom as error:
            errors.append(error)
            continue

        def judged(kept: Kept | None = kept) -> float:
            assert judge is not None
            assert kept is not None
            return judge(kept[0])

        score = processes.in_first(judged, 'judging what is kept')
        if score is not None and kept is not None:
            scores[name] = score
            if best is None or score > highest + MARGIN:
                best = Choice(kept, name.split()[0], scores)
                highest = score
    if len(errors) == len(ways):
        raise min(errors, key=lambda error: error.least)
    return best


def _appoint(
    shard: Shard,
    census: Census | None,
    options: MirageOptions,
    processes: Processes,
) -> Judge | None:
    def count() -> int:
        mine = shard.census()
        return 0 if mine is None else mine.num_graphs

    doing = 'reading graphs to judge with'
    store = GraphStore(shard, processes, processes.gather(count, doing))

    def appoint() -> Judge:
        assert census is not None
        graphs: list[Data] = store.take(_sample(census))
        return Judge(
            graphs, options.num_layers, census.sizes(), options.balance
        )

    return store.ask(appoint, doing)


def _sample(census: Census) -> Tensor:
    """As many graphs as may be read, ascending."""
    num_graphs = census.num_graphs
    as_large = MAX_NODES * num_graphs // max(1, census.num_nodes)
    size = max(1, min(MAX_GRAPHS, as_large))
    # At random, since labels may be sorted, or repeat with any period.
    return random_order(num_graphs)[:size].sort().values
