"""Whole graphs: those whose trees are, on average, those of their class."""

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_distill.datasets.coresets.by_class import order_by_class
from pyg_distill.datasets.coresets.herding import herding_steps
from pyg_distill.datasets.coresets.proportions import ClassOrders
from pyg_distill.datasets.counting.census import Census
from pyg_distill.datasets.counting.processes import Processes
from pyg_distill.datasets.counting.shard import Shard
from pyg_distill.datasets.selecting.fetching import GraphStore, Missing
from pyg_distill.datasets.selecting.room import Room
from pyg_distill.datasets.selection import ClassSummary, Kept
from pyg_distill.trees.histograms import KeyedHistograms, keyed_histograms

# What graphs are compared by, as options of `tree_histograms`: which share of
# all trees of any depth each tree is, alone or with how many nodes have each
# of the deepest trees.
Rows = tuple[tuple[str, str], ...]
BY_SHARE: Rows = (('all', 'hellinger'),)
BY_BOTH: Rows = (('last', 'sqrt'), *BY_SHARE)


def keep_graphs(
    shard: Shard,
    census: Census | None,
    room: Room,
    processes: Processes,
    rows: Rows = BY_BOTH,
) -> Kept | None:
    """Herds graphs by the trees that they have.

    Args:
        shard (Shard): The graphs of this process.
        census (Census, optional): What is known of all, in the first process.
        room (Room): What there is to fill.
        processes (Processes): Those that take part.
        rows (tuple, optional): What to compare graphs by.
            (default: :obj:`BY_BOTH`)

    Returns:
        tuple: The graphs and what was kept of each class, in the first
        process; :obj:`None` in all others.

    Raises:
        ValueError: If there is no room for one graph a class.
    """

    def describe() -> tuple[list[KeyedHistograms], Tensor] | None:
        found, labels = [], []
        for part in shard.parts('Comparing graphs'):
            found.append(
                [
                    keyed_histograms(part.forest, depths, how).cpu()
                    for depths, how in rows
                ]
            )
            labels.append(part.source.label.cpu())
        if not found:
            return None
        return _below(found), torch.cat(labels)

    by_rank = processes.gather(describe, 'comparing graphs')
    described = [found for found in by_rank if found is not None]
    sizes = [0 if found is None else found[1].numel() for found in by_rank]
    store = GraphStore(shard, processes, sizes)
    orders: ClassOrders | None = None
    label = torch.empty(0, dtype=torch.long)
    if described:
        kinds = _below([found for found, _ in described])
        histogram = _beside([kind.count for kind in kinds])
        label = torch.cat([labels for _, labels in described])
        orders = ClassOrders(order_by_class(herding_steps, histogram, label))
    fetched = [0]

    def plan() -> tuple[Tensor, list[Data]]:
        assert orders is not None
        assert census is not None
        try:
            chosen = room.fill(census.sizes(), orders, store.cost)
            return chosen, store.take(chosen)
        except Missing as missing:
            # Reading takes longer than holding some graphs too many.
            fetched[0] = max(64, 2 * fetched[0], missing.index.numel())
            ahead = room.ahead(census.sizes(), orders, fetched[0])
            raise Missing(torch.cat([missing.index, ahead]).unique()) from None

    planned = store.ask(plan, 'picking graphs')
    if planned is None or census is None:
        return None
    chosen, graphs = planned
    return graphs, _summarise(label[chosen], graphs, census)


def _below(parts: list[list[KeyedHistograms]]) -> list[KeyedHistograms]:
    """Puts the rows of parts below each other, kind by kind."""
    return [KeyedHistograms.join(kind) for kind in zip(*parts, strict=True)]


def _beside(rows: list[Tensor]) -> Tensor:
    """Puts kinds of rows side by side, all of the same length on average."""
    if len(rows) == 1:
        return rows[0]
    # All graphs at once, so that it does not depend on chunks.
    scale = [(row.size(0) / row.values().square().sum()) ** 0.5 for row in rows]
    scaled = [row * s for row, s in zip(rows, scale, strict=True)]
    return torch.cat(scaled, dim=1).coalesce()


def _summarise(
    label: Tensor, graphs: list[Data], census: Census
) -> dict[int, ClassSummary]:
    num_nodes = torch.tensor([data.num_nodes for data in graphs])
    return {
        c: ClassSummary(
            num_graphs=known.num_graphs,
            num_trees=known.num_trees,
            num_sets=int((label == c).sum()),
            graph_coverage=int((label == c).sum()) / known.num_graphs,
            node_coverage=int(num_nodes[label == c].sum())
            / max(1, known.num_nodes),
        )
        for c, known in census.by_class().items()
    }
