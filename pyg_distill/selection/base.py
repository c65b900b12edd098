"""What a selector is: statistics of all graphs -> what to keep of them."""

import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor

from pyg_distill.data.statistics import Need, TreeStatistics
from pyg_distill.data.table import GraphTable
from pyg_distill.data.tree_sets import TreeSets

if TYPE_CHECKING:
    from pyg_distill.selection.budget import Budget

ClassWeight = Literal['source', 'uniform', 'none']

_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


@dataclass(frozen=True)
class ClassSummary:
    """What was kept of one class.

    Attributes:
        num_graphs: The graphs of the class in the source.
        num_trees: Their distinct computation trees.
        num_sets: The graphs or tree sets kept.
        graph_coverage: The share of the graphs that are kept, or that hold a
            kept tree set.
        node_coverage: The share of the nodes that are kept, or whose tree is
            in a kept set.
    """

    num_graphs: int
    num_trees: int
    num_sets: int
    graph_coverage: float
    node_coverage: float


@dataclass(frozen=True)
class Selected:
    """What a selector keeps.

    Attributes:
        graphs: Whole graphs, or tree sets with the attributes :obj:`y` and
            :obj:`support`.
        label: The class of each of them, of shape :obj:`[P]`.
        support: The source graphs that each stands for, :obj:`[P]`.
        graph_id: The position in the source of each, -1 if it stands for
            several graphs, of shape :obj:`[P]`.
        classes: What was kept of each class.
        selection: The name of the selector.
        scores: The scores of the candidates, if there were several.
    """

    graphs: GraphTable | TreeSets
    label: Tensor
    support: Tensor
    graph_id: Tensor
    classes: dict[int, ClassSummary]
    selection: str = ''
    scores: dict[str, float] = field(default_factory=dict)

    @classmethod
    def from_graphs(
        cls, statistics: TreeStatistics, index: Tensor
    ) -> 'Selected':
        """Keeps whole graphs.

        Args:
            statistics (TreeStatistics): What is known of the source.
            index (torch.Tensor): The positions of the graphs, :obj:`[P]`.
        """
        index = index.sort().values
        label = statistics.label[index]
        num_nodes = statistics.num_nodes[index]
        coverage = {
            c: (
                int((label == c).sum()),
                int((label == c).sum()) / known.num_graphs,
                int(num_nodes[label == c].sum()) / max(1, known.num_nodes),
            )
            for c, known in statistics.by_class().items()
        }
        return cls(
            graphs=statistics.source.fetch(index),
            label=label,
            support=torch.ones_like(index),
            graph_id=index,
            classes=summarize(statistics, coverage),
        )


def summarize(
    statistics: TreeStatistics, coverage: Mapping[int, tuple[int, float, float]]
) -> dict[int, ClassSummary]:
    """Puts together what is known of each class and what was kept of it.

    Args:
        statistics (TreeStatistics): What is known of the source.
        coverage (dict): The number of sets and the coverage of graphs and of
            nodes of each class.
    """
    return {
        c: ClassSummary(known.num_graphs, known.num_trees, *coverage[c])
        for c, known in statistics.by_class().items()
    }


