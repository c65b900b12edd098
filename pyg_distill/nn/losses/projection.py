"""Learned maps to the space in which layers are compared."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

# A channel varies by rounding only if its deviation is below this share of
# its mean.
MIN_VARIATION = 1e-5


class LayerProjection(torch.nn.Module):
    r"""Maps each layer to :obj:`out_channels` by a matrix of its own.

    Layers of one width share a stacked parameter, so that one batched product
    projects all of them. There is no bias, because centering removes it.

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
        """The matrix :obj:`[F_j, C]` of each layer."""
        return self._in_order([weight.unbind() for weight in self.weights])

    def forward(self, layers: Sequence[Tensor]) -> list[Tensor]:
        """Projects matrices :obj:`[N, F_j]` with a common :obj:`N`."""
        out = []
        for member, weight in zip(self.members, self.weights, strict=True):
            x = torch.stack([layers[j] for j in member])
            out.append(torch.bmm(x, weight.to(x.dtype)).unbind())
        return self._in_order(out)

    def _in_order(self, stacks: list[tuple[Tensor, ...]]) -> list[Tensor]:
        out: dict[int, Tensor] = {}
        for member, stack in zip(self.members, stacks, strict=True):
            out.update(zip(member, stack, strict=True))
        return [out[j] for j in range(len(out))]


class ProjectionHead(torch.nn.Module):
    """A linear layer, batch norm and ReLU.

    There is no bias, because batch norm removes it. A channel that is constant
    over all rows, as in a dead layer, counts as zeros: batch norm would turn
    its rounding into noise with large gradients.

    Args:
        in_channels (int): The width of the layer.
        out_channels (int): The width that it is mapped to.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.lin = torch.nn.Linear(in_channels, out_channels, bias=False)
        self.norm = torch.nn.BatchNorm1d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """From :obj:`[N, F]` to :obj:`[N, C]`, of the same type."""
        dtype = x.dtype
        x = self.lin(x.to(self.lin.weight.dtype))
        if self.training:
            with torch.no_grad():
                variance, mean = torch.var_mean(x, dim=0, correction=0)
                varies = variance > (MIN_VARIATION * mean).square()
            x = torch.where(varies, x, 0.0)
        return self.norm(x).relu().to(dtype)


class ProjectionHeads(torch.nn.Module):
    """A head for the teacher and one for the student, for each node type.

    Args:
        widths (list[tuple[int, int]]): The widths of the teacher's and of the
            student's layer.
        out_channels (int): The width that both are mapped to.
    """

    def __init__(
        self, widths: Sequence[tuple[int, int]], out_channels: int
    ) -> None:
        super().__init__()
        self.teacher = torch.nn.ModuleList(
            ProjectionHead(width, out_channels) for width, _ in widths
        )
        self.student = torch.nn.ModuleList(
            ProjectionHead(width, out_channels) for _, width in widths
        )

    def forward(
        self, k: int, teacher: Tensor, student: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Maps the layers of the :obj:`k`-th node type."""
        return self.teacher[k](teacher), self.student[k](student)
