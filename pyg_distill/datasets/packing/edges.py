"""Edges of many graphs as gaps between cells of their adjacency matrices."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_distill.datasets.packing.column import (
    Packed,
    decode,
    encode,
    packed_bytes,
)
from pyg_distill.datasets.packing.gaps import from_gaps, to_gaps
from pyg_distill.trees.csr import ragged_range


@dataclass(frozen=True)
class Cells:
    r"""The non-zero cells of adjacency matrices, row by row.

    Row :math:`v` lists the neighbours of node :math:`v`: all of them, in the
    order of the nodes, or, if edges come in pairs of opposite directions,
    those before it, the closest one first, of which the first cell is
    :math:`v` itself where there are loops.

    Shapes:
        - **row:** the node, numbered through over all graphs :math:`(K)`,
        - **cell:** the place in the row :math:`(K)`, sorted,
        - **edge:** an edge that is there :math:`(K)`,
        - **node_ptr:** where the nodes of each graph begin :math:`(G + 1)`.
    """

    row: Tensor
    cell: Tensor
    edge: Tensor
    node_ptr: Tensor
    symmetric: bool
    loops: bool
    simple: bool

    @classmethod
    def of(cls, edge_index: Tensor, node_ptr: Tensor, kind: Tensor) -> 'Cells':
        """Sorts edges into cells.

        Args:
            edge_index (torch.Tensor): Edges of shape :obj:`[2, E]`, numbered
                through over all graphs.
            node_ptr (torch.Tensor): Where the nodes of each graph begin, of
                shape :obj:`[G + 1]`.
            kind (torch.Tensor): Equal where edges carry the same, :obj:`[E]`.
        """
        source, target = edge_index
        edge = torch.arange(source.numel())
        loops = bool((source == target).any())
        # Pairs are the same if lower and upper cells are.
        lower, upper = source <= target, source >= target
        first = target[lower] - source[lower]
        second = source[upper] - target[upper]
        codes, others = _codes(
            (target[lower], first, kind[lower]),
            (source[upper], second, kind[upper]),
        )
        symmetric = codes.numel() == others.numel()
        if symmetric:
            codes, order = codes.sort()
            symmetric = codes.equal(others.sort().values)
        if symmetric:
            row, cell = target[lower][order], first[order] - 1 + loops
            edge = edge[lower][order]
        else:
            size = node_ptr.diff()
            graph = torch.arange(size.numel()).repeat_interleave(size)
            cell = source - node_ptr[graph[source]]
            codes, _ = _codes((target, cell, kind), (edge[:0],) * 3)
            edge = codes.argsort()
            row, cell = target[edge], cell[edge]
        same = (row[1:] == row[:-1]) & (cell[1:] == cell[:-1])
        simple = not bool(same.any())
        return cls(row, cell, edge, node_ptr, symmetric, loops, simple)

    def graph(self) -> Tensor:
        """The graph of each cell, of shape :obj:`[K]`."""
        return torch.bucketize(self.row, self.node_ptr[1:], right=True)

    def rows(self) -> tuple[Tensor, Tensor]:
        """The cells of each row, and the gaps between them.

        Returns:
            tuple: The sizes of the rows and the gaps between cells.
        """
        size = torch.bincount(self.row, minlength=int(self.node_ptr[-1]))
        gap, _ = to_gaps(self.cell, self.row)
        return size, gap

    def whole(self) -> tuple[Tensor, Tensor]:
        """The cells of each graph, and the gaps between them across rows.

        Returns:
            tuple: The numbers of cells of each graph and the gaps.
        """
        graph = self.graph()
        local = self.row - self.node_ptr[graph]
        size = torch.bincount(graph, minlength=self.node_ptr.numel() - 1)
        if self.symmetric:
            place = _triangle(local, self.loops) + self.cell
        else:
            place = local * self.node_ptr.diff()[graph] + self.cell
        gap, _ = to_gaps(place, graph)
        return size, gap


def encode_edges(cells: Cells) -> Packed:
    """Packs edges in the shorter of two ways.

    Sparse graphs are short row by row. In dense ones, the gaps from cell to
    cell across rows are mostly zero, which is the same as one bit a cell.

    Args:
        cells (Cells): The edges.
    """
    layout, size, gap = shorter_layout(cells)
    return {
        'symmetric': cells.symmetric,
        'loops': cells.loops,
        'simple': cells.simple,
        'layout': layout,
        'size': encode(size),
        'gap': encode(gap),
    }


def decode_edges(
    stored: Packed, node_ptr: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Reads what :meth:`encode_edges` packed.

    Args:
        stored (dict): What it returned.
        node_ptr (torch.Tensor): Where the nodes of each graph begin, of shape
            :obj:`[G + 1]`.

    Returns:
        tuple: The edges of shape :obj:`[2, E]`, numbered through and sorted by
        source, then by target, the graph of each, and its number among the
        edges that were packed.
    """
    size, gap = decode(stored['size']), decode(stored['gap'])
    symmetric, loops = stored['symmetric'], stored['loops']
    owner, _ = ragged_range(size)
    place = from_gaps(gap, size, owner, stored['simple'])
    if stored['layout'] == 'rows':
        target, cell = owner, place
        graph = torch.bucketize(target, node_ptr[1:], right=True)
    else:
        graph, num_nodes = owner, node_ptr.diff()
        if symmetric:
            most = int(num_nodes.max()) if num_nodes.numel() else 0
            start = _triangle(torch.arange(most + 1), loops)
            row = torch.searchsorted(start, place, right=True) - 1
            cell = place - start[row]
        else:
            wide = num_nodes[graph]
            row, cell = place // wide, place % wide
        target = row + node_ptr[graph]
    edge = torch.arange(target.numel())
    if symmetric:
        source = target - cell - 1 + loops
        twice = source != target
        source, target = (
            torch.cat([source, target[twice]]),
            torch.cat([target, source[twice]]),
        )
        edge = torch.cat([edge, edge[twice]])
        graph = torch.cat([graph, graph[twice]])
    else:
        source = cell + node_ptr[graph]
    local = target - node_ptr[graph]
    (codes,) = _codes((source, local, torch.zeros_like(edge)))
    order = codes.argsort(stable=True)
    return torch.stack([source, target])[:, order], graph[order], edge[order]


