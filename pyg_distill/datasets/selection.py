"""What a way of distilling selects: roots, set by set."""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch_geometric.data import Data


@dataclass(frozen=True)
class ClassSummary:
    """What was kept of one class.

    Attributes:
        num_graphs: The graphs of the class in the source.
        num_trees: Their distinct computation trees.
        num_sets: The tree sets kept.
        graph_coverage: The share of the graphs that hold a kept tree set.
        node_coverage: The share of the nodes whose tree is in a kept set.
    """

    num_graphs: int
    num_trees: int
    num_sets: int
    graph_coverage: float
    node_coverage: float


# The graphs that a way of distilling keeps, and what it kept of each class.
Kept = tuple[list[Data], dict[int, ClassSummary]]


@dataclass(frozen=True)
class Selection:
    r"""Tree sets, as root nodes of the source.

    Shapes:
        - **root**, **root_count:** a node with each tree, and how often the
          tree counts :math:`(R)`, sorted by set,
        - **root_ptr:** where the roots of each set begin :math:`(P + 1)`,
        - **label**, **support:** the class of each set and the graphs that
          hold it :math:`(P)`,
        - **attributes:** graph-level attributes, one tensor a set.
    """

    root: Tensor
    root_count: Tensor
    root_ptr: Tensor
    label: Tensor
    support: Tensor
    attributes: dict[str, list[Tensor]] = field(default_factory=dict)

    @property
    def num_sets(self) -> int:
        """The number of tree sets."""
        return self.label.numel()

    def set_of_root(self) -> Tensor:
        """The set of each root, of shape :obj:`[R]`."""
        number = torch.arange(self.num_sets, device=self.root.device)
        return number.repeat_interleave(self.root_ptr.diff())


@dataclass(frozen=True)
class Occurrences:
    """Which graph holds which tree, and how often: a sparse matrix by rows.

    Shapes:
        - **graph**, **tree**, **count:** its entries :math:`(K)`, sorted by
          graph, then by tree.
    """

    graph: Tensor
    tree: Tensor
    count: Tensor

    @classmethod
    def of(cls, graph: Tensor, tree: Tensor, num_trees: int) -> 'Occurrences':
        """Counts the trees of the nodes of each graph.

        Args:
            graph (torch.Tensor): The graph of each node, :obj:`[N]`.
            tree (torch.Tensor): The tree of each node, :obj:`[N]`.
            num_trees (int): The number of distinct trees.
        """
        code, count = torch.unique(
            graph * max(1, num_trees) + tree, return_counts=True
        )
        num_trees = max(1, num_trees)
        return cls(code // num_trees, code % num_trees, count)

    def of_graphs(self, chosen: Tensor) -> 'Occurrences':
        """Keeps some graphs, given as a mask, and numbers them from zero."""
        number = chosen.cumsum(0) - 1
        kept = chosen[self.graph]
        graph = number[self.graph[kept]]
        return Occurrences(graph, self.tree[kept], self.count[kept])
