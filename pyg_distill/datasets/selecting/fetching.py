"""Some graphs out of the shards of all processes, as they are asked for."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from pyg_distill.datasets.coresets.gathering import gather
from pyg_distill.datasets.counting.processes import Processes
from pyg_distill.datasets.counting.shard import Shard
from pyg_distill.datasets.materialising import Collated, split, to_cpu
from pyg_distill.datasets.packing.column import packed_bytes
from pyg_distill.datasets.packing.packed import pack

T = TypeVar('T')


class Missing(Exception):  # noqa: N818
    """Graphs were asked for that are not here yet."""

    def __init__(self, index: Tensor) -> None:
        super().__init__(f'{index.numel()} graphs have not been read')
        self.index = index


class GraphStore:
    """The graphs that were read so far, in the first process.

    All graphs of a source in memory are there from the beginning, and others
    when they are asked for.

    Args:
        shard (Shard): The graphs of this process.
        processes (Processes): Those that take part.
        sizes (list): The graphs of each process.
    """

    def __init__(
        self, shard: Shard, processes: Processes, sizes: list[int]
    ) -> None:
        self.shard = shard
        self.processes = processes
        self._start = processes.share(
            torch.tensor([0, *sizes]).cumsum(0).tolist(), 'numbering graphs'
        )
        self._place = torch.full((self._start[-1],), -1)
        self._known: list[Data] = []
        self._graphs: Collated | None = None
        if processes.size == 1 and shard.is_whole:
            (part,) = shard.parts('Reading graphs')
            every = torch.arange(part.source.label.numel())
            self._graphs = gather(part.source, every)
            self._place = every

    def ask(self, plan: Callable[[], T], doing: str) -> T | None:
        """Makes a plan in the first process, reading graphs as it needs them.

        Args:
            plan (callable): May call :meth:`cost` and :meth:`take`; starts
                anew whenever graphs had to be read.
            doing (str): What it is for, in error messages.
        """

        def attempt() -> tuple[T | None, Tensor | None]:
            try:
                return plan(), None
            except Missing as missing:
                return None, missing.index

        while True:
            outcome = self.processes.in_first(attempt, doing)
            wanted = None if outcome is None else outcome[1]
            wanted = self.processes.share(wanted, doing)
            if wanted is None:
                return None if outcome is None else outcome[0]
            self._read(wanted)

    def cost(self, index: Tensor) -> int:
        """The bytes of some graphs when packed.

        Args:
            index (torch.Tensor): Their numbers, of shape :obj:`[n]`.

        Raises:
            Missing: If one has not been read.
        """
        place = self._places(index)
        assert self._graphs is not None
        return packed_bytes(pack(*self._graphs, place))

    def take(self, index: Tensor) -> list[Data]:
        """Some graphs, in this order, with edges as packing sorts them.

        Args:
            index (torch.Tensor): Their numbers, of shape :obj:`[n]`.

        Raises:
            Missing: If one has not been read.
        """
        place = self._places(index).tolist()
        assert self._graphs is not None
        data, slices = self._graphs
        dataset = InMemoryDataset()
        dataset._data, dataset.slices = data, slices
        return [dataset.get(i).clone() for i in place]

    def _places(self, index: Tensor) -> Tensor:
        place = self._place[index]
        if bool((place < 0).any()):
            raise Missing(index[place < 0])
        return place

    def _read(self, wanted: Tensor) -> None:
        doing, rank = 'reading graphs', self.processes.rank

        def find() -> tuple[Tensor, Collated] | None:
            found, numbers, first = [], [], self._start[rank]
            for part in self.shard.parts('Reading graphs'):
                size = part.source.label.numel()
                mine = wanted[(wanted >= first) & (wanted < first + size)]
                if mine.numel() > 0:
                    found += split(gather(part.source, mine - first))
                    numbers.append(mine)
                first += size
            return (torch.cat(numbers), to_cpu(found)) if found else None

        for found in self.processes.gather(find, doing):
            if found is None:
                continue
            number, graphs = found
            self._place[number] = torch.arange(
                len(self._known), len(self._known) + number.numel()
            )
            self._known += split(graphs)
        if self.processes.is_first:
            self._graphs = to_cpu(self._known)