def shorter_layout(cells: Cells) -> tuple[str, Tensor, Tensor]:
    """Tells which of two ways to list cells takes fewer bytes.

    Args:
        cells (Cells): The edges.

    Returns:
        tuple: :obj:`"rows"` or :obj:`"whole"`, and what that method returned.
    """
    layouts = {'rows': cells.rows(), 'whole': cells.whole()}
    num_bytes = {
        name: packed_bytes([encode(value) for value in columns])
        for name, columns in layouts.items()
    }
    name = min(layouts, key=lambda name: num_bytes[name])
    return name, *layouts[name]


def _codes(*cells: tuple[Tensor, Tensor, Tensor]) -> list[Tensor]:
    # One integer a cell, in the order of rows, then cells, then kinds.
    wide, high = (
        max((int(c[i].max()) + 1 for c in cells if c[i].numel()), default=1)
        for i in (1, 2)
    )
    pair = [row * wide + cell for row, cell, _ in cells]
    most = max((int(p.max()) + 1 for p in pair if p.numel()), default=1)
    if most * high >= 1 << 63:
        sizes = [p.numel() for p in pair]
        pair = list(torch.cat(pair).unique(return_inverse=True)[1].split(sizes))
    return [p * high + c[2] for p, c in zip(pair, cells, strict=True)]


def _triangle(row: Tensor, loops: bool) -> Tensor:
    # The cells of all rows before.
    return row * (row - 1 + 2 * loops) // 2
