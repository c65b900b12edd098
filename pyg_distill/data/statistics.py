"""What must be known of all graphs before any of them is selected."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from pyg_distill.data.attributes import FEATURES
from pyg_distill.data.sources import Chunk, Source
from pyg_distill.data.table import check_alike, layout_of
from pyg_distill.data.tree_sets import concatenate_graphs, cut_out
from pyg_distill.trees import (
    Forest,
    Graphs,
    KeyedHistograms,
    keyed_histograms,
    unique_keys,
)
from pyg_distill.trees.histograms import Depths, Normalization

Need = Literal['shares', 'counts']

# The options of a histogram by its name: the square roots of the shares of
# trees of all depths, or of the counts of the deepest trees.
HISTOGRAMS: dict[Need, tuple[Depths, Normalization]] = {
    'shares': ('all', 'hellinger'),
    'counts': ('last', 'sqrt'),
}


@dataclass(frozen=True)
class Occurrences:
    """Which graph holds which tree how often: a sparse matrix by rows.

    Shapes:
        - **graph**, **tree**, **count:** its entries :math:`(K)`, sorted by
          graph, then by tree.
    """

    graph: Tensor
    tree: Tensor
    count: Tensor

    @classmethod
    def from_nodes(
        cls, graph: Tensor, tree: Tensor, num_trees: int
    ) -> 'Occurrences':
        """Counts the trees of the nodes of each graph.

        Args:
            graph (torch.Tensor): The graph of each node, :obj:`[N]`.
            tree (torch.Tensor): The tree of each node, :obj:`[N]`.
            num_trees (int): The number of distinct trees.
        """
        num_trees = max(1, num_trees)
        code, count = torch.unique(graph * num_trees + tree, return_counts=True)
        return cls(code // num_trees, code % num_trees, count)

    def of_graphs(self, mask: Tensor) -> 'Occurrences':
        """Keeps the graphs of a mask, and numbers them from zero."""
        kept = mask[self.graph]
        graph = (mask.cumsum(0) - 1)[self.graph[kept]]
        return Occurrences(graph, self.tree[kept], self.count[kept])

    @staticmethod
    def concatenate(
        parts: Sequence['Occurrences'], num_graphs: Sequence[int]
    ) -> 'Occurrences':
        """Puts the graphs of several parts behind each other."""
        first, graphs = 0, []
        for part, size in zip(parts, num_graphs, strict=True):
            graphs.append(part.graph + first)
            first += size
        return Occurrences(
            torch.cat(graphs),
            torch.cat([part.tree for part in parts]),
            torch.cat([part.count for part in parts]),
        )

    def cpu(self) -> 'Occurrences':
        """The same on the CPU."""
        return Occurrences(self.graph.cpu(), self.tree.cpu(), self.count.cpu())


@dataclass(frozen=True)
class TreeCounts:
    r"""The number of graphs of each class that hold each tree.

    Shapes:
        - **label**, **key:** a class and a tree of it :math:`(K)`,
          :math:`(K, 2)`, sorted by class, then by key,
        - **support:** the graphs of the class that hold the tree
          :math:`(K)`.
    """

    label: Tensor
    key: Tensor
    support: Tensor

    @classmethod
    def from_chunk(cls, chunk: Chunk) -> 'TreeCounts':
        """Counts the graphs of a chunk."""
        tree = chunk.distinct
        key = chunk.forest.keys[-1][tree.first]
        found = Occurrences.from_nodes(
            chunk.forest.graphs.graph_of_node(), tree.inverse, key.size(0)
        )
        num_trees = max(1, key.size(0))
        label = _label(chunk).to(key.device)
        code = label[found.graph] * num_trees + found.tree
        code, support = torch.unique(code, return_counts=True)
        label, key = code // num_trees, key[code % num_trees]
        return cls(label.cpu(), key.cpu(), support.cpu())

    @classmethod
    def merge(cls, counts: Sequence['TreeCounts']) -> 'TreeCounts':
        """Adds up the counts of different graphs."""
        if len(counts) == 1:
            return counts[0]
        columns = [(c.label, c.key, c.support) for c in counts]
        label, key, support = map(torch.cat, zip(*columns, strict=True))
        tree = unique_keys(key, label)
        total = torch.zeros_like(tree.count)
        total.index_add_(0, tree.inverse, support)
        return cls(label[tree.first], key[tree.first], total)

    def num_trees(self) -> int:
        """The number of distinct trees of all classes."""
        return unique_keys(self.key).first.numel()

    def frequent(self, min_support: Mapping[int, int]) -> Tensor:
        """Returns the trees that are frequent in any class.

        Args:
            min_support (dict): The number of graphs of each class that must
                hold a tree.

        Returns:
            torch.Tensor: Their keys of shape :obj:`[V, 2]`, ascending.
        """
        kept = torch.zeros_like(self.label, dtype=torch.bool)
        for label, count in min_support.items():
            kept |= (self.label == label) & (self.support >= count)
        key = self.key[kept]
        return key[unique_keys(key).first]

    def most_frequent(self, k: int) -> Tensor:
        """Returns the trees that most graphs hold, of any class.

        Args:
            k (int): How many. Ties are broken by key.

        Returns:
            torch.Tensor: Their keys of shape :obj:`[V, 2]`, ascending.
        """
        tree = unique_keys(self.key)
        total = torch.zeros_like(tree.count)
        total.index_add_(0, tree.inverse, self.support)
        order = total.argsort(descending=True, stable=True)[:k]
        return self.key[tree.first[order.sort().values]]


@dataclass(frozen=True)
class ClassStatistics:
    """The graphs of one class.

    Attributes:
        num_graphs: The number of graphs.
        num_nodes: The number of their nodes.
        num_trees: The number of their distinct trees.
        best_support: The number of graphs that hold the most frequent tree.
    """

    num_graphs: int
    num_nodes: int
    num_trees: int
    best_support: int


@dataclass(frozen=True)
class TreeStatistics:
    r"""What selectors know of all graphs of all ranks.

    Attributes:
        source: The graphs, to read again or to fetch from.
        label: The class of each graph, of shape :obj:`[G]`.
        num_nodes: The nodes of each graph, of shape :obj:`[G]`.
        num_edges: The edges of each graph, of shape :obj:`[G]`.
        num_classes: The classes that the source says it has.
        counts: The graphs of each class that hold each tree.
        histograms: The histograms that the selector needs, by their name.
        num_bytes: The bytes of the tensors of the source.
        y_shape: The shape of :obj:`y` of a graph.
        attributes: The names of all attributes that were read.
        left_out: The names of all attributes that were left out.
        continuous: The names of features with values that are not integers.
        uncarried: The names of attributes that trees cannot carry.
    """

    source: Source
    label: Tensor
    num_nodes: Tensor
    num_edges: Tensor
    num_classes: int
    counts: TreeCounts
    histograms: dict[str, KeyedHistograms]
    num_bytes: int
    y_shape: tuple[int, ...]
    attributes: list[str]
    left_out: list[str]
    continuous: list[str]
    uncarried: list[str]

    @property
    def num_graphs(self) -> int:
        """The number of graphs."""
        return self.label.numel()

    @property
    def num_layers(self) -> int:
        """The depth of the trees."""
        return self.source.num_layers

    def class_sizes(self) -> dict[int, int]:
        """The number of graphs of each class, by its label, ascending."""
        label, count = self.label.unique(return_counts=True)
        return dict(zip(label.tolist(), count.tolist(), strict=True))

    def by_class(self) -> dict[int, ClassStatistics]:
        """What is known of each class, by its label, ascending."""
        out = {}
        for label, num_graphs in self.class_sizes().items():
            support = self.counts.support[self.counts.label == label]
            out[label] = ClassStatistics(
                num_graphs=num_graphs,
                num_nodes=int(self.num_nodes[self.label == label].sum()),
                num_trees=support.numel(),
                best_support=int(support.max()) if support.numel() else 0,
            )
        return out

    def histogram(self, name: str) -> Tensor:
        """A sparse matrix of shape :obj:`[G, D]`.

        Args:
            name (str): A histogram that the selector declares in its `needs`.

        Raises:
            ValueError: If the selector does not declare it.
        """
        if name not in self.histograms:
            raise ValueError(
                f'the histogram {name!r} was not collected (got needs='
                f'{(*self.histograms,)}); declare it in the `needs` of the '
                f'selector'
            )
        return self.histograms[name].count

    def collect_trees(self, key: Tensor) -> 'CollectedTrees':
        """Reads all graphs again, and keeps the trees with the given keys.

        Args:
            key (torch.Tensor): Distinct keys of shape :obj:`[V, 2]`,
                ascending.
        """
        parts = self.source.map(
            lambda chunk: CollectedTrees.from_chunk(chunk, key),
            'Collecting trees',
            CollectedTrees.merge,
        )
        return CollectedTrees.merge(parts)


def collect_statistics(
    source: Source, needs: Collection[str] = ()
) -> TreeStatistics:
    """Reads all graphs once.

    Args:
        source (Source): The graphs.
        needs (list, optional): The names of the histograms to collect.
            (default: :obj:`()`)

    Raises:
        ValueError: If there is no graph, or chunks have different attributes.
    """
    names = [name for name in HISTOGRAMS if name in needs]
    parts = source.map(
        lambda chunk: _collect(chunk, names), 'Counting trees', _merge
    )
    if not parts:
        raise ValueError(
            f"'{source.caller}' expects at least one graph (got none in all "
            f'chunks); check the split or the pre_filter'
        )
    found = _merge(parts)
    return TreeStatistics(
        source, attributes=sorted(found.pop('layout')), **found
    )


def _collect(chunk: Chunk, names: Sequence[Need]) -> dict[str, Any]:
    """The statistics of a chunk."""
    table, graphs = chunk.table, chunk.forest.graphs
    features = {name: getattr(graphs, name) for name in FEATURES}
    if graphs.x is not None:
        # Equal trees have equal roots, so all values are among these.
        features['x'] = graphs.x[chunk.distinct.first]
    layout = layout_of(table.take(torch.tensor([0])).to_list()[0])
    # Labels are cast, so their type does not matter.
    layout['y'] = layout['y'].partition(' of ')[2]
    return {
        'label': _label(chunk).cpu(),
        'num_nodes': table.num_nodes,
        'num_edges': table.num_edges.cpu(),
        'num_classes': chunk.num_classes,
        'counts': TreeCounts.from_chunk(chunk),
        'histograms': {
            name: keyed_histograms(chunk.forest, *HISTOGRAMS[name]).cpu()
            for name in names
        },
        'num_bytes': table.num_bytes,
        'y_shape': (1, *table.data['y'].size()[1:]),
        'layout': layout,
        'left_out': table.left_out,
        'uncarried': sorted(table.uncarried),
        'continuous': [
            name
            for name, value in features.items()
            if value is not None
            and value.is_floating_point()
            and bool((value != value.round()).any())
        ],
    }


def _merge(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The statistics of several chunks, in their order."""
    first, *others = parts
    for part in others:
        check_alike(
            first['layout'],
            part['layout'],
            'all chunks and shards of a source must have the same attributes '
            'of the same type and shape (they differ',
        )
    columns = {name: [part[name] for part in parts] for name in first}
    out = dict(first)
    for name in ('label', 'num_nodes', 'num_edges'):
        out[name] = torch.cat(columns[name])
    for name in ('left_out', 'uncarried', 'continuous'):
        out[name] = sorted({key for keys in columns[name] for key in keys})
    out['continuous'].sort(key=FEATURES.index)
    out['num_classes'] = max(columns['num_classes'])
    out['num_bytes'] = sum(columns['num_bytes'])
    out['counts'] = TreeCounts.merge(columns['counts'])
    if others:
        out['histograms'] = {
            name: KeyedHistograms.join([h[name] for h in columns['histograms']])
            for name in first['histograms']
        }
    return out


