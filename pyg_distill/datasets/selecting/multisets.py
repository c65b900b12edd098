"""Graphs as multisets over a vocabulary, and what they take when packed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_distill.datasets.counting.frequent_trees import FrequentTrees
from pyg_distill.datasets.counting.part import Part
from pyg_distill.datasets.counting.tree_counts import look_up
from pyg_distill.datasets.materialising import materialise
from pyg_distill.datasets.packing.column import encode, packed_bytes
from pyg_distill.datasets.packing.dictionary import (
    TreeDictionary,
    encode_trees,
)
from pyg_distill.datasets.packing.gaps import to_gaps
from pyg_distill.datasets.packing.rows import encode_rows
from pyg_distill.datasets.selecting.vocabulary import Vocabulary
from pyg_distill.datasets.selection import Occurrences, Selection
from pyg_distill.trees import Forest, Graphs
from pyg_distill.trees.csr import pointer, ragged_range
from pyg_distill.trees.unique import lexsort


@dataclass(frozen=True)
class Multisets:
    r"""Graphs as multisets over a vocabulary.

    Shapes:
        - **found:** which graph holds which tree of the vocabulary,
        - **label:** the class of each graph :math:`(G)`,
        - **exact:** the nodes of each graph whose tree is in the vocabulary
          :math:`(G)`.
    """

    found: Occurrences
    label: Tensor
    exact: Tensor

    @classmethod
    def of(cls, part: Part, vocabulary: Vocabulary) -> 'Multisets':
        """Replaces the trees of some graphs.

        Args:
            part (Part): The graphs.
            vocabulary (Vocabulary): The trees to replace them by.
        """
        graph = part.source.graphs.graph_of_node()
        number = vocabulary.of(part)
        found = Occurrences.of(
            graph, number[part.tree.inverse], vocabulary.key.size(0)
        )
        known = vocabulary.key.to(number.device)[number] == part.key
        node = known.all(dim=1)[part.tree.inverse].long()
        exact = torch.zeros_like(part.source.label).index_add_(0, graph, node)
        return cls(
            Occurrences(found.graph.cpu(), found.tree.cpu(), found.count.cpu()),
            part.source.label.cpu(),
            exact.cpu(),
        )

    @classmethod
    def join(cls, parts: Sequence['Multisets']) -> 'Multisets':
        """Puts multisets over the same vocabulary together, in their order."""
        first, graphs = 0, []
        for part in parts:
            graphs.append(part.found.graph + first)
            first += part.label.numel()
        return cls(
            Occurrences(
                torch.cat(graphs),
                torch.cat([part.found.tree for part in parts]),
                torch.cat([part.found.count for part in parts]),
            ),
            torch.cat([part.label for part in parts]),
            torch.cat([part.exact for part in parts]),
        )

    def histogram(self, num_trees: int) -> Tensor:
        """The square roots of counts, sparse, of shape :obj:`[G, V]`."""
        return torch.sparse_coo_tensor(
            torch.stack([self.found.graph, self.found.tree]),
            self.found.count.double().sqrt(),
            (self.label.numel(), num_trees),
            check_invariants=False,
        ).coalesce()

    @cached_property
    def ptr(self) -> Tensor:
        """Where the trees of each graph begin, of shape :obj:`[G + 1]`."""
        size = torch.bincount(self.found.graph, minlength=self.label.numel())
        return pointer(size)

    def take(self, index: Tensor) -> 'Multisets':
        """Some of the graphs, in this order.

        Args:
            index (torch.Tensor): Their numbers, of shape :obj:`[n]`.
        """
        graph, offset = ragged_range(self.ptr.diff()[index])
        row = self.ptr[index][graph] + offset
        found = Occurrences(graph, self.found.tree[row], self.found.count[row])
        return Multisets(found, self.label[index], self.exact[index])


@dataclass(frozen=True)
class MultisetBuilder:
    """Builds multisets, and says what they take.

    Attributes:
        forest: Holds all trees of the vocabulary.
        root: A node with each of them, of shape :obj:`[V]`.
        num_graphs: The graphs of each class in the source.
        balance: How they are weighted.
    """

    forest: Forest
    root: Tensor
    num_graphs: Mapping[int, int]
    balance: str

    @classmethod
    def of(
        cls,
        trees: FrequentTrees,
        forest: Forest,
        vocabulary: Vocabulary,
        num_graphs: Mapping[int, int],
        balance: str,
    ) -> 'MultisetBuilder':
        """Finds the trees of a vocabulary.

        Args:
            trees (FrequentTrees): The trees that it was picked from.
            forest (Forest): The same.
            vocabulary (Vocabulary): The vocabulary.
            num_graphs (dict): The graphs of each class in the source.
            balance (str): How they are weighted.
        """
        number = look_up(vocabulary.key, forest.keys[-1][trees.root])
        root = trees.root.new_empty(vocabulary.key.size(0))
        # Of several, the last one to be written stays: the first one.
        held = (number >= 0).nonzero().view(-1).flip(0)
        root[number[held]] = trees.root[held]
        return cls(forest, root, num_graphs, balance)

    def build(self, graphs: Multisets, compact: bool, y_dim: int) -> list[Data]:
        """Builds all trees.

        Args:
            graphs (Multisets): The graphs.
            compact (bool): Whether equal subtrees are shared.
            y_dim (int): The number of dimensions that :obj:`y` is to have.
        """
        chosen = Selection(
            root=self.root[graphs.found.tree],
            root_count=graphs.found.count,
            root_ptr=graphs.ptr,
            label=graphs.label,
            support=torch.ones_like(graphs.label),
        )
        return materialise(self.forest, chosen, compact, y_dim)

    def cost(self, graphs: Multisets) -> int:
        """The bytes of multisets when packed, without building each of them.

        It may be wrong by a few bytes, since entries of the dictionary that
        are found in as many places are in any order.

        Args:
            graphs (Multisets): The graphs.
        """
        found = graphs.found
        used, number = found.tree.unique(return_inverse=True)
        forest = self.forest
        built = forest.build(
            self.root[used], torch.zeros_like(used), 1, compact=True
        )
        source = forest.graphs
        rows = {
            name: value[index]
            for name, index in [
                ('x', built.node),
                ('edge_attr', built.edge),
                ('edge_weight', built.edge),
            ]
            if (value := getattr(source, name)) is not None
        }
        whole = Graphs(built.edge_index, built.node_ptr, built.edge_ptr, **rows)
        trees, entry, _ = TreeDictionary.of(
            whole, forest.num_layers, built.root_index[number]
        )
        tree = entry[built.root_index[number]]
        order = lexsort(found.graph, tree)
        gap, _ = to_gaps(tree[order], found.graph[order])
        label, size = torch.tensor(sorted(self.num_graphs.items())).t()
        return packed_bytes(
            [
                encode_trees(trees),
                encode(graphs.ptr.diff()),
                encode(gap),
                encode_rows(found.count[order]),
                encode_rows(graphs.label),
                encode_rows(torch.ones_like(graphs.label)),
                encode_rows(torch.full_like(graphs.label, forest.num_layers)),
                encode(label),
                encode(size),
            ]
        )
