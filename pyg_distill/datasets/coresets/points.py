"""Inner products of embeddings with one of them, dense or sparse."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_distill.trees.csr import pointer


@dataclass(frozen=True)
class DensePoints:
    """Embeddings of shape :obj:`[N, D]`."""

    value: Tensor

    @property
    def num_points(self) -> int:
        """The number of points."""
        return self.value.size(0)

    def square_norm(self) -> Tensor:
        """The inner product of each point with itself, :obj:`[N]`."""
        return (self.value * self.value).sum(dim=1)

    def dot_sum(self) -> Tensor:
        """The inner products of all points with their sum, :obj:`[N]`."""
        return self.value @ self.value.sum(dim=0)

    def dot(self, point: int) -> Tensor:
        """The inner products of all points with one, :obj:`[N]`."""
        return self.value @ self.value[point]


class SparsePoints:
    """Embeddings of which most entries are zero.

    A product with one point visits only the entries of the columns in which
    that point is not zero.

    Args:
        embedding (torch.Tensor): A coalesced matrix of shape :obj:`[N, D]`.
    """

    def __init__(self, embedding: Tensor) -> None:
        self.num_points, num_columns = embedding.size()
        self.row, self.column = embedding.indices()
        self.value = embedding.values()
        # What only one point has is part of no product with another.
        size = torch.bincount(self.column, minlength=num_columns)
        kept = size[self.column] > 1
        row, column = self.row[kept], self.column[kept]
        value = self.value[kept]
        size = torch.bincount(row, minlength=self.num_points)
        self._row_ptr = pointer(size).tolist()
        self._columns, self._weights = column.tolist(), value.tolist()
        order = torch.argsort(column, stable=True)
        size = torch.bincount(column, minlength=num_columns)
        self._column_ptr = pointer(size).tolist()
        self._row_by_column = row[order]
        self._value_by_column = value[order]

    def square_norm(self) -> Tensor:
        """The inner product of each point with itself, :obj:`[N]`."""
        return self._sum(self.value * self.value)

    def dot_sum(self) -> Tensor:
        """The inner products of all points with their sum, :obj:`[N]`."""
        total = torch.bincount(self.column, self.value)
        return self._sum(self.value * total[self.column])

    def dot(self, point: int) -> Tensor:
        """The inner products of all others with one point, :obj:`[N]`."""
        out = self.value.new_zeros(self.num_points)
        mine = slice(self._row_ptr[point], self._row_ptr[point + 1])
        pairs = zip(self._columns[mine], self._weights[mine], strict=True)
        # One contiguous stretch a column is several times faster than to
        # look up all of their entries at once.
        for column, weight in pairs:
            part = slice(self._column_ptr[column], self._column_ptr[column + 1])
            out.index_add_(
                0,
                self._row_by_column[part],
                self._value_by_column[part],
                alpha=weight,
            )
        return out

    def _sum(self, value: Tensor) -> Tensor:
        out = value.new_zeros(self.num_points)
        return out.index_add_(0, self.row, value)


Points = DensePoints | SparsePoints


def open_points(embedding: Tensor) -> Points:
    """Checks embeddings and makes them ready for inner products.

    Args:
        embedding (torch.Tensor): Finite numbers of shape :obj:`[N, D]`, dense
            or sparse, which are computed with in double precision: sums of
            integers such as tree counts are exact.

    Raises:
        TypeError: If it is no tensor of real numbers.
        ValueError: If it has another shape or holds NaN or infinity.
    """
    check_embedding(embedding)
    embedding = embedding.detach().double()
    is_dense = embedding.layout == torch.strided
    if not is_dense:
        embedding = embedding.to_sparse_coo().coalesce()
    value = embedding if is_dense else embedding.values()
    if not bool(value.isfinite().all()):
        raise ValueError(
            "'embedding' must be finite (got NaN or infinity); check the "
            'model, or how the embeddings were scaled'
        )
    return DensePoints(embedding) if is_dense else SparsePoints(embedding)


def check_embedding(embedding: Tensor) -> None:
    """Refuses what has no row of numbers a point.

    Args:
        embedding (torch.Tensor): What should have shape :obj:`[N, D]`.

    Raises:
        TypeError: If it is no tensor of real numbers.
        ValueError: If it has another shape.
    """
    if not isinstance(embedding, Tensor) or embedding.is_complex():
        got = getattr(embedding, 'dtype', type(embedding).__name__)
        raise TypeError(
            f"'embedding' must be a tensor of real numbers (got {got}); pass "
            f'one of shape [num_graphs, num_features]'
        )
    if embedding.dim() != 2:
        raise ValueError(
            f"'embedding' must have shape [num_graphs, num_features] (got "
            f'{list(embedding.size())}); pass one row a graph'
        )
