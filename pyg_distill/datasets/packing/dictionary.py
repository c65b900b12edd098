"""The distinct subtrees of many tree sets, and how they are packed."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_distill.datasets.packing.column import Packed, decode, encode
from pyg_distill.datasets.packing.gaps import from_gaps, to_gaps
from pyg_distill.datasets.packing.rows import (
    DistinctRows,
    decode_rows,
    encode_rows,
    take_rows,
)
from pyg_distill.trees import Graphs, share_trees
from pyg_distill.trees.csr import pointer, ragged_range
from pyg_distill.trees.unique import lexsort


@dataclass(frozen=True)
class TreeDictionary:
    r"""Distinct trees, in which each distinct subtree is an entry.

    The highest come first, and of the same height those that are found in
    most places, so that numbers of entries and gaps between them are small.

    Shapes:
        - **height:** the longest way down from each entry :math:`(D)`,
        - **parent**, **child:** entries that are linked :math:`(K)`, sorted,
        - **times:** how often each child is there :math:`(K)`,
        - **x:** features of the root of each entry :math:`(D, *)`, if any,
        - **edge_attr**, **edge_weight:** features of the edges from children
          :math:`(K, *)`, if any.
    """

    height: Tensor
    parent: Tensor
    child: Tensor
    times: Tensor
    x: Tensor | None = None
    edge_attr: Tensor | None = None
    edge_weight: Tensor | None = None

    @classmethod
    def of(
        cls, graphs: Graphs, num_layers: int, root: Tensor
    ) -> tuple['TreeDictionary', Tensor, bool]:
        """Finds equal subtrees in all of some tree sets.

        Args:
            graphs (Graphs): Graphs in tree-set form.
            num_layers (int): The depth of their trees.
            root (torch.Tensor): All roots, of shape :obj:`[R]`.

        Returns:
            tuple: The dictionary, the entry of each node, and whether each
            graph holds equal subtrees once.

        Raises:
            ValueError: If nodes are in no tree or deeper than they should be,
                or only some equal subtrees are shared.
        """
        _check_depth(graphs, num_layers, root)
        kind, first = edge_kinds(graphs)
        own = None if graphs.x is None else DistinctRows.of(graphs.x)
        found, entry = share_trees(
            Graphs(
                graphs.edge_index,
                graphs.node_ptr,
                graphs.edge_ptr,
                x=None if own is None else own.number,
                edge_attr=kind,
            ),
            num_layers,
        )
        num_trees = found.num_trees
        pair = graphs.graph_of_node() * max(1, num_trees) + entry
        compact = pair.unique().numel() == pair.numel()
        if not compact:
            _check_unrolled(graphs, root)

        parent, _ = ragged_range(found.ptr.diff())
        child = found.child
        height = _heights(torch.stack([child, parent]), num_trees, num_layers)
        assert found.edge_attr is not None
        places = torch.bincount(entry[root], minlength=num_trees)
        link = parent * max(1, num_trees) + child
        places += torch.bincount(
            link.unique() % max(1, num_trees), minlength=num_trees
        )
        order = lexsort(-height, -places)
        number = torch.empty_like(order)
        number[order] = torch.arange(num_trees)

        parent, child, kind = number[parent], number[child], found.edge_attr
        rank = lexsort(parent, child, kind)
        links = torch.stack([parent, child, kind])[:, rank]
        links, times = torch.unique_consecutive(
            links, return_counts=True, dim=1
        )
        parent, child, kind = links
        edge = first[kind]
        rows = {
            name: take_rows(value, edge)
            for name in ('edge_attr', 'edge_weight')
            if (value := getattr(graphs, name)) is not None
        }
        if graphs.x is not None:
            assert own is not None
            assert found.x is not None
            rows['x'] = take_rows(graphs.x, own.first[found.x[order]])
        trees = cls(height[order], parent, child, times, **rows)
        return trees, number[entry], compact

    def below(self) -> Tensor:
        """The first entry that may be a child of each, of shape :obj:`[D]`."""
        size = _by_height(self.height)
        return size.cumsum(0)[size.numel() - 1 - self.height]

    def degree(self) -> Tensor:
        """The number of distinct children of each entry, :obj:`[D]`."""
        return torch.bincount(self.parent, minlength=self.height.numel())

    def gaps(self) -> tuple[Tensor, bool]:
        """The children of each entry as gaps; see :meth:`to_gaps`."""
        return to_gaps(self.child - self.below()[self.parent], self.parent)


def encode_trees(trees: TreeDictionary) -> Packed:
    """Packs a dictionary.

    Args:
        trees (TreeDictionary): The dictionary.
    """
    gap, distinct = trees.gaps()
    out = {
        'distinct': distinct,
        'sizes': encode(_by_height(trees.height)),
        'degree': encode(trees.degree()[trees.height > 0] - 1),
        'child': encode(gap),
        'times': encode(trees.times - 1),
    }
    for name in ('x', 'edge_attr', 'edge_weight'):
        value = getattr(trees, name)
        if value is not None:
            out[name] = encode_rows(value)
    return out


def decode_trees(stored: Packed) -> Graphs:
    """Restores a dictionary as one graph of which each node is an entry.

    Args:
        stored (dict): What :meth:`encode_trees` returned.
    """
    size = decode(stored['sizes'])
    num_trees = int(size.sum())
    highest = size.numel() - 1
    height = torch.arange(highest, -1, -1).repeat_interleave(size)
    degree = torch.zeros_like(height)
    degree[height > 0] = decode(stored['degree']) + 1
    parent, _ = ragged_range(degree)
    below = size.cumsum(0)[highest - height]
    child = from_gaps(
        decode(stored['child']), degree, parent, stored['distinct']
    )
    child = child + below[parent]
    link, _ = ragged_range(decode(stored['times']) + 1)
    rows = {
        name: decode_rows(stored[name])
        for name in ('x', 'edge_attr', 'edge_weight')
        if name in stored
    }
    for name in ('edge_attr', 'edge_weight'):
        if name in rows:
            rows[name] = take_rows(rows[name], link)
    edge_index = torch.stack([child, parent])[:, link]
    return Graphs(
        edge_index,
        pointer(torch.tensor([num_trees])),
        pointer(torch.tensor([link.numel()])),
        **rows,
    )


def edge_kinds(graphs: Graphs) -> tuple[Tensor, Tensor]:
    """Numbers edges by what they carry.

    Args:
        graphs (Graphs): The graphs.

    Returns:
        tuple: Equal numbers for equal edges, of shape :obj:`[E]`, and an edge
        of each kind.
    """
    kind = torch.zeros_like(graphs.edge_index[0])
    for value in (graphs.edge_attr, graphs.edge_weight):
        if value is not None:
            rows = DistinctRows.of(value)
            kind = kind * max(1, rows.first.numel()) + rows.number
    found = DistinctRows.of(kind)
    return found.number, found.first


def _by_height(height: Tensor) -> Tensor:
    return torch.bincount(height).flip(0)


def _heights(edge_index: Tensor, num_nodes: int, num_layers: int) -> Tensor:
    source, target = edge_index
    height = torch.zeros(num_nodes, dtype=torch.long)
    for _ in range(num_layers):
        height = height.scatter_reduce(0, target, height[source] + 1, 'amax')
    return height


def _check_depth(graphs: Graphs, num_layers: int, root: Tensor) -> None:
    height = _heights(graphs.edge_index, graphs.num_nodes, num_layers)
    source, target = graphs.edge_index
    if bool((height[target] <= height[source]).any()):
        raise ValueError(
            f"'edge_index' leads deeper than 'num_layers' (got {num_layers}), "
            f'so these are no trees of that depth; distil the graphs first'
        )
    reached = torch.zeros_like(height, dtype=torch.bool)
    reached[root] = True
    reached[source] = True
    if not bool(reached.all()):
        raise ValueError(
            f"'root_index' must reach all nodes (got "
            f'{int((~reached).sum())} nodes that are in no tree); remove them'
        )


def _check_unrolled(graphs: Graphs, root: Tensor) -> None:
    uses = torch.bincount(
        torch.cat([graphs.edge_index[0], root]), minlength=graphs.num_nodes
    )
    if bool((uses != 1).any()):
        raise ValueError(
            "'edge_index' must share all equal subtrees of a graph or none "
            '(got graphs that share some); build them with compact=True'
        )
