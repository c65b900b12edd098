"""What maps two layers to a space in which they are compared."""

from collections.abc import Sequence

import torch
from torch import Tensor

# What share of its mean a channel varies by if that is more than rounding.
SPREAD = 1e-5


class ProjectionHead(torch.nn.Module):
    """A linear layer, batch norm and ReLU.

    Without bias, which batch norm removes. Channels that are the same in all
    rows, as of a layer that is dead, are taken for zeros: batch norm would make
    noise of their rounding, and large gradients.

    Args:
        in_channels (int): The width of the layer.
        out_channels (int): The width that it is mapped to.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.lin = torch.nn.Linear(in_channels, out_channels, bias=False)
        self.norm = torch.nn.BatchNorm1d(out_channels)

    def reset_parameters(self) -> None:
        """Draws all weights anew, and forgets the statistics."""
        self.lin.reset_parameters()
        self.norm.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """From :obj:`[N, F]` to :obj:`[N, C]`, of the type that comes in."""
        dtype = x.dtype
        x = self.lin(x.to(self.lin.weight.dtype))
        if self.training:
            with torch.no_grad():
                variance, mean = torch.var_mean(x, dim=0, correction=0)
                varies = variance > (SPREAD * mean).square()
            x = torch.where(varies, x, 0.0)
        return self.norm(x).relu().to(dtype)


class HeadPairs(torch.nn.Module):
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
        """Maps the layers of the `k`-th node type."""
        return self.teacher[k](teacher), self.student[k](student)
