"""What a selector is: statistics of all graphs -> what to keep of them."""

import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from pyg_distill.data.statistics import Need, TreeStatistics
from pyg_distill.data.table import GraphTable
from pyg_distill.data.tree_sets import TreeSets
from pyg_distill.selection.budget import Budget, ClassWeight

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
        cls,
        statistics: TreeStatistics,
        index: Tensor,
        graphs: TreeSets | None = None,
        covered: Tensor | None = None,
    ) -> 'Selected':
        """Keeps whole graphs, or all trees of them.

        Args:
            statistics (TreeStatistics): What is known of the source.
            index (torch.Tensor): The positions of the graphs, ascending, of
                shape :obj:`[P]`.
            graphs (TreeSets, optional): The trees that stand for them.
                (default: :obj:`None`)
            covered (torch.Tensor, optional): The nodes of each source graph
                whose tree is kept, of shape :obj:`[G]`.
                (default: :obj:`None`)
        """
        label, support = statistics.label[index], torch.ones_like(index)
        if covered is None:
            covered = torch.zeros_like(statistics.num_nodes)
            covered[index] = statistics.num_nodes[index]
        classes = {}
        for c, known in statistics.by_class().items():
            num_sets = int((label == c).sum())
            num_covered = int(covered[statistics.label == c].sum())
            classes[c] = ClassSummary(
                known.num_graphs,
                known.num_trees,
                num_sets,
                num_sets / known.num_graphs,
                num_covered / max(1, known.num_nodes),
            )
        if graphs is None:
            table = statistics.source.fetch(index)
            return cls(table, label, support, index, classes)
        graphs.attributes['support'] = support, torch.arange(len(index) + 1)
        return cls(graphs, label, support, index, classes)


class Selector:
    r"""Base class of everything that decides what to keep of a source.

    A subclass implements :meth:`select`. It works with budgets, caches, chunks
    and several processes, since each process calls it alike on the statistics
    of all graphs:

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
        self, statistics: TreeStatistics, budget: Budget
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

    def __call__(self, statistics: TreeStatistics, budget: Budget) -> Selected:
        """Calls :meth:`select`, and fetches the graphs that it returns."""
        selected = self.select(statistics, budget)
        if not isinstance(selected, Selected):
            index = self._positions(selected, statistics.num_graphs)
            selected = Selected.from_graphs(statistics, index)
        return replace(selected, selection=selected.selection or self.name)

    def _positions(self, index: Any, num_graphs: int) -> Tensor:
        """Positions in ascending order; refuses everything else."""
        is_index = (
            isinstance(index, Tensor)
            and index.dim() == 1
            and index.dtype in _INTEGERS
        )
        if (
            not is_index
            or index.numel() == 0
            or index.unique().numel() < index.numel()
            or not 0 <= int(index.min()) <= int(index.max()) < num_graphs
        ):
            got = repr(index).partition('\n')[0]
            raise (ValueError if is_index else TypeError)(
                f"'{self.name}' must return positions of graphs, each once and "
                f'below {num_graphs}, as a long tensor of shape [P] (got '
                f'{got}); return budget.fill(order)'
            )
        return index.long().cpu().sort().values

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if 'name' not in cls.__dict__:
            cls.name = cls.__name__

    def check_limits(
        self, budget: float | int | None, num_graphs: int | None
    ) -> None:
        """Raises a :obj:`ValueError` if the selector takes no such limit."""
        given = {'budget': budget, 'num_graphs': num_graphs}
        for name, value in given.items():
            if value is not None and name not in self.limits:
                raise ValueError(
                    f'{name} cannot be given with selection={self.name!r} '
                    f"(got {value}); leave it out, or pass selection='herding'"
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
                    f'{name!r} under the same name (got no attribute); set '
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
    parts, digest = [value.detach().cpu()], hashlib.blake2b(digest_size=8)
    if value.layout != torch.strided:
        sparse = parts[0].to_sparse_coo().coalesce()
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
    r"""Scales supports to weights of mean 1, as a float tensor [P].

    Supports alone would favour classes with many frequent sets.
    """
    weight = support.double()
    if class_weight == 'none':
        return (weight / weight.mean()).float()
    labels = label.unique().tolist()
    total = sum(class_sizes[c] for c in labels)
    out = torch.empty_like(weight)
    for c in labels:
        share = 1 / len(labels)
        if class_weight == 'source':
            share = class_sizes[c] / total
        mine = label == c
        out[mine] = weight[mine] / weight[mine].sum() * share
    return (out * support.numel()).float()


def random_order(num_graphs: int, seed: int = 0) -> Tensor:
    """A random order of positions that depends on the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(num_graphs, generator=generator)
