"""Trees as points, such that similar trees are near each other."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from pyg_distill.trees.build import Forest
from pyg_distill.trees.grouping import pointer, unique_keys

# A column with more distinct values is a quantity, not a category.
MAX_CATEGORIES = 64
# Infinite values are clamped to this many deviations.
MAX_DEVIATIONS = 1e3
# Coordinates are multiples of this, so that sums of their products are exact
# and do not depend on the order of nodes, edges and chunks.
GRID = 2.0**-6


@dataclass(frozen=True)
class FeatureCode:
    """An encoding of features as numbers that may be added up.

    A column of few values (`categories`, by its number) has one indicator a
    value, or a single one for two values. A column of many values is scaled by
    the mean and the deviation of its distinct values (`scale`). Constant
    columns are left out.
    """

    categories: dict[int, Tensor]
    scale: dict[int, tuple[float, float]]

    @classmethod
    def fit(cls, value: Tensor) -> 'FeatureCode':
        """Chooses the encoding of each column of features [n, *]."""
        categories, scale = {}, {}
        for i, column in enumerate(_columns(value)):
            distinct = column.unique()
            if distinct.numel() > MAX_CATEGORIES:
                # The mean of all values would depend on how often each occurs.
                distinct = distinct[distinct.isfinite()]
                scale[i] = (float(distinct.mean()), float(distinct.std()))
            elif distinct.numel() > 2:
                categories[i] = distinct
            elif distinct.numel() == 2:
                categories[i] = distinct[1:]
        return cls(categories, scale)

    def __call__(self, value: Tensor) -> Tensor:
        """Encodes features [n, *], also unseen ones, as doubles [n, C]."""
        columns = _columns(value)
        out = [columns.new_empty(0, columns.size(1))]
        for i, known in self.categories.items():
            out.append(columns[i] == known.to(columns.device)[:, None])
        for i, (mean, std) in self.scale.items():
            scaled = (columns[i : i + 1] - mean) / std
            out.append(scaled.clamp_(-MAX_DEVIATIONS, MAX_DEVIATIONS))
        return torch.cat([rows.double() for rows in out]).t().contiguous()


@dataclass(frozen=True)
class TreeCode:
    """An encoding of the trees of a data set as points.

    Attributes:
        x: The encoding of node features, if there are any.
        edge: The encodings of edge features, by name.
    """

    x: FeatureCode | None
    edge: dict[str, FeatureCode]

    @classmethod
    def fit(cls, forest: Forest) -> 'TreeCode':
        """Chooses the encoding of all features of some trees."""
        graphs = forest.graphs
        x = None if graphs.x is None else FeatureCode.fit(graphs.x)
        edge = {
            name: FeatureCode.fit(value)
            for name in ('edge_attr', 'edge_weight')
            if (value := getattr(graphs, name)) is not None
        }
        return cls(x, edge)

    def __call__(self, forest: Forest) -> Tensor:
        r"""Encodes each distinct tree by its features, hop by hop.

        Hop :math:`k` of a tree is the sum of the encoded features of all nodes
        :math:`k` edges below the root in the unrolled tree, together with the
        sum for the edges that lead there. Square roots of these sums keep
        large counts from hiding small ones. Each hop weighs half as much as
        the one before.

        Args:
            forest (Forest): The trees.

        Returns:
            torch.Tensor: Points of shape :obj:`[U, D]` (float), in the order
            of :meth:`Forest.distinct`.
        """
        graphs = forest.graphs
        incoming = graphs.incoming()
        tree = unique_keys(forest.keys[0])
        hops = [self._encode_nodes(forest, tree.first)]
        for key in forest.keys[1:]:
            below, tree = tree, unique_keys(key)
            parent, edge = incoming.expand(tree.first)
            child = below.inverse[graphs.edge_index[0, edge]]
            degree = torch.bincount(parent, minlength=tree.first.numel())
            start = pointer(degree)[:-1]
            hops = [
                embedding_bag(child, hop, start, mode='sum') for hop in hops
            ]
            links = self._encode_edges(forest, edge)
            total = links.new_zeros(degree.numel(), links.size(1))
            total.index_add_(0, parent, links)
            hops[0] = torch.cat([hops[0], total], dim=1)
            hops.insert(0, self._encode_nodes(forest, tree.first))
        scaled = [
            hop.sign() * hop.abs().sqrt() * 0.5**k for k, hop in enumerate(hops)
        ]
        points = torch.cat(scaled, dim=1)
        return points.div_(GRID).round_().mul_(GRID).float()

    def _encode_nodes(self, forest: Forest, node: Tensor) -> Tensor:
        # A column of ones counts nodes, also where they have no features.
        out = [torch.ones_like(node, dtype=torch.double).view(-1, 1)]
        if self.x is not None and forest.graphs.x is not None:
            out.append(self.x(forest.graphs.x[node]))
        return torch.cat(out, dim=1)

    def _encode_edges(self, forest: Forest, edge: Tensor) -> Tensor:
        out = [torch.empty(edge.numel(), 0, device=edge.device).double()]
        for name, code in self.edge.items():
            out.append(code(getattr(forest.graphs, name)[edge]))
        return torch.cat(out, dim=1)


def _columns(value: Tensor) -> Tensor:
    table = value.view(-1, 1) if value.dim() == 1 else value.flatten(1)
    return table.t().double()