class Selector:
    r"""Base class of everything that decides what to keep of a source.

    A subclass implements :meth:`select`. If it returns positions of graphs,
    these are kept as they are. It works with budgets, caches, chunks and
    several processes, since each process calls it alike on the statistics of
    all graphs:

    .. code-block:: python

        class LargestGraphs(Selector):
            def __init__(self, by: str = 'num_nodes') -> None:
                self.by = by

            def select(self, statistics, budget):
                size = getattr(statistics, self.by)
                return budget.fill(size.argsort(descending=True, stable=True))


        MirageDataset(
            dataset,
            num_layers=2,
            budget=0.02,
            selection=LargestGraphs(by='num_edges'),
        )

    Arguments of the constructor are stored under their own names. They are
    part of the name of a cache.
    """

    #: The name that a report shows, by default that of the class.
    name: ClassVar[str] = ''
    #: The histograms of trees that :meth:`select` reads.
    needs: ClassVar[tuple[Need, ...]] = ()
    #: The limits that it can be given.
    limits: ClassVar[tuple[Literal['budget', 'num_graphs'], ...]] = (
        'budget',
        'num_graphs',
    )
    #: Whether it may build computation trees instead of keeping graphs.
    builds_trees: ClassVar[bool] = False

    def select(
        self, statistics: TreeStatistics, budget: 'Budget'
    ) -> Tensor | Selected:
        """Decides what to keep.

        It must return the same whenever it gets the same, in every process.

        Args:
            statistics (TreeStatistics): What is known of all graphs.
            budget (Budget): How much to keep.

        Returns:
            torch.Tensor or Selected: The positions of the graphs to keep, of
            shape :obj:`[P]`, or what is kept.
        """
        raise NotImplementedError

    def __call__(
        self, statistics: TreeStatistics, budget: 'Budget'
    ) -> Selected:
        """Calls :meth:`select`, and fetches the graphs that it returns."""
        selected = self.select(statistics, budget)
        if not isinstance(selected, Selected):
            self._check_positions(selected, statistics.num_graphs)
            selected = Selected.from_graphs(statistics, selected.long().cpu())
        if not selected.selection:
            selected = replace(selected, selection=self.name)
        return selected

    def _check_positions(self, index: Any, num_graphs: int) -> None:
        returns = f"'{self.name}' must return positions of graphs"
        if (
            not isinstance(index, Tensor)
            or index.dim() != 1
            or index.dtype not in _INTEGERS
        ):
            got = type(index).__name__
            if isinstance(index, Tensor):
                got = f'{index.dtype} of shape {list(index.size())}'
            raise TypeError(
                f'{returns} as a long tensor of shape [P] (got {got}); return '
                f'budget.fill(order), or a Selected'
            )
        if (
            index.numel() == 0
            or index.unique().numel() < index.numel()
            or not 0 <= int(index.min()) <= int(index.max()) < num_graphs
        ):
            raise ValueError(
                f'{returns}, at least one, each once, below {num_graphs} (got '
                f'{index.numel()} such as {index[:3].tolist()}); return '
                f'budget.fill(order)'
            )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if 'name' not in cls.__dict__:
            cls.name = cls.__name__

    def check_limits(
        self, budget: float | int | None, num_graphs: int | None
    ) -> None:
        """Refuses limits that the selector does not take.

        Args:
            budget (float or int, optional): The budget that was given.
            num_graphs (int, optional): The number of graphs that was given.

        Raises:
            ValueError: If a limit does not fit.
        """
        given = {'budget': budget, 'num_graphs': num_graphs}
        odd = [
            name
            for name, value in given.items()
            if value is not None and name not in self.limits
        ]
        if odd:
            takes = ' or '.join(self.limits) or 'neither of them'
            raise ValueError(
                f'{" and ".join(odd)} cannot be given with selection='
                f'{self.name!r}, which takes {takes}; leave it out, or pass '
                f"selection='herding'"
            )

    def options(self) -> dict[str, Any]:
        """The arguments of the constructor by name.

        Raises:
            AttributeError: If one of them is not stored under its name.
        """
        out: dict[str, Any] = {}
        for name in inspect.signature(type(self)).parameters:
            if not hasattr(self, name):
                raise AttributeError(
                    f"'{type(self).__name__}' must store its argument "
                    f'{name!r} under the same name (got no attribute '
                    f'{name!r}), as it is part of the name of a cache; set '
                    f'self.{name} = {name}'
                )
            value = getattr(self, name)
            out[name] = _describe(value) if isinstance(value, Tensor) else value
        return out

    def __repr__(self) -> str:
        listed = ', '.join(f'{k}={v!r}' for k, v in self.options().items())
        return f'{type(self).__name__}({listed})'


def _describe(value: Tensor) -> str:
    """The type, the shape and a hash of a tensor."""
    value = value.detach().cpu()
    digest = hashlib.blake2b(digest_size=8)
    parts = [value]
    if value.layout != torch.strided:
        sparse = value.to_sparse_coo().coalesce()
        parts = [sparse.indices(), sparse.values()]
    for part in parts:
        content = part.contiguous().reshape(-1).view(torch.uint8)
        digest.update(content.numpy().data)
    kind = str(value.dtype).removeprefix('torch.')
    return f'{kind} tensor {list(value.size())} {digest.hexdigest()}'


def sample_weights(
    support: Tensor,
    label: Tensor,
    class_sizes: Mapping[int, int],
    class_weight: ClassWeight,
) -> Tensor:
    r"""Scales supports to weights of mean 1.

    Supports alone would distort the class prior, since a class with many
    frequent sets has more of them.

    Args:
        support (torch.Tensor): The supports of shape :obj:`[P]`.
        label (torch.Tensor): The classes of shape :obj:`[P]`.
        class_sizes (dict): The graphs of each class in the source.
        class_weight (str): What the weights of a class sum to: its share of
            the source (:obj:`"source"`), the same for all classes
            (:obj:`"uniform"`), or its share of all supports (:obj:`"none"`).

    Returns:
        torch.Tensor: The weights of shape :obj:`[P]` (float).
    """
    weight = support.double()
    if class_weight == 'none':
        return (weight / weight.mean()).float()
    class_sizes = {c: class_sizes[c] for c in label.unique().tolist()}
    total = sum(class_sizes.values())
    out = torch.empty_like(weight)
    for c, size in class_sizes.items():
        share = 1 / len(class_sizes)
        if class_weight == 'source':
            share = size / total
        mine = label == c
        out[mine] = weight[mine] / weight[mine].sum() * share
    return (out * support.numel()).float()


def order_by_class(order: Tensor, label: Tensor) -> dict[int, list[int]]:
    """Splits an order of graphs into one for each class.

    Args:
        order (torch.Tensor): Positions, the best first.
        label (torch.Tensor): The class of each graph, of shape :obj:`[G]`.
    """
    order = order.long().cpu()
    return {
        c: order[label[order] == c].tolist() for c in label.unique().tolist()
    }


def random_order(num_graphs: int, seed: int = 0) -> Tensor:
    """A random order of positions that depends on the seed alone.

    Args:
        num_graphs (int): The number of graphs :math:`G`.
        seed (int, optional): The seed. (default: :obj:`0`)
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(num_graphs, generator=generator)
