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

    Raises:
        ValueError: If the features :obj:`x` are floats.
    """

    def __init__(self, dataset: Dataset | Sequence[Data]) -> None:
        x = torch.cat([data.x for data in dataset])
        if x.is_floating_point():
            raise ValueError(
                f"'dataset' must have integer features 'x' (got {x.dtype}); "
                f'leave out the encoding'
            )
        self.values = [column.unique() for column in _columns(x)]

    def __call__(self, x: Tensor) -> Tensor:
        """Encodes codes of shape :obj:`[N, F]` as floats of all columns."""
        pairs = zip(_columns(x), self.values, strict=True)
        out = [c.view(-1, 1) == values.to(x.device) for c, values in pairs]
        return torch.cat(out, dim=1).to(torch.get_default_dtype())


def _columns(x: Tensor) -> tuple[Tensor, ...]:
    return (x.view(-1, 1) if x.dim() == 1 else x.flatten(1)).unbind(dim=1)
