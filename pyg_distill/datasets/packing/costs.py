"""What each graph adds to the size of what is packed, before packing."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from pyg_distill.datasets.packing.column import RICE, Code
from pyg_distill.datasets.packing.rows import (
    DistinctRows,
    as_integers,
    take_rows,
)


@dataclass(frozen=True)
class Costs:
    r"""What graphs take by themselves, and what they take from dictionaries.

    Shapes:
        - **graph_bits:** the bits of each graph without dictionaries
          :math:`(G)`,
        - **item_bits:** the bits of each entry of a dictionary :math:`(V)`,
        - **graph**, **item:** which graph needs which entry :math:`(P)`.

    Attributes:
        num_streams: The tensors that are filled up to whole bytes.
    """

    graph_bits: Tensor
    item_bits: Tensor
    graph: Tensor
    item: Tensor
    num_streams: int

    def cumulative(self, order: Tensor) -> Tensor:
        r"""The bytes of the first graphs of an order, of which each is new.

        Args:
            order (torch.Tensor): Graphs of shape :obj:`[n]`, each once.

        Returns:
            torch.Tensor: The bytes that the first :math:`1, \ldots, n` of
            them take, of shape :obj:`[n]`.
        """
        place = torch.full_like(self.graph_bits, order.numel())
        place[order] = torch.arange(order.numel())
        first = torch.full_like(self.item_bits, order.numel())
        first = first.scatter_reduce(
            0, self.item, place[self.graph], 'amin', include_self=True
        )
        items = self.item_bits.new_zeros(order.numel() + 1)
        items = items.index_add_(0, first, self.item_bits)[:-1]
        total = (self.graph_bits[order] + items).cumsum(0)
        return (total + 7 * self.num_streams + 7) // 8


@dataclass
class Meter:
    """Adds up the costs of columns.

    Attributes:
        num_graphs: The number of graphs.
        num_streams: The tensors that are filled up to whole bytes.
    """

    num_graphs: int
    num_streams: int = 0
    graph_bits: Tensor = field(init=False)
    items: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.graph_bits = torch.zeros(self.num_graphs, dtype=torch.long)

    def add_column(self, value: Tensor, graph: Tensor) -> None:
        """Adds integers that :meth:`encode` is to pack.

        Args:
            value (torch.Tensor): The integers of shape :obj:`[n]`.
            graph (torch.Tensor): The graph of each, of shape :obj:`[n]`.
        """
        code = Code.of(value)
        self.num_streams += code.num_streams()
        self.graph_bits.index_add_(0, graph, code.bits(value))
        if code.rank is not None:
            self.add_items(code.to_rank(value), graph, code.table_bits())

    def add_rows(self, value: Tensor, graph: Tensor) -> None:
        """Adds features that :meth:`encode_rows` is to pack.

        Args:
            value (torch.Tensor): The rows of shape :obj:`[n, *]`.
            graph (torch.Tensor): The graph of each, of shape :obj:`[n]`.
        """
        distinct = DistinctRows.of(value)
        bits, num_streams = row_bits(take_rows(value, distinct.first))
        self.num_streams += num_streams
        number = Code.of(distinct.number, ranked=False)
        numbers = number.bits(distinct.number)
        plain = bits[distinct.number]
        if int(plain.sum()) <= int(numbers.sum()) + int(bits.sum()):
            self.graph_bits.index_add_(0, graph, plain)
            return
        self.add_items(distinct.number, graph, bits)
        self.num_streams += number.num_streams()
        self.graph_bits.index_add_(0, graph, numbers)

    def add_items(self, item: Tensor, graph: Tensor, bits: Tensor) -> None:
        """Adds a dictionary.

        Args:
            item (torch.Tensor): The entries that are needed, :obj:`[n]`.
            graph (torch.Tensor): The graphs that need them, :obj:`[n]`.
            bits (torch.Tensor): The bits of each entry, :obj:`[V]`.
        """
        self.items.append((item, graph, bits))

    def costs(self) -> Costs:
        """All of it."""
        items, graphs, bits, above = [], [], [], 0
        for item, graph, size in self.items:
            num_items = max(1, size.numel())
            pair = _distinct(graph * num_items + item)
            items.append(pair % num_items + above)
            graphs.append(pair // num_items)
            bits.append(size)
            above += size.numel()
        empty = self.graph_bits[:0]
        return Costs(
            self.graph_bits,
            torch.cat([empty, *bits]),
            torch.cat([empty, *graphs]),
            torch.cat([empty, *items]),
            self.num_streams,
        )


def row_bits(value: Tensor) -> tuple[Tensor, int]:
    """At most how many bits each row adds to what :meth:`encode_values` packs.

    Args:
        value (torch.Tensor): Distinct rows of shape :obj:`[V, *]`.

    Returns:
        tuple: The bits of shape :obj:`[V]`, and the number of tensors.
    """
    num_rows = value.size(0)
    integer = as_integers(value)
    if integer is None or num_rows == 0:
        size = value[:1].numel() * value.element_size() * 8
        return torch.full((num_rows,), size), 1
    row = integer.view(num_rows, -1)
    if row.size(1) == 0:
        return torch.zeros(num_rows, dtype=torch.long), 1
    if bool(((integer == 0) | (integer == 1)).all()):
        return _gap_bits(row), 2
    if bool((integer < 0).any()):
        row = torch.where(row < 0, -2 * row - 1, 2 * row)
    code = Code.of(row.flatten(), ranked=False)
    return code.bits(row.flatten()).view(row.size()).sum(dim=1), 2


def _gap_bits(row: Tensor) -> Tensor:
    # What is between the ones of two rows is cut in two, as the rows may not
    # stay neighbours; no number takes more bits than two that sum to it.
    framed = torch.nn.functional.pad(row, (1, 1), value=1)
    place = framed.flatten().nonzero().view(-1)
    owner = place // framed.size(1)
    same = owner[1:] == owner[:-1]
    gap, owner = (place.diff() - 1)[same], owner[1:][same]
    orders = [Code(RICE, k) for k in range(16)]
    code = min(orders, key=lambda code: int(code.bits(gap).sum()))
    return torch.zeros_like(row[:, 0]).index_add_(0, owner, code.bits(gap))


def _distinct(code: Tensor) -> Tensor:
    # Most repeat right after each other, which is cheaper to see.
    return torch.unique_consecutive(code).unique()
