"""What distilling did to a data set, in numbers."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from pyg_distill.data.table import GraphTable
from pyg_distill.selection.base import ClassSummary
from pyg_distill.trees import expected_size, share_trees

# The batch size of the prediction.
BATCH_SIZE = 128
# Merging costs about as much time as a fifth of the nodes.
_WORTH = 1.2


@dataclass(frozen=True)
class Size:
    """The size of a data set.

    Attributes:
        num_graphs: The number of graphs.
        num_nodes: The number of nodes.
        num_edges: The number of edges.
        num_bytes: The bytes of all tensors that are not left out.
    """

    num_graphs: int
    num_nodes: int
    num_edges: int
    num_bytes: int

    def __str__(self) -> str:
        return (
            f'{self.num_graphs:,} graphs, {self.num_nodes:,} nodes, '
            f'{self.num_edges:,} edges, {self.num_bytes:,} bytes'
        )


@dataclass(frozen=True)
class Sharing:
    """The mean size of mini-batches, with and without shared trees.

    Attributes:
        batch_size: The number of graphs of a mini-batch.
        num_nodes: The nodes of an ordinary mini-batch.
        num_edges: The edges of an ordinary mini-batch.
        num_shared_nodes: The nodes of a mini-batch of
            :class:`~pyg_distill.loader.TreeSetLoader`.
        num_shared_edges: The edges of the same.
    """

    batch_size: int
    num_nodes: float
    num_edges: float
    num_shared_nodes: float
    num_shared_edges: float

    @property
    def factor(self) -> float:
        """How many times fewer nodes and edges there are."""
        shared = self.num_shared_nodes + self.num_shared_edges
        return (self.num_nodes + self.num_edges) / max(shared, 1.0)

    @property
    def pays(self) -> bool:
        """Whether training on shared trees is likely to be faster."""
        return self.factor > _WORTH

    def __str__(self) -> str:
        advice = 'pays off' if self.pays else 'does not pay'
        return (
            f'batches of {self.batch_size}: {self.num_nodes:,.0f} nodes and '
            f'{self.num_edges:,.0f} edges, or {self.num_shared_nodes:,.0f} and '
            f'{self.num_shared_edges:,.0f} if trees are shared, '
            f'{self.factor:.1f} times fewer: TreeSetLoader {advice}'
        )


@dataclass(frozen=True, repr=False)
class DistillationReport:
    """What distilling did to a data set; prints as a table.

    Attributes:
        options: The options of the data set by name.
        num_classes: The number of classes, with those not in the split.
        num_trees: The distinct trees of the source.
        classes: What was kept of each class.
        source: The size of the given split.
        distilled: The size of the result.
        sharing: The expected size of mini-batches with and without shared
            trees (of the source's graphs if nothing is lost).
        compressed_bytes: The bytes of the result when compressed, which a
            budget limits and a cache holds.
        source_compressed_bytes: The bytes of the given split when compressed,
            if the budget is a share of them.
        selection: The selector whose result was kept.
        scores: The score of each candidate, if there were several.
        left_out: Attributes of the source that are not in the result.
        seconds: The time that distilling took, without reading the source.
        file_size: The size of the cache file in bytes, if there is one.
    """

    options: dict[str, Any]
    num_classes: int
    num_trees: int
    classes: dict[int, ClassSummary]
    source: Size
    distilled: Size
    sharing: Sharing
    compressed_bytes: int = 0
    source_compressed_bytes: int | None = None
    selection: str = ''
    scores: dict[str, float] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    seconds: float = 0.0
    file_size: int | None = None

    @property
    def ratio(self) -> float:
        """The bytes of the result as a share of those of the source."""
        return self.distilled.num_bytes / max(1, self.source.num_bytes)

    @property
    def class_sizes(self) -> dict[int, int]:
        """The number of graphs of each class in the source, by its label."""
        return {label: c.num_graphs for label, c in self.classes.items()}

    def to_dict(self) -> dict[str, Any]:
        """The report as plain dictionaries, ready for JSON."""
        out = asdict(self)
        out['classes'] = {str(c): v for c, v in out['classes'].items()}
        return out

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> 'DistillationReport':
        """The report that :meth:`to_dict` was called on."""
        values = {f.name: values[f.name] for f in fields(cls)}
        values['source'] = Size(**values['source'])
        values['distilled'] = Size(**values['distilled'])
        values['sharing'] = Sharing(**values['sharing'])
        values['classes'] = {
            int(c): ClassSummary(**v) for c, v in values['classes'].items()
        }
        return cls(**values)

    def __str__(self) -> str:
        lines = [format_options(self.options)]
        if self.scores:
            listed = ', '.join(f'{n} {v:.3f}' for n, v in self.scores.items())
            lines.append(f'kept {self.selection!r}; scores: {listed}')
        lines.append(f'{"":17}{"source":>14}{"distilled":>14}{"share":>10}')
        sizes = asdict(self.source)
        sizes['compressed_bytes'] = self.source_compressed_bytes
        for name, before in sizes.items():
            after = getattr(self.distilled, name, self.compressed_bytes)
            share = f'{after / before:.2%}' if before else '-'
            first = '-' if before is None else f'{before:,}'
            name = name.removeprefix('num_').replace('_', ' ')
            lines.append(f'{name:17}{first:>14}{after:>14,}{share:>10}')
        lines.append(
            f'{"class":10}{"graphs":>8}{"trees":>8}{"kept":>8}'
            f'{"graphs held":>14}{"nodes held":>14}'
        )
        for label, c in self.classes.items():
            lines.append(
                f'{label:<10}{c.num_graphs:>8,}{c.num_trees:>8,}'
                f'{c.num_sets:>8,}{c.graph_coverage:>14.1%}'
                f'{c.node_coverage:>14.1%}'
            )
        lines += [
            f'{self.num_trees:,} distinct trees in all; distilled in '
            f'{self.seconds:.2f} s',
            str(self.sharing),
        ]
        if self.ratio > 1:
            lines.append('larger than the source: keep less')
        if self.file_size is not None:
            lines.append(f'{self.file_size:,} bytes on disk')
        if self.left_out:
            lines.append(f'left out: {", ".join(self.left_out)}')
        return '\n'.join(lines)

    __repr__ = __str__  # What a notebook shows; `to_dict` has the numbers.


def format_options(options: dict[str, Any]) -> str:
    """Options as they are passed, without those that are empty."""
    return ', '.join(
        f'{name}={value!r}'
        for name, value in options.items()
        if value is not None and value != [] and value != {}
    )


def predict_sharing(
    table: GraphTable, num_layers: int, num_nodes: int, num_edges: int
) -> Sharing:
    """Predicts the size of mini-batches, in closed form.

    Ordinary ones have their share of ``num_nodes`` and ``num_edges``.
    """
    graphs = table.graphs
    trees, entry = share_trees(graphs, num_layers)
    graph: Tensor = graphs.graph_of_node()
    if 'root_index' in table.keys:
        size = table.sizes('root_index').to(graph.device)
        graph = torch.arange(len(table), device=graph.device)
        graph = graph.repeat_interleave(size)
        entry = entry[table.rows('root_index') + graphs.node_ptr[graph]]
    batch_size = min(BATCH_SIZE, len(table))
    nodes, edges = expected_size(trees, entry, graph, len(table), batch_size)
    share = batch_size / len(table)
    return Sharing(
        batch_size, share * num_nodes, share * num_edges, nodes, edges
    )
