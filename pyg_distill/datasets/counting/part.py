"""Graphs that are in memory, and their trees."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pyg_distill.datasets.reading.source import Source
from pyg_distill.datasets.selection import Occurrences
from pyg_distill.trees import Forest, UniqueKeys


@dataclass(frozen=True)
class Part:
    """Some graphs of a source, and what is computed of them on demand.

    Attributes:
        source: The graphs and their labels.
        num_layers: The depth of the trees.
        verify: Whether to compare trees exactly, too.
    """

    source: Source
    num_layers: int
    verify: bool

    @cached_property
    def forest(self) -> Forest:
        """The trees of all nodes."""
        return Forest(self.source.graphs, self.num_layers, self.verify)

    @cached_property
    def tree(self) -> UniqueKeys:
        """The classes of equal trees."""
        return self.forest.distinct()

    @cached_property
    def key(self) -> Tensor:
        """The key of each distinct tree, ascending, of shape :obj:`[U, 2]`."""
        return self.forest.keys[-1][self.tree.first]

    @cached_property
    def occurrences(self) -> Occurrences:
        """Which graph holds which of the distinct trees."""
        return Occurrences.of(
            self.source.graphs.graph_of_node(),
            self.tree.inverse,
            self.tree.first.numel(),
        )

    def continuous(self) -> set[str]:
        """The names of the features that hold values with a fraction."""
        graphs = self.source.graphs
        named = {
            # Equal trees have equal roots, so all values are among these.
            'x': None if graphs.x is None else graphs.x[self.tree.first],
            'edge_attr': graphs.edge_attr,
            'edge_weight': graphs.edge_weight,
        }
        return {
            name
            for name, value in named.items()
            if value is not None
            and value.is_floating_point()
            and bool((value != value.round()).any())
        }

    def layout(self) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        """The type and the shape of a row of all that is read."""
        graphs = self.source.graphs
        named = {
            'x': graphs.x,
            'edge_attr': graphs.edge_attr,
            'edge_weight': graphs.edge_weight,
        }
        out = {
            name: (value.dtype, tuple(value.size()[1:]))
            for name, value in named.items()
            if value is not None
        }
        for name, column in self.source.attributes.items():
            out[name] = (column[0].dtype, tuple(column[0].size()[1:]))
        # Labels are cast, so that only their dimensions matter.
        out['y'] = (torch.long, (1,) * (self.source.y_dim - 1))
        return out
