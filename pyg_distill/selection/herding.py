"""Graphs as points; herding picks some whose mean is that of all."""

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from pyg_distill.data.statistics import TreeStatistics
from pyg_distill.selection.base import Selector
from pyg_distill.selection.budget import Budget, check_choice
from pyg_distill.trees import pointer

Histogram = Literal['shares', 'counts', 'both']
# Of sums in double precision, with something to spare.
_ROUNDING = 1e-13


class PointSelector(Selector):
    """Picks graphs of each class one by one, by their distances as points."""

    def __init__(
        self,
        histogram: Histogram = 'shares',
        embedding: Tensor | None = None,
    ) -> None:
        check_choice('histogram', histogram, ('shares', 'counts', 'both'))
        if embedding is not None:
            check_embedding(embedding)
        self.histogram = histogram
        self.embedding = embedding
        self.needs = ('counts', 'shares')  # type: ignore[misc]
        if embedding is not None:
            self.needs = ()  # type: ignore[misc]
        elif histogram != 'both':
            self.needs = (histogram,)  # type: ignore[misc]

    def steps(self, points: Tensor) -> Iterator[int]:
        """Picks points of shape :obj:`[N, D]` one by one."""
        raise NotImplementedError

    def select(self, statistics: TreeStatistics, budget: Budget) -> Tensor:
        """Fills the budget with the first graphs of each class."""
        return budget.fill(
            self.orders(self._points(statistics), statistics.label)
        )

    def orders(self, points: Tensor, label: Tensor) -> dict[int, Iterator[int]]:
        """The positions of each class as they are picked."""
        orders: dict[int, Iterator[int]] = {}
        for c in label.unique().tolist():
            member = (label == c).nonzero().view(-1)
            steps = self.steps(points.index_select(0, member))
            orders[c] = map(member.tolist().__getitem__, steps)
        return orders

    def _points(self, statistics: TreeStatistics) -> Tensor:
        if self.embedding is None:
            rows = [statistics.histogram(name) for name in self.needs]
            if len(rows) == 1:
                return rows[0]
            # Rows of each histogram have length 1 on average.
            scaled = [
                r * (r.size(0) / r.values().square().sum()) ** 0.5 for r in rows
            ]
            return torch.cat(scaled, dim=1).coalesce()
        if self.embedding.size(0) != statistics.num_graphs:
            raise ValueError(
                f"'embedding' must have one row a graph (got "
                f'{self.embedding.size(0)} rows for {statistics.num_graphs} '
                f'graphs); embed the split that is passed'
            )
        return self.embedding.detach().cpu()


class Herding(PointSelector):
    r"""Keeps the graphs of each class whose mean is near that of the class.

    Graphs are points: rows of the histogram of their computation trees, or
    any embedding. Each step picks the point :math:`\mathbf{x}` that brings
    the mean of the picked points nearest to the mean :math:`\mu` of all,

    .. math::
        \min_{\mathbf{x}} \Big\| \mu - \frac{1}{k} \Big( \mathbf{x} +
        \sum_{j < k} \mathbf{x}_j \Big) \Big\|,

    and never picks a point twice (Welling, `"Herding Dynamical Weights to
    Learn" <https://doi.org/10.1145/1553374.1553517>`_, ICML 2009; in this
    form in Rebuffi et al., `"iCaRL" <https://arxiv.org/abs/1611.07725>`_,
    CVPR 2017, Algorithm 4). Of equally good points, the first one is picked.
    A step takes one product with all points of the class.

    Args:
        histogram (str, optional): What graphs are compared by: the square
            roots of the shares of their computation trees of all depths
            (:obj:`"shares"`), of the counts of the deepest trees
            (:obj:`"counts"`), or :obj:`"both"`.
            (default: :obj:`"shares"`)
        embedding (torch.Tensor, optional): Points of shape :obj:`[G, D]` to
            compare instead, one row for each graph of the source; see
            :meth:`~pyg_distill.evaluation.model_embeddings`.
            (default: :obj:`None`)

    Raises:
        TypeError: If :obj:`embedding` is no tensor of real numbers.
        ValueError: If an option is unknown, or :obj:`embedding` is not finite
            or of another shape.
    """

    name = 'herding'

    def steps(self, points: Tensor) -> Iterator[int]:
        """Picks points of shape :obj:`[N, D]` one by one."""
        products = open_points(points)
        num_points = products.num_points
        # The square above, times N k^2, without what is the same for all
        # points: N |x|^2 + 2 N <x, picked> - 2 k <x, all>. For integers it is
        # exact, so that equal points are equally good.
        square = products.square_norm()
        picked = num_points * square
        pull = 2 * products.dot_sum()
        largest = float(square.max()) if num_points else 0.0
        for k in range(1, num_points + 1):
            far = picked - k * pull
            # Rounding must not decide which of equally good points is first.
            near = far.min() + _ROUNDING * num_points * k * largest
            point = int((far <= near).int().argmax())
            yield point
            picked += 2 * num_points * products.dot(point)
            picked[point] = float('inf')


class _DensePoints:
    """Inner products of points of shape :obj:`[N, D]`."""

    def __init__(self, value: Tensor) -> None:
        self.value = value
        self.num_points = value.size(0)

    def square_norm(self) -> Tensor:
        return (self.value * self.value).sum(dim=1)

    def dot_sum(self) -> Tensor:
        return self.value @ self.value.sum(dim=0)

    def dot(self, point: int) -> Tensor:
        return self.value @ self.value[point]


class _SparsePoints:
    """The same of sparse points, by the columns that are not zero in one."""

    def __init__(self, points: Tensor) -> None:
        self.num_points, num_columns = points.size()
        self.row, self.column = points.indices()
        self.value = points.values()
        # A column of one point is part of no product with another.
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
        return self._sum(self.value * self.value)

    def dot_sum(self) -> Tensor:
        total = torch.bincount(self.column, self.value)
        return self._sum(self.value * total[self.column])

    def dot(self, point: int) -> Tensor:
        out = self.value.new_zeros(self.num_points)
        mine = slice(self._row_ptr[point], self._row_ptr[point + 1])
        pairs = zip(self._columns[mine], self._weights[mine], strict=True)
        # One contiguous stretch a column is several times faster than
        # looking up all of their entries at once.
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


def open_points(points: Tensor) -> _DensePoints | _SparsePoints:
    """Makes points ready for inner products in double precision."""
    check_embedding(points)
    points = points.detach().double()
    if points.layout == torch.strided:
        return _DensePoints(points)
    return _SparsePoints(points.to_sparse_coo().coalesce())


def check_embedding(embedding: Tensor) -> None:
    """Refuses what has no row of finite numbers for each graph."""
    shape = "'embedding' must have shape [num_graphs, num_features]"
    if not isinstance(embedding, Tensor) or embedding.is_complex():
        got = getattr(embedding, 'dtype', type(embedding).__name__)
        raise TypeError(f'{shape} (got {got}); pass a tensor of real numbers')
    value = embedding.detach()
    if value.layout != torch.strided:
        value = value.to_sparse_coo().coalesce().values()
    if embedding.dim() != 2 or not bool(value.isfinite().all()):
        raise ValueError(
            f'{shape} and finite values (got {list(embedding.size())}, or NaN '
            f'or infinity); check the model, or scale the points'
        )
