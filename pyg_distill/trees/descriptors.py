"""Trees -> points that are near each other if the trees are alike."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from pyg_distill.trees.csr import IncomingEdges
from pyg_distill.trees.forest import Forest
from pyg_distill.trees.unique import unique_keys

# A column with more distinct values is a quantity, not a kind.
MAX_KINDS = 64
# Infinity is far away, but no farther than can be computed with.
MAX_DEVIATIONS = 1e3
# Points have multiples of this as coordinates, so that sums of their products
# are exact and do not depend on the order of nodes, edges and chunks.
GRID = 2.0**-6


@dataclass(frozen=True)
class FeatureCode:
    """How features are turned into numbers that may be added up.

    A column of few values, such as an atom's kind, has an indicator for each
    (one for both if there are two), so that different kinds are equally far
    apart whatever their numbers; a column of many is scaled to unit deviation.
    Columns that never change are left out.

    Attributes:
        kinds: The values of each column of few, by its number.
        scale: The mean and the deviation of the distinct values of each
            column of many.
    """

    kinds: dict[int, Tensor]
    scale: dict[int, tuple[float, float]]

    @classmethod
    def fit(cls, value: Tensor) -> 'FeatureCode':
        """Looks at the values that there are.

        Args:
            value (torch.Tensor): Features of shape :obj:`[n, *]`.
        """
        kinds, scale = {}, {}
        for i, column in enumerate(_columns(value)):
            known = column.unique()
            if known.numel() > MAX_KINDS:
                # How often each is there would depend on what is shared.
                known = known[known.isfinite()]
                scale[i] = (float(known.mean()), float(known.std()))
            elif known.numel() > 2:
                kinds[i] = known
            elif known.numel() == 2:
                kinds[i] = known[1:]
        return cls(kinds, scale)

    def __call__(self, value: Tensor) -> Tensor:
        """Encodes features, of which some may never have been seen.

        Args:
            value (torch.Tensor): Features of shape :obj:`[n, *]`.

        Returns:
            torch.Tensor: Numbers of shape :obj:`[n, C]` (double).
        """
        columns = _columns(value)
        out = [columns.new_empty(0, columns.size(1))]
        for i, known in self.kinds.items():
            out.append(columns[i] == known.to(columns.device)[:, None])
        for i, (mean, std) in self.scale.items():
            scaled = (columns[i : i + 1] - mean) / std
            out.append(scaled.clamp_(-MAX_DEVIATIONS, MAX_DEVIATIONS))
        return torch.cat([rows.double() for rows in out]).t().contiguous()


@dataclass(frozen=True)
class TreeCode:
    """How the trees of a data set are turned into points.

    Attributes:
        x: The code of node features, if there are any.
        edge: The codes of edge features by name.
    """

    x: FeatureCode | None
    edge: dict[str, FeatureCode]

    @classmethod
    def fit(cls, forest: Forest) -> 'TreeCode':
        """Looks at the features that there are.

        Args:
            forest (Forest): Some trees, that stand for all.
        """
        graphs = forest.graphs
        x = None if graphs.x is None else FeatureCode.fit(graphs.x)
        edge = {
            name: FeatureCode.fit(value)
            for name in ('edge_attr', 'edge_weight')
            if (value := getattr(graphs, name)) is not None
        }
        return cls(x, edge)

    def __call__(self, forest: Forest) -> Tensor:
        r"""Describes each distinct tree by what is found hop by hop.

        Hop :math:`k` of a tree is the sum of the codes of all nodes that lie
        :math:`k` edges below the root, each counted once a path (as in the
        unrolled tree), that is, a histogram of labels, together with the sum
        for the edges that lead there. Square roots of these numbers are what
        distances are computed of, so that large counts do not hide small
        ones, and each hop weighs half as much as the one before. They are
        rounded to multiples of :obj:`GRID`.

        Args:
            forest (Forest): The trees.

        Returns:
            torch.Tensor: Points of shape :obj:`[U, D]` (float), in the order
            of :meth:`Forest.distinct`. Equal trees have equal points, whatever
            the graphs they are in.
        """
        graphs = forest.graphs
        incoming = IncomingEdges.of(graphs.edge_index, graphs.num_nodes)
        level = unique_keys(forest.keys[0])
        hops = [self._nodes(forest, level.first)]
        for key in forest.keys[1:]:
            below, level = level, unique_keys(key)
            parent, edge = incoming.expand(level.first)
            child = below.inverse[graphs.edge_index[0, edge]]
            size = torch.bincount(parent, minlength=level.first.numel())
            start = size.cumsum(0) - size

            def add(
                hop: Tensor, child: Tensor = child, start: Tensor = start
            ) -> Tensor:
                return embedding_bag(child, hop, start, mode='sum')

            first = add(hops[0])
            links = self._edges(forest, edge)
            if links.size(1) > 0:
                total = first.new_zeros(first.size(0), links.size(1))
                total.index_add_(0, parent, links)
                first = torch.cat([first, total], dim=1)
            deeper = [add(hop) for hop in hops[1:]]
            hops = [self._nodes(forest, level.first), first, *deeper]
        scaled = [
            hop.sign() * hop.abs().sqrt() * 0.5**k for k, hop in enumerate(hops)
        ]
        points = torch.cat(scaled, dim=1)
        return points.div_(GRID).round_().mul_(GRID).float()

    def _nodes(self, forest: Forest, node: Tensor) -> Tensor:
        # The number of nodes tells trees without features apart.
        one = torch.ones(node.numel(), 1, device=node.device).double()
        if self.x is None:
            return one
        assert forest.graphs.x is not None
        return torch.cat([one, self.x(forest.graphs.x[node])], dim=1)

    def _edges(self, forest: Forest, edge: Tensor) -> Tensor:
        out = [torch.empty(edge.numel(), 0, device=edge.device).double()]
        for name, code in self.edge.items():
            out.append(code(getattr(forest.graphs, name)[edge]))
        return torch.cat(out, dim=1)


def _columns(value: Tensor) -> Tensor:
    table = value.view(-1, 1) if value.dim() == 1 else value.flatten(1)
    return table.t().double()
