"""Category codes -> one-hot features."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.dataset import Dataset

from pyg_distill.datasets.reading.stored import read_stored


class OneHot:
    r"""Turns columns of category codes into one-hot features.

    Each column of :obj:`x` becomes as many columns as it has different values
    in :obj:`dataset`, side by side. So graphs can be stored and compared by
    small integers while models read floats:

    .. code-block:: python

        evaluate(train_sets, test, val, encode=OneHot(dataset))

    Values that :obj:`dataset` does not have become zeros. Booleans are the
    codes 0 and 1.

    Args:
        dataset (Dataset or list): The graphs whose values are known.

    Attributes:
        values (list): The known values of each column, in ascending order.

    Raises:
        TypeError: If :obj:`dataset` is no collection of homogeneous graphs.
        ValueError: If its graphs have no integer or boolean features :obj:`x`.
    """

    def __init__(self, dataset: Dataset | Sequence[Data]) -> None:
        graphs = read_stored(dataset, 'dataset')
        x = graphs.rows('x') if 'x' in graphs.slices else None
        if x is None or x.is_floating_point():
            got = 'none' if x is None else x.dtype
            raise ValueError(
                f"'dataset' must have integer features 'x' (got {got}); "
                f'floats need no encoding'
            )
        self.values = [column.unique() for column in _columns(x)]

    @property
    def num_features(self) -> int:
        """The number of one-hot columns."""
        return sum(values.numel() for values in self.values)

    def __call__(self, x: Tensor) -> Tensor:
        """Encodes features.

        Args:
            x (torch.Tensor): Category codes of shape :obj:`[N, F]`.

        Returns:
            torch.Tensor: Zeros and ones of shape :obj:`[N, num_features]`.
        """
        columns = _columns(x)
        if len(columns) != len(self.values):
            raise ValueError(
                f"'x' must have {len(self.values)} columns (got "
                f'{len(columns)}); encode the features that the encoder was '
                f'made for'
            )
        out = torch.zeros(x.size(0), self.num_features, device=x.device)
        start = 0
        for column, values in zip(columns, self.values, strict=True):
            values = values.to(x.device)
            code = torch.searchsorted(values, column.contiguous())
            code = code.clamp(max=values.numel() - 1)
            known = (values[code] == column).to(out.dtype)
            out.scatter_(1, (start + code).view(-1, 1), known.view(-1, 1))
            start += values.numel()
        return out

    def __repr__(self) -> str:
        sizes = [values.numel() for values in self.values]
        return f'{self.__class__.__name__}({sizes})'


def _columns(x: Tensor) -> tuple[Tensor, ...]:
    if x.dtype == torch.bool:
        # `searchsorted` refuses them.
        x = x.to(torch.uint8)
    return x.reshape(x.size(0), prod(x.size()[1:])).unbind(dim=1)
