"""The frequent trees of many graphs, and which graph holds which of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_distill.datasets.counting.part import Part
from pyg_distill.datasets.counting.tree_counts import look_up
from pyg_distill.datasets.selection import Occurrences
from pyg_distill.transforms.levels import IDENTITY
from pyg_distill.trees import Graphs


@dataclass(frozen=True)
class FrequentTrees:
    r"""All that is kept of many graphs, in which rare trees are left out.

    One graph holds the frequent trees in compact form, which is all that
    distilling needs to build sets of them.

    Shapes:
        - **graphs:** the trees; the tree of a root, walked back along the
          edges, is the tree it had in the source,
        - **tree**, **root:** the trees that were cut out, and their nodes in
          :obj:`graphs` :math:`(U)`,
        - **occurrences:** which graph holds which of the trees,
        - **label:** the class of each graph :math:`(G)`.
    """

    graphs: Graphs
    tree: Tensor
    root: Tensor
    occurrences: Occurrences
    label: Tensor

    def root_of(self, tree: Tensor) -> Tensor:
        """A node of :obj:`graphs` with each of some trees, :obj:`[n]`."""
        size = int(self.tree.max()) + 1 if self.tree.numel() else 0
        root = self.root.new_full((size,), -1)
        # Of several, the last one to be written stays: the first one.
        root[self.tree.flip(0)] = self.root.flip(0)
        return root[tree]

    def cpu(self) -> 'FrequentTrees':
        """The same, ready to be sent to another process."""
        graphs, found = self.graphs, self.occurrences
        return FrequentTrees(
            Graphs(
                graphs.edge_index.cpu(),
                graphs.node_ptr.cpu(),
                graphs.edge_ptr.cpu(),
                *(_cpu(getattr(graphs, name)) for name in IDENTITY),
            ),
            self.tree.cpu(),
            self.root.cpu(),
            Occurrences(found.graph.cpu(), found.tree.cpu(), found.count.cpu()),
            self.label.cpu(),
        )


class TreeCollector:
    """Keeps the given trees of one part after another.

    Args:
        key (torch.Tensor): The keys of the trees, ascending, :obj:`[V, 2]`.
        every (bool, optional): Whether to keep a tree from each part that
            holds it and not only from the first, to compare them.
            (default: :obj:`False`)
    """

    def __init__(self, key: Tensor, every: bool = False) -> None:
        self.key = key
        self.every = every
        self._found: list[FrequentTrees] = []
        self._seen = torch.zeros_like(key[:, 0], dtype=torch.bool)

    def add(self, part: Part) -> None:
        """Takes the trees of further graphs."""
        self.key = self.key.to(part.key.device)
        self._seen = self._seen.to(part.key.device)
        number = look_up(self.key, part.key)
        found = part.occurrences
        kept = number[found.tree] >= 0
        occurrences = Occurrences(
            found.graph[kept], number[found.tree[kept]], found.count[kept]
        )
        held = (number >= 0).nonzero().view(-1)
        if not self.every:
            held = held[~self._seen[number[held]]]
        self._seen[number[held]] = True
        graphs, root = _cut_out(part, part.tree.first[held])
        self._found.append(
            FrequentTrees(
                graphs, number[held], root, occurrences, part.source.label
            )
        )

    def result(self) -> FrequentTrees | None:
        """What was kept of all graphs, if there were any."""
        return join_trees(self._found) if self._found else None


def join_trees(parts: Sequence[FrequentTrees]) -> FrequentTrees:
    """Puts the same trees of different graphs together, in their order."""
    if len(parts) == 1:
        return parts[0]
    # A graph is cut out of each part, and numbered from zero there.
    num_nodes = [part.graphs.num_nodes for part in parts]
    num_edges = [part.graphs.num_edges for part in parts]
    columns = {}
    for name in IDENTITY:
        values = [getattr(part.graphs, name) for part in parts]
        columns[name] = None if values[0] is None else torch.cat(values)
    graphs = Graphs.from_local(
        torch.cat([part.graphs.edge_index for part in parts], dim=1),
        parts[0].root.new_tensor(num_nodes),
        parts[0].root.new_tensor(num_edges),
        **columns,
    )
    start = graphs.node_ptr.tolist()
    roots = [
        part.root + offset for part, offset in zip(parts, start, strict=False)
    ]
    first, occurrences = 0, []
    for part in parts:
        found = part.occurrences
        occurrences.append(
            Occurrences(found.graph + first, found.tree, found.count)
        )
        first += part.label.numel()
    return FrequentTrees(
        graphs,
        torch.cat([part.tree for part in parts]),
        torch.cat(roots),
        Occurrences(
            torch.cat([found.graph for found in occurrences]),
            torch.cat([found.tree for found in occurrences]),
            torch.cat([found.count for found in occurrences]),
        ),
        torch.cat([part.label for part in parts]),
    )


def _cut_out(part: Part, root: Tensor) -> tuple[Graphs, Tensor]:
    # One set in which equal subtrees are shared.
    trees = part.forest.build(root, torch.zeros_like(root), 1, compact=True)
    source = part.source.graphs
    columns = {
        name: None if value is None else value[row]
        for name, value, row in [
            ('x', source.x, trees.node),
            ('edge_attr', source.edge_attr, trees.edge),
            ('edge_weight', source.edge_weight, trees.edge),
        ]
    }
    graphs = Graphs(trees.edge_index, trees.node_ptr, trees.edge_ptr, **columns)
    return graphs, trees.root_index


def _cpu(value: Tensor | None) -> Tensor | None:
    return None if value is None else value.cpu()
