"""Every tree of every graph."""

from torch_geometric.data import Data

from pyg_distill.datasets.counting.census import Census
from pyg_distill.datasets.counting.processes import Processes
from pyg_distill.datasets.counting.shard import Shard
from pyg_distill.datasets.lossless import select_lossless, summarise_lossless
from pyg_distill.datasets.materialising import materialise, split, to_cpu
from pyg_distill.datasets.options import MirageOptions
from pyg_distill.datasets.selection import ClassSummary


def keep_everything(
    shard: Shard,
    census: Census | None,
    options: MirageOptions,
    processes: Processes,
) -> tuple[list[Data], dict[int, ClassSummary]] | None:
    """Turns all graphs into tree sets, with multiplicities.

    Args:
        shard (Shard): The graphs of this process.
        census (Census, optional): What is known of all, in the first process.
        options (MirageOptions): The form of the tree sets.
        processes (Processes): Those that take part.

    Returns:
        tuple: The tree sets and what was kept of each class, in the first
        process; :obj:`None` in all others.
    """

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
