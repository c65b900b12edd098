"""What a frozen teacher tells, worked out as far as it can be."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class TeacherTarget:
    r"""The teacher's side of a loss, which no parameter changes.

    With fixed attention all teacher layers are folded into one target for
    each student layer and width that it is compared with. It is made by
    :meth:`ABKDLoss.prepare`, can be passed in place of the teacher's layers in
    every step, and selected from by row.

    Args:
        layers (list[torch.Tensor]): Stacked layers of shape
            :obj:`[K, N, C]`, one for each width.
        means (list[torch.Tensor]): The mean of each teacher layer over its
            nodes, which learned attention reads, each of shape :obj:`[1, C]`.
        spread (torch.Tensor, optional): What the distance of each row has
            apart from the student, of shape :obj:`[N]`.
            (default: :obj:`None`)
        squares (list[torch.Tensor]): Where layers are not folded, the squared
            length of each of their rows, each of shape :obj:`[K, N]`.
            (default: :obj:`[]`)
    """

    layers: list[Tensor]
    means: list[Tensor]
    spread: Tensor | None = None
    squares: list[Tensor] = field(default_factory=list)

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return self.layers[0].size(1)

    @property
    def num_bytes(self) -> int:
        """The bytes of all tensors."""
        tensors = [*self.layers, *self.means, *self.squares]
        if self.spread is not None:
            tensors.append(self.spread)
        return sum(x.numel() * x.element_size() for x in tensors)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}({self.num_rows:,} rows, '
            f'widths={[x.size(-1) for x in self.layers]}, '
            f'{self.num_bytes:,} bytes)'
        )

    def select(self, index: Tensor | slice) -> 'TeacherTarget':
        """The target of some rows, such as the seed nodes of a mini-batch."""
        spread = self.spread
        return TeacherTarget(
            layers=[x[:, index] for x in self.layers],
            means=self.means,
            spread=None if spread is None else spread[index],
            squares=[x[:, index] for x in self.squares],
        )

    def move(self, fn: Callable[[Tensor], Tensor]) -> None:
        """Replaces each tensor by what a function makes of it.

        Args:
            fn (Callable): The function, such as one that moves to a device.
        """
        self.layers = [fn(x) for x in self.layers]
        self.means = [fn(x) for x in self.means]
        self.squares = [fn(x) for x in self.squares]
        if self.spread is not None:
            self.spread = fn(self.spread)
