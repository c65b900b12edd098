"""Graphs whose mean is near the mean of their class."""

from collections.abc import Iterator

from torch import Tensor

from pyg_distill.selection.points import PointSelector, open_points

# Of sums in double precision, with something to spare.
_ROUNDING = 1e-13


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
        """Picks points one by one.

        Args:
            points (torch.Tensor): Points of shape :obj:`[N, D]`.
        """
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
