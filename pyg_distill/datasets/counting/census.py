"""All that must be known of all graphs before any of them is kept."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from pyg_distill.datasets.counting.part import Part
from pyg_distill.datasets.counting.tree_counts import TreeCounts

Layout = dict[str, tuple[torch.dtype, tuple[int, ...]]]


@dataclass(frozen=True)
class ClassCensus:
    """The graphs of one class.

    Attributes:
        num_graphs: Their number.
        num_nodes: The number of their nodes.
        num_trees: The number of their distinct trees.
        best_support: The number of graphs that hold the most frequent tree.
    """

    num_graphs: int
    num_nodes: int
    num_trees: int
    best_support: int


@dataclass(frozen=True)
class Census:
    """What is known of some graphs; that of others can be merged into it.

    Attributes:
        counts: The supports of their trees.
        graphs_of_class: The number of graphs of each class.
        nodes_of_class: The number of nodes of each class.
        num_nodes: The number of nodes.
        num_edges: The number of edges.
        num_bytes: The tensor payload of what was read.
        num_classes: The classes that the source says it has.
        layout: The type and the shape of a row of all that is read.
        attributes: The names of graph-level attributes.
        left_out: The names of attributes that are not read.
        continuous: The names of features with values that have a fraction.
    """

    counts: TreeCounts
    graphs_of_class: dict[int, int]
    nodes_of_class: dict[int, int]
    num_nodes: int
    num_edges: int
    num_bytes: int
    num_classes: int
    layout: Layout
    attributes: frozenset[str]
    left_out: frozenset[str]
    continuous: frozenset[str]

    @classmethod
    def of(cls, part: Part) -> 'Census':
        """Counts what there is in one part."""
        source = part.source
        label, graphs = source.label, source.graphs
        present, which = label.unique(return_inverse=True)
        num_nodes = torch.zeros_like(present)
        num_nodes.index_add_(0, which, graphs.node_ptr.diff())
        classes = present.tolist()
        return cls(
            counts=TreeCounts.of(part),
            graphs_of_class=dict(
                zip(classes, which.bincount().tolist(), strict=True)
            ),
            nodes_of_class=dict(zip(classes, num_nodes.tolist(), strict=True)),
            num_nodes=graphs.num_nodes,
            num_edges=graphs.num_edges,
            num_bytes=source.num_bytes,
            num_classes=source.num_classes,
            layout=part.layout(),
            attributes=frozenset(source.attributes),
            left_out=frozenset(source.left_out),
            continuous=frozenset(part.continuous()),
        )

    @classmethod
    def merge(cls, parts: Sequence['Census']) -> 'Census':
        """Puts together what is known of different graphs.

        Raises:
            ValueError: If their features are not of the same type and shape.
        """
        if len(parts) == 1:
            return parts[0]
        for part in parts[1:]:
            _check_alike(parts[0], part)
        return cls(
            counts=TreeCounts.merge([part.counts for part in parts]),
            graphs_of_class=_sum(part.graphs_of_class for part in parts),
            nodes_of_class=_sum(part.nodes_of_class for part in parts),
            num_nodes=sum(part.num_nodes for part in parts),
            num_edges=sum(part.num_edges for part in parts),
            num_bytes=sum(part.num_bytes for part in parts),
            num_classes=max(part.num_classes for part in parts),
            layout=parts[0].layout,
            attributes=frozenset().union(*(p.attributes for p in parts)),
            left_out=frozenset().union(*(p.left_out for p in parts)),
            continuous=frozenset().union(*(p.continuous for p in parts)),
        )

    def cpu(self) -> 'Census':
        """The same, ready to be sent to another process."""
        return replace(self, counts=self.counts.cpu())

    @property
    def num_graphs(self) -> int:
        """The number of graphs."""
        return sum(self.graphs_of_class.values())

    @property
    def y_dim(self) -> int:
        """The number of dimensions that :obj:`y` has."""
        return 1 + len(self.layout['y'][1])

    def sizes(self) -> dict[int, int]:
        """The number of graphs of each class, by its label, ascending."""
        return dict(sorted(self.graphs_of_class.items()))

    def by_class(self) -> dict[int, ClassCensus]:
        """What is known of each class, by its label, ascending."""
        out = {}
        for label, num_graphs in sorted(self.graphs_of_class.items()):
            support = self.counts.support[self.counts.label == label]
            out[label] = ClassCensus(
                num_graphs=num_graphs,
                num_nodes=self.nodes_of_class[label],
                num_trees=support.numel(),
                best_support=int(support.max()) if support.numel() else 0,
            )
        return out


class CensusTaker:
    """Merges the census of many parts, as soon as it saves memory."""

    def __init__(self) -> None:
        self._merged: list[Census] = []
        self._size = 0

    def add(self, census: Census) -> None:
        """Takes what is known of further graphs."""
        self._merged.append(census)
        pending = sum(c.counts.label.numel() for c in self._merged[1:])
        # Sorting only as much as was sorted before takes n log n in all.
        if pending > self._merged[0].counts.label.numel():
            self._merged = [Census.merge(self._merged)]

    def result(self) -> Census | None:
        """What is known of all graphs, if there were any."""
        return Census.merge(self._merged) if self._merged else None


def _sum(counts: Iterable[dict[int, int]]) -> dict[int, int]:
    out: dict[int, int] = {}
    for count in counts:
        for label, number in count.items():
            out[label] = out.get(label, 0) + number
    return out


def _check_alike(first: Census, other: Census) -> None:
    odd = first.attributes ^ other.attributes
    if odd:
        raise ValueError(
            f'all chunks of a source must have the same attributes (got '
            f'{sorted(odd)} in some of them only); fill in, or leave out with '
            f'exclude_keys={sorted(odd)}'
        )
    names = sorted({*first.layout, *other.layout})
    for name in names:
        if first.layout.get(name) != other.layout.get(name):
            raise ValueError(
                f"'{name}' must have the same type and shape in all chunks of "
                f'a source (got {_describe(first.layout.get(name))} and '
                f'{_describe(other.layout.get(name))}); convert it before'
            )


def _describe(layout: tuple[torch.dtype, tuple[int, ...]] | None) -> str:
    if layout is None:
        return 'none'
    return f'{layout[0]} of shape {["*", *layout[1]]}'.replace("'", '')
