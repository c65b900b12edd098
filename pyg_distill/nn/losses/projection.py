"""A linear map for each layer, computed together."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


class LayerProjection(torch.nn.Module):
    r"""Maps layer :math:`j` of width :math:`F_j` to :obj:`out_channels`.

    Layers of one width share a stacked parameter, so that all are projected
    by one batched product. Without bias: what is added to every row, centring
    removes.

    Args:
        in_channels (list[int]): The width of each layer.
        out_channels (int): The common width that they are mapped to.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int) -> None:
        super().__init__()
        widths = sorted(set(in_channels))
        self.members = [
            [j for j, width in enumerate(in_channels) if width == w]
            for w in widths
        ]
        self.weights = torch.nn.ParameterList(
            torch.empty(len(member), width, out_channels)
            for member, width in zip(self.members, widths, strict=True)
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all weights as :class:`torch.nn.Linear` does."""
        for weight in self.weights:
            bound = 1.0 / math.sqrt(weight.size(1))
            torch.nn.init.uniform_(weight, -bound, bound)

    def maps(self) -> list[Tensor]:
        """The matrix of each layer."""
        out: dict[int, Tensor] = {}
        for member, weight in zip(self.members, self.weights, strict=True):
            out.update(zip(member, weight.unbind(), strict=True))
        return [out[j] for j in range(len(out))]

    def forward(self, layers: list[Tensor]) -> list[Tensor]:
        """Projects matrices :obj:`[N, F_j]` with a common :obj:`N`."""
        out: dict[int, Tensor] = {}
        for member, weight in zip(self.members, self.weights, strict=True):
            x = torch.stack([layers[j] for j in member])
            y = torch.bmm(x, weight.to(x.dtype))
            out.update(zip(member, y.unbind(), strict=True))
        return [out[j] for j in range(len(layers))]
