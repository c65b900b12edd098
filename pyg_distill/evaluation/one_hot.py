"""Category codes -> one-hot features."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.dataset import Dataset


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
        ValueError: If its graphs have no integer or boolean features :obj:`x`.
    """

    def __init__(self, dataset: Dataset | Sequence[Data]) -> None:
        x = [dataset[i].x for i in range(len(dataset))]
        if not x or any(v is None or v.is_floating_point() for v in x):
            got = next((v.dtype for v in x if v is not None), 'none')
            raise ValueError(
                f"'dataset' must have integer features 'x' (got {got}); "
                f'floats need no encoding'
            )
        self.values = [column.unique() for column in _columns(torch.cat(x))]

    @property
    def num_features(self) -> int:
        """The number of one-hot columns."""
        return sum(values.numel() for values in self.values)

    def __call__(self, x: Tensor) -> Tensor:
        """Encodes codes of shape :obj:`[N, F]` as :obj:`[N, num_features]`."""
        columns = _columns(x)
        if len(columns) != len(self.values):
            raise ValueError(
                f"'x' must have {len(self.values)} columns (got "
                f'{len(columns)}); encode features of the same data set'
            )
        pairs = zip(columns, self.values, strict=True)
        out = [c.view(-1, 1) == values.to(x.device) for c, values in pairs]
        return torch.cat(out, dim=1).to(torch.get_default_dtype())

    def __repr__(self) -> str:
        sizes = [values.numel() for values in self.values]
        return f'{self.__class__.__name__}({sizes})'


def _columns(x: Tensor) -> tuple[Tensor, ...]:
    return (x.view(-1, 1) if x.dim() == 1 else x.flatten(1)).unbind(dim=1)