def _label(chunk: Chunk) -> Tensor:
    label = chunk.table.label
    assert label is not None
    return label


@dataclass(frozen=True)
class CollectedTrees:
    r"""Some trees of many graphs, and which graph holds which of them.

    Shapes:
        - **graphs:** graphs that hold the trees in compact form; the tree of
          a root is the tree that it had in the source,
        - **tree**, **root:** the trees and their nodes in :obj:`graphs`
          :math:`(U)`, trees ascending,
        - **occurrences:** which graph holds which of the trees,
        - **label:** the class of each graph :math:`(G)`.
    """

    graphs: Graphs
    tree: Tensor
    root: Tensor
    occurrences: Occurrences
    label: Tensor
    num_layers: int

    @classmethod
    def from_chunk(cls, chunk: Chunk, key: Tensor) -> 'CollectedTrees':
        """Cuts the trees with the given keys out of a chunk."""
        forest, tree = chunk.forest, chunk.distinct
        trees = forest.keys[-1][tree.first]
        number = look_up(key.to(trees.device), trees)
        found = Occurrences.from_nodes(
            forest.graphs.graph_of_node(), tree.inverse, number.numel()
        )
        kept = number[found.tree] >= 0
        occurrences = Occurrences(
            found.graph[kept], number[found.tree[kept]], found.count[kept]
        )
        held = (number >= 0).nonzero().view(-1)
        graphs, root = cut_out(forest, tree.first[held])
        return cls(
            graphs,
            number[held].cpu(),
            root,
            occurrences.cpu(),
            _label(chunk).cpu(),
            forest.num_layers,
        )

    @classmethod
    def merge(cls, parts: Sequence['CollectedTrees']) -> 'CollectedTrees':
        """Puts the trees of different graphs together, each of them once."""
        if len(parts) == 1:
            return parts[0]
        num_layers = parts[0].num_layers
        graphs = concatenate_graphs([part.graphs for part in parts])
        start = graphs.node_ptr.tolist()
        root = torch.cat(
            [part.root + n for part, n in zip(parts, start, strict=False)]
        )
        tree = torch.cat([part.tree for part in parts])
        tree, number = tree.unique(return_inverse=True)
        first = torch.full_like(tree, root.numel())
        first.scatter_reduce_(0, number, torch.arange(root.numel()), 'amin')
        forest = Forest(graphs, num_layers)
        graphs, root = cut_out(forest, root[first])
        return cls(
            graphs,
            tree,
            root,
            Occurrences.concatenate(
                [part.occurrences for part in parts],
                [part.label.numel() for part in parts],
            ),
            torch.cat([part.label for part in parts]),
            num_layers,
        )

    @cached_property
    def forest(self) -> Forest:
        """The trees of all nodes of :obj:`graphs`."""
        return Forest(self.graphs, self.num_layers)

    def root_of(self, tree: Tensor) -> Tensor:
        """The node of :obj:`graphs` with each of some trees, :obj:`[n]`."""
        return self.root[torch.searchsorted(self.tree, tree)]


def look_up(known: Tensor, key: Tensor) -> Tensor:
    """Finds keys among known ones.

    Args:
        known (torch.Tensor): Distinct keys of shape :obj:`[V, 2]`.
        key (torch.Tensor): Keys of shape :obj:`[n, 2]`.

    Returns:
        torch.Tensor: Their numbers of shape :obj:`[n]`, -1 where unknown.
    """
    tree = unique_keys(torch.cat([known, key]))
    number = torch.full_like(tree.count, -1)
    index = torch.arange(known.size(0), device=known.device)
    number[tree.inverse[: known.size(0)]] = index
    return number[tree.inverse[known.size(0) :]]
