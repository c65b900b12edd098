"""Multisets over a vocabulary: graphs whose rare trees are replaced."""

from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from pyg_distill.datasets.coresets.by_class import order_by_class
from pyg_distill.datasets.coresets.herding import herding_steps
from pyg_distill.datasets.coresets.proportions import ClassOrders
from pyg_distill.datasets.counting.census import Census
from pyg_distill.datasets.counting.frequent_trees import (
    FrequentTrees,
    join_trees,
)
from pyg_distill.datasets.counting.processes import Processes
from pyg_distill.datasets.counting.shard import Shard
from pyg_distill.datasets.materialising import add_weights
from pyg_distill.datasets.options import MirageOptions
from pyg_distill.datasets.packing.column import packed_bytes
from pyg_distill.datasets.packing.packed import pack
from pyg_distill.datasets.selecting.multisets import (
    MultisetBuilder,
    Multisets,
)
from pyg_distill.datasets.selecting.room import NoRoom, Room
from pyg_distill.datasets.selecting.vocabulary import Vocabulary
from pyg_distill.datasets.selection import ClassSummary, Kept
from pyg_distill.trees import Forest

# Trees that may become part of a vocabulary: all distances are computed.
MAX_CANDIDATES = 4096


def keep_multisets(
    shard: Shard,
    census: Census | None,
    room: Room,
    num_trees: int | None,
    options: MirageOptions,
    processes: Processes,
) -> Kept | None:
    """Replaces rare trees by frequent ones, and herds what becomes of graphs.

    Where there is no room for one graph of each class, the vocabulary is
    halved until there is.

    Args:
        shard (Shard): The graphs of this process.
        census (Census, optional): What is known of all, in the first process.
        room (Room): What there is to fill.
        num_trees (int, optional): The size of the vocabulary.
        options (MirageOptions): What else is asked for.
        processes (Processes): Those that take part.

    Returns:
        tuple: The tree sets and what was kept of each class, in the first
        process; :obj:`None` in all others.

    Raises:
        ValueError: If there is no room for one graph a class, or there are
            too many trees to pick from.
    """
    collecting, replacing = 'collecting trees', 'replacing trees'
    if num_trees is not None and num_trees > MAX_CANDIDATES:
        raise ValueError(
            f"'num_trees' must be at most {MAX_CANDIDATES}, as all of their "
            f'distances are computed (got {num_trees}); pass selection='
            f"'lossless' to keep all trees"
        )
    key = processes.in_first(
        lambda: census and census.counts.most_frequent(MAX_CANDIDATES),
        collecting,
    )
    key = processes.share(key, collecting)

    def collect() -> FrequentTrees | None:
        found = shard.trees(key)
        return None if found is None else found.cpu()

    collected = processes.gather(collect, collecting)

    def choose() -> tuple[FrequentTrees, Forest, Vocabulary]:
        trees = join_trees([found for found in collected if found is not None])
        forest = Forest(trees.graphs, options.num_layers, options.verify)
        return trees, forest, Vocabulary.choose(trees, forest, room, num_trees)

    chosen = processes.in_first(choose, replacing)
    every = processes.share(chosen and chosen[2], replacing)
    size, least = every.key.size(0), 1 if num_trees is None else num_trees
    while True:
        vocabulary = every.first(size)

        def replace(vocabulary: Vocabulary = vocabulary) -> Multisets | None:
            found = [
                Multisets.of(part, vocabulary)
                for part in shard.parts('Replacing trees')
            ]
            return Multisets.join(found) if found else None

        by_rank = processes.gather(replace, replacing)

        def herd(
            vocabulary: Vocabulary = vocabulary,
            parts: list[Multisets | None] = by_rank,
            can_be_less: bool = size > least,
        ) -> Kept | None:
            assert census is not None
            assert chosen is not None
            builder = MultisetBuilder.of(
                *chosen[:2], vocabulary, census.sizes(), options.balance
            )
            graphs = Multisets.join([part for part in parts if part])
            try:
                return _herd(builder, graphs, census, room, options)
            except NoRoom:
                if can_be_less:
                    return None
                raise

        picking = 'picking tree sets'
        kept = processes.in_first(herd, picking)
        if processes.share(kept is not None, picking):
            return kept
        size = max(1, size // 2)


def _herd(
    builder: MultisetBuilder,
    graphs: Multisets,
    census: Census,
    room: Room,
    options: MirageOptions,
) -> Kept:
    histogram = graphs.histogram(builder.root.numel())
    orders = ClassOrders(order_by_class(herding_steps, histogram, graphs.label))
    sizes, balance, extra = census.sizes(), options.balance, 0

    def build(index: Tensor) -> list[Data]:
        chosen = graphs.take(index)
        return builder.build(chosen, options.compact, census.y_dim)

    def exact(index: Tensor) -> int:
        out = build(index)
        add_weights(out, sizes, balance)
        data, slices = InMemoryDataset.collate(out)
        return packed_bytes(pack(data, slices, None, balance, sizes))

    def cost(index: Tensor) -> int:
        # The smallest budget is named in an error, and has to work.
        if index.numel() <= len(sizes):
            return exact(index)
        return builder.cost(graphs.take(index)) + extra

    index = room.fill(sizes, orders, cost)
    while index.numel() > len(sizes) and exact(index) > room.num_bytes:
        extra += exact(index) - cost(index)
        index = room.fill(sizes, orders, cost)
    chosen = graphs.take(index)
    summaries = {}
    for c, known in census.by_class().items():
        num_sets = int((chosen.label == c).sum())
        num_exact = int(graphs.exact[graphs.label == c].sum())
        summaries[c] = ClassSummary(
            num_graphs=known.num_graphs,
            num_trees=known.num_trees,
            num_sets=num_sets,
            graph_coverage=num_sets / known.num_graphs,
            node_coverage=num_exact / max(1, known.num_nodes),
        )
    return build(index), summaries
